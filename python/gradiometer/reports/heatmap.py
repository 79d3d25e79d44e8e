"""Heat maps of layer × step."""

from __future__ import annotations

import numpy as np
from bokeh.models import ColorBar, ColumnDataSource, FixedTicker, HoverTool, LinearColorMapper
from bokeh.models.text import PlainText
from bokeh.palettes import Cividis256, Viridis256
from bokeh.plotting import figure
from numpy.typing import NDArray

from gradiometer.reports.flow import shown_signals
from gradiometer.reports.run import SIGNALS, Run
from gradiometer.reports.scale import LogScale, norm_text
from gradiometer.reports.section import Key, Panel, Section
from gradiometer.reports.style import (
    FONT,
    INFINITE_COLOUR,
    INK,
    NAN_COLOUR,
    ZERO_COLOUR,
    add_cursor,
    label_layers,
    label_steps,
    new_plot,
)


def section(runs: list[Run]) -> Section:
    """Return the heat maps of the gradients; all of them share one colour scale."""
    shown = shown_signals(runs)
    logs = {(number, name): run.signals[name][run.frames] for number, run in enumerate(runs) for name in shown}
    scale = LogScale.of(logs.values())
    panels = []
    for (number, name), values in logs.items():
        run = runs[number]
        plot = layer_by_step(run, f"heat-{number}-{name}", values, _norm_colours(scale), scale.ticks(), 300)
        finite = values[np.isfinite(values)]
        ends = f"from {norm_text(finite.min())} to {norm_text(finite.max())}" if len(finite) else "never finite"
        text = f"Heat map of the {SIGNALS[name]}, {len(run.layers)} layers by {len(run.steps):,} steps: {ends}"
        text += f"; {_odd(run.signals[name])}."
        panels.append(Panel(plot, text, SIGNALS[name] if len(runs) == 1 else run.name))
    everything = np.concatenate([np.ravel(values) for values in logs.values()])
    legend = [
        Key(label, colour, "box")
        for label, colour, there in (
            ("exactly zero", ZERO_COLOUR, everything == -np.inf),
            ("infinite", INFINITE_COLOUR, everything == np.inf),
            ("NaN", NAN_COLOUR, np.isnan(everything)),
        )
        if there.any()
    ]
    return Section(
        anchor="heat",
        title="Every layer, every step",
        lead="The same norms at once: steps go to the right, layers from the input at the bottom to the output at the "
        "top. An even colour from top to bottom is healthy.",
        panels=panels,
        legend=legend,
    )


def layer_by_step(
    run: Run, name: str, values: NDArray[np.float32], colours: LinearColorMapper, ticks: dict[float, str], height: int
) -> figure:
    """Return a heat map of the run's frames, with its colour scale and the cursor of the slider.

    Parameters
    ----------
    name : str
        Of its data source, by which the page's script finds it.
    values : array
        (frames, layers)
    ticks : dict
        Of the colour scale.
    """
    plot = new_plot("step", "layer", height)
    rows, layers = values.shape
    plot.x_range.update(start=-0.5, end=rows - 0.5)
    plot.y_range.update(start=-0.5, end=layers - 0.5)
    plot.ygrid.grid_line_color = None
    label_layers(plot, run.layers, 0)
    label_steps(plot, run.steps[run.frames])
    columns = {"image": [np.ascontiguousarray(values.T)], "x": [-0.5], "y": [-0.5], "dw": [rows], "dh": [layers]}
    source = ColumnDataSource(columns, name=name)
    image = plot.image("image", "x", "y", "dw", "dh", source=source, color_mapper=colours)
    plot.add_tools(HoverTool(renderers=[image], tooltips="@tip"))
    add_cursor(plot, f"cursor-{name}", 0)
    bar = ColorBar(
        color_mapper=colours,
        ticker=FixedTicker(ticks=list(ticks)),
        major_label_overrides={place: PlainText(text=label) for place, label in ticks.items()},
        width=10,
        padding=4,
        background_fill_alpha=0,
        bar_line_color=None,
        major_tick_line_color=None,
        major_label_text_font=FONT,
        major_label_text_font_size="12px",
        major_label_text_color=INK,
    )
    plot.add_layout(bar, "right")
    return plot


def share_colours() -> tuple[LinearColorMapper, dict[float, str]]:
    """Return the colours of a share from 0 to 1, and its ticks."""
    ticks = {0.0: "0", 0.5: "50 %", 1.0: "100 %"}
    return LinearColorMapper(palette=Cividis256, low=0, high=1, nan_color=NAN_COLOUR), ticks


def _norm_colours(scale: LogScale) -> LinearColorMapper:
    """Return the colours of logarithms; -inf, inf and NaN have colours of their own."""
    return LinearColorMapper(
        palette=Viridis256,
        low=scale.low,
        high=scale.high,
        low_color=ZERO_COLOUR,
        high_color=INFINITE_COLOUR,
        nan_color=NAN_COLOUR,
    )


def _odd(logs: NDArray[np.float32]) -> str:
    zero, nonfinite = int((logs == -np.inf).sum()), int((~np.isfinite(logs) & (logs != -np.inf)).sum())
    return f"{zero:,} values are exactly zero, {nonfinite:,} are NaN or infinite"
