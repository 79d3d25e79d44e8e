"""How a recorded signal changes from layer to layer, and which steps of a run are sick.

Nothing here depends on the scale of a recording: only ratios between layers of the same step are used.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Kinds = NDArray[np.int8]
Rows = NDArray[np.intp]

SICK_DECADES = 2.3
"""A signal that changes by more than this from output to input (a factor of 200) is vanishing or exploding.

Depth times slope counts, not the slope: 4 layers bear 0.5 decades each, 30 layers do not bear 0.1. The
limit lies between what is harmless, 20 layers of ReLU with batch norm, 1.7 decades at the start, and what
is not, 30 layers of ±0.1 decades, 2.9 from the first to the last. While digits were learnt in some hundred
steps, networks of 1 to 50 layers that learnt well stayed below 1.7 in 95 % of their steps, with medians up
to 1.4; the medians of sick ones lay between 3 and 13.
"""

MOST_ROWS = 500
"""Longer recordings are judged on so many evenly spaced steps, the first and the last included."""

TAIL_SHARE, TAIL_ROWS = 0.25, 10
"""The end of a run: its last quarter, but not fewer steps than ten."""

ONSET_SHARE = 0.05
"""A state has begun when it fills most of a window of this share of the steps: one step is no beginning."""

HEALTHY, VANISHING, EXPLODING, DEAD = 0, -1, 1, 2


def theil_sen(log_signal: Floats) -> Floats:
    """Return the slope of each row in decades per layer toward the input: the median over pairs of layers.

    Up to 29 % of the layers may be anything without moving it much, so the output layer, which has another
    width and another job, needs no exception. Layers that are NaN (a signal of exactly zero has no
    logarithm) are left out; NaN where fewer than two are left.
    """
    rows, layers = log_signal.shape
    nearer, farther = np.triu_indices(layers, 1)
    slopes = np.full(rows, np.nan)
    if not len(nearer):
        return slopes
    at_once = max(1, 2_000_000 // len(nearer))
    for start in range(0, rows, at_once):
        part = log_signal[start : start + at_once]
        pairs = (part[:, nearer] - part[:, farther]) / (farther - nearer)
        whole = ~np.isnan(pairs).any(axis=1)
        slopes[start : start + at_once][whole] = np.median(pairs[whole], axis=1)
        for row in np.flatnonzero(~whole & ~np.isnan(pairs).all(axis=1)):
            slopes[start + row] = np.nanmedian(pairs[row])
    return slopes


@dataclass(frozen=True)
class Signal:
    """One per-layer field of a recording, all of it finite, with its slope at every step."""

    field: str
    values: Floats  # (rows, layers), input first
    slope: Floats  # (rows,)
    decades: Floats  # (rows,) change from output to input

    @classmethod
    def of(cls, field: str, values: Floats) -> Signal:
        """Measure it: by the slope, or by the two ends, where one layer makes all the difference."""
        logs = logarithm(values)
        slope = theil_sen(logs)
        along = slope * (values.shape[1] - 1)
        across = _between_ends(logs)
        decades = np.where(np.abs(along) >= np.abs(np.nan_to_num(across)), along, across)
        return cls(field, values, slope, decades)

    def kinds(self, dead_fraction: Floats | None, can_die: bool) -> Kinds:
        """Return the state of every row.

        A layer whose signal is exactly zero, while that of a later one is not, is dead if its units are
        known to be (dead_fraction), or if no decay leads down to the zero and its activation can die; after
        a decay, zero is the underflow of what vanished.
        """
        decades = np.nan_to_num(self.decades)
        kinds = np.zeros(len(self.values), np.int8)
        kinds[decades > SICK_DECADES] = EXPLODING
        kinds[decades < -SICK_DECADES] = VANISHING
        zero = self.values == 0
        dies = (kinds != VANISHING) & can_die
        if dead_fraction is not None:
            dies |= ((dead_fraction >= 1) & zero).any(axis=1)
        kinds[zero.any(axis=1)] = VANISHING
        kinds[zero.any(axis=1) & dies] = DEAD
        kinds[zero.all(axis=1)] = DEAD
        return kinds


def logarithm(values: Floats) -> Floats:
    """Return log10, NaN for zeros."""
    return np.asarray(np.log10(np.where(values > 0, values, np.nan)))


def _between_ends(logs: Floats) -> Floats:
    """Return the median of the first third of the layers minus that of the last; NaN with a zero in them."""
    if not logs.size:
        return np.full(len(logs), np.nan)
    third = max(1, logs.shape[1] // 3)
    return np.asarray(np.median(logs[:, :third], axis=1) - np.median(logs[:, -third:], axis=1))


def evenly_spaced(count: int) -> Rows:
    """Return at most MOST_ROWS indices of ``count`` rows."""
    return np.unique(np.linspace(0, count - 1, min(count, MOST_ROWS)).round().astype(np.intp))


def verdict_of(kinds: Kinds) -> tuple[int, Rows]:
    """Judge a run by the states of its steps; return its kind and the rows in which it holds, in order.

    A run is sick if most of its steps are, or most of its end: so neither a few wild steps nor a bad start
    that training heals make it sick, and a break late in the run does. It has the kind that most of the
    sick steps have, of all or of the end. But a network that exploded until it died is exploding: that is
    what to cure.
    """
    tail = kinds[-max(int(len(kinds) * TAIL_SHARE), TAIL_ROWS) :]
    sick = next((part[part != HEALTHY] for part in (kinds, tail) if _mostly(part != HEALTHY)), kinds[:0])
    kind = HEALTHY
    if len(sick):
        kind = max((VANISHING, EXPLODING, DEAD), key=lambda state: int(np.sum(sick == state)))
    if kind == DEAD and _mostly(kinds[: _onset(kinds, DEAD)][-TAIL_ROWS:] == EXPLODING):
        kind = EXPLODING
    rows = np.flatnonzero(kinds == kind)
    return kind, rows[rows >= _onset(kinds, kind)]


def _mostly(yes: NDArray[np.bool_]) -> bool:
    return bool(2 * np.sum(yes) > len(yes))


def _onset(kinds: Kinds, kind: int) -> int:
    """Return the first row of the kind after which most rows of a window are of it."""
    window = _window(kinds)
    rows = [int(row) for row in np.flatnonzero(kinds == kind)]
    return next((row for row in rows if _mostly(kinds[row : row + window] == kind)), rows[0] if rows else 0)


def lasting(kinds: Kinds, row: int) -> bool:
    """Tell whether so many rows follow that what they are is more than chance."""
    return len(kinds) - row >= _window(kinds)


def _window(kinds: Kinds) -> int:
    return max(1, round(len(kinds) * ONSET_SHARE))
