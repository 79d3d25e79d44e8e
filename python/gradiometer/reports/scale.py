"""A log axis with a place for what has no logarithm: exact zeros below it, NaN and infinity above it.

The figures draw decades on a linear axis instead of using the library's own log axis: a gradient of a deep network
leaves the range of a float64 in products, and zeros would be dropped.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

import numpy as np
from bokeh.models import BoxAnnotation, FixedTicker, Range1d
from bokeh.models.text import PlainText
from bokeh.plotting import figure
from numpy.typing import NDArray

from gradiometer.slopes import Floats

BAND = 0.1
"""Height of a band, as a share of the axis between them."""
DIGITS = ((1, 2, 5), (1, 1.5, 2, 3, 4, 5, 6, 8))
"""Where ticks stand within a decade, for fewer than two decades; the second where the first gives too few."""
STRIDES = (1, 2, 5, 10, 20, 50, 100)
SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


@dataclass(frozen=True)
class Scale:
    """A linear axis, and which bands it needs."""

    low: float
    high: float
    zero: bool = False
    nonfinite: bool = False

    @classmethod
    def of(cls, logs: Iterable[NDArray[np.floating]], at_least: float = 1.0) -> Self:
        """Return the scale for these values (-inf stands for an exact zero), at least so long."""
        everything = np.concatenate([np.ravel(values) for values in logs]).astype(np.float64)
        finite = everything[np.isfinite(everything)]
        low, high = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 0.0)
        margin = max(0.04 * (high - low), (at_least - (high - low)) / 2)
        zero = everything == -np.inf
        return cls(low - margin, high + margin, bool(zero.any()), bool((~np.isfinite(everything) & ~zero).any()))

    @property
    def band(self) -> float:
        """Height of a band."""
        return BAND * (self.high - self.low)

    @property
    def zero_place(self) -> float:
        """Where an exact zero stands."""
        return self.low - self.band / 2

    @property
    def nonfinite_place(self) -> float:
        """Where NaN and infinity stand."""
        return self.high + self.band / 2

    @property
    def start(self) -> float:
        """Lower end of the axis, with its band."""
        return self.low - self.band * self.zero

    @property
    def end(self) -> float:
        """Upper end of the axis, with its band."""
        return self.high + self.band * self.nonfinite

    def place(self, logs: NDArray[np.floating]) -> Floats:
        """Return where each logarithm stands on the axis."""
        placed = np.where(np.isfinite(logs), logs, self.nonfinite_place)
        return np.asarray(np.where(logs == -np.inf, self.zero_place, placed), np.float64)

    def ticks(self) -> dict[float, str]:
        """Return the ticks with their labels."""
        stride = round_stride((self.high - self.low) / 4)
        places = np.arange(np.ceil(self.low / stride), np.floor(self.high / stride) + 1) * stride
        return {float(place): f"{place:.6g}" for place in places}

    def apply(self, plot: figure) -> None:
        """Give a plot this scale as its vertical axis."""
        plot.y_range = Range1d(self.start, self.end)
        ticks = self.ticks()
        plot.ygrid.ticker = FixedTicker(ticks=list(ticks))
        if self.zero:
            ticks[self.zero_place] = "0"
            plot.add_layout(_band(self.start, self.low))
        if self.nonfinite:
            ticks[self.nonfinite_place] = "NaN, ∞"
            plot.add_layout(_band(self.high, self.end))
        label_axis(plot, 0, ticks)


class LogScale(Scale):
    """A log axis, in decades."""

    def ticks(self) -> dict[float, str]:
        """Return the ticks, in decades, with their labels."""
        span = self.high - self.low
        if span < 2:
            found: dict[float, str] = {}
            for digits in DIGITS:
                powers = range(math.floor(self.low), math.ceil(self.high) + 1)
                exact = {power + math.log10(digit): number(digit, power) for power in powers for digit in digits}
                found = {place: label for place, label in exact.items() if self.low <= place <= self.high}
                if len(found) >= 3:
                    break
            return found
        stride = next((stride for stride in STRIDES if span <= 7 * stride), STRIDES[-1])
        first = math.ceil(self.low / stride) * stride
        return {float(power): number(1, power) for power in range(first, math.floor(self.high) + 1, stride)}


def round_stride(rough: float) -> float:
    """Return the next larger number that is 1, 2 or 5 times a power of ten."""
    unit = 10.0 ** math.floor(math.log10(rough))
    return next(factor * unit for factor in (1, 2, 5, 10) if factor * unit >= rough)


def label_axis(plot: figure, dimension: int, ticks: dict[float, str]) -> None:
    """Set ticks and their labels; as plain text, so that a name in dollar signs is no formula."""
    axis = plot.xaxis[0] if dimension else plot.yaxis[0]
    axis.ticker = FixedTicker(ticks=list(ticks))
    axis.major_label_overrides = {place: PlainText(text=label) for place, label in ticks.items()}


def number(digit: float, power: int) -> str:
    """Write digit × 10^power."""
    if -4 < power < 5:
        return f"{digit * 10.0**power:g}"
    return f"{'' if digit == 1 else f'{digit:g}·'}10{str(power).translate(SUPERSCRIPTS)}"


def norm_text(log: float) -> str:
    """Write a norm that is given by its logarithm, also one beyond a float64."""
    if math.isnan(log):
        return "NaN"
    if math.isinf(log):
        return "0 (exactly)" if log < 0 else "∞"
    power = math.floor(log)
    return f"{10 ** (log - power):.2f}e{power:+03d}" if not -4 < power < 5 else f"{10**log:.3g}"


def _band(bottom: float, top: float) -> BoxAnnotation:
    return BoxAnnotation(
        bottom=bottom, top=top, fill_color="#8c929a", fill_alpha=0.14, line_color=None, level="underlay"
    )
