"""Saturated and dead units."""

from __future__ import annotations

import numpy as np
from bokeh.models import ColumnDataSource, Range1d

from gradiometer.reports.heatmap import layer_by_step, share_colours
from gradiometer.reports.run import Run
from gradiometer.reports.scale import label_axis
from gradiometer.reports.section import Panel, Section
from gradiometer.reports.style import add_hover, label_layers, new_plot, run_keys, run_style
from gradiometer.slopes import Floats

SHARES = {"saturation": "saturated entries", "dead_fraction": "dead units"}
HOW = 'Only a run with record="full" has this: Trainer(…, record="full").'


def section(runs: list[Run]) -> Section:
    """Return heat maps of a single run, and of several the medians over their steps."""
    measured = [run for run in runs if run.field("saturation") is not None]
    missing = [run.name for run in runs if run not in measured]
    notes = []
    if not measured:
        notes = [f"Saturation and dead units were not recorded. {HOW}"]
    elif missing:
        notes = [f"Not recorded in {', '.join(missing)}. {HOW}"]
    panels = _maps(runs[0]) if measured and len(runs) == 1 else _medians(runs, measured) if measured else []
    return Section(
        anchor="units",
        title="Saturated and dead units",
        lead="Saturated: the share of outputs where the activation is nearly flat (slope below 5 % of the largest). "
        "Dead: the share of units that were flat for every row of the batch. Neither passes a gradient on."
        + (" Medians over the steps." if len(runs) > 1 else ""),
        panels=panels,
        legend=run_keys(runs) if len(runs) > 1 and measured else (),
        notes=notes,
    )


def _maps(run: Run) -> list[Panel]:
    panels = []
    for name, label in SHARES.items():
        values = run.field(name)
        if values is None:
            continue
        shown = values[run.frames].astype(np.float32)
        plot = layer_by_step(run, f"share-0-{name}", shown, *share_colours(), height=260)
        panels.append(Panel(plot, _text(label, run, values), label.capitalize()))
    return panels


def _medians(runs: list[Run], measured: list[Run]) -> list[Panel]:
    panels = []
    deepest = max(measured, key=lambda run: len(run.layers))
    for name, label in SHARES.items():
        plot = new_plot("layer, from input to output", f"share of {label}", 280)
        plot.y_range = Range1d(-0.03, 1.03)
        label_axis(plot, 0, {0.0: "0", 0.5: "50 %", 1.0: "100 %"})
        label_layers(plot, deepest.layers)
        hovered, texts = [], []
        for number, run in enumerate(runs):
            values = run.field(name)
            if values is None:
                continue
            colour, dash = run_style(number)
            median = np.nanmedian(values, axis=0) if len(values) else np.empty(0)
            tips = [
                f"{run.name}\n{layer}: {100 * share:.0f} % {label}"
                for layer, share in zip(run.layers, median, strict=True)
            ]
            source = ColumnDataSource({"layer": np.arange(len(median)), "share": median, "tip": tips})
            plot.line("layer", "share", source=source, color=colour, line_dash=dash, line_width=1.8)
            hovered.append(plot.scatter("layer", "share", source=source, color=colour, size=5))
            texts.append(f"{run.name}: at most {100 * np.nanmax(median):.0f} %")
        add_hover(plot, hovered)
        panels.append(
            Panel(plot, f"Share of {label} by layer, median over the steps: {'; '.join(texts)}.", label.capitalize())
        )
    return panels


def _text(label: str, run: Run, values: Floats) -> str:
    last = values[-1]
    if np.isnan(last).all():
        return f"Heat map of the share of {label}; not measured at the last step."
    worst = int(np.nanargmax(last))
    return (
        f"Heat map of the share of {label}, layers by steps: at the last step at most {100 * last[worst]:.0f} %, in "
        f"{run.layers[worst]}; median over all {100 * float(np.nanmedian(values)):.0f} %."
    )
