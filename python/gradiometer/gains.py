"""The gain of an activation: what `gradiometer.init` scales weights by."""

from __future__ import annotations

import math
from functools import cache

from gradiometer.activations import SELU, Activation, Identity, LeakyReLU, ReLU, Sigmoid, Tanh, activation_from_name
from gradiometer.gaussian import activation_moments

__all__ = ["gain"]


def gain(activation: str | Activation) -> float:
    """Return the factor on ``1 / √fan_in`` that keeps a signal's scale through a dense layer and this activation.

    Where PyTorch has a value (`torch.nn.init.calculate_gain`), it is that: 1 for the identity and sigmoid, 5/3 for
    tanh, √2 for ReLU, √(2 / (1 + a²)) for LeakyReLU of slope a, 3/4 for SELU. For the others it is ``1 / √E[φ(z)²]``
    with a standard normal z, which keeps the second moment of the activations (He et al. 2015, eq. 10, for any φ).

    Parameters
    ----------
    activation : str or Activation
        A layer, or its lower-case name. ``"linear"`` is the identity.

    Raises
    ------
    ValueError, TypeError
        If there is no such activation.
    """
    layer = activation_from_name("identity" if activation == "linear" else activation)
    return _gain(layer)


@cache
def _gain(activation: Activation) -> float:
    match activation:
        case Identity() | Sigmoid():
            return 1.0
        case Tanh():
            return 5.0 / 3.0
        case ReLU():
            return math.sqrt(2.0)
        case LeakyReLU(slope):
            return math.sqrt(2.0 / (1.0 + slope * slope))
        case SELU():
            return 0.75
    _, second_moment, _ = activation_moments(activation)
    if second_moment == 0:
        return 1.0
    # Rounded, so that the last bits of an integral, which differ between instruction sets, stay out of the weights.
    return float(f"{1.0 / math.sqrt(second_moment):.12g}")
