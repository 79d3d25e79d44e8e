"""What was measured for a claim, and the rule by which its verdict follows.

A claim is tried in several cases: conditions under which it might hold. A case has measurements, one value for each
seed, and what the claim needs of them. A case confirms the claim if every seed meets every need. If all cases confirm
it, the claim holds; if some do, it holds only under their conditions; if none does, it does not hold.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Kind = Literal["holds", "holds only if", "does not hold"]

DIGITS = 6
"""Significant digits that are kept: what is shown, judged and stored is the same number."""


@dataclass(frozen=True)
class Quantity:
    """What a measurement measures."""

    name: str
    unit: str
    digits: str
    """A format specification."""
    counted: bool = False
    """Whether values are 1 for yes and 0 for no, and what is shown is how many runs say yes."""

    def text(self, value: float) -> str:
        """Return a value as people read it."""
        if math.isinf(value):
            return "−∞" if value < 0 else "∞"
        shown = format(value, self.digits)
        if float(shown) == 0:
            shown = format(0.0, self.digits)  # rather than a zero with a minus
        return shown.replace("-", "−")


@dataclass(frozen=True)
class Criterion:
    """A range that a claim needs every seed's value to be in, ends included."""

    name: str
    """What a value in the range shows: a word, such as "vanishes"."""
    low: float
    high: float

    def met_by(self, value: float) -> bool:
        """Tell whether the value is in the range; NaN is in none."""
        return self.low <= value <= self.high

    def text(self, quantity: Quantity) -> str:
        """Return the range in words."""
        if quantity.counted:
            return "all runs" if self.low == 1 else "no run"
        low, high = quantity.text(self.low), quantity.text(self.high)
        if self.low == -math.inf:
            return f"≤ {high}"
        return f"≥ {low}" if self.high == math.inf else f"{low} … {high}"


@dataclass(frozen=True)
class Measurement:
    """One figure of an experiment, over the seeds, next to theory's."""

    label: str
    """Of the network."""
    quantity: Quantity
    values: tuple[float, ...]
    """One for each seed; a single one where nothing is random."""
    theory: float | None = None
    needed: Criterion | None = None
    """What the claim needs; None where the figure is only there to be seen."""

    @classmethod
    def of(
        cls,
        label: str,
        quantity: Quantity,
        values: Iterable[float],
        theory: float | None = None,
        needed: Criterion | None = None,
    ) -> Measurement:
        """Make one of values as they were measured, rounded to DIGITS."""
        kept = tuple(_rounded(value) for value in values)
        return cls(label, quantity, kept, None if theory is None else _rounded(theory), needed)

    @property
    def median(self) -> float:
        """Median over the seeds."""
        return statistics.median(self.values)

    @property
    def met(self) -> int:
        """How many seeds meet the need; all, where there is none."""
        return sum(self.needed.met_by(value) for value in self.values) if self.needed else len(self.values)

    @property
    def text(self) -> str:
        """Median (smallest … largest), or a count."""
        if self.quantity.counted:
            return f"{sum(self.values):.0f} of {len(self.values)} runs"
        show = self.quantity.text
        if len(self.values) == 1:
            return show(self.values[0])
        return f"{show(self.median)} ({show(min(self.values))} … {show(max(self.values))})"

    @property
    def theory_text(self) -> str:
        """Theory's figure, or a dash."""
        return "–" if self.theory is None else self.quantity.text(self.theory)

    @property
    def needed_text(self) -> str:
        """What the claim needs, or a dash."""
        return "–" if self.needed is None else f"{self.needed.text(self.quantity)} ({self.needed.name})"

    @property
    def met_text(self) -> str:
        """How many seeds have it, or a dash."""
        return "–" if self.needed is None else f"{self.met} of {len(self.values)}"


@dataclass(frozen=True)
class Curve:
    """A line of the picture: median and range over the seeds."""

    label: str
    x: tuple[float, ...]
    low: tuple[float, ...]
    median: tuple[float, ...]
    high: tuple[float, ...]
    broken: bool = False
    """Whether it ends where a run met a NaN or an infinity."""


@dataclass(frozen=True)
class Case:
    """A condition under which the claim is tried."""

    condition: str
    """A clause that goes on after "if"."""
    measurements: tuple[Measurement, ...]
    curves: tuple[Curve, ...] = ()

    @property
    def failed(self) -> list[Measurement]:
        """The measurements that are not, for every seed, as the claim needs them."""
        return [measurement for measurement in self.measurements if measurement.met < len(measurement.values)]

    @property
    def confirms(self) -> bool:
        """Tell whether every seed meets every need."""
        return not self.failed

    @property
    def decisive(self) -> Measurement:
        """The first measurement that fails; where none does, the first that had to be met."""
        needed = [measurement for measurement in self.measurements if measurement.needed is not None]
        return (self.failed or needed)[0]

    @property
    def reason(self) -> str:
        """Say what the case shows, and by which figure."""
        measurement = self.decisive
        figure = f"{measurement.label}: {measurement.quantity.name} {measurement.text}"
        needed = f"the claim needs {measurement.needed_text}"
        if self.confirms:
            others = sum(other.needed is not None for other in self.measurements) - 1
            more = f", here and in {others} more figure{'s' * (others > 1)}" if others else ""
            return f"Yes if {self.condition}. {figure}; {needed}, and every seed has it{more}."
        seeds = f"only {self.failed[0].met_text} seeds have it" if measurement.met else "no seed has it"
        return f"No if {self.condition}. {figure}; {needed}, and {seeds}."


@dataclass(frozen=True)
class Outcome:
    """All that was measured for a claim."""

    cases: tuple[Case, ...]

    @property
    def kind(self) -> Kind:
        """The verdict without its conditions."""
        confirmed = [case.confirms for case in self.cases]
        if all(confirmed):
            return "holds"
        return "holds only if" if any(confirmed) else "does not hold"

    @property
    def verdict(self) -> str:
        """The verdict with its conditions."""
        if self.kind != "holds only if":
            return self.kind
        return "holds only if " + ", or ".join(case.condition for case in self.cases if case.confirms)


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")
