"""The picture of a claim: its curves on a log axis, and its figures, a dot for each seed."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gradiometer.claims.claim import LOSS_AXES, Claim
from gradiometer.claims.criteria import ACCURACY, SLOWER, STEPS
from gradiometer.claims.outcome import Measurement, Outcome, Quantity

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
"""Okabe and Ito's, which the colour-blind tell apart: one for each case, within which lines differ by their dashes."""
DASHES = ("solid", (0, (5, 1.5)), (0, (1.2, 1.2)), (0, (6, 1.5, 1.2, 1.5)), (0, (2.5, 2.5)))
NEEDED = "#dfe3e6"
LOG_TICKS = (1, 3, 10, 30, 100, 300, 1000, 3000)
PALETTE = 96
"""Colours of the file: enough for lines and their soft edges, and a quarter of the bytes."""


def draw(claim: Claim, outcome: Outcome, path: Path) -> None:
    """Draw it into a PNG file. The same outcome makes the same bytes, with the same version of matplotlib."""
    from matplotlib.figure import Figure
    from PIL import Image

    groups = _by_quantity(outcome)
    heights = [len(measurements) + 1.2 for measurements in groups.values()]
    figure = Figure(figsize=(11, max(4.2, 0.32 * sum(heights) + 0.6 * len(heights))), dpi=100, layout="constrained")
    left, right = figure.subfigures(1, 2, squeeze=False)[0]
    _draw_curves(left.subplots(), claim, outcome)
    panels = right.subplots(len(groups), 1, height_ratios=heights, squeeze=False)[:, 0]
    for panel, (quantity, measurements) in zip(panels, groups.items(), strict=True):
        _draw_figures(panel, quantity, measurements)
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png")
    Image.open(drawn).convert("RGB").quantize(PALETTE).save(path, "PNG", optimize=True)


def _by_quantity(outcome: Outcome) -> dict[Quantity, list[tuple[str, Measurement]]]:
    """Return the measurements of each quantity, with the colour of their case; counts are for the table alone."""
    groups: dict[Quantity, list[tuple[str, Measurement]]] = {}
    for number, case in enumerate(outcome.cases):
        for measurement in case.measurements:
            if not measurement.quantity.counted:
                groups.setdefault(measurement.quantity, []).append((_colour(number), measurement))
    return groups


def _colour(number: int) -> str:
    return COLOURS[number % len(COLOURS)]


def _draw_curves(axes: Axes, claim: Claim, outcome: Outcome) -> None:
    from matplotlib.ticker import MaxNLocator

    loss = claim.axes == LOSS_AXES
    axes.set_yscale("log")
    for number, case in enumerate(outcome.cases):
        colour = _colour(number)
        for place, curve in enumerate(case.curves):
            low, median, high = (_positive(values) for values in (curve.low, curve.median, curve.high))
            axes.fill_between(curve.x, low, high, color=colour, alpha=0.15, linewidth=0)
            axes.plot(curve.x, median, color=colour, linestyle=DASHES[place % len(DASHES)], label=curve.label)
            if curve.broken:
                end = np.flatnonzero(~np.isnan(median))[-1:]
                axes.plot(np.array(curve.x)[end], median[end], color=colour, marker="X", markersize=9)
    if loss:
        axes.set_xscale("log")
    else:
        axes.invert_xaxis()
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set(xlabel=claim.axes[0], ylabel=claim.axes[1])
    axes.legend(fontsize="small", framealpha=0.85, edgecolor="none", handlelength=3.2)
    _tidy(axes, "y")


def _draw_figures(axes: Axes, quantity: Quantity, measurements: list[tuple[str, Measurement]]) -> None:
    low, high = _ends(quantity, [measurement for _, measurement in measurements])
    if quantity in (STEPS, SLOWER):
        axes.set_xscale("log")
        ticks = [tick for tick in LOG_TICKS if low <= tick <= high]
        axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
        axes.set_xticks([], minor=True)
    for row, (colour, measurement) in enumerate(measurements):
        if measurement.needed is not None:
            span = max(measurement.needed.low, low), min(measurement.needed.high, high)
            axes.plot(span, (row, row), color=NEEDED, linewidth=9, solid_capstyle="butt", zorder=1)
        for value in measurement.values:
            place, marker = _place(value, low, high)
            axes.plot(place, row, color=colour, marker=marker, markersize=5.5, alpha=0.7, clip_on=False, zorder=3)
        if measurement.theory is not None:
            place, marker = _place(measurement.theory, low, high)
            shape = "D" if marker == "o" else marker
            axes.plot(place, row, color="black", marker=shape, markersize=7, markerfacecolor="none", zorder=4)
    axes.set_xlim(low, high)
    axes.set_ylim(len(measurements) - 0.4, -0.6)
    axes.set_yticks(range(len(measurements)), [measurement.label for _, measurement in measurements], fontsize="small")
    axes.set_xlabel(f"{quantity.name}: {quantity.unit}")
    _tidy(axes, "x")


def _place(value: float, low: float, high: float) -> tuple[float, str]:
    """Return where a value is drawn, and how: infinities are arrows at the end of the axis."""
    if math.isfinite(value):
        return value, "o"
    return (low, "<") if value < 0 else (high, ">")


def _ends(quantity: Quantity, measurements: list[Measurement]) -> tuple[float, float]:
    """Return the ends of the axis: around all values, the limits of what is needed, and the ends of a scale."""
    logarithmic = quantity in (STEPS, SLOWER)
    seen = [] if logarithmic else [0.0, 1.0] if quantity is ACCURACY else [0.0]
    for measurement in measurements:
        seen += measurement.values
        seen += [] if measurement.theory is None else [measurement.theory]
        seen += [] if measurement.needed is None else [measurement.needed.low, measurement.needed.high]
    seen = [value for value in seen if math.isfinite(value)] or [1.0]
    low, high = min(seen), max(seen)
    if logarithmic:
        return low / 1.6, high * 1.6
    margin = 0.08 * (high - low) or 1.0
    return low - margin, high + margin


def _positive(values: tuple[float, ...]) -> NDArray[np.float64]:
    """Leave a gap where a log axis has no place."""
    array = np.array(values)
    return np.where(np.isfinite(array) & (array > 0), array, np.nan)


def _tidy(axes: Axes, grid: str) -> None:
    axes.grid(axis="x" if grid == "x" else "y", color="#e3e6e8", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
