"""Which of many recorded steps are drawn, so that a page stays small and yet hides nothing remarkable."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from gradiometer.slopes import Floats, Rows

MOST_POINTS = 2000
"""Of a curve over the steps: more than a screen has columns."""
MOST_RUNS = 24
"""On one page: with more, there is nothing to see, and a browser has too much to draw."""
MOST_FRAMES = 400
"""Columns of a heat map, and so stops of the slider."""
MOST_CELLS = 200_000
"""Of all heat maps of one page together: four bytes each, and a third more as text."""


def keep_extremes(values: Floats, limit: int) -> Rows:
    """Return at most ``limit`` row numbers, in order, such that no extreme is lost.

    The rows are cut into stretches of equal length. Of every stretch and column, the row with the smallest value and
    the one with the largest stay; NaN counts as larger than infinity. The first and the last row always stay.

    Parameters
    ----------
    values : array
        (rows, columns), what counts in each row.
    limit : int
        At least 2.
    """
    rows, columns = values.shape
    if rows <= limit:
        return np.arange(rows)
    stretches = max(1, (limit - 2) // (2 * columns))
    edges = np.linspace(0, rows, stretches + 1).astype(np.intp)
    kept = {0, rows - 1}
    if limit >= 2 + 2 * columns:
        for start, stop in itertools.pairwise(edges):
            part = values[start:stop]
            kept.update((start + _smallest(part)).tolist(), (start + np.argmax(part, axis=0)).tolist())
    return np.array(sorted(kept), np.intp)


def most_points(runs: int) -> int:
    """Return how many points each curve has where so many runs share a page."""
    return min(MOST_POINTS, 2 * MOST_POINTS // runs)


def frames(log_norms: list[NDArray[np.float32]], cells: int) -> Rows:
    """Return the rows of a heat map: those where the smallest or largest norm of any layer is extreme.

    Parameters
    ----------
    log_norms : list of arrays
        (rows, layers) each, logarithms.
    cells : int
        How many cells one heat map may have.
    """
    rows, layers = log_norms[0].shape
    limit = max(2, min(MOST_FRAMES, cells // max(1, layers)))
    if rows <= limit:
        return np.arange(rows)
    lowest = np.min([_lowest(norms) for norms in log_norms], axis=0)
    highest = np.max([norms.max(axis=1) for norms in log_norms], axis=0)  # NaN where there is one
    return keep_extremes(np.stack([lowest, highest], axis=1), limit)


def _smallest(part: Floats) -> Rows:
    return np.asarray(np.argmin(np.where(np.isnan(part), np.inf, part), axis=0))


def _lowest(norms: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(np.where(np.isnan(norms), np.inf, norms).min(axis=1))
