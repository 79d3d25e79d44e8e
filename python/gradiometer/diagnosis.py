"""The verdict on a recording: healthy or not, where, since when, why, and what to try."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradiometer import causes, slopes
from gradiometer.causes import Facts
from gradiometer.slopes import Floats, Signal

if TYPE_CHECKING:
    from gradiometer.recording import Recording

__all__ = ["Diagnosis", "diagnose"]

Verdict = Literal["healthy", "vanishing", "exploding", "dead", "non-finite"]
VERDICTS: dict[int, Verdict] = {
    slopes.HEALTHY: "healthy",
    slopes.VANISHING: "vanishing",
    slopes.EXPLODING: "exploding",
    slopes.DEAD: "dead",
}

DEAD_SHARE = 0.9
"""Share of dead units that makes a layer dead. Half is usual deep in a ReLU net, where all rows look alike."""
LOSS_GREW = 2.0
"""The loss has grown when it ends at more than this multiple of where it began."""


class Event(NamedTuple):
    """Where the first NaN or infinity appeared."""

    step: int
    layer: str
    tensor: str


@dataclass(frozen=True, repr=False)
class Diagnosis:
    """What `Recording.diagnose` found. ``str()`` says it in a few sentences.

    Slopes are in decades (powers of ten) per layer toward the input: negative where the signal vanishes, positive where it
    explodes. They are medians over the steps in which the verdict holds, and NaN where there is nothing to measure: with
    a single layer, or a field that was not recorded.
    """

    verdict: Verdict
    grad_slope: float
    """Of `grad_norm`, the norms of the weight gradients."""
    delta_slope: float
    """Of `delta_norm`, the signal that travels back; the one that counts."""
    range_decades: float
    """Decades between the layers with the largest and the smallest signal."""
    ratio_first_last: float
    """Signal at the first layer ÷ signal at the last."""
    since_step: int | None
    """First recorded step in which the verdict holds; None where nothing was recorded."""
    layer: str | None
    """Where it breaks: of the layers, from the output, the first that is more than a factor of 200 off, dead, or not finite."""
    dead_layers: tuple[str, ...]
    """Layers nearly all of whose units are dead (``record="full"``), or whose signal is exactly zero first."""
    saturated_layers: tuple[str, ...]
    """Layers most of whose entries lie where the activation is flat; empty without ``record="full"``."""
    update_to_weight: float | None
    """Median of ‖change of the weights‖ ÷ ‖weights‖; None without ``record="full"``."""
    nonfinite: tuple[int, str, str] | None
    """(step, layer, tensor) of the first NaN or infinity."""
    cause: str
    cure: str
    summary: str
    """What ``str()`` gives."""

    @property
    def slope(self) -> float:
        """`delta_slope`, or `grad_slope` where `delta_norm` was not recorded."""
        return self.grad_slope if math.isnan(self.delta_slope) else self.delta_slope

    def __str__(self) -> str:
        return self.summary

    def __repr__(self) -> str:
        shown = [field.name for field in fields(self) if field.name not in ("verdict", "summary")]
        values = [f"  {name:<17} {_short(getattr(self, name))}" for name in shown]
        return "\n".join([f"Diagnosis: {self.verdict}", *values])


def diagnose(recording: Recording) -> Diagnosis:
    """Judge a recording by `delta_norm` and `grad_norm`.

    All limits are ratios between layers, never absolute sizes: see `gradiometer.slopes`. `delta_norm` decides; a net whose
    `delta_norm` is level is judged by `grad_norm`, and so is a recording without `delta_norm`.
    """
    return _Case(recording).diagnosis()


class _Case:
    """The recorded facts of one run, thinned to a manageable number of steps."""

    def __init__(self, recording: Recording) -> None:
        self.recording = recording
        self.steps = recording.steps
        names = recording.layer_names
        grad = recording.grad_norm if _has(recording, "grad_norm") else np.empty((len(self.steps), len(names)))
        delta = self.field("delta_norm")
        if delta is not None and np.isnan(delta).all():
            delta = None
        known = ~np.isnan(grad if delta is None else delta).all(axis=0)
        if delta is None and not all(name.endswith("bias") for name in names):
            # Biases have another scale, and in front of a batch norm their gradients are rounding errors.
            known &= [not name.endswith("bias") for name in names]
        self.columns = np.flatnonzero(known)
        self.names = [names[column] for column in self.columns]
        self.event = self._event(grad, delta)

        finite = np.isfinite(grad[:, self.columns]).all(axis=1)
        if delta is not None:
            finite &= np.isfinite(delta[:, self.columns]).all(axis=1)
        rows = np.flatnonzero(finite)
        self.rows: NDArray[np.intp] = rows[slopes.evenly_spaced(len(rows))] if len(rows) else rows
        """Of the recording: the rows that are measured."""
        part = np.ix_(self.rows, self.columns)
        self.grad = Signal.of("grad_norm", grad[part])
        self.delta = None if delta is None else Signal.of("delta_norm", delta[part])
        self.activation, self.batch_norm, self.sigma_w = causes.architecture(recording.meta)

    def field(self, name: str) -> Floats | None:
        """Return a recorded field, or None."""
        return np.asarray(getattr(self.recording, name), np.float64) if _has(self.recording, name) else None

    def measured(self, name: str, chosen: NDArray[np.intp]) -> Floats | None:
        """Return the chosen ones of the measured rows of a field per layer, or None if it was not recorded."""
        values = self.field(name)
        return None if values is None else values[np.ix_(self.rows[chosen], self.columns)]

    def _event(self, grad: Floats, delta: Floats | None) -> Event | None:
        """Return the first NaN or infinity: as the recorder noted it, or as the recorded norms show it."""
        if self.recording.nonfinite is not None:
            step, layer, tensor = self.recording.nonfinite
            return Event(int(step), layer, tensor)
        bad = ~np.isfinite(grad) & ~np.isnan(grad).all(axis=0)
        if delta is not None:
            bad |= ~np.isfinite(delta) & ~np.isnan(delta).all(axis=0)
        loss = self.field("loss")
        infinite = np.zeros(len(grad), bool) if loss is None else np.isinf(loss)  # NaN: not measured
        first = np.flatnonzero(bad.any(axis=1) | infinite)
        if not len(first):
            return None
        row = first[0]
        if infinite[row]:
            return Event(int(self.steps[row]), "", "loss")
        nearest_output = int(np.flatnonzero(bad[row])[-1])
        return Event(int(self.steps[row]), self.recording.layer_names[nearest_output], "gradient")

    def diagnosis(self) -> Diagnosis:
        """Judge, explain, and say it."""
        everything = np.arange(len(self.rows))
        kinds = self._kinds(everything)
        kind, chosen = slopes.verdict_of(kinds) if len(kinds) else (slopes.HEALTHY, everything)
        verdict: Verdict = "non-finite" if self.event else VERDICTS[kind]
        signal = self._deciding(kind, chosen)
        profile = np.median(signal.values[chosen], axis=0) if len(chosen) else np.empty(0)
        layer = self.event.layer or None if self.event else self._break(kind, profile)
        since = int(self.steps[self.rows[chosen[0]]]) if len(chosen) else None
        if self.event:
            since = self.event.step
        elif verdict == "healthy" and since is not None:
            since = int(self.steps[self.rows[chosen[0]]])
        saturated = self._saturated(chosen)
        dead = self._dead(kind, chosen, layer)
        update_to_weight = self._update_to_weight(chosen)
        facts = self._facts(chosen, saturated, update_to_weight)
        cause, cure = causes.explain(verdict, facts)
        positive = profile[profile > 0]
        found = Diagnosis(
            verdict=verdict,
            grad_slope=_median(self.grad.slope[chosen]),
            delta_slope=math.nan if self.delta is None else _median(self.delta.slope[chosen]),
            range_decades=float(np.ptp(np.log10(positive))) if len(positive) else math.nan,
            ratio_first_last=float(profile[0] / profile[-1]) if len(profile) and profile[-1] > 0 else math.nan,
            since_step=since,
            layer=layer,
            dead_layers=dead,
            saturated_layers=saturated,
            update_to_weight=update_to_weight,
            nonfinite=None if self.event is None else tuple(self.event),
            cause=cause,
            cure=cure,
            summary="",
        )
        return found
