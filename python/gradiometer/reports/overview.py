"""The top of a page: verdicts, key figures, and the table that compares runs."""

from __future__ import annotations

import math
from dataclasses import dataclass

from gradiometer.reports.run import Run, architecture_text
from gradiometer.reports.section import Table
from gradiometer.reports.style import VERDICT_COLOURS


@dataclass(frozen=True)
class Verdict:
    """What stands above everything else."""

    name: str
    word: str
    colour: str
    summary: str
    architecture: str


def verdicts(runs: list[Run]) -> list[Verdict]:
    """Return the verdict of each run; the summary without the word that stands above it."""
    return [
        Verdict(
            run.name,
            run.diagnosis.verdict,
            VERDICT_COLOURS[run.diagnosis.verdict],
            _sentence(str(run.diagnosis).removeprefix(f"{run.diagnosis.verdict}: ")),
            architecture_text(run.meta),
        )
        for run in runs
    ]


def key_figures(run: Run) -> list[tuple[str, str]]:
    """Return names and values of what one asks first."""
    found = run.diagnosis
    loss = run.recording.loss
    figures = [
        ("decades per layer", _signed(found.slope)),
        ("first layer ÷ last", _short(found.ratio_first_last)),
    ]
    if run.field("loss") is not None:
        figures.append(("loss", f"{loss[0]:.3g} → {loss[-1]:.3g}"))
    if accuracy(run) is not None:
        figures.append(("validation accuracy", f"{100 * (accuracy(run) or 0):.1f} %"))
    return [*figures, ("recorded steps", f"{len(run.steps):,}"), ("dense layers", f"{len(run.layers):,}")]


def settings(run: Run) -> Table:
    """Return how the run was made, as far as the recording says."""
    names = {"loss": "loss", "optimizer": "optimizer", "clip": "clipping", "dtype": "element type"}
    rows = [(label, str(run.meta[name] or "none")) for name, label in names.items() if name in run.meta]
    network = architecture_text(run.meta)
    if network:
        rows.insert(0, ("network", network))
    rows.append(("steps", f"{run.steps[0]:,} to {run.steps[-1]:,}, {len(run.steps):,} of them recorded"))
    return Table(f"How {run.name} was made", ("", ""), rows)


def comparison(runs: list[Run]) -> Table:
    """Return one row for each run: verdict, slope, loss and accuracy."""
    rows = []
    for run in runs:
        accurate = accuracy(run)
        rows.append(
            (
                run.name,
                run.diagnosis.verdict,
                _signed(run.diagnosis.slope),
                _short(run.diagnosis.ratio_first_last),
                _short(run.recording.loss[-1]),
                "–" if accurate is None else f"{100 * accurate:.1f} %",
                f"{len(run.steps):,}",
            )
        )
    header = ("run", "verdict", "slope", "first ÷ last", "last loss", "accuracy", "steps")
    return Table(
        "Verdicts; the slope is in decades per layer toward the input, accuracy that of validation", header, rows
    )


def accuracy(run: Run) -> float | None:
    """Return the accuracy of the last validation; None where there was none, or it has no accuracy."""
    rows = run.recording.validation
    return float(rows[-1].accuracy) if len(rows) and not math.isnan(rows[-1].accuracy) else None


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _signed(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:+.2f}"


def _short(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.3g}"
