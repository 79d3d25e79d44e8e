"""Why a network is sick and what to try: the explaining half of a diagnosis."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

NEUTRAL_SIGMA_W = {
    "relu": 2**0.5,
    "leaky_relu": 2**0.5,
    "identity": 1.0,
    "tanh": 1.0,
    "hardtanh": 1.0,
    "softsign": 1.0,
    "selu": 1.0,
}
"""σ_w (deviation of the weights × √fan_in) that keeps a small signal's size from layer to layer."""
FITTING_INIT = {
    "relu": 'init="kaiming_normal"',
    "leaky_relu": 'init="kaiming_normal"',
    "identity": 'init="orthogonal"',
    "tanh": 'init="orthogonal" or "lecun_normal"',
}
SCALE_TOLERANCE = 0.1
"""σ_w this share away from neutral moves a signal by a decade in some 25 layers: more than chance does."""

TWO_SIDED = ("sigmoid", "tanh", "hardtanh", "softsign")
SATURATED, SATURATED_ONE_SIDED = 0.5, 0.9
"""Share of flat entries that makes a layer saturated. ReLU and its kin are flat for half of all inputs by design."""
CAN_DIE = ("relu", "hardtanh", "hardswish")
"""Activations with a slope of exactly zero over a whole range."""

LARGE_UPDATE = 0.05
"""Change of the weights in one step, as a share of them. Healthy runs: 1e-4 to 2e-2; diverging ones: 0.1 and more."""
CLIPPING_ACTS = 0.5
"""A median clip coefficient below this: most steps are cut to less than half."""


@dataclass(frozen=True)
class Facts:
    """What is known of a network in the steps that count; None or empty where it was not recorded."""

    layers: int
    activation: str | None = None
    batch_norm: bool = False
    sigma_w: float | None = None
    saturated: tuple[str, ...] = ()
    update_to_weight: float | None = None
    clipping: bool = False
    clip_coefficient: float | None = None
    later: bool = False  # it was healthy at first
    loss_grew: bool = False


