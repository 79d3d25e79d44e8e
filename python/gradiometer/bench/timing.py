"""Times of short steps: in groups, in turns, as medians."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

SHORTEST = 2e-4
"""Seconds. Steps are timed in groups at least so long, so that reading the clock does not count."""

Steps = Callable[[int], object]
"""Takes so many steps."""


def group_size(steps: Steps) -> int:
    """Warm up, and find how many steps fill the shortest time that is measured."""
    size = 1
    while True:
        start = time.perf_counter()
        steps(size)
        if time.perf_counter() - start >= SHORTEST:
            return size
        size *= 2


def measure(steps: Steps, group: int, seconds: float) -> list[float]:
    """Let it step for so long; return the seconds of a step in each group of steps."""
    steps(1)  # what others left in the caches is not the fault of these steps
    times = []
    end = time.perf_counter() + seconds
    while True:
        start = time.perf_counter()
        steps(group)
        now = time.perf_counter()
        times.append((now - start) / group)
        if now >= end:
            return times


def alternate(candidates: Mapping[str, Steps], *, rounds: int, seconds: float) -> dict[str, NDArray[np.float64]]:
    """Let candidates of one process take turns; return the median seconds of a step in each round.

    Each round begins with another one. The ratio of two candidates is the median of their ratios in each round:
    a machine that slows down for a while slows both.
    """
    names = list(candidates)
    groups = {name: group_size(candidates[name]) for name in names}
    times: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(rounds):
        for i in range(len(names)):
            name = names[(turn + i) % len(names)]
            times[name].append(float(np.median(measure(candidates[name], groups[name], seconds))))
    return {name: np.array(values) for name, values in times.items()}
