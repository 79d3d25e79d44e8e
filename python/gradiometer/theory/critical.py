"""The edge of chaos: the scale of the weights at which gradients neither vanish nor explode."""

from __future__ import annotations

import math
from collections.abc import Callable

from gradiometer._checks import check_number
from gradiometer.activations import Activation, activation_from_name, activation_name
from gradiometer.theory.moments import limit_slopes, moments, piecewise_linear
from gradiometer.theory.variance import chi_at, fixed_variance

__all__ = ["critical_sigma_w"]

STRIDE = 1.15  # of the search for χ₁ above 1
LARGEST = 1e8  # where the search ends
JUMP = 1e-6  # what is more than this off 1 on both sides of the edge is no solution


def critical_sigma_w(activation: str | Activation, sigma_b: float = 0.0) -> float:
    """Return the smallest σ_w at which χ₁ = 1: the edge of chaos (Poole et al. 2016; Schoenholz et al. 2017).

    Where χ₁ = 1 is only reached in the limit of q* → 0 (tanh without biases: 1) or q* → ∞ (ReLU: √2, softplus: √2),
    it is the limit.

    Parameters
    ----------
    activation : str or Activation
        A layer, or its lower-case name.
    sigma_b : float
        Standard deviation of the biases.

    Raises
    ------
    ValueError
        If there is none. With GELU, SiLU, Mish and Hardswish without biases, q* leaps from 0 to infinity, and χ₁ with
        it over 1. Or if there is no such activation, or sigma_b is negative or not finite.
    TypeError
        If an argument is of a wrong type.
    """
    layer = activation_from_name(activation)
    bias = check_number("sigma_b", sigma_b, minimum=0.0)
    lines = piecewise_linear(layer)
    if lines is not None:
        return _inverse_root(*lines)
    if bias == 0 and moments(layer, 0.0).mean == 0:
        at_zero = _inverse_root(*limit_slopes(layer, 0))
        if at_zero < math.inf and fixed_variance(layer, at_zero, 0.0) == 0:
            return at_zero

    def chi(sigma_w: float) -> float:
        return chi_at(layer, sigma_w, fixed_variance(layer, sigma_w, bias))

    limit = _inverse_root(*limit_slopes(layer, math.inf))
    if limit < math.inf and fixed_variance(layer, limit, bias) < math.inf:
        limit = math.inf  # there is still a fixed point where arguments at infinity grow: that limit is not reached
    low, high = _bracket(chi, limit, layer)
    if high == limit and chi(high * (1 - 1e-12)) <= 1:
        return limit
    while True:
        middle = (low + high) / 2
        if not low < middle < high:
            break
        low, high = (middle, high) if chi(middle) <= 1 else (low, middle)
    before, after = chi(low), chi(high)
    if min(1 - before, after - 1) < JUMP:
        return low
    # A little off the edge, where the start of the search is no fixed point by itself.
    variance = [fixed_variance(layer, sigma_w, bias) for sigma_w in (low * (1 - 1e-6), high * (1 + 1e-6))]
    raise ValueError(
        f"{activation_name(layer)} with sigma_b = {bias:g} has no critical sigma_w: at {high:.6g} the fixed point of "
        f"the variance leaps from {variance[0]:.3g} to {variance[1]:.3g}, and χ₁ from {before:.3g} to {after:.3g}"
    )


def _bracket(chi: Callable[[float], float], limit: float, activation: Activation) -> tuple[float, float]:
    """Return two scales of the weights: χ₁ is at most 1 at the first; above it at the second, or that is `limit`."""
    low = high = min(1e-3, limit / 2)
    while chi(high) <= 1 and high < limit:
        if high > LARGEST:
            raise ValueError(f"χ₁ of {activation_name(activation)} stays below 1 up to sigma_w = {LARGEST:g}")
        low, high = high, min(high * STRIDE, limit)
    return low, high


def _inverse_root(below: float, above: float) -> float:
    """Return the σ_w at which χ is 1 for these two slopes."""
    half = (below * below + above * above) / 2
    return 1.0 / math.sqrt(half) if half > 0 else math.inf
