"""The phase diagram of an activation, with the networks on it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from bokeh.models import ColumnDataSource, LinearColorMapper
from bokeh.plotting import figure

from gradiometer import theory
from gradiometer.activations import Activation, activation_name
from gradiometer.plots.phase import _critical, _hidden_layers
from gradiometer.reports.run import Run
from gradiometer.reports.section import Key, Panel, Section
from gradiometer.reports.style import BLUE, INK, ORANGE, VERMILION, add_hover, new_plot, run_keys, run_style
from gradiometer.slopes import Floats

COLUMNS, ROWS = 120, 60
STEEPEST = 0.3
"""Decades per layer at which the colour is full."""
OPACITY = 150
"""Of that colour, out of 255; level is transparent, on a light page and on a dark one."""


@dataclass(frozen=True)
class Place:
    """Where a network stands."""

    number: int
    name: str
    activation: Activation
    layers: Floats
    """(hidden layers, 2) σ_w and σ_b at the start; dropout counts as a σ_w larger by 1 / √(1 − p)."""
    at_end: float | None
    """σ_w of the weights as they were in the last step; None without ``record="full"``."""

    @property
    def sigma_w(self) -> float:
        """Median of the hidden layers."""
        return float(np.median(self.layers[:, 0]))

    @property
    def sigma_b(self) -> float:
        """Median of the hidden layers."""
        return float(np.median(self.layers[:, 1]))

    @property
    def chi(self) -> float:
        """χ₁ where it stands."""
        return theory.chi(self.activation, self.sigma_w, self.sigma_b)


def section(runs: list[Run]) -> Section:
    """Return one diagram for each activation."""
    alone = len(runs) == 1
    places, notes = [], []
    for number, run in enumerate(runs):
        try:
            places.append(_place(number, run))
        except ValueError as error:
            notes.append(f"{'No place in a phase diagram' if alone else f'{run.name}: no place'}: {error}.")
    panels = [
        _panel([place for place in places if place.activation == activation], alone)
        for activation in dict.fromkeys(place.activation for place in places)
    ]
    legend = [
        Key("ordered: gradients vanish (χ₁ < 1)", BLUE, "box"),
        Key("chaotic: gradients explode (χ₁ > 1)", VERMILION, "box"),
        Key("edge of chaos (χ₁ = 1)", "ink"),
        Key("the network at the start, its median layer", ORANGE if alone else "ink", "circle"),
    ]
    if any(place.at_end is not None for place in places):
        legend.append(Key("its weights at the end", ORANGE if alone else "ink", "square"))
    return Section(
        anchor="phase",
        title="Phase diagram",
        lead="Where mean-field theory expects deep networks of random weights to vanish or to explode, by the "
        "deviation of the weights (σ_w, times √fan_in) and of the biases (σ_b). On the edge between, gradients keep "
        "their size over the greatest depth (Poole et al. 2016, Schoenholz et al. 2017).",
        panels=panels,
        legend=(legend if alone else [*legend, *run_keys(runs)]) if panels else (),
        notes=notes,
    )


def _place(number: int, run: Run) -> Place:
    """Find the place of a run; a ValueError says why there is none."""
    start = run.recording._start
    if start is None:
        raise ValueError(run.recording.no_prediction_because)
    activation, layers, _ = _hidden_layers(start)
    weight = run.field("weight_norm")
    end = None
    if weight is not None:
        with np.errstate(divide="ignore", invalid="ignore"):  # layers may begin with zeros
            growth = float(np.median(weight[-1, :-1] / weight[0, :-1]))
        end = float(np.median(layers[:, 0])) * growth if np.isfinite(growth) else None
    return Place(number, run.name, activation, layers, end)


def _panel(places: list[Place], alone: bool) -> Panel:
    activation = places[0].activation
    plot = new_plot("σ_w (weights)", "σ_b (biases)", 340)
    right, top = _size(activation, places)
    _draw_phases(plot, activation, right, top)
    hovered = []
    for place in places:
        colour = ORANGE if alone else run_style(place.number)[0]
        plot.scatter(place.layers[:, 0], place.layers[:, 1], size=4, color=colour, fill_alpha=0.6, line_color=None)
        tips = list(_tips(place))
        x = [place.sigma_w] if place.at_end is None else [place.sigma_w, place.at_end]
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
        marks = plot.scatter(
            "x", "y", source=source, marker="marker", size="size", fill_color=colour, line_color="white"
        )
        hovered.append(marks)
    add_hover(plot, hovered)
    described = "; ".join(f"{'' if alone else f'{place.name}: '}{_describe(place)}" for place in places)
    name = activation_name(activation)
    return Panel(plot, f"Phase diagram of {name}. {described}.", name)


def _size(activation: Activation, places: list[Place]) -> tuple[float, float]:
    """Return how far the axes go, so that the edge and all networks are in the picture."""
    scales = [place.at_end for place in places if place.at_end is not None]
    scales += [float(place.layers[:, 0].max()) for place in places]
    biases = [float(place.layers[:, 1].max()) for place in places]
    return 1.2 * max(_critical(activation), *scales), max(1.0, *(1.2 * bias for bias in biases))


def _draw_phases(plot: figure, activation: Activation, right: float, top: float) -> None:
    diagram = theory.phase_diagram(
        activation, np.linspace(right / COLUMNS, right, COLUMNS), np.linspace(0.0, top, ROWS)
    )
    slope = np.clip(diagram.slope, -10.0, 10.0)
    opacities = [f"{round(OPACITY * share / 127):02x}" for share in range(128)]
    palette = [f"{BLUE}{opacity}" for opacity in reversed(opacities)] + [
        f"{VERMILION}{opacity}" for opacity in opacities
    ]
    colours = LinearColorMapper(palette=palette, low=-STEEPEST, high=STEEPEST)
    margin = 0.06 * top  # below σ_b = 0, where most networks start, so that their marks are whole
    rows = np.concatenate([slope[:1], slope])  # the phases go on there only to fill it
    image = {"image": [rows.astype(np.float32)], "x": [0.0], "y": [-margin], "dw": [right], "dh": [top + margin]}
    plot.image("image", "x", "y", "dw", "dh", source=ColumnDataSource(image), color_mapper=colours)
    if slope.min() < 0 < slope.max():
        edge = plot.contour(diagram.sigma_w, diagram.sigma_b, slope, levels=[0.0], line_color=INK, line_width=2)
        edge.line_renderer.name = "ink"
    plot.x_range.update(start=0.0, end=right)
    plot.y_range.update(start=-margin, end=top)
    plot.ygrid.grid_line_color = None


def _tips(place: Place) -> Iterator[str]:
    yield f"{place.name}\nat the start\nσ_w: {place.sigma_w:.3g}\nσ_b: {place.sigma_b:.3g}\nχ₁: {place.chi:.3g}"
    yield f"{place.name}\nweights at the end\nσ_w: {place.at_end or 0:.3g}"


def _describe(place: Place) -> str:
    phase = "on the edge" if abs(place.chi - 1) < 0.02 else "ordered" if place.chi < 1 else "chaotic"
    at_end = "" if place.at_end is None else f", and σ_w {place.at_end:.3g} at the end"
    return f"σ_w {place.sigma_w:.3g}, σ_b {place.sigma_b:.3g}, χ₁ {place.chi:.3g} ({phase}){at_end}"
