"""What is measured, and the limits that decide whether a figure is what a claim needs, each with its reason."""

from __future__ import annotations

import math

from gradiometer.claims.outcome import Criterion, Quantity
from gradiometer.slopes import SICK_DECADES

SLOPE = Quantity("slope", "decades per layer toward the input", "+.3f")
CHANGE = Quantity("change", "decades from the output to the input", "+.1f")
MORE_CHANGE = Quantity("further change", "decades, deeper − shallower network", "+.1f")
ACCURACY = Quantity("accuracy", "share of the validation rows", ".2f")
DIVERGED = Quantity("diverged", "runs", ".0f", counted=True)
STEPS = Quantity("steps", "training steps to the goal", ".0f")
SLOWER = Quantity("times as many", "steps ÷ the healthy one's", ".1f")
AT_ZERO = Quantity("φ′(0)", "slope of the activation at zero", ".2f")

QUANTITIES = {
    quantity.name: quantity for quantity in (SLOPE, CHANGE, MORE_CHANGE, ACCURACY, DIVERGED, STEPS, SLOWER, AT_ZERO)
}

GOOD_ACCURACY = 0.8
MANY_TIMES = 10.0

MEANINGS = {
    "vanishes": f"From the output to the input, `delta_norm` loses more than {SICK_DECADES} decades, a factor of 200. "
    "That is the limit of the diagnosis ([why](diagnosis.md#thresholds)), here divided by the steps from layer to "
    "layer, so that it is a slope: −0.115 for 20 hidden layers and an output layer, −0.046 for 50.",
    "explodes": f"`delta_norm` grows by more than {SICK_DECADES} decades.",
    "flows": "It does neither.",
    "deeper is worse": f"The deeper network loses {SICK_DECADES} decades more than the one of half its depth.",
    "learns": f"At least {100 * GOOD_ACCURACY:.0f} % of the validation rows are right after 30 epochs. Chance is "
    "10 %, a network that learns well gets above 90 %; the limit stands between.",
    "diverges": "A NaN or an infinity appeared, or the training loss is larger at the end than at the start.",
    "does not diverge": "Neither happened.",
    "many more steps": f"{MANY_TIMES:.0f} times as many as the healthy network of the same depth and seed: more than "
    "another learning rate or optimizer would explain.",
}
"""By the names of criteria: what they mean, and why the limit is where it is."""


def vanishes(layers: int) -> Criterion:
    """Of a slope, in a network with so many dense layers."""
    return Criterion("vanishes", -math.inf, -_limit(layers))


def explodes(layers: int) -> Criterion:
    """Of a slope, in a network with so many dense layers."""
    return Criterion("explodes", _limit(layers), math.inf)


def flows(layers: int) -> Criterion:
    """Of a slope, in a network with so many dense layers."""
    return Criterion("flows", -_limit(layers), _limit(layers))


def _limit(layers: int) -> float:
    return SICK_DECADES / (layers - 1)


WORSE = Criterion("deeper is worse", -math.inf, -SICK_DECADES)
LEARNS = Criterion("learns", GOOD_ACCURACY, math.inf)
DIVERGES = Criterion("diverges", 1.0, 1.0)
DOES_NOT_DIVERGE = Criterion("does not diverge", 0.0, 0.0)
MANY_MORE_STEPS = Criterion("many more steps", MANY_TIMES, math.inf)