def architecture(meta: Mapping[str, Any]) -> tuple[str | None, bool, float | None]:
    """Return the activation most hidden layers have, whether one has batch norm, and their median σ_w."""
    hidden: Sequence[Mapping[str, Any]] = list(meta.get("layers") or [])[:-1]
    activations = Counter(layer["activation"] for layer in hidden if layer.get("activation"))
    scales = sorted(layer["sigma_w"] for layer in hidden if layer.get("sigma_w") is not None)
    return (
        activations.most_common(1)[0][0] if activations else None,
        any(layer.get("batch_norm") for layer in hidden),
        scales[len(scales) // 2] if scales else None,
    )


def explain(verdict: str, facts: Facts) -> tuple[str, str]:
    """Return the cause and the cure; both empty for a healthy network."""
    explanations = {
        "vanishing": _vanishing,
        "exploding": _exploding,
        "dead": _dead,
        "non-finite": _nonfinite,
    }
    return explanations[verdict](facts) if verdict in explanations else ("", "")


def _vanishing(facts: Facts) -> tuple[str, str]:
    neutral = _neutral(facts)
    if facts.saturated and facts.activation in TWO_SIDED:
        cause = (
            f"saturation: in {len(facts.saturated)} of {facts.layers} layers most entries lie where "
            f"{facts.activation} is flat (slope below 5 % of its largest){_scale(facts)}"
        )
        cure = "smaller weights (" + FITTING_INIT["tanh"] + "), batch norm before each activation, or ReLU with kaiming_normal"
        if facts.later:
            cure = "a smaller learning rate, or batch norm before each activation"
    elif facts.activation == "sigmoid":
        cause = (
            "the activation and the depth: the slope of sigmoid is never above 1/4, so every layer passes back only a "
            f"fraction of what it gets, and {facts.layers} layers multiply their fractions{_scale(facts)}"
        )
        cure = "use ReLU with kaiming_normal, or batch norm before each sigmoid"
    elif neutral and facts.sigma_w is not None and facts.sigma_w < neutral * (1 - SCALE_TOLERANCE):
        cause = (
            f"weight scale: the weights are too small: σ_w is {facts.sigma_w:.3g}, and {facts.activation} needs about "
            f"{neutral:.3g} to keep the signal's size"
        )
        cure = f"{_init(facts)}, or batch norm"
    else:
        cause = f"depth: each of {facts.layers} layers passes back less than it gets{_scale(facts)}"
        cure = f"{_init(facts)}, batch norm, or fewer layers"
    if facts.clipping:
        cause += "; clipping is no help, it only makes gradients smaller"
    return cause, cure


def _exploding(facts: Facts) -> tuple[str, str]:
    neutral = _neutral(facts)
    if facts.later and _fast(facts):
        cause = f"learning rate: a step changes the weights by {facts.update_to_weight:.2g} of their size"
        cure = "a learning rate 3 to 10 times smaller, or batch norm"
    elif facts.batch_norm:
        cause = (
            f"batch norm and the depth: dividing by the spread of a batch multiplies the signal by a little more than 1 in "
            f"each of {facts.layers} layers"
        )
        cure = "fewer layers, less dropout or a larger batch"
    elif neutral and facts.sigma_w is not None and facts.sigma_w > neutral * (1 + SCALE_TOLERANCE):
        cause = (
            f"weight scale: the weights are too large: σ_w is {facts.sigma_w:.3g}, and {facts.activation} needs about "
            f"{neutral:.3g} to keep the signal's size"
        )
        cure = f"{_init(facts)}, or batch norm"
    else:
        cause = f"depth: each of {facts.layers} layers passes back more than it gets{_scale(facts)}"
        cure = f"smaller weights ({_init(facts)}), batch norm, or fewer layers"
    if _clipped(facts):
        cause += (
            f"; clipping (median coefficient {facts.clip_coefficient:.1e}) holds the size of the steps in check, but not "
            "the slope: the layers near the input still get almost all of each step"
        )
    return cause, cure


def _dead(facts: Facts) -> tuple[str, str]:
    cause = "its units are flat for every row of the batch, so that nothing travels back through them"
    if _fast(facts):
        cause = f"learning rate: steps of {facts.update_to_weight:.2g} of the weights pushed units too far; {cause}"
    cure = "LeakyReLU, a smaller learning rate, batch norm before each activation, or kaiming_normal with biases at zero"
    return cause, cure


def _nonfinite(facts: Facts) -> tuple[str, str]:
    neutral = _neutral(facts)
    if neutral and facts.sigma_w and not facts.batch_norm and facts.sigma_w > neutral * (1 + SCALE_TOLERANCE):
        return _exploding(facts)[0], f"{_init(facts)}, or batch norm; then a smaller learning rate and ClipNorm(1.0)"
    if _fast(facts):
        cause = f"learning rate: the steps before changed the weights by {facts.update_to_weight:.2g} of their size"
    elif facts.loss_grew:
        cause = "learning rate: the loss had grown before, so the steps were too large"
    elif not facts.later:
        cause = "it was there from the first recorded step on: the data, the weights or the loss are not finite, or overflow"
        return cause, "look for NaN, infinities and huge values in the data and the initial weights"
    else:
        cause = "not seen in what was recorded before: it came from one step to the next"
    return cause, "a learning rate 10 times smaller, clipping (ClipNorm(1.0)), and a look at the data of that batch"


def _neutral(facts: Facts) -> float | None:
    return None if facts.batch_norm or facts.activation is None else NEUTRAL_SIGMA_W.get(facts.activation)


def _init(facts: Facts) -> str:
    return FITTING_INIT.get(facts.activation or "", 'an initialisation that fits the activation (init=None)')


def _scale(facts: Facts) -> str:
    return "" if facts.sigma_w is None else f" (σ_w is {facts.sigma_w:.3g})"


def _fast(facts: Facts) -> bool:
    return facts.update_to_weight is not None and facts.update_to_weight > LARGE_UPDATE


def _clipped(facts: Facts) -> bool:
    return facts.clip_coefficient is not None and facts.clip_coefficient < CLIPPING_ACTS
