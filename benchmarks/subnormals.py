"""Networks whose gradients vanish into subnormals against healthy ones of the same shape."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from common import Table, arguments

import gradiometer as gm
from gradiometer.bench.timing import alternate

DEPTH, BATCH = 50, 128
RATE = 1e-6  # so small that after thousands of steps, gradients have come back in the later layers only


class Case(NamedTuple):
    """A shape, its optimizer, and how large its weights are where gradients vanish: a share of what is healthy."""

    activation: str = "tanh"
    width: int = 64
    optimizer: Callable[[], object] = lambda: gm.SGD(RATE)
    share: float = 0.144


CASES = {
    "SGD": Case(),
    "SGD, momentum": Case(optimizer=lambda: gm.SGD(RATE, momentum=0.9)),
    "Adam": Case(optimizer=lambda: gm.Adam(RATE)),
    "AdamW": Case(optimizer=lambda: gm.AdamW(RATE)),
    "RMSprop": Case(optimizer=lambda: gm.RMSprop(RATE)),
    "width 7": Case(width=7),
    "width 33": Case(width=33),
    "width 256": Case(width=256),
    "ReLU": Case("relu", share=0.24),
    "LeakyReLU": Case("leaky_relu", share=0.17),
    "ELU": Case("elu"),
    "SELU": Case("selu", share=0.1),
    "GELU": Case("gelu", share=0.28),
    "SiLU": Case("silu", share=0.28),
    "Softplus": Case("softplus", share=0.28),
    "sigmoid": Case("sigmoid", share=0.6),
}


def trainer(case: Case, share: float) -> gm.Trainer:
    """Return one of a network whose weights are this share of 1 / √width."""
    init = gm.init.normal(std=share / case.width**0.5)
    net = gm.mlp(64, 10, depth=DEPTH, width=case.width, activation=case.activation, init=init, seed=0)
    return gm.Trainer(net, loss="cross_entropy", optimizer=case.optimizer(), record="full")


def main() -> None:
    """Measure and print."""
    options = arguments(__doc__)
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((BATCH, 64)).astype(np.float32), rng.integers(0, 10, BATCH)
    table = Table("case", "healthy", "vanishing ÷ healthy", "layers with subnormal gradients", "largest share")
    for name, case in CASES.items():
        trainers = {"healthy": trainer(case, 1), "vanishing": trainer(case, case.share)}

        def steps(name: str, count: int) -> None:
            for _ in range(count):
                trainers[name].step(x, y)  # noqa: B023

        candidates = {name: lambda count, name=name: steps(name, count) for name in trainers}
        times = alternate(candidates, rounds=options.rounds, seconds=options.seconds)
        shares = trainers["vanishing"].recording.grad_subnormal_fraction[-1]
        table.add(
            name,
            f"{np.median(times['healthy']) * 1e6:.0f} µs",
            table.ratio(times["vanishing"] / times["healthy"]),
            f"{np.count_nonzero(shares)} of {len(shares)}",
            f"{shares.max():.0%}",
        )
    table.show()


if __name__ == "__main__":
    main()
