"""What a notebook shows of a recording and of a network: small pieces of HTML, all text escaped."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gradiometer.plots.style import signal_of
from gradiometer.wording import COLOURS

if TYPE_CHECKING:
    from gradiometer.recording import Recording

__all__ = ["recording_html", "table_html"]

WIDTH, HEIGHT = 460, 162
LEFT, RIGHT = 62, 448
NAN_AT, TOP, BOTTOM, ZERO_AT, CAPTION_AT = 8.0, 24.0, 116.0, 132.0, 154.0
FIRST, LAST = "#8a9199", "#0072b2"
RADIUS = 2.5
MOST_MARKS = 60  # layers; more of them are lines only


def table_html(caption: str, rows: Sequence[Sequence[str]]) -> str:
    """Return a table; its first row is the head."""
    head = "".join(f"<th scope='col' style='text-align:left'>{escape(cell)}</th>" for cell in rows[0])
    body = "".join(
        "<tr>" + "".join(f"<td style='text-align:left;white-space:pre'>{escape(cell)}</td>" for cell in row) + "</tr>"
        for row in rows[1:]
    )
    return (
        f"<table><caption style='text-align:left'>{escape(caption)}</caption>"
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    )


def recording_html(recording: Recording) -> str:
    """Return the verdict, a picture of the signal at the first and the last step, and the facts of a recording."""
    facts = f"<pre style='margin:0.4em 0 0'>{escape(repr(recording))}</pre>"
    if not len(recording) or not recording.layer_names:
        return f"<div>{facts}</div>"
    found = recording.diagnose()
    verdict, _, text = found.summary.partition(": ")
    badge = (
        f"<span style='background:{COLOURS[verdict]};color:#000;padding:0.1em 0.5em;border-radius:0.3em'>"
        f"<b>{escape(verdict)}</b></span>"
    )
    return f"<div><p style='max-width:60em;margin:0'>{badge} {escape(text)}</p>{_picture(recording)}{facts}</div>"


def _picture(recording: Recording) -> str:
    field, words, values = signal_of(recording)
    steps = recording.steps[[0, -1]]
    ends = values[[0, -1]]
    shown = ends[np.isfinite(ends) & (ends > 0)]
    low, high = (float(np.log10(shown.min())), float(np.log10(shown.max()))) if shown.size else (0.0, 0.0)
    bottom, top = math.floor(low), max(math.ceil(high), math.floor(low) + 1)

    def place(layer: int, norm: float) -> tuple[float, float]:
        x = LEFT + (RIGHT - LEFT) * (layer + 0.5) / ends.shape[1]
        if not math.isfinite(norm):
            return x, NAN_AT
        return x, ZERO_AT if norm == 0 else BOTTOM - (math.log10(norm) - bottom) / (top - bottom) * (BOTTOM - TOP)

    curves = "".join(
        _curve([place(layer, float(norm)) for layer, norm in enumerate(row)], row, colour)
        for row, colour in zip(ends, (FIRST, LAST), strict=True)
    )
    label = f"{field} by layer, from input to output, at steps {steps[0]} and {steps[1]}, on a log scale"
    axis = "".join(
        f"<line x1='{LEFT}' x2='{RIGHT}' y1='{y:g}' y2='{y:g}' stroke='currentColor' stroke-opacity='0.2'/>"
        for y in (TOP, BOTTOM)
    )
    ticks = [(f"1e{top:+d}", TOP), (f"1e{bottom:+d}", BOTTOM)]
    ticks += [("0", ZERO_AT)] * bool((ends == 0).any()) + [("NaN, ∞", NAN_AT)] * bool((~np.isfinite(ends)).any())
    axis += "".join(f"<text x='{LEFT - 8}' y='{y + 4:g}' text-anchor='end'>{tick}</text>" for tick, y in ticks)
    keys = "".join(
        f"<tspan fill='{colour}'>●</tspan> step {step} &#160; "
        for step, colour in zip(steps, (FIRST, LAST), strict=True)
    )
    return (
        f"<svg role='img' aria-label='{escape(label, quote=True)}' viewBox='0 0 {WIDTH} {HEIGHT}' width='{WIDTH}' "
        f"height='{HEIGHT}' font-family='sans-serif' font-size='11' fill='currentColor'>{axis}{curves}"
        f"<text x='{LEFT}' y='{CAPTION_AT:g}'>{escape(words)} &#160; {keys} input → output</text></svg>"
    )


def _curve(points: list[tuple[float, float]], norms: NDArray[np.float64], colour: str) -> str:
    """Return a line through what is positive and finite, and marks; triangles and crosses are zeros and NaN."""
    drawn = np.isfinite(norms) & (norms > 0)
    parts: list[str] = []
    run: list[str] = []
    for (x, y), inside in zip([*points, (0.0, 0.0)], [*drawn, False], strict=True):
        if inside:
            run.append(f"{x:.1f},{y:.1f}")
        elif run:
            parts.append(f"<polyline points='{' '.join(run)}' fill='none' stroke='{colour}' stroke-width='1.6'/>")
            run = []
    for (x, y), norm, inside in zip(points, norms, drawn, strict=True):
        if inside and len(points) <= MOST_MARKS:
            parts.append(f"<circle cx='{x:.1f}' cy='{y:.1f}' r='{RADIUS}' fill='{colour}'/>")
        elif not inside:
            sign = "▾" if norm == 0 else "✕"
            parts.append(f"<text x='{x:.1f}' y='{y + 4:.1f}' text-anchor='middle' fill='{colour}'>{sign}</text>")
    return "".join(parts)
