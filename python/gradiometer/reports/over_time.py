"""Curves over the steps: the loss, and the norm of all gradients before and after clipping."""

from __future__ import annotations

import itertools

import numpy as np
from bokeh.models import ColumnDataSource
from bokeh.plotting import figure
from numpy.typing import NDArray

from gradiometer.reports.run import Run, decades
from gradiometer.reports.scale import LogScale, norm_text
from gradiometer.reports.section import Key, Panel, Section
from gradiometer.reports.style import (
    BLUE,
    GREEN,
    ORANGE,
    VERMILION,
    add_cursor,
    add_hover,
    new_plot,
    run_keys,
    run_style,
)
from gradiometer.slopes import Floats

RUG = 0.05
"""Height of the strip of clipped steps, as a share of the axis."""
STRETCHES = 300
"""The strip tells the share of clipped steps of so many stretches of steps."""


def section(runs: list[Run]) -> Section:
    """Return both plots: of one run with all that happened to it, of several one curve each."""
    alone = len(runs) == 1
    losses, norms = [run.recording.loss for run in runs], [run.recording.total_norm for run in runs]
    after = clipped_norm(runs[0], norms[0]) if alone else None
    legend: list[Key] = []
    notes: list[str] = []
    if alone:
        legend += [Key("loss of each batch, and norm before clipping", BLUE)]
        if after is not None:
            legend.append(Key("norm after clipping", VERMILION, "dash"))
        if len(runs[0].recording.validation):
            legend.append(Key("validation loss", GREEN, "circle"))
        if _clipped(runs[0]).any():
            legend.append(Key("clipped steps (share of a stretch)", ORANGE, "box"))
        if "per_layer=True" in str(runs[0].meta.get("clip")):
            notes.append("Clipping had a coefficient for each layer, so that the norm after it is not known.")
    else:
        legend = run_keys(runs)
    loss_plot, norm_plot = (new_plot("step", label, 300) for label in ("loss (log scale)", "L2 norm (log scale)"))
    _curves(loss_plot, runs, losses, "loss")
    _curves(norm_plot, runs, norms, "total_norm", after)
    if alone:
        _validation(loss_plot, runs[0])
        _rug(norm_plot, runs[0])
        for name, plot in (("loss", loss_plot), ("norm", norm_plot)):
            add_cursor(plot, f"cursor-step-{name}", float(runs[0].steps[0]))
    return Section(
        anchor="time",
        title="Loss and size of the gradients",
        lead="The loss of each batch, and the norm of all gradients together, before clipping"
        + (" and after it." if after is not None else "."),
        panels=[
            Panel(loss_plot, _text("Loss", runs, losses), "Loss"),
            Panel(norm_plot, _text("Norm of all gradients", runs, norms) + _clip_text(runs), "Norm of all gradients"),
        ],
        legend=legend,
        notes=notes,
    )


def clipped_norm(run: Run, norm: Floats) -> Floats | None:
    """Return the norm after clipping; None without clipping, or where each layer had its own coefficient."""
    clip = run.meta.get("clip")
    if not clip or "per_layer=True" in str(clip):
        return None
    return np.asarray(norm * run.recording.clip_coefficient)


def _curves(plot: figure, runs: list[Run], curves: list[Floats], what: str, after: Floats | None = None) -> None:
    logs = [decades(values) for values in curves]
    validation = runs[0].recording.validation if len(runs) == 1 and what == "loss" else None
    others = [] if after is None else [decades(after)]
    others += [] if validation is None else [decades(validation["loss"])]
    scale = LogScale.of([*logs, *others], 0.6)
    scale.apply(plot)
    hovered = []
    for number, (run, values) in enumerate(zip(runs, logs, strict=True)):
        colour, dash = run_style(number)
        rows = run.points(values.astype(np.float64))
        who = "" if len(runs) == 1 else f"{run.name}\n"
        label = {"loss": "loss", "total_norm": "norm"}[what]
        tips = [f"{who}step {run.steps[row]:,}\n{label}: {norm_text(float(values[row]))}" for row in rows]
        if after is not None:
            cut = others[0]
            tips = [f"{tip}\nafter clipping: {norm_text(float(cut[row]))}" for tip, row in zip(tips, rows, strict=True)]
            source = ColumnDataSource(_columns(run.steps[rows], cut[rows], scale))
            plot.line("step", "line", source=source, color=VERMILION, line_dash="dashed", line_width=1.4)
        source = ColumnDataSource(_columns(run.steps[rows], values[rows], scale) | {"tip": tips})
        hovered.append(plot.line("step", "line", source=source, color=colour, line_dash=dash, line_width=1.6))
        odd = np.flatnonzero(~np.isfinite(values[rows]))
        marks = ColumnDataSource({name: [column[row] for row in odd] for name, column in source.data.items()})
        hovered.append(plot.scatter("step", "place", source=marks, marker="x", size=8, color=colour, line_width=1.6))
    add_hover(plot, hovered, "vline" if len(runs) == 1 else "mouse")


def _columns(steps: NDArray[np.int64], logs: NDArray[np.float32], scale: LogScale) -> dict[str, object]:
    usual = np.isfinite(logs)
    return {"step": steps, "line": np.where(usual, logs, np.nan), "place": scale.place(logs)}


def _validation(plot: figure, run: Run) -> None:
    rows = run.recording.validation
    if not len(rows):
        return
    logs = decades(rows["loss"])
    source = ColumnDataSource(
        {
            "step": rows["step"],
            "log": np.where(np.isfinite(logs), logs, np.nan),
            "tip": [
                f"validation, step {row.step:,}\nloss: {row.loss:.4g}\naccuracy: {row.accuracy:.3f}" for row in rows
            ],
        }
    )
    add_hover(plot, [plot.scatter("step", "log", source=source, size=7, color=GREEN, line_color=None)])


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


def _text(what: str, runs: list[Run], curves: list[Floats]) -> str:
    parts = []
    for run, values in zip(runs, curves, strict=True):
        ends = f"from {values[0]:.4g} at step {run.steps[0]:,} to {values[-1]:.4g} at step {run.steps[-1]:,}"
        odd = int((~np.isfinite(values)).sum())
        parts.append(
            f"{run.name + ': ' if len(runs) > 1 else ''}{ends}{f', {odd:,} of them NaN or infinite' * (odd > 0)}"
        )
    return f"{what} over the steps: {'; '.join(parts)}."


def _clip_text(runs: list[Run]) -> str:
    if len(runs) > 1:
        return ""
    clipped = _clipped(runs[0])
    return (
        f" {int(clipped.sum()):,} of {len(clipped):,} steps were clipped." if clipped.any() else " No step was clipped."
    )
