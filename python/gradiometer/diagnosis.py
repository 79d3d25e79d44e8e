"""The verdict on a recording: healthy or not, where, since when, why, and what to try."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from gradiometer import causes, slopes, wording
from gradiometer.agreement import Agreement, FirstStep
from gradiometer.evidence import Evidence, median
from gradiometer.slopes import Floats, Kinds, Rows, Signal

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


@dataclass(frozen=True, repr=False)
class Diagnosis:
    """What `Recording.diagnose` found. ``str()`` says it in a few sentences.

    Slopes are in decades (powers of ten) per layer toward the input: negative where the signal vanishes,
    positive where it explodes. They are medians over the steps in which the verdict holds, and NaN where
    there is nothing to measure: with a single layer, or a field that was not recorded.
    """

    verdict: Verdict
    grad_slope: float
    """Of `grad_norm`, the norms of the weight gradients."""
    delta_slope: float
    """Of `delta_norm`, the signal that travels back: the one that counts."""
    range_decades: float
    """Decades between the layers with the largest and the smallest signal."""
    ratio_first_last: float
    """Signal at the first layer ÷ signal at the last."""
    since_step: int
    """First recorded step from which the verdict holds."""
    layer: str | None
    """Where it breaks: the layer nearest to the output that is off by a factor of 200, dead or not finite."""
    dead_layers: tuple[str, ...]
    """Layers with 90 % of dead units or more (``record="full"``), or the one that stops the signal."""
    saturated_layers: tuple[str, ...]
    """Layers most of whose entries lie where the activation is flat; empty without ``record="full"``."""
    update_to_weight: float | None
    """Median of ‖change of the weights‖ ÷ ‖weights‖ in a step; None without ``record="full"``."""
    nonfinite: tuple[int, str, str] | None
    """Step, layer and tensor of the first NaN or infinity."""
    cause: str
    cure: str
    summary: str
    """What ``str()`` gives, but for the sentence on theory."""
    _first: FirstStep | None = field(default=None, compare=False)

    @property
    def slope(self) -> float:
        """`delta_slope`, or `grad_slope` where `delta_norm` was not recorded."""
        return self.grad_slope if math.isnan(self.delta_slope) else self.delta_slope

    @property
    def theory(self) -> Agreement | None:
        """Whether the run started as `Recording.prediction` says, with both slopes; None where there is no prediction.

        It is worked out when it is first asked for.
        """
        return None if self._first is None else self._first.agreement

    def __str__(self) -> str:
        return self.summary if self.theory is None else f"{self.summary} {self.theory}"

    def __repr__(self) -> str:
        shown = [field.name for field in fields(self) if field.name not in ("verdict", "summary", "_first")]
        lines = [f"  {name:<16} {wording.value(getattr(self, name))}" for name in [*shown, "theory"]]
        return "\n".join([f"Diagnosis: {self.verdict}", *lines])


def diagnose(recording: Recording) -> Diagnosis:
    """Judge a recording: by `delta_norm`, and where that is level or was not recorded, by `grad_norm`.

    All limits are ratios between layers, never absolute sizes; `gradiometer.slopes` says which, and why.

    Raises
    ------
    AttributeError
        If no gradients were recorded.
    ValueError
        If there are no steps yet, or no layers.
    """
    for axis, count in zip(("step", "layer"), recording.grad_norm.shape, strict=True):
        if not count:
            raise ValueError(f"a recording needs at least one {axis} for a diagnosis, and this one has none")
    evidence = Evidence(recording)
    kinds = evidence.kinds()
    kind, rows = slopes.verdict_of(kinds)
    signal = _deciding(evidence, kind, rows)
    profile = np.median(signal.values[rows], axis=0) if len(rows) else np.empty(0)
    event = evidence.event
    verdict: Verdict = "non-finite" if event else VERDICTS[kind]
    silent = (signal.values[rows] == 0).mean(axis=0) if len(rows) else np.empty(0)
    layer, off = (event.layer or None, math.nan) if event else _break(kind, profile, silent, evidence.names)
    facts = evidence.facts(rows)
    cause, cure = causes.explain(verdict, facts)
    positive = profile[profile > 0]
    diagnosis = Diagnosis(
        verdict=verdict,
        grad_slope=median(evidence.grad.slope[rows]),
        delta_slope=median(evidence.delta.slope[rows]) if evidence.delta else math.nan,
        range_decades=float(np.ptp(np.log10(positive))) if len(positive) else math.nan,
        ratio_first_last=_ratio(profile),
        since_step=event.step if event else int(evidence.steps[rows[0]]),
        layer=layer,
        dead_layers=evidence.dead(rows) or ((layer,) if verdict == "dead" and layer else ()),
        saturated_layers=facts.saturated,
        update_to_weight=facts.update_to_weight,
        nonfinite=event and (event.step, event.layer, event.tensor),
        cause=cause,
        cure=cure,
        summary="",
        _first=FirstStep(recording),
    )
    history = wording.History(
        signal=signal.field,
        layers=len(evidence.names),
        decades=median(signal.decades[rows]),
        off=off,
        before=_state(kinds[: rows[0]]) if len(rows) else None,
        after=_state(kinds[rows[-1] + 1 :]) if len(rows) and slopes.lasting(kinds, rows[-1] + 1) else None,
        last_step=int(evidence.steps[rows[-1]]) if len(rows) else None,
        clipped_share=evidence.clipped_share(rows) if facts.clipping else None,
        loss_grew=facts.loss_grew,
    )
    return replace(diagnosis, summary=wording.summary(diagnosis, history))


def _ratio(profile: Floats) -> float:
    """Return the first value ÷ the last, infinite where a float64 cannot hold it; NaN if the last is zero."""
    if not len(profile) or profile[-1] == 0:
        return math.nan
    with np.errstate(over="ignore"):
        return float(profile[0] / profile[-1])


def _deciding(evidence: Evidence, kind: int, rows: Rows) -> Signal:
    """Return `delta_norm`, unless it was not recorded, or is level in a net that is sick by `grad_norm`."""
    delta = evidence.delta
    if delta is None:
        return evidence.grad
    level = abs(median(delta.decades[rows])) <= slopes.SICK_DECADES and (delta.values[rows] > 0).all()
    return evidence.grad if kind in (slopes.VANISHING, slopes.EXPLODING) and level else delta


def _break(kind: int, profile: Floats, silent: Floats, names: list[str]) -> tuple[str | None, float]:
    """Return the layer, seen from the output, from which on something is wrong, and by how many decades.

    Where none is off by the limit (a slope says more than its two ends), it is the one that is farthest off. Of a dead
    net, the one that got no signal in most of the steps: not always the same ones need be silent.
    """
    if kind == slopes.HEALTHY or not profile.any():
        return None, math.nan
    if kind == slopes.DEAD:
        return names[int(np.flatnonzero(silent >= min(0.5, silent.max()))[-1])], math.inf
    off = np.nan_to_num(kind * (slopes.logarithm(profile) - slopes.logarithm(profile[-1:])))
    if kind == slopes.VANISHING:
        off[profile == 0] = math.inf
    limit = min(slopes.SICK_DECADES, float(np.max(off)))
    return names[int(np.flatnonzero(off >= limit)[-1])], limit


def _state(kinds: Kinds) -> str | None:
    """Return what most of these steps are; None where there are none."""
    return VERDICTS[Counter(kinds.tolist()).most_common(1)[0][0]] if len(kinds) else None
