"""Two threads against one, from tiny to wide: the ratio of the times of a step."""

import argparse

import numpy as np
from common import Table, arguments, trainer

import gradiometer as gm
from gradiometer.bench.timing import Steps, alternate
from gradiometer.bench.workloads import WORKLOADS, Workload, grid


def main() -> None:
    """Measure and print."""
    options = arguments(__doc__, add_grid)
    workloads = grid() if options.grid else [WORKLOADS[name] for name in ("tiny", "deep-narrow", "classic", "wide")]
    table = Table("workload", "1 thread", "1 thread ÷ 2 threads")
    for workload in workloads:
        times = alternate(
            {str(threads): steps_with(workload, threads) for threads in (1, 2)},
            rounds=options.rounds,
            seconds=options.seconds,
        )
        table.add(workload.name, f"{np.median(times['1']) * 1e6:.1f} µs", table.ratio(times["1"] / times["2"]))
    table.show()


def add_grid(parser: argparse.ArgumentParser) -> None:
    """Add the option for the odd sizes."""
    parser.add_argument("--grid", action="store_true", help="the grid of odd sizes of `gradiometer bench --grid`")


def steps_with(workload: Workload, threads: int) -> Steps:
    """Return a function that takes so many steps with so many threads."""
    made = trainer(workload)
    x, y = workload.data()

    def steps(count: int) -> None:
        gm.set_num_threads(threads)
        for _ in range(count):
            made.step(x, y)

    return steps


if __name__ == "__main__":
    main()
