"""What `Trainer.fit` shows while it trains."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gradiometer.recording import Recording


@contextmanager
def progress_display(wanted: bool, recording: Recording) -> Iterator[Callable[..., None] | None]:
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
        from gradiometer.live import LiveView
    except ImportError as error:
        raise ImportError("progress=True needs the lab extra: pip install 'gradiometer[lab]'") from error

    view = LiveView(recording)
    with view:
        yield view.show
