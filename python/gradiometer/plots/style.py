"""What all pictures have in common: ink, ticks of layers, colours in order, and long runs made short."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis

    from gradiometer.recording import Recording

__all__ = [
    "GRID",
    "INK",
    "RGBA",
    "Blocks",
    "axes_for",
    "finish",
    "label_layers",
    "legend_below",
    "ordered_colours",
    "signal_of",
]

INK = "#33383d"
GRID = "#e3e6e8"
MAX_LAYER_TICKS = 12
MOST_COLUMNS = 800
"""A picture has no room for more steps than that."""

RGBA = tuple[float, float, float, float]


def axes_for(ax: Axes | None) -> Axes:
    """Return the given axes or, for None, those of a new figure, which no window shows by itself."""
    try:
        from matplotlib import axes, pyplot
    except ImportError as error:
        raise ImportError("plot needs matplotlib from the lab extra: pip install 'gradiometer[lab]'") from error
    if ax is None:
        return pyplot.subplots(figsize=(8, 4.8), layout="constrained")[1]
    if not isinstance(ax, axes.Axes):
        raise TypeError(f"ax must be matplotlib axes or None, not {type(ax).__name__}")
    return ax


def ordered_colours(count: int) -> list[RGBA]:
    """Return colours from light to dark, an order that colour-blind readers see too."""
    from matplotlib import colormaps

    return [colormaps["viridis"](place) for place in np.linspace(0.08, 0.78, count)[::-1]]


def signal_of(recording: Recording) -> tuple[str, str, NDArray[np.float64]]:
    """Return `delta_norm`, or `grad_norm` where it was not recorded: field, words and values."""
    try:
        delta = recording.delta_norm
    except AttributeError:
        delta = np.full(0, np.nan)
    if np.isnan(delta).all():
        return "grad_norm", "gradient  ‖∂L/∂weight‖", recording.grad_norm
    return "delta_norm", "signal  ‖∂L/∂output‖", delta


def label_layers(axis: Axis, names: list[str], *, upright: bool = False) -> None:
    """Name the layers on an axis, that of y if it is upright: evenly spaced ones, but the last always."""
    last = len(names) - 1
    stride = max(1, math.ceil(last / (MAX_LAYER_TICKS - 1)))
    places = [*range(0, last - stride // 2, stride), last]
    labels = [names[place].removesuffix(".weight") for place in places]
    turned = not upright and max(map(len, labels), default=0) > 5
    axis.set_ticks(places, labels, rotation=40 if turned else 0, ha="right" if turned or upright else "center")
    axis.set_label_text("layer, from input to output")


def finish(ax: Axes, title: str, recording: Recording) -> None:
    """Give axes their title, with the verdict, and take away what is not needed."""
    with contextlib.suppress(ValueError):  # too few layers or steps for a verdict
        title = f"{title}: {recording.diagnose().verdict}"
    ax.set_title(title, loc="left", color=INK, fontweight="bold", fontsize="large")
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)


def legend_below(ax: Axes, handles: Sequence[Artist], labels: Sequence[str], columns: int = 2) -> None:
    """Draw a legend under the x axis, where it hides nothing."""
    how: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (0, -0.14), "fontsize": "small", "frameon": False}
    ax.legend(handles, labels, ncols=columns, **how)


class Blocks(NamedTuple):
    """Many steps (or layers) in blocks, one for each column of a picture; few of them, each by itself."""

    edges: NDArray[np.intp]

    @classmethod
    def of(cls, count: int, columns: int = MOST_COLUMNS) -> Blocks:
        """Divide them evenly."""
        return cls(np.linspace(0, count, min(count, columns) + 1).round().astype(np.intp))

    @property
    def starts(self) -> NDArray[np.intp]:
        """The first of each block."""
        return self.edges[:-1]

    def geometric_mean(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the geometric mean over each block of what is positive and finite; NaN where nothing is."""
        shown = np.isfinite(values) & (values > 0)
        logs = np.log10(np.where(shown, values, 1.0))
        counts = np.add.reduceat(shown.astype(np.float64), self.starts, axis=0)
        sums = np.add.reduceat(logs, self.starts, axis=0)
        return np.asarray(10.0 ** np.divide(sums, counts, out=np.full_like(sums, np.nan), where=counts > 0))

    def any(self, flags: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Tell in which blocks something is flagged."""
        return np.asarray(np.logical_or.reduceat(flags, self.starts, axis=0))
