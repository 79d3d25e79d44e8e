"""Whether a run started as mean-field theory predicts."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from gradiometer import slopes

if TYPE_CHECKING:
    from gradiometer.recording import Recording
    from gradiometer.theory import Prediction

__all__ = ["Agreement", "FirstStep"]

RELATIVE, ABSOLUTE, SPREADS = 0.05, 0.01, 3.0
"""A measured slope agrees within 5 % of the predicted one, 0.01 decades per layer, or three standard deviations of what
networks of this width and depth differ by; whichever is largest."""


@dataclass(frozen=True)
class Agreement:
    """The slope of `delta_norm` at the first recorded step against the predicted one, in decades per layer."""

    step: int
    measured_slope: float
    predicted_slope: float
    tolerance: float

    @property
    def follows(self) -> bool:
        """Whether the two agree within the tolerance."""
        return abs(self.measured_slope - self.predicted_slope) <= self.tolerance

    def __str__(self) -> str:
        word = "follows" if self.follows else "departs from"
        text = (
            f"At step {self.step} it {word} mean-field theory: {self.measured_slope:+.3f} decades a layer measured, "
            f"{self.predicted_slope:+.3f} predicted (±{self.tolerance:.3f})"
        )
        hint = "" if self.follows else ", which takes wide layers and weights like random numbers of mean zero"
        return f"{text}{hint}."


class FirstStep:
    """The first recorded step of a run; the prediction for it is worked out when the agreement is asked for."""

    def __init__(self, recording: Recording) -> None:
        self._start = recording._start
        self._step = int(recording.steps[0])
        try:
            self._delta = recording.delta_norm[0]
        except AttributeError:
            self._delta = np.full(len(recording.layer_names), np.nan)

    @cached_property
    def agreement(self) -> Agreement | None:
        """None where there is no prediction, or no slope was measured."""
        if self._start is None or not np.isfinite(self._delta).all():
            return None
        prediction: Prediction | None = self._start.outcome[0]
        measured = float(slopes.theil_sen(slopes.logarithm(self._delta[None, :]))[0])
        if prediction is None or math.isnan(measured) or math.isnan(prediction.slope):
            return None
        spread = float(prediction.spread[0]) / max(1, len(self._delta) - 1)
        tolerance = max(RELATIVE * abs(prediction.slope), SPREADS * spread, ABSOLUTE)
        return Agreement(self._step, measured, prediction.slope, tolerance)
