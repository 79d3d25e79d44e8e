"""The gradients of every layer at one step, which the slider chooses."""

from __future__ import annotations

from typing import Any

import numpy as np
from bokeh.models import ColumnDataSource
from numpy.typing import NDArray

from gradiometer.reports.run import SIGNALS, Run
from gradiometer.reports.scale import LogScale, norm_text
from gradiometer.reports.section import Key, Panel, Section, Table
from gradiometer.reports.style import SIGNAL_COLOURS, add_hover_along, label_layers, new_plot

LOOKS = {"delta_norm": ("solid", "circle", 2.4), "grad_norm": ("dashed", "square", 1.6)}
ZERO_MARKER, NONFINITE_MARKER = "inverted_triangle", "x"
MOST_MARKED = 60
"""Layers with a mark on each; of more, only those that stand in a band."""


def section(runs: list[Run]) -> tuple[Section, list[dict[str, Any]]]:
    """Return the section, and for the page's script what the slider changes in each of its plots."""
    shown = shown_signals(runs)
    scale = LogScale.of([run.signals[name][run.frames] for run in runs for name in shown if name in run.signals], 2)
    panels, sliding = [], []
    for number, run in enumerate(runs):
        panel, changes = _panel(number, run, shown, scale, alone=len(runs) == 1)
        panels.append(panel)
        sliding.append(changes)
    legend = [Key(SIGNALS[name], SIGNAL_COLOURS[name], _shape(name)) for name in shown]
    legend.append(Key("at the first step", "ink", "dots"))
    if scale.zero:
        legend.append(Key("exactly zero", "ink", "triangle"))
    if scale.nonfinite:
        legend.append(Key("NaN or infinite", "ink", "cross"))
    return Section(
        anchor="flow",
        title="How the gradient travels back",
        lead="The signal starts at the output, on the right, and travels to the input, on the left. Level is healthy; "
        "falling towards the left is vanishing, rising is exploding. Move the slider through the steps.",
        panels=panels,
        legend=legend,
        tables=[_table(run, shown, len(runs) > 1) for run in runs],
        slider=True,
    ), sliding


def shown_signals(runs: list[Run]) -> list[str]:
    """Return which fields are drawn: both of a single run, the first that all have of several."""
    common = [name for name in SIGNALS if all(name in run.signals for run in runs)]
    return common if len(runs) == 1 else common[:1]


def _panel(number: int, run: Run, shown: list[str], scale: LogScale, alone: bool) -> tuple[Panel, dict[str, Any]]:
    plot = new_plot("layer, from input to output", "L2 norm (log scale)", 420 if alone else 280)
    scale.apply(plot)
    label_layers(plot, run.layers)
    layers = np.arange(len(run.layers))
    crowded = len(run.layers) > MOST_MARKED
    for name in reversed(shown):  # the one that counts on top
        dash, marker, width = LOOKS[name]
        colour = SIGNAL_COLOURS[name]
        logs = run.signals[name][run.frames[0]].astype(np.float64)
        first = ColumnDataSource({"layer": layers, "line": np.where(np.isfinite(logs), logs, np.nan)})
        plot.line("layer", "line", source=first, color=colour, line_alpha=0.55, line_width=1.4, line_dash="dotted")
        source = ColumnDataSource(frame(logs, scale, marker, crowded), name=f"flow-{number}-{name}")
        plot.line("layer", "line", source=source, color=colour, line_width=width, line_dash=dash)
        plot.scatter(
            "layer",
            "place",
            marker="marker",
            size="size",
            source=source,
            line_color=colour,
            fill_color=colour if dash == "solid" else None,
            line_width=1.4,
        )
    source.data["tip"] = tips(run, shown)
    add_hover_along(plot, source, "layer", "place")  # one tip for all, at the one that counts
    changes = {
        "number": number,
        "signals": shown,
        "markers": {name: LOOKS[name][1] for name in shown},
        "words": SIGNALS,
        "zero": scale.zero_place,
        "nonfinite": scale.nonfinite_place,
        "steps": run.steps[run.frames].tolist(),
        "layers": run.layers,
        "crowded": crowded,
    }
    return Panel(plot, _text(run, shown[0]), run.name if not alone else "", run.diagnosis.verdict), changes


def frame(logs: NDArray[np.float64], scale: LogScale, marker: str, crowded: bool) -> dict[str, Any]:
    """Return the columns of one signal in one step; the page's script makes them anew for another step."""
    usual = np.isfinite(logs)
    return {
        "layer": np.arange(len(logs)),
        "line": np.where(usual, logs, np.nan),
        "place": scale.place(logs),
        "marker": np.where(usual, marker, np.where(logs == -np.inf, ZERO_MARKER, NONFINITE_MARKER)).tolist(),
        "size": np.where(usual, 3 if crowded else 6, 8),
    }


def tips(run: Run, shown: list[str]) -> list[str]:
    """Return what is shown of each layer under the pointer, at the first step."""
    row = run.frames[0]
    return [
        "\n".join([name, *(f"{SIGNALS[signal]}: {norm_text(run.signals[signal][row, layer])}" for signal in shown)])
        for layer, name in enumerate(run.layers)
    ]


def _shape(name: str) -> str:
    return "circle" if LOOKS[name][0] == "solid" else "square"


def _text(run: Run, name: str) -> str:
    logs = run.signals[name]
    ends = "; ".join(
        f"at step {run.steps[row]:,}, {norm_text(float(logs[row, 0]))} at the input layer "
        f"and {norm_text(float(logs[row, -1]))} at the output layer"
        for row in dict.fromkeys((0, len(logs) - 1))
    )
    return f"Norm of the {SIGNALS[name]} by layer: {ends}."


def _table(run: Run, shown: list[str], several: bool) -> Table:
    signals = [(name, run.signals[name]) for name in shown]
    rows = list(dict.fromkeys((0, len(run.steps) // 2, len(run.steps) - 1)))
    of = f" of {run.name}" if several else ""
    return Table(
        caption=f"Norms by layer{of}, at the first, middle and last recorded step",
        header=["layer", *(f"{name}, step {run.steps[row]:,}" for name, _ in signals for row in rows)],
        rows=[
            [layer, *(norm_text(float(logs[row, column])) for _, logs in signals for row in rows)]
            for column, layer in enumerate(run.layers)
        ],
    )
