"""A run over time: the loss, the total norm before and after clipping, and the signal of every layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gradiometer.plots.log_axis import log_axis
from gradiometer.plots.style import GRID, INK, Blocks, finish, legend_below, ordered_colours, signal_of

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

    from gradiometer.recording import Recording

__all__ = ["time"]

TOTAL, CLIPPED = "#c8500a", "#8c1d5a"


def time(recording: Recording, ax: Axes) -> Axes:
    """Draw norms over steps on the log axis on the left, and the loss on a linear one on the right."""
    _, words, signal = signal_of(recording)
    total, coefficient = recording.total_norm, recording.clip_coefficient
    blocks = Blocks.of(len(recording))
    steps = recording.steps[blocks.starts].astype(float)
    clipped = coefficient < 1
    curves = [*signal.T, total, *([total * coefficient] if clipped.any() else [])]
    bands = log_axis(ax, np.concatenate(curves))

    def draw(values: NDArray[np.float64], colour: Any, height: float, **look: Any) -> None:
        ax.plot(steps, blocks.geometric_mean(values), color=colour, **look)
        for flags, sample in ((values == 0, 0.0), (~np.isfinite(values), np.nan)):
            there = blocks.any(flags)
            bands.mark(steps[there], np.full(int(there.sum()), sample), colour, height)

    layers = signal.shape[1]
    heights = np.linspace(0.15, 0.65, layers)
    named = {0: "first layer", layers - 1: "last layer"}
    for layer, colour in reversed(list(enumerate(ordered_colours(layers)[::-1]))):
        name = f"{words}, {named[layer]}" if layer in named else None
        draw(signal[:, layer], colour, float(heights[layer]), linewidth=1.0, zorder=2, label=name)
    draw(total, TOTAL, 0.85, linewidth=1.8, zorder=3, label="norm of all gradients")
    if clipped.any():
        look: dict[str, Any] = {"linewidth": 1.5, "linestyle": (0, (4, 2)), "zorder": 3}
        draw(total * coefficient, CLIPPED, 0.85, label="after clipping", **look)
        share = 100 * clipped.mean()
        where = steps[blocks.any(clipped)]
        ax.plot(
            where, np.full(len(where), 0.008), transform=ax.get_xaxis_transform(), linestyle="none", marker="|",
            markersize=7, color=CLIPPED, label=f"clipped steps ({share:.0f} %)",
        )  # fmt: skip
    ax.set_ylabel("L2 norm (log scale)")
    ax.set_xlabel("step")
    ax.grid(axis="y", color=GRID, linewidth=0.8)
    loss = _draw_loss(ax, recording, blocks, steps)
    finish(ax, "Training", recording)
    handles = [*ax.get_legend_handles_labels()[0], *loss]
    legend_below(ax, handles, [str(handle.get_label()) for handle in handles])
    return ax


def _draw_loss(ax: Axes, recording: Recording, blocks: Blocks, steps: NDArray[np.float64]) -> list[Artist]:
    loss = recording.loss
    finite = np.isfinite(loss)
    if not finite.any():
        return []
    counts = np.add.reduceat(finite.astype(float), blocks.starts)
    sums = np.add.reduceat(np.where(finite, loss, 0.0), blocks.starts)
    means = np.divide(sums, counts, out=np.full_like(sums, np.nan), where=counts > 0)
    right = ax.twinx()
    lines = right.plot(steps, means, color=INK, linewidth=1.6, linestyle=(0, (1, 1.2)), label="loss (right)")
    right.set_ylabel("loss", color=INK)
    low, high = float(np.nanmin(means)), float(np.nanmax(means))
    right.set_ylim(min(0.0, low) * 1.05, (high if high > 0 else 1.0) * 1.05)
    right.spines[["top", "left"]].set_visible(False)
    return list(lines)
