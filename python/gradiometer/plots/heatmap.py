"""All layers at all steps at once: the signal as a colour, on a log scale."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from gradiometer.plots.style import INK, Blocks, finish, label_layers, signal_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from gradiometer.recording import Recording

__all__ = ["heatmap"]

MAX_STEP_TICKS = 8
# Neither is on the scale of viridis.
ZERO, NONFINITE = "#c9ced3", "#d62728"


def heatmap(recording: Recording, ax: Axes) -> Axes:
    """Draw the signal of every layer (rows, input at the bottom) at every step (columns).

    A column of a long run holds several steps: the geometric mean of them, and a zero or a NaN if there is one.
    """
    from matplotlib.colors import ListedColormap
    from matplotlib.patches import Patch
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    _, words, values = signal_of(recording)
    steps, blocks = recording.steps, Blocks.of(len(recording))
    with np.errstate(divide="ignore"):
        decades = np.log10(blocks.geometric_mean(values)).T
    nonfinite = blocks.any(~np.isfinite(values)).T
    zero = blocks.any(values == 0).T & ~nonfinite
    decades[zero | nonfinite] = np.nan

    extent = (-0.5, len(blocks.starts) - 0.5, -0.5, len(values[0]) - 0.5)
    how: dict[str, Any] = {"aspect": "auto", "origin": "lower", "interpolation": "nearest", "extent": extent}
    keys = []
    for flags, colour, name in ((zero, ZERO, "exactly zero"), (nonfinite, NONFINITE, "NaN or infinite")):
        if flags.any():
            ax.imshow(np.where(flags, 0.0, np.nan), cmap=ListedColormap([colour]), **how)
            keys.append(Patch(color=colour, label=name))
    if np.isfinite(decades).any():
        low, high = float(np.nanmin(decades)), float(np.nanmax(decades))
        middle, half = (low + high) / 2, max(high - low, 1.0) / 2  # a decade at least: a healthy net looks even
        image = ax.imshow(decades, cmap="viridis", vmin=middle - half, vmax=middle + half, **how)
        bar = ax.figure.colorbar(
            image, ax=ax, pad=0.015, format=FuncFormatter(lambda decade, _: f"$10^{{{decade:g}}}$"),
            ticks=MaxNLocator(nbins=8, integer=2 * half >= 2),
        )  # fmt: skip
        bar.set_label(f"{words} (log scale)", color=INK)
        bar.outline.set_visible(False)
    if keys:
        ax.legend(handles=keys, loc="upper right", bbox_to_anchor=(1, 1.1), ncols=2, fontsize="small", frameon=False)
    wanted = MaxNLocator(nbins=MAX_STEP_TICKS, integer=True).tick_values(steps[0], max(steps[-1], steps[0] + 1))
    wanted = wanted[(wanted >= steps[0]) & (wanted <= steps[-1])]
    places = np.interp(wanted, steps[blocks.starts], np.arange(len(blocks.starts)))
    ax.set_xticks(places, [f"{step:.0f}" for step in wanted])
    most = int(np.diff(blocks.edges).max())
    ax.set_xlabel("step" if most == 1 else f"step (a column is the geometric mean of {most} or fewer)")
    label_layers(ax.yaxis, recording.layer_names, upright=True)
    finish(ax, "Gradients by layer and step", recording)
    return ax
