"""The progress bar of `Trainer.fit`: rich's, from the lab extra."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def progress_display(wanted: bool) -> Iterator[Callable[..., None] | None]:
    """Give a function that shows (epoch, epochs, step, steps of the epoch, loss), or None if no display is wanted.

    Raises
    ------
    ImportError
        If rich is not installed.
    """
    if not wanted:
        yield None
        return
    try:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
    except ImportError as error:
        raise ImportError("progress=True needs the lab extra: pip install 'gradiometer[lab]'") from error

    columns = (
        TextColumn("epoch {task.fields[epoch]}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("loss {task.fields[loss]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns) as bar:
        task = bar.add_task("fit", epoch="0", loss="–")

        def show(epoch: int, epochs: int, step: int, steps: int, loss: float) -> None:
            done = (epoch - 1) * steps + step
            bar.update(task, total=epochs * steps, completed=done, epoch=f"{epoch}/{epochs}", loss=f"{loss:.4g}")

        yield show
