"""Pictures of a recording, with matplotlib."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from gradiometer.recording import Recording

MAX_LAYER_TICKS = 12
BAND = 0.09  # the share of the height for the values that a log axis cannot show
INK = "#33383d"
# What is drawn of a gradient: field, name in the legend, line style, marker.
QUANTITIES = (
    ("delta_norm", "signal  ‖∂L/∂output‖", "-", "o"),
    ("grad_norm", "gradient  ‖∂L/∂weight‖", (0, (4, 2)), "s"),
)


def draw(recording: Recording, kind: str = "flow", ax: Axes | None = None) -> Axes:
    """Draw a picture of the given kind; see ``Recording.plot``."""
    if kind not in PLOTS:
        raise ValueError(f"kind is {kind!r}; it must be one of {', '.join(map(repr, PLOTS))}")
    return PLOTS[kind](recording, ax)


def flow(recording: Recording, ax: Axes | None = None) -> Axes:
    """Draw the gradients of every layer at the first, middle and last recorded step, on a log axis.

    Values that have no place on such an axis are shown all the same: exact zeros in a band at the bottom, NaN
    and infinity in a band at the top.
    """
    if not len(recording):
        raise ValueError("there is nothing to plot: the recording has no steps (was it made with record=None?)")
    ax = new_axes() if ax is None else ax
    rows = sorted({0, len(recording) // 2, len(recording) - 1})
    curves = {name: getattr(recording, name)[rows] for name, *_ in QUANTITIES}
    ax.set_yscale("log")
    _draw_bands(ax, curves)  # sets the limits, so that nothing is scaled by the curves
    _draw_curves(ax, curves)
    _label_layers(ax, recording.layer_names)
    _draw_legend(ax, recording.steps[rows])
    ax.set_ylabel("L2 norm (log scale)")
    ax.set_title(_title(recording), loc="left", color=INK, fontweight="bold", fontsize="large")
    ax.grid(axis="y", color="#e3e6e8", linewidth=0.8)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)
    return ax


PLOTS = {"flow": flow}


def new_axes() -> Axes:
    """Return the axes of a new figure, which no window shows by itself."""
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise ImportError("plot needs matplotlib from the lab extra: pip install 'gradiometer[lab]'") from error
    return pyplot.subplots(figsize=(8, 4.8), layout="constrained")[1]


def _step_colours(count: int) -> list[tuple[float, float, float, float]]:
    """Return colours from light (first step) to dark (last), an order that colour-blind readers see too."""
    from matplotlib import colormaps

    return [colormaps["viridis"](place) for place in np.linspace(0.08, 0.78, count)[::-1]]


def _draw_curves(ax: Axes, curves: dict[str, NDArray[np.float64]]) -> None:
    for name, _, style, marker in QUANTITIES:
        shown = np.where(np.isfinite(curves[name]) & (curves[name] > 0), curves[name], np.nan)
        for values, colour in zip(shown, _step_colours(len(shown)), strict=True):
            ax.plot(
                np.arange(len(values)),
                values,
                color=colour,
                linestyle=style,
                linewidth=1.8 if style == "-" else 1.2,
                marker=marker,
                markersize=4.5 if len(values) <= 40 else 0,
                markerfacecolor=colour if style == "-" else "white",
            )


def _draw_bands(ax: Axes, curves: dict[str, NDArray[np.float64]]) -> None:
    """Set the limits of the axis; make room for a band of zeros below and one of NaN and infinity above."""
    from matplotlib.ticker import NullLocator

    norms = np.stack([curves[name] for name, *_ in QUANTITIES])
    zero, nonfinite = norms == 0, ~np.isfinite(norms)
    bottom, top = _decades(norms[~zero & ~nonfinite])
    bands = int(zero.any()) + int(nonfinite.any())
    band = BAND * (top - bottom) / (1 - BAND * bands)
    # Kept inside what a float can hold, which matters for nets hundreds of layers deep.
    ax.set_ylim(10.0 ** max(bottom - band * zero.any(), -323), 10.0 ** min(top + band * nonfinite.any(), 308))
    stride = next(stride for stride in (1, 2, 5, 10, 20, 50, 100) if top - bottom <= 9 * stride)
    ticks = np.arange(math.ceil(max(bottom, -323) / stride) * stride, min(top, 308) + 1, stride)
    ax.set_yticks(10.0**ticks)
    ax.yaxis.set_minor_locator(NullLocator())  # a tick in a band would mean nothing
    if zero.any():
        _draw_band(ax, zero, 0.0, "0", "v", "exactly zero")
    if nonfinite.any():
        _draw_band(ax, nonfinite, 1 - BAND, "NaN, ∞", "X", "NaN or infinite")


def _decades(norms: NDArray[np.float64]) -> tuple[int, int]:
    """Return the whole decades around the values, two at least, so that a healthy net does look flat."""
    if not norms.size:
        return -1, 1
    bottom, top = math.floor(np.log10(norms.min()) - 0.1), math.ceil(np.log10(norms.max()) + 0.1)
    return bottom, max(top, bottom + 2)


def _draw_band(ax: Axes, flags: NDArray[np.bool_], bottom: float, tick: str, marker: str, name: str) -> None:
    from matplotlib.patches import Rectangle

    box = Rectangle((0, bottom), 1, BAND, transform=ax.transAxes, color="#eceef1", linewidth=0, zorder=0.4)
    ax.add_patch(box)
    ax.text(-0.012, bottom + BAND / 2, tick, transform=ax.transAxes, ha="right", va="center", color=INK)
    across, steps = ax.get_xaxis_transform(), flags.shape[1]
    for quantity, rows in enumerate(flags):
        height = bottom + BAND * (0.7 - 0.4 * quantity)
        for row, (flagged, colour) in enumerate(zip(rows, _step_colours(steps), strict=True)):
            layers = np.flatnonzero(flagged) + 0.22 * (row - (steps - 1) / 2)  # steps stand side by side
            face = colour if QUANTITIES[quantity][2] == "-" else "white"
            ax.plot(
                layers,
                np.full(len(layers), height),
                transform=across,
                linestyle="none",
                marker=marker,
                markersize=5.5,
                color=colour,
                markerfacecolor=face,
                clip_on=False,
            )
    ax.plot([], [], linestyle="none", marker=marker, color="#8a9199", label=name)


def _label_layers(ax: Axes, names: list[str]) -> None:
    last = len(names) - 1
    stride = max(1, math.ceil(last / (MAX_LAYER_TICKS - 1)))
    places = [*range(0, last - stride // 2, stride), last]  # evenly, but the last layer always
    labels = [names[place].removesuffix(".weight") for place in places]
    long = max(map(len, labels), default=0) > 5
    ax.set_xticks(places, labels, rotation=40 if long else 0, ha="right" if long else "center")
    ax.set_xlim(-0.6, len(names) - 0.4)
    ax.set_xlabel("layer, from input to output")


def _draw_legend(ax: Axes, steps: NDArray[np.int64]) -> None:
    special = ax.get_legend_handles_labels()
    handles = [
        ax.plot([], [], color=colour, linewidth=4, label=f"step {step}")[0]
        for step, colour in zip(steps, _step_colours(len(steps)), strict=True)
    ]
    for _, name, style, marker in QUANTITIES:
        face = INK if style == "-" else "white"
        handles += ax.plot([], [], color=INK, linestyle=style, marker=marker, label=name)
        handles[-1].set(markersize=4.5, markerfacecolor=face)
    ax.legend(handles=handles + list(special[0]), fontsize="small", framealpha=0.9, edgecolor="none")


def _title(recording: Recording) -> str:
    subject = "Gradient flow"
    try:
        return f"{subject}: {recording.diagnose().verdict}"
    except ValueError:  # too few layers or steps for a verdict
        return subject
