"""A quantity over the steps: one curve for each run, on an axis that leaves nothing out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from bokeh.models import ColumnDataSource
from bokeh.plotting import figure

from gradiometer.reports.run import Run, decades
from gradiometer.reports.scale import LogScale, Scale
from gradiometer.reports.style import add_hover, new_plot, run_style
from gradiometer.slopes import Floats

LARGEST = 1e300
"""Beyond it, a linear axis has no place for a value."""


@dataclass(frozen=True)
class Curves:
    """What is drawn: the values of each run at all of its steps, as they were recorded."""

    label: str
    """What they are."""
    runs: Sequence[Run]
    values: Sequence[Floats]
    others: Sequence[Floats] = ()
    """More values that the axis must have room for."""

    @property
    def linear(self) -> bool:
        """Whether a value is negative, as the log-likelihood of a loss of one's own may be."""
        return any(bool((np.nan_to_num(values) < 0).any()) for values in (*self.values, *self.others))

    def on_axis(self, values: Floats) -> Floats:
        """Return the values in the units of the axis."""
        if self.linear:
            return np.where(np.abs(values) < LARGEST, values, np.nan)
        return decades(values).astype(np.float64)

    def scale(self) -> Scale:
        """Return the axis."""
        everything = [self.on_axis(values) for values in (*self.values, *self.others)]
        if not self.linear:
            return LogScale.of(everything, 0.6)
        finite = np.concatenate(everything)
        return Scale.of(everything, 0.1 * float(np.nanmax(np.abs(finite), initial=1e-9)))

    def draw(self, height: int = 300, after: Floats | None = None) -> tuple[figure, Scale]:
        """Return a plot of them.

        Parameters
        ----------
        after : array, optional
            Of a single run, the values after clipping, for the tip.
        """
        alone = len(self.runs) == 1
        scale = self.scale()
        plot = new_plot("step", f"{self.label}{'' if self.linear else ' (log scale)'}", height)
        scale.apply(plot)
        hovered = []
        for number, (run, values) in enumerate(zip(self.runs, self.values, strict=True)):
            colour, dash = run_style(number)
            rows = run.points(self.on_axis(values))
            who = "" if alone else f"{run.name}\n"
            tips = [f"{who}step {run.steps[row]:,}\n{self.label}: {values[row]:.4g}" for row in rows]
            if after is not None:
                tips = [f"{tip}\nafter clipping: {after[row]:.4g}" for tip, row in zip(tips, rows, strict=True)]
            placed = self.on_axis(values[rows])
            usual = np.isfinite(placed)
            line = {"step": run.steps[rows], "value": np.where(usual, placed, np.nan), "tip": tips}
            odd = np.flatnonzero(~usual)
            marks = {"step": run.steps[rows][odd], "place": scale.place(placed[odd]), "tip": [tips[row] for row in odd]}
            source = ColumnDataSource(line)
            hovered += [
                plot.line("step", "value", source=source, color=colour, line_dash=dash, line_width=1.6),
                plot.scatter("step", "place", source=ColumnDataSource(marks), marker="x", size=8, color=colour),
            ]
        add_hover(plot, hovered, "vline" if alone else "mouse")
        return plot, scale

    def text(self) -> str:
        """Return the first and the last value of each run, in words."""
        parts = []
        for run, values in zip(self.runs, self.values, strict=True):
            who = f"{run.name}: " if len(self.runs) > 1 else ""
            odd = int((~np.isfinite(values)).sum())
            parts.append(
                f"{who}from {values[0]:.4g} at step {run.steps[0]:,} to {values[-1]:.4g} at step {run.steps[-1]:,}"
                + (f", {odd:,} of them NaN or infinite" if odd else "")
            )
        return f"{self.label.capitalize()} over the steps: {'; '.join(parts)}."
