"""How every plot of a page looks: colours that colour-blind readers can tell apart, and no clutter."""

from __future__ import annotations

import math

import numpy as np
from bokeh.models import BoxAnnotation, ColumnDataSource, HoverTool, Renderer, Span
from bokeh.plotting import figure
from numpy.typing import NDArray

from gradiometer.reports.run import Run
from gradiometer.reports.scale import label_axis, round_stride
from gradiometer.reports.section import Key

BLUE, VERMILION, GREEN, PINK, ORANGE = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00"
GREY = "#8c929a"
# Okabe and Ito's colours for colour-blind readers, without black and yellow, which vanish on one of the grounds, and
# without sky blue, which page.css makes of the blue on a dark one.
RUN_COLOURS = (BLUE, VERMILION, GREEN, PINK, ORANGE, GREY)
RUN_DASHES = ("solid", "dashed", "dotted")
SIGNAL_COLOURS = {"delta_norm": BLUE, "grad_norm": VERMILION}
VERDICT_COLOURS = {"healthy": GREEN, "vanishing": BLUE, "exploding": VERMILION, "dead": GREY, "non-finite": PINK}
ZERO_COLOUR, NAN_COLOUR, INFINITE_COLOUR = GREY, VERMILION, PINK

FONT = "ui-sans-serif, system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', sans-serif"
INK, GRID = "#4a515a", "#dfe3e7"  # of a light page; the page's script sets those of a dark one
MOST_TICKS = 10


def run_style(number: int) -> tuple[str, str]:
    """Return the colour and the dash of a run among several; 18 look different."""
    return RUN_COLOURS[number % len(RUN_COLOURS)], RUN_DASHES[number // len(RUN_COLOURS) % len(RUN_DASHES)]


def run_keys(runs: list[Run]) -> list[Key]:
    """Return the legend of several runs."""
    shapes = {"solid": "line", "dashed": "dash", "dotted": "dots"}
    styles = [run_style(number) for number in range(len(runs))]
    return [Key(run.name, colour, shapes[dash]) for run, (colour, dash) in zip(runs, styles, strict=True)]


def new_plot(x_label: str, y_label: str, height: int = 340) -> figure:
    """Return an empty plot that is as wide as its place, transparent, and leaves scrolling to the page."""
    plot = figure(
        height=height,
        sizing_mode="stretch_width",
        toolbar_location=None,
        tools="",
        x_axis_label=x_label,
        y_axis_label=y_label,
        background_fill_alpha=0,
        border_fill_alpha=0,
        outline_line_color=None,
        min_border_right=16,
        min_border_top=10,
    )
    for axis in plot.axis:
        axis.axis_label_text_font = axis.major_label_text_font = FONT
        axis.axis_label_text_font_style = "normal"
        axis.axis_label_text_font_size = axis.major_label_text_font_size = "12px"
        axis.axis_label_text_color = axis.major_label_text_color = INK
        axis.axis_line_color = axis.major_tick_line_color = GRID
        axis.minor_tick_line_color = None
        axis.axis_label_standoff = 8
    plot.xgrid.grid_line_color = None
    plot.ygrid.grid_line_color = GRID
    return plot


def add_hover(plot: figure, renderers: list[Renderer], mode: str = "mouse") -> None:
    """Show the column ``tip`` of the glyph under the pointer; the page's script writes it, as text."""
    plot.add_tools(HoverTool(renderers=renderers, mode=mode, tooltips="@tip", point_policy="snap_to_data"))


def add_hover_along(plot: figure, source: ColumnDataSource, x: str, y: str) -> None:
    """Show the ``tip`` of the nearest point left or right of the pointer, at any height: no need to hit it."""
    unseen = plot.line(x, y, source=source, line_alpha=0, line_width=1)
    plot.add_tools(HoverTool(renderers=[unseen], mode="vline", tooltips="@tip", line_policy="nearest"))


def add_cursor(plot: figure, name: str, at: float) -> None:
    """Add the upright line that follows the slider."""
    plot.add_layout(Span(name=name, location=at, dimension="height", line_color=INK, line_width=1, line_dash=[3, 3]))


def add_band(plot: figure, low: float, high: float, colour: str) -> None:
    """Tint a range of the horizontal axis."""
    plot.add_layout(BoxAnnotation(left=low, right=high, fill_color=colour, fill_alpha=0.1, line_color=None))


def label_layers(plot: figure, names: list[str], dimension: int = 1) -> None:
    """Label some of the layers, the first and the last of them always."""
    last = len(names) - 1
    stride = max(1, math.ceil(last / (MOST_TICKS - 1)))
    places = [*range(0, last - math.ceil(0.75 * stride) + 1, stride), last] if last else [0]
    labels = {float(place): short_name(names[place]) for place in places}
    label_axis(plot, dimension, labels)
    if dimension and max(map(len, labels.values()), default=0) > 5:
        plot.xaxis.major_label_orientation = 0.6


def short_name(name: str, limit: int = 12) -> str:
    """Return a layer's name as a tick label."""
    name = name.removesuffix(".weight")
    return name if len(name) <= limit else f"…{name[1 - limit :]}"


def label_steps(plot: figure, steps: NDArray[np.int64]) -> None:
    """Label round steps on an axis that has a column for each of these steps."""
    first, last = int(steps[0]), int(steps[-1])
    stride = round_stride(max(1.0, (last - first) / 5))
    round_steps = np.arange(math.ceil(first / stride) * stride, last + 1, stride)
    columns = np.interp(round_steps, steps, np.arange(len(steps)))
    label_axis(plot, 1, {float(at): f"{int(step):,}" for at, step in zip(columns, round_steps, strict=True)})
