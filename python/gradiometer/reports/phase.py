"""The phase diagram of an activation, with the networks on it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from bokeh.models import ColumnDataSource
from bokeh.plotting import figure

from gradiometer import causes, theory
from gradiometer.reports.run import Run
from gradiometer.reports.section import Key, Panel, Section
from gradiometer.reports.style import BLUE, INK, ORANGE, VERMILION, add_hover, new_plot, run_keys, run_style

HEIGHTS = 9
"""Values of σ_b at which the edge is looked for."""
HALVINGS = 11
"""Bisections of σ_w: a pixel of the picture."""
WIDEST = 64.0
"""σ_w beyond which no edge is looked for."""


@dataclass(frozen=True)
class Place:
    """Where a network stands."""

    number: int
    name: str
    activation: str
    sigma_w: float
    sigma_b: float
    sigma_w_at_end: float | None
    """After training, of the weights as they are then; None without ``record="full"``."""
    chi: float


def section(runs: list[Run]) -> Section:
    """Return one diagram for each activation."""
    places, notes = [], []
    for number, run in enumerate(runs):
        who = "" if len(runs) == 1 else f"{run.name}: "
        activation, batch_norm, sigma_w = causes.architecture(run.meta)
        if batch_norm:
            notes.append(f"{who}batch norm takes the scale of the weights out of the signal, so it has no place here.")
        elif activation is None or sigma_w is None:
            notes.append(f"{who}activation and scale of the weights are not known, so there is no place for it here.")
        else:
            places.append(_place(number, run, activation, sigma_w))
    panels = []
    for activation in dict.fromkeys(place.activation for place in places):
        panels.append(_panel(activation, [place for place in places if place.activation == activation], runs))
    moved = any(place.sigma_w_at_end is not None for place in places)
    legend = [
        Key("ordered: gradients vanish (χ₁ < 1)", BLUE, "box"),
        Key("chaotic: gradients explode (χ₁ > 1)", VERMILION, "box"),
        Key("edge of chaos (χ₁ = 1)", "ink"),
        Key("the network at the start", ORANGE if len(runs) == 1 else "ink", "circle"),
    ]
    if len(runs) > 1:
        legend += run_keys(runs)
    if moved:
        legend.append(Key("its weights at the end", ORANGE if len(runs) == 1 else "ink", "square"))
    return Section(
        anchor="phase",
        title="Phase diagram",
        lead="Where mean-field theory expects deep networks of random weights to vanish or to explode, by the "
        "deviation of the weights (σ_w, times √fan_in) and of the biases (σ_b). On the edge between, gradients keep "
        "their size over the greatest depth (Poole et al. 2016, Schoenholz et al. 2017).",
        panels=panels,
        legend=legend if panels else (),
        notes=notes,
    )


def _place(number: int, run: Run, activation: str, sigma_w: float) -> Place:
    hidden = run.meta["layers"][:-1]
    sigma_b = float(np.median([float(layer.get("sigma_b") or 0.0) for layer in hidden]))
    weight = run.field("weight_norm")
    end = None
    if weight is not None and all("fan_out" in layer for layer in hidden) and weight.shape[1] == len(hidden) + 1:
        present = float(np.median(weight[-1, :-1] / np.sqrt([layer["fan_out"] for layer in hidden])))
        end = present if np.isfinite(present) else None
    return Place(number, run.name, activation, sigma_w, sigma_b, end, theory.chi(activation, sigma_w, sigma_b))


@lru_cache(maxsize=64)
def edge(activation: str, sigma_b: float) -> float | None:
    """Return the σ_w at which χ₁ passes 1, to a pixel; None where it does not below WIDEST.

    Unlike `theory.critical_sigma_w` it does not ask whether χ₁ is 1 there or leaps over it, as with GELU.
    """
    low, high = 0.0, 1.0
    while theory.chi(activation, high, sigma_b) <= 1:
        low, high = high, 2 * high
        if high > WIDEST:
            return None
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if theory.chi(activation, middle, sigma_b) <= 1 else (low, middle)
    return (low + high) / 2


def _panel(activation: str, places: list[Place], runs: list[Run]) -> Panel:
    alone = len(runs) == 1
    plot = new_plot("σ_w", "σ_b", 340)
    across, up = _size(activation, places)
    heights = [float(height) for height in np.linspace(0, up, HEIGHTS)]
    _draw_phases(plot, [(height, edge(activation, height)) for height in heights], across)
    hovered = []
    for place in places:
        colour = ORANGE if alone else run_style(place.number)[0]
        tips = list(_tips(place))
        x = [place.sigma_w] if place.sigma_w_at_end is None else [place.sigma_w, place.sigma_w_at_end]
        source = ColumnDataSource(
            {
                "x": x,
                "y": [place.sigma_b] * len(x),
                "marker": ["circle", "square"][: len(x)],
                "size": [13, 9][: len(x)],
                "tip": tips[: len(x)],
            }
        )
        plot.line("x", "y", source=source, color=colour, line_width=2)
        hovered.append(
            plot.scatter("x", "y", source=source, marker="marker", size="size", color=colour, line_color="white")
        )
    add_hover(plot, hovered)
    plot.x_range.update(start=0, end=across)
    plot.y_range.update(start=-0.06 * up, end=up)
    described = "; ".join(_describe(place, "" if alone else f"{place.name}: ") for place in places)
    critical = edge(activation, 0.0)
    where = (
        "there is no edge of chaos without biases"
        if critical is None
        else f"without biases the edge is at σ_w {critical:.3g}"
    )
    return Panel(plot, f"Phase diagram of {activation}; {where}. {described}.", activation)


def _size(activation: str, places: list[Place]) -> tuple[float, float]:
    """Return how far the axes go, so that the edge and all networks are in the picture."""
    scales = [scale for place in places for scale in (place.sigma_w, place.sigma_w_at_end) if scale is not None]
    across = 1.25 * max(*scales, edge(activation, 0.0) or 0.0, 1.0)
    return min(across, 4 * WIDEST), max(0.5, *(1.5 * place.sigma_b for place in places))


def _draw_phases(plot: figure, line: list[tuple[float, float | None]], across: float) -> None:
    heights = np.array([height for height, _ in line])
    edges = np.array([across if place is None else min(place, across) for _, place in line])
    down = -heights[-1]  # the edge goes on below zero only to fill the margin there
    heights, edges = np.concatenate([[down], heights]), np.concatenate([edges[:1], edges])
    plot.harea(y=heights, x1=np.zeros(len(heights)), x2=edges, fill_color=BLUE, fill_alpha=0.13)
    plot.harea(y=heights, x1=edges, x2=np.full(len(heights), across), fill_color=VERMILION, fill_alpha=0.13)
    inside = edges < across
    plot.line(np.where(inside, edges, np.nan), heights, color=INK, line_width=2, name="ink")


def _tips(place: Place) -> Iterator[str]:
    yield f"{place.name}\nat the start\nσ_w: {place.sigma_w:.3g}\nσ_b: {place.sigma_b:.3g}\nχ₁: {place.chi:.3g}"
    yield f"{place.name}\nweights at the end\nσ_w: {place.sigma_w_at_end or 0:.3g}"


def _describe(place: Place, who: str) -> str:
    phase = "on the edge" if abs(place.chi - 1) < 0.02 else "ordered" if place.chi < 1 else "chaotic"
    at_end = "" if place.sigma_w_at_end is None else f", and σ_w {place.sigma_w_at_end:.3g} at the end"
    return f"{who}σ_w {place.sigma_w:.3g}, σ_b {place.sigma_b:.3g}, χ₁ {place.chi:.3g} ({phase}){at_end}"
