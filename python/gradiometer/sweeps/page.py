"""The page that compares runs of a sweep."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from gradiometer.recording import Recording
from gradiometer.reports import MOST_RUNS, report
from gradiometer.sweeps.display import ranked
from gradiometer.sweeps.result import Run

__all__ = ["write_page"]


def write_page(runs: Iterable[Run], path: Path, title: str) -> tuple[int, int]:
    """Write a report on the first run of each configuration, the best configuration first.

    Of more than a page can compare, it takes some from the best to the worst, evenly spaced in the order of the table.

    Returns
    -------
    (int, int)
        How many runs the page shows, and of how many configurations. 0: nothing was recorded, and no page is written.
    """
    candidates = [group[0] for group in ranked(runs)]
    measured = [run for run in candidates if run.outcome.verdict is not None]
    places = np.linspace(0, len(measured) - 1, min(len(measured), MOST_RUNS)).round().astype(int)
    shown = [(run, recording) for run in (measured[place] for place in places) if (recording := _recording(run))]
    if shown:
        names = [str(run) for run, _ in shown]
        report([recording for _, recording in shown], path, names=names, title=title)
    return len(shown), len(candidates)


def _recording(run: Run) -> Recording | None:
    """Read it from the store, and add the validation of the run, which the sweep keeps apart from it."""
    recording = run.recording
    if recording is not None and math.isfinite(run.outcome.validation_loss):
        last, outcome = int(recording.steps[-1]), run.outcome
        recording._recorder.append_validation(last, outcome.validation_loss, outcome.validation_accuracy)
    return recording
