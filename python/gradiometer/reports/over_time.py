"""Curves over the steps: the loss, and the norm of all gradients before and after clipping."""

from __future__ import annotations

import itertools

import numpy as np
from bokeh.models import ColumnDataSource
from bokeh.plotting import figure
from numpy.typing import NDArray

from gradiometer.reports.curves import Curves
from gradiometer.reports.run import Run
from gradiometer.reports.section import Key, Panel, Section
from gradiometer.reports.style import BLUE, GREEN, ORANGE, VERMILION, add_cursor, add_hover, run_keys
from gradiometer.slopes import Floats

RUG = 0.05
"""Height of the strip of clipped steps, as a share of the axis."""
STRETCHES = 300
"""The strip tells the share of clipped steps of so many stretches of steps."""


def section(runs: list[Run]) -> Section:
    """Return both plots: of one run with all that happened to it, of several one curve each."""
    alone = len(runs) == 1
    with_loss = [run for run in runs if run.field("loss") is not None]
    after = clipped_norm(runs[0]) if alone else None
    panels = [_loss(with_loss, alone)] if with_loss else []
    panels.append(_norm(runs, after))
    notes = [f"The loss of {run.name} is not known: nobody told it." for run in runs if run not in with_loss]
    if alone and "per_layer=True" in str(runs[0].meta.get("clip")):
        notes.append("Clipping had a coefficient for each layer, so that the norm after it is not known.")
    return Section(
        anchor="time",
        title="Loss and size of the gradients",
        lead="The loss of each batch, and the norm of all gradients together, before clipping"
        + (" and after it." if after is not None else "."),
        panels=panels,
        legend=_legend(runs[0], after is not None) if alone else run_keys(runs),
        notes=notes,
    )


def clipped_norm(run: Run) -> Floats | None:
    """Return the norm after clipping; None without clipping, or where each layer had its own coefficient."""
    clip = run.meta.get("clip")
    if not clip or "per_layer=True" in str(clip):
        return None
    return np.asarray(run.recording.total_norm * run.recording.clip_coefficient)


def _legend(run: Run, after: bool) -> list[Key]:
    legend = [Key("loss of each batch, and norm before clipping", BLUE)]
    if after:
        legend.append(Key("norm after clipping", VERMILION, "dash"))
    if len(run.recording.validation):
        legend.append(Key("validation loss", GREEN, "circle"))
    if _clipped(run).any():
        legend.append(Key("clipped steps (share of a stretch)", ORANGE, "box"))
    return legend


def _loss(runs: list[Run], alone: bool) -> Panel:
    validation = runs[0].recording.validation if alone else None
    others = [] if validation is None else [np.asarray(validation["loss"])]
    curves = Curves("loss", runs, [run.recording.loss for run in runs], others)
    plot, scale = curves.draw()
    if alone:
        add_cursor(plot, "cursor-step-loss", float(runs[0].steps[0]))
    if validation is not None and len(validation):
        source = ColumnDataSource(
            {
                "step": validation["step"],
                "place": scale.place(curves.on_axis(validation["loss"])),
                "tip": [
                    f"validation, step {row.step:,}\nloss: {row.loss:.4g}"
                    + ("" if np.isnan(row.accuracy) else f"\naccuracy: {row.accuracy:.3f}")
                    for row in validation
                ],
            }
        )
        add_hover(plot, [plot.scatter("step", "place", source=source, size=7, color=GREEN, line_color=None)])
    return Panel(plot, curves.text(), "Loss")


def _norm(runs: list[Run], after: Floats | None) -> Panel:
    curves = Curves("norm", runs, [run.recording.total_norm for run in runs], [] if after is None else [after])
    plot, _ = curves.draw(after=after)
    text = curves.text()
    if len(runs) == 1:
        (run,) = runs
        if after is not None:
            placed = curves.on_axis(after)
            rows = run.points(placed)
            line = np.where(np.isfinite(placed), placed, np.nan)[rows]
            plot.line(run.steps[rows], line, color=VERMILION, line_dash="dashed", line_width=1.4)
        clipped = _clipped(run)
        text += f" {int(clipped.sum()):,} of {len(clipped):,} steps were clipped."
        _rug(plot, run)
        add_cursor(plot, "cursor-step-norm", float(run.steps[0]))
    return Panel(plot, text, "Norm of all gradients")


def _clipped(run: Run) -> NDArray[np.bool_]:
    return np.asarray(run.recording.clip_coefficient < 1)


def _rug(plot: figure, run: Run) -> None:
    """Draw a strip at the bottom that is dark where many steps were clipped, and misses none."""
    clipped = _clipped(run)
    if not clipped.any():
        return
    edges = np.unique(np.linspace(0, len(clipped), min(STRETCHES, len(clipped)) + 1).astype(np.intp))
    shares = np.array([clipped[start:stop].mean() for start, stop in itertools.pairwise(edges)])
    some = np.flatnonzero(shares > 0)
    start, end = plot.y_range.start, plot.y_range.end
    height = RUG * (end - start)
    plot.y_range.start = start - height
    half = 0.5 * float(np.median(np.diff(run.steps))) if len(run.steps) > 1 else 0.5
    first, last = run.steps[edges[:-1]][some], run.steps[edges[1:] - 1][some]
    source = ColumnDataSource(
        {
            "left": first - half,
            "right": last + half,
            "alpha": 0.25 + 0.75 * shares[some],
            "tip": [
                f"steps {low:,} to {high:,}\n{100 * share:.0f} % clipped" if low < high else f"step {low:,}\nclipped"
                for low, high, share in zip(first, last, shares[some], strict=True)
            ],
        }
    )
    strip = plot.quad(
        "left", "right", start, start - height, source=source, fill_color=ORANGE, fill_alpha="alpha", line_color=None
    )
    add_hover(plot, [strip])
