"""What the command ``gradiometer sweep`` shows: a live view of the counts and the best run, and the final table."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import numpy as np
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from gradiometer.lab.terminal import _bare_table, _plain
from gradiometer.sweeps.call import Report
from gradiometer.sweeps.display import Tally, bar, ranked
from gradiometer.sweeps.result import FAILED, Run
from gradiometer.wording import COLOURS

FAILED_STYLE = "bold red"
SPREAD_WIDTH = 80
COLUMNS = (  # heading, field of the outcome, format, least width of the terminal
    ("valid.\nacc.", "validation_accuracy", ".3f", 0),
    ("valid.\nloss", "validation_loss", ".3g", 60),
    ("slope\ndecades\n/layer", "delta_slope", "+.2f", 0),
)


@contextmanager
def live_view(console: Console) -> Iterator[Report]:
    """Give a function that shows every run on a terminal as it comes; one that shows nothing elsewhere."""
    if not console.is_terminal:
        yield lambda _run, _done, _total: None
        return
    tally, progress = Tally(), bar(console)
    task = progress.add_task("sweep", total=None)

    def view() -> RenderableType:
        return Group(progress, *_standing(tally, console.options.ascii_only))

    with Live(get_renderable=view, console=console, refresh_per_second=8, transient=True):

        def show(run: Run, done: int, total: int) -> None:
            tally.add(run)
            progress.update(task, total=total, completed=done)

        yield show


def _standing(tally: Tally, ascii_only: bool) -> list[RenderableType]:
    """Return a bar for each verdict, the best run, and the last error."""
    shown: list[RenderableType] = []
    total = max(sum(tally.counts.values()), 1)
    counts = _bare_table(ascii_only)
    counts.show_header = False
    for kind, count in tally.counts.most_common():
        length = max(round(30 * count / total), 1)
        counts.add_row(Text(kind), f"{count}", Text(("#" if ascii_only else "█") * length), style=_style(kind))
    shown.append(counts)
    if tally.best is not None:
        shown.append(_line(f"best so far: {tally.best}: {figures(tally.best)}", ascii_only))
    if tally.error is not None:
        shown.append(Text(_spelled(f"last error: {tally.error.outcome.error}", ascii_only), style=FAILED_STYLE))
    return shown


def figures(run: Run) -> str:
    """Return a run's accuracy, loss and verdict in words."""
    outcome = run.outcome
    parts = [] if math.isnan(outcome.validation_accuracy) else [f"accuracy {outcome.validation_accuracy:.3f}"]
    parts += [] if math.isnan(outcome.validation_loss) else [f"validation loss {outcome.validation_loss:.3g}"]
    return ", ".join([*parts, run.kind])


def final_table(runs: Iterable[Run], rows: int, *, width: int = 80, ascii_only: bool = False) -> tuple[Table, int]:
    """Return a table of the configurations, means over their seeds, the best first; and how many it leaves out.

    A narrow table leaves out what is missed least: the spread over the seeds, then the loss.
    """
    ordered = ranked(runs)
    names = list(dict.fromkeys(name for group in ordered for name in group[0].parameters))
    made = _bare_table(ascii_only)
    for name in names:
        made.add_column(_spelled(name, ascii_only), overflow="fold")
    columns = [column for column in COLUMNS if column[3] <= width]
    for heading, *_ in columns:
        made.add_column(heading, justify="right", no_wrap=True, overflow="fold")
    made.add_column("verdicts", overflow="fold")
    plus_minus = "" if width < SPREAD_WIDTH else " +- " if ascii_only else " ± "
    for group in ordered[:rows]:
        cells = [_spelled(str(group[0].parameters.get(name, "")), ascii_only) for name in names]
        for _, field, style, _ in columns:
            cells.append(_spread([getattr(run.outcome, field) for run in group], style, plus_minus))
        made.add_row(*map(Text, cells), _verdicts(group))
    return made, max(len(ordered) - rows, 0)


def _spread(values: list[float], style: str, plus_minus: str) -> str:
    """Return mean and standard deviation over the seeds; a dash where there is nothing to average."""
    finite = np.array([value for value in values if math.isfinite(value)])
    if not len(finite):
        return "-"
    mean = f"{finite.mean():{style}}"
    if len(finite) == 1 or not plus_minus:
        return mean
    return f"{mean}{plus_minus}{finite.std(ddof=1):{style.lstrip('+')}}"


def _verdicts(group: list[Run]) -> Text:
    counts = Counter(run.kind for run in group).most_common()
    if len(counts) == 1:
        return Text(counts[0][0], style=_style(counts[0][0]))
    text = Text()
    for i, (kind, count) in enumerate(counts):
        text.append(", " if i else "").append(f"{count} {kind}", style=_style(kind))
    return text


def _style(kind: str) -> str:
    return FAILED_STYLE if kind == FAILED else COLOURS.get(kind, "")


def _line(text: str, ascii_only: bool) -> Text:
    return Text(_spelled(text, ascii_only), style="dim")


def _spelled(text: str, ascii_only: bool) -> str:
    return _plain(text) if ascii_only else text
