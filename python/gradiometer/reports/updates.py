"""Histogram of how much of its weights a layer changes in a step."""

from __future__ import annotations

import math

import numpy as np
from bokeh.models import ColumnDataSource, GlyphRenderer, Quad
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
    ticks = {float(power): number(1, power) for power in range(low, high + 1, stride)}
    if (everything == 0).any():
        ticks[low - 1.0] = "0"
    if not np.isfinite(everything).all():
        ticks[high + 1.0] = "NaN, ∞"
    label_axis(plot, 1, ticks)
    plot.x_range.update(start=min(ticks) - 0.6, end=max(*ticks, high) + 0.6)
    add_band(plot, math.log10(causes.LARGE_UPDATE), max(high, math.log10(causes.LARGE_UPDATE)), VERMILION)
    texts, hovered, top = [], [], 0.0
    for position, run, ratios in found:
        heights = _bars(ratios, edges, low, high)
        top = max(top, *(height for _, _, height, _ in heights))
        colour, dash = (BLUE, "solid") if alone else run_style(position)
        hovered.append(_draw(plot, heights, colour, dash, "" if alone else f"{run.name}\n", alone))
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


def _bars(ratios: Floats, edges: Floats, low: int, high: int) -> list[tuple[float, float, float, str]]:
    """Return left, right, share and description of each bar: the histogram, then exact zeros and the non-finite."""
    usual = ratios[np.isfinite(ratios) & (ratios > 0)]
    logs = np.clip(np.log10(usual), edges[0], edges[-1])
    counts = np.histogram(logs, edges)[0]
    bars = [
        (float(left), float(right), count / len(ratios), f"{10.0**left:.2g} to {10.0**right:.2g}")
        for left, right, count in zip(edges[:-1], edges[1:], counts, strict=True)
    ]
    zeros, odd = (ratios == 0).mean(), (~np.isfinite(ratios)).mean()
    if zeros:
        bars.append((low - 1.25, low - 0.75, float(zeros), "exactly zero"))
    if odd:
        bars.append((high + 0.75, high + 1.25, float(odd), "NaN or infinite"))
    return bars


def _draw(
    plot: figure, bars: list[tuple[float, float, float, str]], colour: str, dash: str, who: str, filled: bool
) -> GlyphRenderer[Quad]:
    left, right, height, words = zip(*[bar for bar in bars if filled or bar[2] > 0], strict=True)
    tips = [f"{who}{text}\n{100 * share:.2g} %" for text, share in zip(words, height, strict=True)]
    source = ColumnDataSource({"left": left, "right": right, "height": height, "tip": tips})
    return plot.quad(
        "left",
        "right",
        "height",
        0,
        source=source,
        fill_color=colour,
        fill_alpha=0.75 if filled else 0.12,
        line_color=None if filled else colour,
        line_dash=dash,
        line_width=1.4,
    )
