"""What the scripts of this folder share: options, a trainer for a workload, a table."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table as RichTable

import gradiometer as gm
from gradiometer.bench.workloads import MAX_NORM, Workload


def arguments(
    description: str | None, extend: Callable[[argparse.ArgumentParser], None] | None = None
) -> argparse.Namespace:
    """Read the command line: how often candidates take turns, for how long, and what a script adds."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--rounds", type=int, default=15, help="how often the candidates take turns")
    parser.add_argument("--seconds", type=float, default=0.1, help="time of a candidate in a round")
    if extend is not None:
        extend(parser)
    return parser.parse_args()


def trainer(workload: Workload, *, record: str | None = "norms", **network: Any) -> gm.Trainer:
    """Return a trainer of the workload's network, as the benchmark has it."""
    optimizer = gm.SGD(workload.rate) if workload.optimizer == "sgd" else gm.Adam(workload.rate)
    return gm.Trainer(
        workload.network(**network),
        loss="cross_entropy",
        optimizer=optimizer,
        clip=gm.ClipNorm(MAX_NORM),
        record=record,
    )


class Table:
    """Rows of text, printed at the end."""

    def __init__(self, *columns: str) -> None:
        self._table = RichTable(*columns)

    def add(self, *cells: str) -> None:
        """Add a row."""
        self._table.add_row(*cells)

    def show(self) -> None:
        """Print it."""
        Console(highlight=False, width=120).print(self._table)

    @staticmethod
    def percent(shares: NDArray[np.float64]) -> str:
        """Return the median of the rounds and their quartiles, as percentages."""
        low, middle, high = np.percentile(100 * shares, [25, 50, 75])
        return f"{middle:+.1f} % ({low:+.1f} to {high:+.1f})"

    @staticmethod
    def ratio(ratios: NDArray[np.float64]) -> str:
        """Return the median of the rounds and their quartiles."""
        low, middle, high = np.percentile(ratios, [25, 50, 75])
        return f"{middle:.2f} ({low:.2f} to {high:.2f})"
