"""A network whose gradients vanish into subnormals against a healthy one of the same shape."""

import numpy as np
from common import Table, arguments

import gradiometer as gm
from gradiometer.bench.timing import alternate

DEPTH, WIDTH, BATCH = 50, 64, 128


RATE = 1e-6  # so small that after thousands of steps, gradients have come back in the later layers only
OPTIMIZERS = {
    "SGD": lambda: gm.SGD(RATE),
    "SGD, momentum": lambda: gm.SGD(RATE, momentum=0.9),
    "Adam": lambda: gm.Adam(RATE),
    "AdamW": lambda: gm.AdamW(RATE),
    "RMSprop": lambda: gm.RMSprop(RATE),
}


def trainer(optimizer: str, std: float) -> gm.Trainer:
    """Return one of a network whose weights have this standard deviation: 0.125 is healthy, 0.018 vanishes."""
    net = gm.mlp(64, 10, depth=DEPTH, width=WIDTH, activation="tanh", init=gm.init.normal(std=std), seed=0)
    return gm.Trainer(net, loss="cross_entropy", optimizer=OPTIMIZERS[optimizer](), record="full")


def main() -> None:
    """Measure and print."""
    options = arguments(__doc__)
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((BATCH, 64)).astype(np.float32), rng.integers(0, 10, BATCH)
    table = Table("optimizer", "healthy", "vanishing ÷ healthy", "layers with subnormal gradients", "largest share")
    for optimizer in OPTIMIZERS:
        trainers = {"healthy": trainer(optimizer, 0.125), "vanishing": trainer(optimizer, 0.018)}

        def steps(name: str, count: int) -> None:
            for _ in range(count):
                trainers[name].step(x, y)  # noqa: B023

        candidates = {name: lambda count, name=name: steps(name, count) for name in trainers}
        times = alternate(candidates, rounds=options.rounds, seconds=options.seconds)
        shares = trainers["vanishing"].recording.grad_subnormal_fraction[-1]
        table.add(
            optimizer,
            f"{np.median(times['healthy']) * 1e6:.0f} µs",
            table.ratio(times["vanishing"] / times["healthy"]),
            f"{np.count_nonzero(shares)} of {len(shares)}",
            f"{shares.max():.0%}",
        )
    table.show()


if __name__ == "__main__":
    main()
