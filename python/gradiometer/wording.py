"""A diagnosis in the words of a student."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gradiometer.diagnosis import Diagnosis


COLOURS = {
    "healthy": "#0072b2",
    "vanishing": "#e69f00",
    "exploding": "#d55e00",
    "dead": "#999999",
    "non-finite": "#cc79a7",
}
"""Okabe and Ito's colours, which the colour-blind tell apart; the words next to them say the same."""


@dataclass(frozen=True)
class History:
    """What the sentences need besides the diagnosis itself."""

    signal: str
    """The field that decided."""
    layers: int
    decades: float
    """From the output to the input."""
    off: float
    """Decades between the layer where it breaks and the output, at least."""
    before: str | None
    """The state before the verdict held; None if it held from the start."""
    after: str | None
    """The state after the last step in which the verdict held; None if it held to the end."""
    last_step: int | None
    clipped_share: float | None
    """Of the steps; None without clipping."""
    loss_grew: bool


def summary(found: Diagnosis, history: History) -> str:
    """Return three or four sentences: what, where, since when, why, and what to try."""
    sentences = {
        "healthy": _healthy,
        "vanishing": _sloping,
        "exploding": _sloping,
        "dead": _dead,
        "non-finite": _nonfinite,
    }[found.verdict](found, history)
    if found.cause:
        sentences += [f"Cause: {found.cause}.", f"Try: {found.cure}."]
    return f"{found.verdict}: {' '.join(sentences)}"


def _healthy(found: Diagnosis, history: History) -> list[str]:
    if math.isnan(found.slope):
        sentences = ["the gradients are finite and not zero; a single layer has no slope to measure."]
    else:
        sentences = [
            f"from the output to the input, {history.signal} changes by {history.decades:+.1f} decades over "
            f"{history.layers} layers ({_slopes(found)}), so that all of them learn at a comparable pace."
        ]
    if history.before not in (None, "healthy"):
        sentences.append(f"It was {history.before} at the start, and has been healthy since step {found.since_step}.")
    if history.after not in (None, "healthy"):
        sentences.append(f"After step {history.last_step} it is {history.after}, too briefly for a verdict.")
    if found.update_to_weight is not None:
        sentences.append(f"A step changes the weights by {found.update_to_weight:.1e} of their size (median).")
    if history.clipped_share is not None:
        sentences.append(f"Clipping acted in {100 * history.clipped_share:.0f} % of the steps.")
    sentences.append(
        "But the loss has grown: try a smaller learning rate." if history.loss_grew else "Nothing needs a cure."
    )
    return sentences


def _sloping(found: Diagnosis, history: History) -> list[str]:
    change = "loses" if found.verdict == "vanishing" else "gains"
    what = (
        f"on its way from the output to the input the signal ({history.signal}) {change} "
        f"{abs(history.decades):.1f} decades over {history.layers} layers ({_slopes(found)}): the first "
        f"layer gets {_times(found.ratio_first_last)} what the last one gets."
    )
    factor = f"a factor of {10**history.off:.0f} or more"
    return [what, f"It is off by {factor} from {found.layer} on toward the input, {_when(found, history)}."]


def _dead(found: Diagnosis, history: History) -> list[str]:
    what = "all gradients are exactly zero, that of the last layer too"
    if found.layer is not None:
        what = f"no gradient gets through {found.layer}: there and toward the input it is exactly zero"
    sentences = [f"{what}, {_when(found, history)}."]
    if len(found.dead_layers) > 1:
        sentences.append(f"In {len(found.dead_layers)} layers at least nine of ten units are dead.")
    return sentences


def _nonfinite(found: Diagnosis, history: History) -> list[str]:
    assert found.nonfinite is not None
    step, layer, tensor = found.nonfinite
    where = f"in the {tensor} of {layer}" if layer else f"in the {tensor}"
    sentences = [f"the first NaN or infinity appeared at step {step} {where}."]
    if not math.isnan(found.slope):
        sentences.append(
            f"Before that, {history.signal} changed by {history.decades:+.1f} decades from the output to the "
            f"input ({_slopes(found)})."
        )
    return sentences


def _when(found: Diagnosis, history: History) -> str:
    when = f"since step {found.since_step}"
    if history.before is None:
        when += ", the first recorded"
    elif history.before == "healthy":
        when += " (healthy before)"
    if history.after == "dead" and found.verdict != "dead":
        return f"{when}; after step {history.last_step} a layer is dead, with a gradient of exactly zero"
    if history.after is not None:
        return f"{when}, until step {history.last_step} ({history.after} after that)"
    return when


def _slopes(found: Diagnosis) -> str:
    """Name both slopes, that of `delta_norm` first."""
    if math.isnan(found.delta_slope):
        return f"{found.grad_slope:+.2f} a layer; delta_norm was not recorded"
    return f"{found.delta_slope:+.2f} a layer; grad_norm: {found.grad_slope:+.2f}"


def _times(ratio: float) -> str:
    if ratio == 0:
        return "nothing of"
    return f"{ratio:.1e} of" if ratio < 1 else f"{ratio:.1e} times"


def value(thing: Any) -> str:
    """Return a field of a diagnosis as its table shows it."""
    if isinstance(thing, float):
        return f"{thing:.4g}"
    if isinstance(thing, tuple):
        return ", ".join(map(str, thing)) or "none"
    return "none" if thing is None else str(thing)
