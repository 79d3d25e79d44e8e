"""The cost of a layer at depths from 10 to 10,000 (width 64, batch 64, ReLU), and the caches that it falls out of."""

import numpy as np
from common import Table, arguments, trainer

from gradiometer.bench.timing import alternate
from gradiometer.bench.workloads import Workload


def main() -> None:
    """Measure and print."""
    options = arguments(__doc__)
    table = Table("hidden layers", "a step", "a layer", "activations, deltas, weights and gradients")
    for depth in (10, 30, 100, 300, 1000, 3000, 10_000):
        workload = Workload(f"{depth} layers", depth, width=64, batch=64)
        made = trainer(workload)
        x, y = workload.data()

        def steps(count: int) -> None:
            for _ in range(count):
                made.step(x, y)  # noqa: B023

        seconds = np.median(alternate({"": steps}, rounds=options.rounds, seconds=options.seconds)[""])
        kilobytes = 4 * 64 * (2 * workload.batch + 2 * 64) * depth / 1e6
        table.add(f"{depth:,}", f"{seconds * 1e3:.3f} ms", f"{seconds / depth * 1e6:.2f} µs", f"{kilobytes:.1f} MB")
    table.show()


if __name__ == "__main__":
    main()
