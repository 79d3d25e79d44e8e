"""What a page is made of: sections with panels, legends and tables. Plain data, which the template lays out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from bokeh.plotting import figure


@dataclass(frozen=True)
class Key:
    """An entry of a legend."""

    label: str
    colour: str
    """A colour, or "ink" for that of the text."""
    shape: str = "line"
    """``"line"``, ``"dash"``, ``"dots"``, ``"circle"``, ``"square"``, ``"box"``, ``"triangle"`` or ``"cross"``."""


@dataclass(frozen=True)
class Table:
    """Numbers behind a figure, for those who do not see it."""

    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Panel:
    """One plot."""

    plot: figure
    text: str
    """What it shows, with the key numbers: its text alternative."""
    title: str = ""
    subtitle: str = ""


@dataclass(frozen=True)
class Section:
    """One subject of a page."""

    anchor: str
    title: str
    lead: str
    """One or two sentences above the figure: how to read it."""
    panels: Sequence[Panel] = ()
    legend: Sequence[Key] = ()
    tables: Sequence[Table] = ()
    notes: Sequence[str] = field(default=())
    """Sentences below it: what is missing, and why."""
    slider: bool = False
    """Whether the slider over the steps stands above the panels."""
