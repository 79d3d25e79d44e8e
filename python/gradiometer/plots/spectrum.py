"""The singular values of a Jacobian, from the largest to the smallest, on a log axis."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gradiometer.plots.style import GRID, INK, axes_for

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["spectrum"]

NOISE = 1e-14  # of the largest singular value of a row: what is smaller is rounding
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")  # Okabe and Ito 2008


def spectrum(singular_values: NDArray[np.float64], ax: Axes | None, label: str | None) -> Axes:
    """Draw one spectrum; see ``JacobianSpectrum.plot``.

    The line is the geometric mean over the rows, the band goes from the smallest to the largest of them. It ends where
    some row has nothing left above the rounding noise.
    """
    ax = axes_for(ax)
    number = sum(1 for line in ax.lines if line.get_gid() == "spectrum")
    colour = COLOURS[number % len(COLOURS)]
    known = np.asarray((singular_values > NOISE * singular_values[:, :1]).all(axis=0))
    ranks = (np.arange(known.size) + 0.5) / known.size
    name = "singular values" if label is None else label
    if not known.all():
        name += f" ({100 * (1 - known.mean()):.3g} % zero to rounding)"
    logs = np.log10(singular_values[:, known])
    if known.any():
        ax.fill_between(
            ranks[known], 10.0 ** logs.min(axis=0), 10.0 ** logs.max(axis=0), color=colour, alpha=0.2, linewidth=0
        )
    middle = 10.0 ** logs.mean(axis=0)
    ax.plot(ranks[known], middle, color=colour, linewidth=1.8, marker="o", markersize=3, label=name, gid="spectrum")
    if number == 0:
        ax.set_yscale("log")
        ax.set_xlim(0, 1)
        ax.axhline(1.0, color=INK, linewidth=1.0, linestyle=(0, (3, 2)), zorder=0.5)
        ax.set_xlabel("share of the singular values that are larger")
        ax.set_ylabel("singular value (log scale)")
        title = "Singular values of d(output)/d(input)"
        ax.set_title(title, loc="left", color=INK, fontweight="bold", fontsize="large")
        ax.grid(axis="y", color=GRID, linewidth=0.8)
        ax.set_axisbelow(True)
        ax.spines[["top", "right"]].set_visible(False)
    ax.legend(fontsize="small", framealpha=0.9, edgecolor="none")
    return ax
