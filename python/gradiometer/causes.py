"""Why a network is sick and what to try: the explaining half of a diagnosis."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

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
    "hardtanh": 'init="orthogonal" or "lecun_normal"',
    "selu": 'init="lecun_normal"',
}
SCALE_TOLERANCE = 0.1
"""σ_w this share away from neutral moves a signal by a decade in some 25 layers: more than chance does."""

TWO_SIDED = ("sigmoid", "tanh", "hardtanh", "softsign")
SATURATED, SATURATED_ONE_SIDED = 0.5, 0.9
"""Share of flat entries that makes a layer saturated. ReLU and its kin are flat for half of all inputs."""
SATURATED_LAYERS = 0.25
"""Share of saturated layers that explains a vanishing signal."""
CAN_DIE = ("relu", "hardtanh", "hardswish")
"""Activations with a slope of exactly zero over a whole range."""

LARGE_UPDATE = 0.05
"""Change of the weights in a step, as a share of them. Healthy: 1e-5 to 2e-2; diverging: 0.07 and more."""
CLIPPING_ACTS = 0.5
"""A median clip coefficient below this: most steps are cut to less than half."""


@dataclass(frozen=True)
class Facts:
    """What is known of a network in the steps that count; None or empty where it was not recorded."""

    layers: int
    activation: str | None = None
    batch_norm: bool = False
    layer_norm: bool = False
    residual: bool = False
    """There are residual connections."""
    sigma_w: float | None = None
    saturated: tuple[str, ...] = ()
    update_to_weight: float | None = None
    clipping: bool = False
    clip_coefficient: float | None = None
    later: bool = False
    """There were other steps before."""
    loss_grew: bool = False
    silent: bool = False
    """Not even the last layer gets a gradient."""


class Architecture(NamedTuple):
    """What was built: see `Facts`."""

    activation: str | None
    batch_norm: bool
    layer_norm: bool
    residual: bool
    sigma_w: float | None


def architecture(meta: Mapping[str, Any]) -> Architecture:
    """Return the activation most hidden layers have, what one of them has at least, and their median σ_w."""
    hidden: Sequence[Mapping[str, Any]] = list(meta.get("layers") or [])[:-1]
    activations = Counter(layer["activation"] for layer in hidden if layer.get("activation"))
    scales = sorted(layer["sigma_w"] for layer in hidden if layer.get("sigma_w") is not None)
    return Architecture(
        activation=activations.most_common(1)[0][0] if activations else None,
        batch_norm=any(layer.get("batch_norm") for layer in hidden),
        layer_norm=any(layer.get("layer_norm") for layer in hidden),
        residual=any(layer.get("residual") for layer in hidden),
        sigma_w=scales[len(scales) // 2] if scales else None,
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
    too_small = _weight_scale(facts, "small")
    if len(facts.saturated) >= SATURATED_LAYERS * facts.layers and facts.activation in TWO_SIDED:
        cause = (
            f"saturation: in {len(facts.saturated)} of {facts.layers} layers most entries lie where "
            f"{facts.activation} is flat, its slope below 5 % of its largest{_scale(facts)}"
        )
        cure = "ReLU with kaiming_normal, batch norm before each activation, or smaller weights (xavier_normal)"
        if facts.later:
            cure = "a smaller learning rate, or batch norm before each activation"
    elif facts.activation == "sigmoid":
        cause = (
            "activation and depth: the slope of sigmoid is never above 1/4, so every layer passes back only "
            f"a fraction of what it gets, and {facts.layers} layers multiply their fractions{_scale(facts)}"
        )
        cure = "ReLU with kaiming_normal, or batch norm before each sigmoid"
    elif too_small:
        cause, cure = too_small, f"{_init(facts)}, or batch norm"
    else:
        cause = f"depth: each of {facts.layers} layers passes back less than it gets{_scale(facts)}"
        cure = f"{_init(facts)}, batch norm, or fewer layers"
    if facts.clipping:
        cause += "; clipping is no help, it only makes gradients smaller"
    return cause, cure


def _exploding(facts: Facts) -> tuple[str, str]:
    too_large = _weight_scale(facts, "large")
    if facts.later and _fast(facts):
        cause = f"learning rate: a step changes the weights by {facts.update_to_weight:.2g} of their size"
        cure = "a learning rate 3 to 10 times smaller, or batch norm"
    elif facts.batch_norm:
        cause = (
            "batch norm and depth: dividing by the spread of a batch multiplies the signal by a little more "
            f"than 1 in each of {facts.layers} layers"
        )
        cure = "fewer layers, less dropout or a larger batch"
    elif facts.residual:
        cause = (
            "residual connections and depth: what comes back through each body is added to what goes around it, so "
            f"that the signal grows with each of {facts.layers} layers{_scale(facts)}"
        )
        cure = "a smaller scale of the connections (1/√depth), a norm at the beginning of each body, or smaller weights"
    elif facts.layer_norm:
        cause = (
            "layer norm and depth: dividing by the spread of a row multiplies the signal by a little more than 1 in "
            f"each of {facts.layers} layers"
        )
        cure = "fewer layers, or residual connections around them"
    elif too_large:
        cause, cure = too_large, f"{_init(facts)}, or batch norm"
    else:
        cause = f"depth: each of {facts.layers} layers passes back more than it gets{_scale(facts)}"
        cure = f"smaller weights ({_init(facts)}), batch norm, or fewer layers"
    if facts.clip_coefficient is not None and facts.clip_coefficient < CLIPPING_ACTS:
        cause += (
            f"; clipping (median coefficient {facts.clip_coefficient:.1e}) holds the size of the steps in "
            "check, but not the slope from layer to layer"
        )
    return cause, cure


def _dead(facts: Facts) -> tuple[str, str]:
    if facts.silent:
        return (
            "the loss sends nothing back: it does not depend on the outputs, or the outputs are extreme",
            "a look at the loss and the labels, and smaller outputs (a smaller learning rate)",
        )
    too_small = _weight_scale(facts, "small")
    cause = "its units are flat for every row of the batch, so that nothing travels back through them"
    if too_small:
        cause = f"{too_small}; the activations shrink to zero"
    elif _fast(facts):
        cause = f"learning rate: steps of {facts.update_to_weight:.2g} of the weights; {cause}"
    return cause, "LeakyReLU, kaiming_normal with biases at zero, batch norm, or a smaller learning rate"


def _nonfinite(facts: Facts) -> tuple[str, str]:
    too_large = _weight_scale(facts, "large")
    smaller = "a learning rate 10 times smaller, or ClipNorm(1.0)"
    if too_large:
        return too_large, f"{_init(facts)}, or batch norm; after that, {smaller}"
    if _fast(facts):
        share = f"{facts.update_to_weight:.2g}"
        return f"learning rate: the steps before changed the weights by {share} of their size", smaller
    if facts.loss_grew:
        return "learning rate: the loss had grown before, so the steps were too large", smaller
    if not facts.later:
        cause = "it was there from the start, so the data or the initial weights are not finite or far too large"
        return (
            cause,
            "a look for NaN, infinities and huge values in the data; divide the data by its deviation",
        )
    cause = "nothing recorded before it was unusual, so it came with one step"
    return cause, f"a look at the data of that step; {smaller}"


def _weight_scale(facts: Facts, size: str) -> str | None:
    """Return the sentence that the weights are too "small" or too "large"; None if they are not known to be.

    A norm takes the scale of the weights out of the signal, and a residual connection goes around them.
    """
    unrelated = facts.batch_norm or facts.layer_norm or facts.residual
    neutral = None if unrelated else NEUTRAL_SIGMA_W.get(facts.activation or "")
    if neutral is None or facts.sigma_w is None:
        return None
    off = facts.sigma_w / neutral - 1
    if (off if size == "large" else -off) <= SCALE_TOLERANCE:
        return None
    return (
        f"weight scale: the weights are too {size}: σ_w is {facts.sigma_w:.3g}, and {facts.activation} needs "
        f"about {neutral:.3g} to keep the signal's size"
    )


def _init(facts: Facts) -> str:
    return FITTING_INIT.get(facts.activation or "", "an initialisation that fits the activation (init=None)")


def _scale(facts: Facts) -> str:
    return "" if facts.sigma_w is None else f" (σ_w is {facts.sigma_w:.3g})"


def _fast(facts: Facts) -> bool:
    return facts.update_to_weight is not None and facts.update_to_weight > LARGE_UPDATE
