"""What is shown while a sweep runs: counts of the verdicts, the best run, a progress bar."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from gradiometer.sweeps.grid import identity
from gradiometer.sweeps.result import Run

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress


class Tally:
    """Counts runs by their verdict, and keeps the best."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.best: Run | None = None
        self.error: Run | None = None
        """The last run that failed."""

    def add(self, run: Run) -> None:
        """Count a run."""
        self.counts[run.kind] += 1
        if run.outcome.error is not None:
            self.error = run
        elif self.best is None or quality(run) > quality(self.best):
            self.best = run

    def __str__(self) -> str:
        return ", ".join(f"{count} {kind}" for kind, count in self.counts.most_common())


def quality(run: Run) -> tuple[float, float]:
    """Return what makes a run the better one: validation accuracy; where that is equal or unknown, a low loss."""
    outcome = run.outcome
    loss = outcome.final_loss if math.isnan(outcome.validation_loss) else outcome.validation_loss
    if outcome.error is not None or not math.isfinite(loss):
        return -1.0, -math.inf
    return (-1.0 if math.isnan(outcome.validation_accuracy) else outcome.validation_accuracy), -loss


def ranked(runs: Iterable[Run]) -> list[list[Run]]:
    """Return the runs of each configuration together, the configuration that is best on average first."""
    groups: dict[str, list[Run]] = {}
    for run in runs:
        groups.setdefault(identity(run.parameters), []).append(run)
    return sorted(groups.values(), key=_mean_quality, reverse=True)


def _mean_quality(group: list[Run]) -> tuple[float, float]:
    accuracies, losses = zip(*map(quality, group), strict=True)
    return float(np.mean(accuracies)), float(np.mean(losses))


@contextmanager
def progress_bar(wanted: bool) -> Iterator[Callable[[Run, int, int], None]]:
    """Give a function that shows how far a sweep is; one that shows nothing if it is not wanted.

    Raises
    ------
    ImportError
        If rich is not installed.
    """
    if not wanted:
        yield lambda _run, _done, _total: None
        return
    try:
        import rich  # noqa: F401
    except ImportError as error:
        raise ImportError("progress=True needs the lab extra: pip install 'gradiometer[lab]'") from error
    tally = Tally()
    with bar() as shown:
        task = shown.add_task("sweep", total=None)

        def show(run: Run, done: int, total: int) -> None:
            tally.add(run)
            shown.update(task, total=total, completed=done, description=str(tally))

        yield show


def bar(console: Console | None = None) -> Progress:
    """Return rich's progress bar of so many runs of all, and the time that is left."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
    )
