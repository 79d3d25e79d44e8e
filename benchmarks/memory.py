"""Memory of a training run against the sum of what must exist, each workload in a process of its own."""

import multiprocessing
import resource

from common import Table, arguments, trainer

from gradiometer.bench.workloads import WORKLOADS, Workload


def main() -> None:
    """Measure and print."""
    arguments(__doc__)
    table = Table("workload", "must exist", "grown by", "ratio")
    for name in ("classic", "classic-plain", "wide", "very-deep"):
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            grown = pool.apply(peak_growth, (name,))
        needed = must_exist(WORKLOADS[name])
        table.add(name, f"{needed / 1e6:.1f} MB", f"{grown / 1e6:.1f} MB", f"{grown / needed:.2f}")
    table.show()


def must_exist(workload: Workload) -> float:
    """Return the bytes of weights, gradients, optimizer state, and activations and deltas of one batch.

    What a batch norm normalized needs no room of its own: the deltas can take its place.
    """
    parameters = sum(fan_in * fan_out + fan_out for fan_in, fan_out in workload.sizes)
    units = sum(fan_out for _, fan_out in workload.sizes)
    states = 2 if workload.optimizer == "adam" else 0
    matrices = 2 * units + workload.inputs
    return 4.0 * (parameters * (2 + states) + matrices * workload.batch)


def peak_growth(name: str) -> int:
    """Return by how many bytes the largest resident size grows while a network is built and trained for some steps."""
    workload = WORKLOADS[name]
    x, y = workload.data()
    trainer(Workload("small", depth=1, width=8, batch=8)).step(x[:8], y[:8])  # what every process needs
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    made = trainer(workload)
    for _ in range(3):
        made.step(x, y)
    return 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)


if __name__ == "__main__":
    main()
