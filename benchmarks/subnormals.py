"""Networks whose gradients vanish into subnormals against healthy ones of the same shape."""

from argparse import Namespace
from collections.abc import Callable
from functools import partial
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
    dtype: str = "float32"


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
    # Weights of 1e-7, of which steps of Adam are to be a small part, too.
    "float64, SGD": Case(share=5.5e-7, dtype="float64"),
    "float64, momentum": Case(optimizer=lambda: gm.SGD(RATE, momentum=0.9), share=5.5e-7, dtype="float64"),
    "float64, Adam": Case(optimizer=lambda: gm.Adam(RATE**2), share=5.5e-7, dtype="float64"),
    "float64, RMSprop": Case(optimizer=lambda: gm.RMSprop(RATE**2), share=5.5e-7, dtype="float64"),
}


# Subnormal numbers beside larger ones: the pixels of images, from 0 to 255 instead of 0 to 1.
PIXEL_OPTIMIZERS = {"SGD": lambda: gm.SGD(0.1), "Adam": gm.Adam}
PIXEL_ACTIVATIONS = ("relu", "elu", "gelu", "silu", "sigmoid", "tanh")
PIXEL_STEPS = 20  # before anything is timed


def trainer(case: Case, share: float) -> gm.Trainer:
    """Return one of a network whose weights are this share of 1 / √width."""
    init = gm.init.normal(std=share / case.width**0.5)
    net = gm.mlp(64, 10, depth=DEPTH, width=case.width, activation=case.activation, init=init, dtype=case.dtype, seed=0)
    return gm.Trainer(net, loss="cross_entropy", optimizer=case.optimizer(), record="full")


def alternating(steps: dict[str, Callable[[], object]], options: Namespace) -> dict[str, np.ndarray]:
    """Return the times of a step of each, by name."""

    def several(name: str, count: int) -> None:
        for _ in range(count):
            steps[name]()

    candidates = {name: lambda count, name=name: several(name, count) for name in steps}
    return alternate(candidates, rounds=options.rounds, seconds=options.seconds)


def vanishing(options: Namespace) -> None:
    """Print the cases whose gradients vanish."""
    rng = np.random.default_rng(0)
    samples, y = rng.standard_normal((BATCH, 64)), rng.integers(0, 10, BATCH)
    table = Table("case", "healthy", "vanishing ÷ healthy", "layers with subnormal gradients", "largest share")
    for name, case in CASES.items():
        x = samples.astype(case.dtype)
        trainers = {"healthy": trainer(case, 1), "vanishing": trainer(case, case.share)}
        times = alternating({name: partial(one.step, x, y) for name, one in trainers.items()}, options)
        shares = trainers["vanishing"].recording.grad_subnormal_fraction[-1]
        table.add(
            name,
            f"{np.median(times['healthy']) * 1e6:.0f} µs",
            table.ratio(times["vanishing"] / times["healthy"]),
            f"{np.count_nonzero(shares)} of {len(shares)}",
            f"{shares.max():.0%}",
        )
    table.show()


def pixels(options: Namespace) -> None:
    """Print what a step takes on pixels that are not normalised, against the same data normalised."""
    rng = np.random.default_rng(0)
    shape = (BATCH, 784)
    images = (rng.random(shape) ** 4 * (rng.random(shape) < 0.2)).astype(np.float32)  # most are black, few are white
    y = rng.integers(0, 10, BATCH)
    table = Table("activation", "optimizer", "from 0 to 1", "from 0 to 255, ÷ that")
    for activation in PIXEL_ACTIVATIONS:
        for name, optimizer in PIXEL_OPTIMIZERS.items():
            steps = {}
            for largest in (1, 255):
                net = gm.mlp(784, 10, depth=3, width=256, activation=activation, seed=0)
                one = gm.Trainer(net, loss="cross_entropy", optimizer=optimizer())
                steps[str(largest)] = partial(one.step, images * np.float32(largest), y)
            for step in steps.values():
                for _ in range(PIXEL_STEPS):
                    step()
            times = alternating(steps, options)
            table.add(activation, name, f"{np.median(times['1']) * 1e6:.0f} µs", table.ratio(times["255"] / times["1"]))
    table.show()


def main() -> None:
    """Measure and print."""
    options = arguments(__doc__)
    vanishing(options)
    pixels(options)


if __name__ == "__main__":
    main()
