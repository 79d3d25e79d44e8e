"""A log axis that leaves nothing out: zeros have a band at its bottom, NaN and infinity one at its top."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gradiometer.plots.style import INK

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["BAND", "Bands", "log_axis"]

BAND = 0.09
"""The share of the height for the values that a log axis cannot show."""
NEUTRAL = "#8a9199"


class Bands:
    """Where zeros and non-finite values are marked, in fractions of the height of the axes."""

    def __init__(self, ax: Axes) -> None:
        self._ax = ax
        self._named: set[str] = set()

    def mark(
        self,
        places: NDArray[np.float64],
        values: NDArray[np.float64],
        colour: Any,
        height: float = 0.5,
        face: Any = None,
    ) -> None:
        """Mark those values that are zero or not finite, at their places; the height is a share of the band."""
        for flags, bottom, marker, name in (
            (values == 0, 0.0, "v", "exactly zero"),
            (~np.isfinite(values), 1 - BAND, "X", "NaN or infinite"),
        ):
            if not flags.any():
                continue
            self._ax.plot(
                places[flags],
                np.full(int(flags.sum()), bottom + BAND * height),
                transform=self._ax.get_xaxis_transform(),
                linestyle="none",
                marker=marker,
                markersize=5.5,
                color=colour,
                markerfacecolor=colour if face is None else face,
                clip_on=False,
            )
            if name not in self._named:
                self._named.add(name)
                self._ax.plot([], [], linestyle="none", marker=marker, color=NEUTRAL, label=name)


def log_axis(ax: Axes, values: NDArray[np.float64]) -> Bands:
    """Set the scale and the limits of the y axis, with room for a band of zeros and one of NaN and infinity if needed.

    The limits are fixed here, so that nothing is scaled by the curves.
    """
    from matplotlib.ticker import NullLocator

    zero, nonfinite = bool((values == 0).any()), bool((~np.isfinite(values)).any())
    bottom, top = _decades(values[np.isfinite(values) & (values > 0)])
    band = BAND * (top - bottom) / (1 - BAND * (zero + nonfinite))
    ax.set_yscale("log")
    # Kept inside what a float can hold, which matters for nets hundreds of layers deep.
    ax.set_ylim(10.0 ** max(bottom - band * zero, -323), 10.0 ** min(top + band * nonfinite, 308))
    stride = next(stride for stride in (1, 2, 5, 10, 20, 50, 100) if top - bottom <= 9 * stride)
    ticks = np.arange(math.ceil(max(bottom, -323) / stride) * stride, min(top, 308) + 1, stride)
    ax.set_yticks(10.0**ticks)
    ax.yaxis.set_minor_locator(NullLocator())  # a tick in a band would mean nothing
    for there, at, tick in ((zero, 0.0, "0"), (nonfinite, 1 - BAND, "NaN, ∞")):
        if there:
            _draw_band(ax, at, tick)
    return Bands(ax)


def _decades(norms: NDArray[np.float64]) -> tuple[int, int]:
    """Return the whole decades around the values, two at least, so that a healthy net does look flat."""
    if not norms.size:
        return -1, 1
    bottom, top = math.floor(np.log10(norms.min()) - 0.1), math.ceil(np.log10(norms.max()) + 0.1)
    return bottom, max(top, bottom + 2)


def _draw_band(ax: Axes, bottom: float, tick: str) -> None:
    from matplotlib.patches import Rectangle

    box = Rectangle((0, bottom), 1, BAND, transform=ax.transAxes, color="#eceef1", linewidth=0, zorder=0.4)
    ax.add_patch(box)
    ax.text(-0.012, bottom + BAND / 2, tick, transform=ax.transAxes, ha="right", va="center", color=INK)
