"""One recording, as the figures of a page read it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradiometer.diagnosis import Diagnosis
from gradiometer.recording import Recording
from gradiometer.reports import thinning
from gradiometer.slopes import Floats, Rows

SIGNALS = {"delta_norm": "signal ‖∂L/∂output‖", "grad_norm": "gradient ‖∂L/∂weight‖"}
"""What is drawn of the gradients, the one that counts first."""


@dataclass(frozen=True)
class Run:
    """One moment of a recording, its verdict, and the rows of it that are drawn."""

    name: str
    recording: Recording
    diagnosis: Diagnosis
    share: int
    """It is one of so many runs that share a page."""

    @classmethod
    def of(cls, recording: Recording, name: str, share: int) -> Run:
        """Read it; what cannot be judged cannot be reported either."""
        moment = recording._frozen()
        return cls(name, moment, moment.diagnose(), share)

    @cached_property
    def meta(self) -> dict[str, Any]:
        """What was trained; empty where nobody knows."""
        return self.recording.meta

    @cached_property
    def columns(self) -> Rows:
        """Which layers were measured: some number in some step, unless nothing ever was one."""
        grad = self.recording.grad_norm
        measured = ~np.isnan(grad).all(axis=0)
        return np.flatnonzero(measured if measured.any() else ~measured)

    @cached_property
    def layers(self) -> list[str]:
        """State-dict keys of the measured weights, from input to output."""
        names = self.recording.layer_names
        return [names[column] for column in self.columns]

    @cached_property
    def steps(self) -> NDArray[np.int64]:
        """Numbers of all recorded steps."""
        return self.recording.steps

    def field(self, name: str) -> Floats | None:
        """Return a field of the recording, of the measured layers; None if it was not recorded, or never measured."""
        try:
            values = np.asarray(getattr(self.recording, name), np.float64)
        except AttributeError:
            return None
        if np.isnan(values).all():
            return None
        return values[:, self.columns] if values.ndim == 2 else values

    @cached_property
    def signals(self) -> dict[str, NDArray[np.float32]]:
        """Logarithms to base 10 of `SIGNALS`, (steps, layers): -inf is an exact zero, inf and NaN are as measured."""
        found = {}
        for name in SIGNALS:
            values = self.field(name)
            if values is not None:
                found[name] = decades(values)
        return found or {"grad_norm": decades(self.recording.grad_norm)}  # all of it NaN, which is worth seeing

    @cached_property
    def frames(self) -> Rows:
        """The rows that heat maps and the slider show."""
        maps = 4 if self.share == 1 else self.share  # a single run has that many, each of several has one
        return thinning.frames(list(self.signals.values()), thinning.MOST_CELLS // maps)

    def points(self, curve: Floats) -> Rows:
        """Return the rows that a curve over the steps shows."""
        return thinning.keep_extremes(curve[:, None], thinning.most_points(self.share))

    @cached_property
    def thinned(self) -> bool:
        """Whether some recorded step is not drawn."""
        return len(self.frames) < len(self.steps)


def decades(values: Floats) -> NDArray[np.float32]:
    """Return log10, -inf for zeros, without a warning; float32 holds it to seven digits for any float64."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.log10(values), np.float32)


def architecture_text(meta: dict[str, Any]) -> str:
    """Say in a few words what was trained, such as "20 × 64 sigmoid, batch norm"; empty where it is not known."""
    hidden = list(meta.get("layers") or [])[:-1]
    if not hidden:
        return ""
    widths = sorted({layer["fan_out"] for layer in hidden if "fan_out" in layer})
    width = "" if not widths else f" × {widths[0]}" if len(widths) == 1 else f" × {widths[0]}–{widths[-1]}"
    parts = [f"{len(hidden)}{width} {'/'.join(sorted({str(layer.get('activation')) for layer in hidden}))}"]
    kinds = {"residual": "residual connections", "batch_norm": "batch norm", "layer_norm": "layer norm"}
    parts += [words for kind, words in kinds.items() if any(layer.get(kind) for layer in hidden)]
    dropout = max(float(layer.get("dropout") or 0) for layer in hidden)
    if dropout:
        parts.append(f"dropout {dropout:g}")
    if meta.get("clip"):
        parts.append("clipped")
    return ", ".join(parts)
