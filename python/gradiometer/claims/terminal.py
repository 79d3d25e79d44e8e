"""What the command prints: each claim as it is measured, and the verdicts."""

from __future__ import annotations

from collections.abc import Mapping

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gradiometer.claims.catalogue import CLAIMS
from gradiometer.claims.outcome import Case, Kind, Measurement, Outcome

STYLES: dict[Kind, str] = {"holds": "#0072b2", "holds only if": "#e69f00", "does not hold": "#d55e00"}
"""Okabe and Ito's colours, which the colour-blind tell apart; the words say the same."""


def show(console: Console, name: str, outcome: Outcome) -> None:
    """Print a claim: the figure that decides each of its cases, and the verdict."""
    console.print(Text(f"\n{CLAIMS[name].statement}", style="bold").append(f"  {name}", style="not bold dim"))
    figures = _grid()
    for case in outcome.cases:
        figures.add_row(_answer(case), *_cells(case.decisive))
    console.print(figures)
    console.print(verdict(outcome))


def show_in_full(console: Console, name: str, outcome: Outcome) -> None:
    """Print a claim with all its figures, what it needs of them, and what was done."""
    claim = CLAIMS[name]
    console.print(Text(f"\n{claim.statement}", style="bold"))
    console.print(claim.experiment, markup=False, style="dim")
    for case in outcome.cases:
        console.print(Text("\n").append(_answer(case)).append(f" if {case.condition}"))
        figures = _grid()
        for measurement in case.measurements:
            needed = "" if measurement.needed is None else f"needs {measurement.needed.text(measurement.quantity)}"
            figures.add_row("", *_cells(measurement), needed, measurement.met_text if needed else "")
        console.print(figures)
    console.print()
    console.print(verdict(outcome))


def verdicts(outcomes: Mapping[str, Outcome]) -> Table:
    """Return one row for each claim."""
    made = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    made.add_column("the notes say", overflow="fold", ratio=1)
    made.add_column("measured", overflow="fold", ratio=1)
    for name, outcome in outcomes.items():
        made.add_row(CLAIMS[name].statement, verdict(outcome))
        made.add_section()
    return made


def verdict(outcome: Outcome) -> Text:
    """Return the verdict in its colour."""
    return Text(outcome.verdict, style=STYLES[outcome.kind])


def _answer(case: Case) -> Text:
    return Text("yes", style=STYLES["holds"]) if case.confirms else Text("no", style=STYLES["does not hold"])


def _grid() -> Table:
    return Table.grid(padding=(0, 2, 0, 0))


def _cells(measurement: Measurement) -> tuple[str, str, str]:
    theory = "" if measurement.theory is None else f"theory {measurement.theory_text}"
    return measurement.label, f"{measurement.quantity.name} {measurement.text}", theory
