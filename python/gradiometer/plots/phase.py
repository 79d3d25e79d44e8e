"""Where a network lies between vanishing and exploding gradients: the phase diagram of its activation."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gradiometer.activations import Activation, Identity, activation_name
from gradiometer.layers import BatchNorm, Dense, Dropout
from gradiometer.plots.style import INK, finish, legend_below

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from gradiometer.recording import Recording
    from gradiometer.start import Start

__all__ = ["phase"]

Array = NDArray[np.float64]

COLUMNS, ROWS = 480, 120
STEEPEST = 0.3
"""Decades per layer at which the colours end, half or twice the signal from one layer to the next; unless the network
is beyond."""
DEPTHS = (3, 10, 30)
"""Depth scales that have a line, in layers."""
WIDEST = 12.0
"""σ_w up to which the picture grows to show the critical line."""
LONGEST = 1000.0
"""A depth scale beyond it is not told in figures."""
POINT = "#ffd000"


def phase(recording: Recording, ax: Axes) -> Axes:
    """Draw log₁₀ √χ₁ over (σ_w, σ_b) with its critical line, and the hidden layers as they were at the start.

    Dropout with probability p acts as a σ_w that is larger by 1 / √(1 − p), forward and backward, and is drawn as such.
    """
    from gradiometer.theory import chi, phase_diagram

    if recording._start is None:
        raise ValueError(f"there is no point to draw in a phase diagram: {recording.no_prediction_because}")
    activation, points, dropout = _hidden_layers(recording._start)
    middle = np.median(points, axis=0)
    growth = chi(activation, *map(float, middle))
    right, top = np.maximum((1.3 * _critical(activation), 1.0), 1.3 * points.max(axis=0))
    diagram = phase_diagram(activation, np.linspace(right / COLUMNS, right, COLUMNS), np.linspace(0.0, top, ROWS))
    sigma_w, sigma_b, slope = diagram.sigma_w, diagram.sigma_b, np.clip(diagram.slope, -10.0, 10.0)
    steepest = max(STEEPEST, 1.2 * abs(math.log10(growth)) / 2) if growth > 0 else STEEPEST
    image = ax.pcolormesh(
        sigma_w, sigma_b, slope, cmap="RdBu_r", vmin=-steepest, vmax=steepest, shading="gouraud", rasterized=True
    )
    bar = ax.figure.colorbar(image, ax=ax, pad=0.015, extend="both")
    bar.set_label("decades per layer toward the input, ½ log₁₀ χ₁", color=INK)
    bar.outline.set_visible(False)
    _draw_lines(ax, sigma_w, sigma_b, slope)

    look: dict[str, Any] = {"linestyle": "none", "markeredgecolor": "black", "clip_on": False, "zorder": 4}
    ax.plot(*points.T, marker="o", markersize=4, color=POINT, markeredgewidth=0.5, label="its hidden layers", **look)
    label = f"this network (median): χ₁ = {growth:.3g}, {_reach(growth)}"
    ax.plot(*middle, marker="*", markersize=16, color=POINT, markeredgewidth=1.0, label=label, **look)
    ax.set_xlabel("σ_w ÷ √(1 − p)   (weights and dropout)" if dropout else "σ_w   (weights)")
    ax.set_ylabel("σ_b   (biases)")
    handles, labels = ax.get_legend_handles_labels()
    legend_below(ax, handles[::-1], labels[::-1], columns=1)
    finish(ax, f"Phase diagram of {activation_name(activation)}", recording)
    return ax


def _critical(activation: Activation) -> float:
    """Return the critical σ_w without biases, or 2.3 where there is none, or none nearby."""
    from gradiometer.theory import critical_sigma_w

    try:
        found = critical_sigma_w(activation)
    except ValueError:
        return 2.3
    return max(found, 2.3) if found < WIDEST else 2.3


def _reach(growth: float) -> str:
    rate = abs(math.log(growth)) if growth > 0 else math.inf
    return f"ξ = {1 / rate:.3g} layers" if rate > 1 / LONGEST else f"ξ > {LONGEST:g} layers"


def _draw_lines(ax: Axes, sigma_w: Array, sigma_b: Array, slope: Array) -> None:
    """Draw the critical line, and where gradients change by e² in so many layers on both sides of it."""
    levels = {}
    for depth in DEPTHS:
        for sign in (-1, 1):
            levels[sign / (2 * math.log(10) * depth)] = f"ξ = {depth}"
    fine = ax.contour(sigma_w, sigma_b, slope, levels=sorted(levels), colors=INK, linewidths=0.6, linestyles="solid")
    ax.clabel(fine, fmt=levels, fontsize=7.5)
    if float(slope.min()) < 0 < float(slope.max()):
        ax.contour(sigma_w, sigma_b, slope, levels=[0.0], colors="black", linewidths=2.0)
        ax.plot([], [], color="black", linewidth=2.0, label="critical line, χ₁ = 1")


def _hidden_layers(start: Start) -> tuple[Activation, Array, bool]:
    """Return the activation that most hidden layers have, (σ_w, σ_b) of those, and whether there is dropout.

    Raises
    ------
    ValueError
        If σ_w and σ_b do not decide what gradients do, or there is no hidden layer.
    """
    for number, layer in enumerate(start.layers):
        if isinstance(layer, BatchNorm):
            raise ValueError(
                f"layers[{number}] is a batch norm, which takes the scale of the weights out of the signal: there is "
                "no phase diagram (see gm.theory.batch_norm_growth)"
            )
        if not isinstance(layer, (Dense, Activation, Dropout)):
            kind = type(layer).__name__
            raise ValueError(f"layers[{number}] is a {kind}, which has no place in a phase diagram of plain networks")
    width, kept = start.x.shape[1], 1.0
    found: list[tuple[Activation, tuple[float, float]]] = []
    point: tuple[float, float] | None = None
    activation: Activation = Identity()
    for number, layer in enumerate(start.layers):
        if isinstance(layer, Dense):
            if point is not None:
                found.append((activation, point))
            sigma_w = float(start.parameters[f"{number}.weight"]) * math.sqrt(width / kept) if kept else 0.0
            point = sigma_w, float(start.parameters.get(f"{number}.bias", 0.0))
            width, kept, activation = layer.out_features, 1.0, Identity()
        elif isinstance(layer, Dropout):
            kept *= 1.0 - layer.p
        elif isinstance(layer, Activation):
            activation = layer
    if not found:
        raise ValueError("a phase diagram needs a hidden layer, but the network has none")
    most = Counter(kind for kind, _ in found).most_common(1)[0][0]
    points = np.array([place for kind, place in found if kind == most])
    return most, points, any(isinstance(layer, Dropout) for layer in start.layers)
