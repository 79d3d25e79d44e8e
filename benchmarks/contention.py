"""A step with one thread and with two, while other programs keep the processors busy."""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from common import Table, arguments
from threads import steps_with

from gradiometer.bench.timing import alternate
from gradiometer.bench.workloads import WORKLOADS


def main() -> None:
    """Measure and print."""
    options = arguments(__doc__, longer)
    table = Table("workload", "busy programs", "1 thread", "2 threads", "1 thread ÷ 2 threads")
    for name in ("deep-narrow", "classic"):
        candidates = {str(threads): steps_with(WORKLOADS[name], threads) for threads in (1, 2)}
        for programs in (0, 1, 2, 4):
            with busy(programs):
                times = alternate(candidates, rounds=options.rounds, seconds=options.seconds)
            shown = [f"{np.median(each) * 1e3:.2f} ms" for each in times.values()]
            table.add(name, str(programs), *shown, table.ratio(times["1"] / times["2"]))
    table.show()


def longer(parser: argparse.ArgumentParser) -> None:
    """Make rounds longer than what the system gives a program at a time."""
    parser.set_defaults(rounds=7, seconds=1.0)


@contextmanager
def busy(programs: int) -> Iterator[None]:
    """Let so many programs do nothing, as fast as they can."""
    running = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(programs)]
    try:
        yield
    finally:
        for program in running:
            program.kill()
            program.wait()


if __name__ == "__main__":
    main()
