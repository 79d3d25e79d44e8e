"""What mean-field theory predicts for the first step, and what was measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from bokeh.models import ColumnDataSource

from gradiometer.reports.run import Run, decades
from gradiometer.reports.scale import LogScale, norm_text
from gradiometer.reports.section import Key, Panel, Section
from gradiometer.reports.style import BLUE, ORANGE, add_hover_along, label_layers, new_plot
from gradiometer.slopes import theil_sen

if TYPE_CHECKING:
    from gradiometer.theory import Prediction

SPREADS = 2.0
"""Half the height of the band around the prediction, in standard deviations over seeds."""


def section(runs: list[Run]) -> Section:
    """Return one plot for each run that has a prediction."""
    predictions = [run.recording.prediction for run in runs]
    with_theory = [
        (run, found)
        for run, found in zip(runs, predictions, strict=True)
        if found is not None and "delta_norm" in run.signals and found.layer_names == run.layers
    ]
    notes = [
        f"{'No prediction' if len(runs) == 1 else f'{run.name}: no prediction'}: {reason}."
        for run in runs
        if run not in [drawn for drawn, _ in with_theory]
        and (reason := run.recording.no_prediction_because or "there are layers whose signal was never a number")
    ]
    return Section(
        anchor="theory",
        title="Theory against measurement",
        lead="The signal at the first recorded step, as a multiple of that of the last layer: what mean-field theory "
        "predicts for weights of this scale and these data, with the spread to expect over seeds, and what was "
        "measured.",
        panels=[_panel(run, found, alone=len(runs) == 1) for run, found in with_theory],
        legend=[
            Key("predicted", ORANGE),
            Key(f"± {SPREADS:g} standard deviations over seeds", ORANGE, "box"),
            Key("measured", BLUE, "circle"),
        ]
        if with_theory
        else (),
        notes=notes,
    )


def _panel(run: Run, found: Prediction, alone: bool) -> Panel:
    measured = run.signals["delta_norm"][0].astype(np.float64)
    with np.errstate(invalid="ignore"):
        measured = measured - measured[-1]
    predicted = decades(found.delta_norm).astype(np.float64)
    finite = np.where(np.isfinite(predicted), predicted, np.nan)
    low, high = finite - SPREADS * found.spread, finite + SPREADS * found.spread
    scale = LogScale.of([measured, predicted, low[~np.isnan(low)], high[~np.isnan(high)]], 2)
    plot = new_plot("layer, from input to output", "‖∂L/∂output‖ ÷ that of the last layer", 340 if alone else 280)
    scale.apply(plot)
    label_layers(plot, run.layers)
    layers = np.arange(len(run.layers))
    band = ColumnDataSource({"layer": layers, "low": low, "high": high})
    plot.varea("layer", "low", "high", source=band, fill_color=ORANGE, fill_alpha=0.2)
    plot.line(layers, finite, color=ORANGE, line_width=2.2)
    tips = [
        f"{layer}\nmeasured: {norm_text(float(there))}\npredicted: {norm_text(float(theory))}"
        for layer, there, theory in zip(run.layers, measured, predicted, strict=True)
    ]
    source = ColumnDataSource({"layer": layers, "place": scale.place(measured), "tip": tips})
    plot.scatter("layer", "place", source=source, size=6, line_color=BLUE, fill_color=None)
    add_hover_along(plot, source, "layer", "place")
    usable = np.where(np.isfinite(measured), measured, np.nan)
    slope = float(theil_sen(usable[None, :])[0])
    inside = (usable >= low - 1e-9) & (usable <= high + 1e-9)
    text = (
        f"At the first step the slope is {slope:+.3f} decades a layer; theory predicts {found.slope:+.3f}. "
        f"{int(inside.sum())} of {len(inside)} layers lie within the band."
    )
    return Panel(plot, text, "" if alone else run.name, f"slope {slope:+.3f}, predicted {found.slope:+.3f}")
