"""Histogram of how much of its weights a layer changes in a step."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from bokeh.models import ColumnDataSource, GlyphRenderer, Quad, Scatter
from bokeh.plotting import figure

from gradiometer import causes
from gradiometer.reports.run import Run
from gradiometer.reports.scale import label_axis, number
from gradiometer.reports.section import Key, Panel, Section
from gradiometer.reports.style import BLUE, VERMILION, add_band, add_hover, new_plot, run_keys, run_style
from gradiometer.reports.units import HOW
from gradiometer.slopes import Floats

BIN = 0.25
"""Width of a bar, in decades."""


class Bar(NamedTuple):
    """A bar of a histogram, in decades."""

    left: float
    right: float
    share: float
    words: str
    apart: bool = False
    """Of values that have no place on the axis."""


def section(runs: list[Run]) -> Section:
    """Return one histogram: bars of a single run, outlines of several."""
    found = [(position, run, ratios) for position, run in enumerate(runs) if (ratios := update_ratios(run)) is not None]
    missing = [run.name for run in runs if run not in [run for _, run, _ in found]]
    notes = []
    if not found:
        notes = [f"The sizes of updates were not recorded. {HOW}"]
    elif missing:
        notes = [f"Not recorded in {', '.join(missing)}. {HOW}"]
    legend = [Key(f"above {causes.LARGE_UPDATE:g}: too fast, the run tends to diverge", VERMILION, "box")]
    if len(runs) > 1:
        legend = [*run_keys(runs), *legend]
    return Section(
        anchor="updates",
        title="Update-to-weight ratios",
        lead="‖change of the weights‖ ÷ ‖weights‖ of every layer in every recorded step. Weights usually learn well "
        "somewhere between 1e-5 and 2e-2 a step.",
        panels=[_panel(found, alone=len(runs) == 1)] if found else [],
        legend=legend if found else (),
        notes=notes,
    )


def update_ratios(run: Run) -> Floats | None:
    """Return ‖update‖ ÷ ‖weights‖ of all steps and layers; None if they were not recorded."""
    update, weight = run.field("update_norm"), run.field("weight_norm")
    if update is None or weight is None:
        return None
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(update / weight).ravel()


def _panel(found: list[tuple[int, Run, Floats]], alone: bool) -> Panel:
    everything = np.concatenate([ratios for *_, ratios in found])
    usual = everything[np.isfinite(everything) & (everything > 0)]
    low = math.floor(math.log10(usual.min())) if len(usual) else -6
    high = max(math.ceil(math.log10(usual.max())) if len(usual) else 0, low + 2)
    edges = np.arange(low, high + BIN / 2, BIN)
    plot = new_plot("update ÷ weights (log scale)", "share of layers and steps", 280)
    stride = max(1, math.ceil((high - low) / 5))
    below, above = bool((everything == 0).any()), not np.isfinite(everything).all()
    places = range(low + stride * below, high + 1 - stride * above, stride)  # room for the labels beside them
    ticks = {float(power): number(1, power) for power in places}
    if below:
        ticks[low - 1.0] = "0"
    if above:
        ticks[high + 1.0] = "NaN, ∞"
    label_axis(plot, 1, ticks)
    plot.x_range.update(start=low - (1.6 if below else 0.3), end=high + (1.6 if above else 0.3))
    add_band(plot, math.log10(causes.LARGE_UPDATE), max(high, math.log10(causes.LARGE_UPDATE)), VERMILION)
    texts, hovered, top = [], [], 0.0
    for position, run, ratios in found:
        bars = _bars(ratios, edges)
        top = max(top, *(bar.share for bar in bars))
        hovered.append(_draw_bars(plot, bars) if alone else _draw_line(plot, bars, run, position))
        fine = ratios[np.isfinite(ratios)]
        median = f"median {np.median(fine):.2g}" if len(fine) else "never finite"
        zeros = f", {int((ratios == 0).sum()):,} exactly zero" if (ratios == 0).any() else ""
        odd = f", {len(ratios) - len(fine):,} NaN or infinite" if len(fine) < len(ratios) else ""
        texts.append(f"{'' if alone else run.name + ': '}{median}{zeros}{odd}")
    plot.y_range.update(start=0, end=1.08 * top)
    shown = next(step for step in (0.01, 0.02, 0.05, 0.1, 0.2, 0.25, 0.5, 1) if top <= 5 * step)
    label_axis(plot, 0, {float(share): f"{100 * share:.0f} %" for share in np.arange(0, top + shown / 2, shown)})
    add_hover(plot, hovered)
    return Panel(plot, f"Histogram of the update-to-weight ratios: {'; '.join(texts)}.")


def _bars(ratios: Floats, edges: Floats) -> list[Bar]:
    """Return the histogram, and on its sides the exact zeros and the non-finite."""
    usual = ratios[np.isfinite(ratios) & (ratios > 0)]
    counts = np.histogram(np.clip(np.log10(usual), edges[0], edges[-1]), edges)[0]
    bars = [
        Bar(float(left), float(right), float(count / len(ratios)), f"{10.0**left:.2g} to {10.0**right:.2g}")
        for (left, right), count in zip(pairwise(edges), counts, strict=True)
    ]
    zeros, odd = float((ratios == 0).mean()), float((~np.isfinite(ratios)).mean())
    if zeros:
        bars.append(Bar(edges[0] - 1 - BIN, edges[0] - 1 + BIN, zeros, "exactly zero", apart=True))
    if odd:
        bars.append(Bar(edges[-1] + 1 - BIN, edges[-1] + 1 + BIN, odd, "NaN or infinite", apart=True))
    return bars


def _draw_bars(plot: figure, bars: list[Bar]) -> GlyphRenderer[Quad]:
    source = ColumnDataSource(_columns(bars, ""))
    return plot.quad("left", "right", "share", 0, source=source, fill_color=BLUE, fill_alpha=0.75, line_color=None)


def _draw_line(plot: figure, bars: list[Bar], run: Run, number: int) -> GlyphRenderer[Scatter]:
    """Draw a line over the middles of the bars; the bars of zeros and of the non-finite stand alone."""
    colour, dash = run_style(number)
    source = ColumnDataSource(_columns([bar for bar in bars if bar.share > 0], f"{run.name}\n"))
    usual = ColumnDataSource(_columns([bar for bar in bars if not bar.apart], ""))
    plot.line("middle", "share", source=usual, color=colour, line_dash=dash, line_width=1.8)
    return plot.scatter("middle", "share", source=source, color=colour, size=5, line_color=None)


def _columns(bars: list[Bar], who: str) -> dict[str, list[Any]]:
    return {
        "left": [bar.left for bar in bars],
        "right": [bar.right for bar in bars],
        "middle": [(bar.left + bar.right) / 2 for bar in bars],
        "share": [bar.share for bar in bars],
        "tip": [f"{who}{bar.words}\n{100 * bar.share:.2g} %" for bar in bars],
    }
