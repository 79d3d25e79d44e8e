"""What the lab prints: a bar for every layer, the verdict in words, and the table."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gradiometer.lab.training import Run
from gradiometer.wording import COLOURS

HEIGHT = 4
SMALLEST_SPAN = 6
"""Decades. A smaller axis would make hills of what is flat."""
BLOCKS = " ▁▂▃▄▅▆▇█"
ASCII_BLOCKS = " ..::||##"

SPELLED = {
    "×": "x",
    "÷": "/",
    "σ": "sigma",
    "φ": "phi",
    "–": "-",
    "−": "-",
    "·": "*",
    "′": "'",
    "…": "...",
    "→": "->",
}


def show_run(console: Console, run: Run) -> None:
    """Print the gradient of every layer, at the start and over the training, and the verdict in words."""
    plain = console.options.ascii_only
    style = COLOURS.get(run.diagnosis.verdict, "")
    architecture = f" ({run.experiment.architecture})"
    text = Text(f"\n{run.experiment.name}", style="bold")
    text.append(_plain(architecture) if plain else architecture, style="dim")
    console.print(text)

    low, high = axis(np.concatenate([run.start, run.median]))
    labels = [f"1e{high:+03d}", f"1e{low:+03d}"]
    margin = max(len(label) for label in labels) + 2
    across = max((console.width - margin - 3) // 2, 8)
    captions = "at the start", f"median of {len(run.recording.steps)} steps"
    charts = [bars(values, low, high, across, ascii_only=plain) for values in (run.start, run.median)]
    layers = len(run.start)
    foot = f"1{layers!s:>{max(len(charts[0][0]) - 1, 1)}}"
    width = max(len(charts[0][0]), len(captions[0]), len(foot))

    tick, line = ("|", "|") if plain else ("┤", "│")
    console.print(Text(f"{'':{margin}}{captions[0]:{width}}   {captions[1]}", style="dim"))
    for row in range(HEIGHT):
        label = {0: labels[0], HEIGHT - 1: labels[1]}.get(row, "")
        edge = tick if label else line
        printed = Text(f"{label:>{margin - 2}} {edge}", style="dim")
        printed.append(f"{charts[0][row]:{width}}   {charts[1][row]}", style=style)
        console.print(printed)
    console.print(Text(f"{'':{margin}}{foot:{width}}   {foot}  layer", style="dim"))
    console.print(Text(_plain(str(run.diagnosis)) if plain else str(run.diagnosis), style=style))


def axis(values: NDArray[np.float64]) -> tuple[int, int]:
    """Return the whole decades between which all values lie; at least SMALLEST_SPAN apart."""
    seen = values[np.isfinite(values) & (values > 0)]
    if not len(seen):
        return -SMALLEST_SPAN, 0
    low, high = math.floor(np.log10(seen.min())), math.ceil(np.log10(seen.max()))
    missing = max(SMALLEST_SPAN - (high - low), 0)
    return low - missing // 2, high + missing - missing // 2


def bars(values: NDArray[np.float64], low: int, high: int, across: int, *, ascii_only: bool = False) -> list[str]:
    """Draw a bar for every layer on a log axis from 10^low to 10^high, as HEIGHT lines of text.

    A zero is drawn as ``0`` on the floor, what is not finite as ``!`` at the top. Bars are two characters
    wide where there is room; where there is not even one for each layer, neighbours share one, at their
    median.
    """
    blocks = ASCII_BLOCKS if ascii_only else BLOCKS
    groups = np.array_split(values, min(len(values), across))
    wide = 2 if 2 * len(groups) <= across else 1
    columns = []
    for group in groups:
        value = float(np.median(group))
        if not math.isfinite(value):
            column = ["!", *" " * (HEIGHT - 1)]
        elif value <= 0:
            column = [*" " * (HEIGHT - 1), "0"]
        else:
            level = (math.log10(value) - low) / (high - low) * HEIGHT * 8
            eighths = max(round(level), 1)
            column = [blocks[min(max(eighths - 8 * (HEIGHT - 1 - row), 0), 8)] for row in range(HEIGHT)]
        columns += [column] * wide
    return ["".join(column[row] for column in columns) for row in range(HEIGHT)]


def table(runs: list[Run], *, width: int = 80, ascii_only: bool = False) -> Table:
    """Return the one table that compares all runs; a narrow one leaves out what is missed least."""
    ratio = "first /\nlast\nlayer" if ascii_only else "first ÷\nlast\nlayer"
    columns: list[tuple[str, int, Callable[[Run], str]]] = [  # heading, least width of the terminal, cell
        ("slope\ndecades\n/layer", 0, lambda run: f"{run.slope:+.2f}"),
        (ratio, 70, lambda run: f"{run.first_over_last:.1e}"),
        ("training\nloss", 48, lambda run: f"{run.loss:.3g}"),
        ("valid.\nacc.", 0, lambda run: f"{run.accuracy:.3f}"),
        ("learn.\nrate", 48, lambda run: f"{run.lr:g}"),
        ("steps/s", 70, lambda run: f"{run.steps_per_second:.0f}"),
    ]
    columns = [column for column in columns if column[1] <= width]
    made = _bare_table(ascii_only)
    made.add_column("network", min_width=8, overflow="fold")
    for heading, _, _ in columns:
        made.add_column(heading, justify="right", no_wrap=True, overflow="fold")
    made.add_column("verdict", no_wrap=True, overflow="fold")
    for run in runs:
        verdict = run.diagnosis.verdict
        cells = [show(run) for _, _, show in columns]
        made.add_row(run.experiment.name, *cells, Text(verdict, style=COLOURS.get(verdict, "")))
    return made


def information(facts: dict[str, object], *, ascii_only: bool = False) -> Table:
    """Return a table of what `gradiometer.info` knows."""
    made = _bare_table(ascii_only)
    made.show_header = False
    made.add_column(style="bold", overflow="fold")
    made.add_column(overflow="fold")
    for name, value in facts.items():
        words = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
        made.add_row(name.replace("_", " "), words)
    return made


def _bare_table(ascii_only: bool) -> Table:
    return Table(box=None if ascii_only else box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)


def _plain(text: str) -> str:
    """Spell the signs that ASCII does not have."""
    return "".join(SPELLED.get(sign, sign if sign.isascii() else "?") for sign in text)
