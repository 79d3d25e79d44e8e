"""A network whose gradients vanish into subnormals against a healthy one of the same shape."""

import numpy as np
from common import Table, arguments

import gradiometer as gm
from gradiometer.bench.timing import alternate

DEPTH, WIDTH, BATCH = 50, 64, 128


def main() -> None:
    """Measure and print."""
    options = arguments(__doc__)
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((BATCH, 64)).astype(np.float32), rng.integers(0, 10, BATCH)
    trainers = {}
    for name, std in (("healthy", 0.125), ("vanishing", 0.018)):
        net = gm.mlp(64, 10, depth=DEPTH, width=WIDTH, activation="tanh", init=gm.init.normal(std=std), seed=0)
        trainers[name] = gm.Trainer(net, loss="cross_entropy", optimizer=gm.SGD(1e-3), record="full")
        trainers[name].step(x, y)
    shares = trainers["vanishing"].recording.grad_subnormal_fraction[-1]

    def steps(name: str, count: int) -> None:
        for _ in range(count):
            trainers[name].step(x, y)

    candidates = {name: lambda count, name=name: steps(name, count) for name in trainers}
    times = alternate(candidates, rounds=options.rounds, seconds=options.seconds)
    table = Table("healthy", "vanishing ÷ healthy", "layers with subnormal gradients", "largest share of a layer")
    table.add(
        f"{np.median(times['healthy']) * 1e6:.0f} µs",
        table.ratio(times["vanishing"] / times["healthy"]),
        f"{np.count_nonzero(shares)} of {len(shares)}",
        f"{shares.max():.0%}",
    )
    table.show()


if __name__ == "__main__":
    main()
