"""The gradients of every layer at three steps, and what theory predicts for the first."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gradiometer.plots.log_axis import log_axis
from gradiometer.plots.style import GRID, INK, finish, label_layers, ordered_colours

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

    from gradiometer.recording import Recording
    from gradiometer.theory import Prediction

__all__ = ["flow"]

# What is drawn of a gradient: field, name in the legend, line style, marker, place in a band.
QUANTITIES = (
    ("delta_norm", "signal  ‖∂L/∂output‖", "-", "o", 0.7),
    ("grad_norm", "gradient  ‖∂L/∂weight‖", (0, (4, 2)), "s", 0.3),
)
MARKED_LAYERS = 40  # more of them leave no room for markers
THEORY = "#c8500a"
SPREADS = 2.0  # so many standard deviations on both sides, where 95 % of networks lie


def flow(recording: Recording, ax: Axes, prediction: Prediction | None = None) -> Axes:
    """Draw the gradients of every layer at the first, middle and last recorded step, on a log axis."""
    rows = sorted({0, len(recording) // 2, len(recording) - 1})
    quantities = [quantity for quantity in QUANTITIES if _measured(recording, quantity[0])] or QUANTITIES
    curves = {name: getattr(recording, name)[rows] for name, *_ in quantities}
    predicted = {} if prediction is None else _anchored(prediction, curves)
    bands = log_axis(ax, np.concatenate([*curves.values(), *(centre[None] for centre in predicted.values())]))
    colours = ordered_colours(len(rows))
    layers = np.arange(len(recording.layer_names), dtype=np.float64)
    for name, _, style, marker, height in quantities:
        for number, (values, colour) in enumerate(zip(curves[name], colours, strict=True)):
            ax.plot(
                layers,
                np.where(np.isfinite(values) & (values > 0), values, np.nan),
                color=colour,
                linestyle=style,
                linewidth=1.8 if style == "-" else 1.2,
                marker=marker,
                markersize=4.5 if len(layers) <= MARKED_LAYERS else 0,
                markerfacecolor=colour if style == "-" else "white",
            )
            beside = layers + 0.22 * (number - (len(rows) - 1) / 2)  # steps stand side by side
            bands.mark(beside, values, colour, height, colour if style == "-" else "white")
    special = ax.get_legend_handles_labels()[0]
    theory = _draw_theory(ax, prediction, predicted, recording.steps[0]) if prediction is not None else []
    _draw_legend(ax, recording.steps[rows], list(curves), [*theory, *special])
    label_layers(ax.xaxis, recording.layer_names)
    ax.set_xlim(-0.6, len(layers) - 0.4)
    ax.set_ylabel("L2 norm (log scale)")
    ax.grid(axis="y", color=GRID, linewidth=0.8)
    finish(ax, "Gradient flow", recording)
    return ax


def _measured(recording: Recording, name: str) -> bool:
    """Tell whether there is anything in a field: what was never measured is NaN throughout."""
    try:
        return not np.isnan(getattr(recording, name)).all()
    except AttributeError:
        return False


def _anchored(prediction: Prediction, curves: dict[str, NDArray[np.float64]]) -> dict[str, NDArray[np.float64]]:
    """Return the predicted curves, each through the measured value of the last layer at the first step.

    Theory says how gradients change from layer to layer; where they start from, the actual outputs decide.
    """
    anchored = {}
    for name, measured in curves.items():
        values = getattr(prediction, name)
        if values is not None and values[-1] > 0 and np.isfinite(measured[0, -1]):
            anchored[name] = values * (measured[0, -1] / values[-1])
    return anchored


def _draw_theory(
    ax: Axes, prediction: Prediction, predicted: dict[str, NDArray[np.float64]], step: int
) -> list[Artist]:
    """Draw the prediction over the curves of the first step; return entries of the legend."""
    layers = np.arange(len(prediction.spread))
    handles: list[Artist] = []
    for name, _, style, *_ in QUANTITIES:
        if name not in predicted:
            continue
        centre = np.where(predicted[name] > 0, predicted[name], np.nan)
        (line,) = ax.plot(
            layers, centre, color=THEORY, linestyle=style, linewidth=1.4, zorder=3, label=f"theory, step {step}"
        )
        if name == "delta_norm":
            factor = 10.0 ** (SPREADS * prediction.spread)
            band = ax.fill_between(
                layers, centre / factor, centre * factor, color=THEORY, alpha=0.16, linewidth=0, zorder=1,
                label=f"±{SPREADS:g} σ over draws of the weights",
            )  # fmt: skip
            handles = [line, band]
    return handles


def _draw_legend(ax: Axes, steps: NDArray[np.int64], names: list[str], special: list[Artist]) -> None:
    handles = [
        ax.plot([], [], color=colour, linewidth=4, label=f"step {step}")[0]
        for step, colour in zip(steps, ordered_colours(len(steps)), strict=True)
    ]
    for name, words, style, marker, _ in QUANTITIES:
        if name not in names:
            continue
        face = INK if style == "-" else "white"
        handles += ax.plot([], [], color=INK, linestyle=style, marker=marker, label=words)
        handles[-1].set(markersize=4.5, markerfacecolor=face)
    ax.legend(handles=[*handles, *special], fontsize="small", framealpha=0.9, edgecolor="none")
