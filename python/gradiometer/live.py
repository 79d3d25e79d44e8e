"""The live view of a run in a terminal, and the plain progress bar elsewhere: rich's, from the lab extra."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from gradiometer.plots.style import Blocks, signal_of
from gradiometer.recording import Recording
from gradiometer.wording import COLOURS

__all__ = ["LiveView", "sparkline"]

SHARE = 0.003
"""Of the time, at most, that is spent on the view: after an update, the next one waits for so long."""
INTERVAL = 0.1  # seconds between two updates, at least
LATEST = 10
"""So many recorded steps are judged."""
WIDEST = 64  # columns of the sparkline; more layers share them
SMALLEST_SPAN = 3.0  # decades: less would make hills of what is flat

SPARKS, ASCII_SPARKS = "▁▂▃▄▅▆▇█", "_.-~=+*#"
ZERO, NONFINITE = "0", "!"


def sparkline(norms: NDArray[np.float64], columns: int = WIDEST, ascii_only: bool = False) -> str:
    """Return norms as small bars on a log scale, one for each layer, or for some of them together.

    A zero and a NaN are shown, as 0 and !, if there is one among the layers of a column.
    """
    sparks = ASCII_SPARKS if ascii_only else SPARKS
    blocks = Blocks.of(len(norms), columns)
    logs = np.log10(blocks.geometric_mean(norms))
    known = logs[np.isfinite(logs)]
    if known.size:
        span = max(SMALLEST_SPAN, float(np.ptp(known)))
        bottom = float(known.max()) - span
        heights = np.clip((np.nan_to_num(logs) - bottom) / span * len(sparks), 0, len(sparks) - 1).astype(int)
    else:
        heights = np.zeros(len(logs), int)
    zero, nonfinite = blocks.any(norms == 0), blocks.any(~np.isfinite(norms))
    return "".join(
        NONFINITE if bad else ZERO if none else sparks[height]
        for height, none, bad in zip(heights, zero, nonfinite, strict=True)
    )


class LiveView(Progress):
    """A progress bar; in a terminal, with two lines on what the run does.

    It is drawn in the thread that trains, and so seldom that it takes no more than `SHARE` of the time.
    """

    def __init__(self, recording: Recording, console: Console | None = None) -> None:
        self._recording = recording
        self._lines: list[Text] = []
        super().__init__(
            TextColumn("epoch {task.fields[epoch]}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("loss {task.fields[loss]}"),
            TimeRemainingColumn(),
            console=console,
            auto_refresh=False,
        )
        self._task = self.add_task("fit", epoch="0", loss="–")
        self._due = time.perf_counter() + INTERVAL  # a short run shows its end only

    def get_renderables(self) -> Iterable[RenderableType]:
        """Return what is drawn."""
        yield from super().get_renderables()
        yield from self._lines

    def show(self, epoch: int, epochs: int, step: int, steps: int, loss: float) -> None:
        """Draw the state of a run, if it is time again, or the run is at its end."""
        began = time.perf_counter()
        done, total = (epoch - 1) * steps + step, epochs * steps
        if began < self._due and done < total:
            return
        self.update(self._task, total=total, completed=done, epoch=f"{epoch}/{epochs}", loss=f"{loss:.4g}")
        if self.console.is_terminal and not self.console.is_jupyter:
            self._lines = self._describe()
        self.refresh()
        ended = time.perf_counter()
        self._due = ended + max(INTERVAL, (ended - began) / SHARE)

    def _describe(self) -> list[Text]:
        """Return the total norm, the verdict on the latest steps and the signal of the layers at the last one."""
        latest = self._recording._latest(LATEST)
        if not len(latest):
            return []
        plain = self.console.options.ascii_only
        verdict = latest.diagnose().verdict
        norms = signal_of(latest)[2][-1]
        clip = float(latest.clip_coefficient[-1])
        line = Text(f"norm {latest.total_norm[-1]:.2e}  ")
        if clip < 1:
            line.append(f"clipped by {clip:.1e}  ", style="dim")
        line.append(verdict, style=f"bold {COLOURS[verdict]}")
        line.append(f"  in the last {len(latest)} recorded steps", style="dim")
        width = max(1, min(WIDEST, self.console.width - 28))
        signal = Text(f"input {_size(norms[0])} ")
        signal.append(sparkline(norms, width, plain), style=COLOURS[verdict])
        signal.append(f" {_size(norms[-1])} output")
        return [line, signal]


def _size(norm: float) -> str:
    return f"{norm:.0e}" if norm and math.isfinite(norm) else f"{norm:g}"
