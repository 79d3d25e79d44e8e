"""The variance map of a wide random network, its fixed point, and the growth χ₁ of gradients at it.

In a network of wide dense layers with weights of variance σ_w² / fan_in and biases of variance σ_b², pre-activations
are normal, and their variance goes from layer to layer as q → σ_w² E[φ(√q z)²] + σ_b² (Poole et al. 2016, the length
map).
"""

from __future__ import annotations

import math

from gradiometer._checks import check_number
from gradiometer.activations import Activation, activation_from_name
from gradiometer.theory.moments import limit_slopes, moments, piecewise_linear

__all__ = ["check_point", "chi", "chi_at", "fixed_point", "fixed_variance", "next_variance", "variance_map"]

START = 1.0  # the variance from which the fixed point is reached: that of standardised data
SAME = 1e-13  # relative change of a variance that is rounding noise
STAYS = 1e-9  # the start is a fixed point itself: initial gains are rounded to 12 digits
SMALLEST, LARGEST = 1e-306, 1e306
STRIDE = 4.0  # of the search for a change of sign; nothing about an activation happens on a shorter range


def check_point(activation: str | Activation, sigma_w: float, sigma_b: float = 0.0) -> tuple[Activation, float, float]:
    """Return the arguments of most functions of the theory, checked."""
    return (
        activation_from_name(activation),
        check_number("sigma_w", sigma_w, minimum=0.0),
        check_number("sigma_b", sigma_b, minimum=0.0),
    )


def variance_map(activation: str | Activation, sigma_w: float, sigma_b: float = 0.0, q: float = 1.0) -> float:
    """Return the variance of the next layer's pre-activations, σ_w² E[φ(√q z)²] + σ_b², from that of one layer's, q.

    It is the length map of Poole et al. (2016), whose fixed point `fixed_point` gives.

    Raises
    ------
    ValueError, TypeError
        If there is no such activation, or a number is negative or not finite.
    """
    layer, weight, bias = check_point(activation, sigma_w, sigma_b)
    return next_variance(layer, weight, bias, check_number("q", q, minimum=0.0))


def next_variance(activation: Activation, sigma_w: float, sigma_b: float, q: float) -> float:
    """Return `variance_map` for checked arguments."""
    return _scaled(sigma_w, moments(activation, q).square) + sigma_b * sigma_b


def _scaled(sigma_w: float, square: float) -> float:
    return sigma_w * (sigma_w * square) if square else 0.0  # in this order, so that neither part overflows alone


def fixed_point(activation: str | Activation, sigma_w: float, sigma_b: float = 0.0) -> float:
    """Return q*, the variance of pre-activations that a deep network settles at (Poole et al. 2016).

    Parameters
    ----------
    activation : str or Activation
        A layer, or its lower-case name.
    sigma_w : float
        Standard deviation of the weights times √fan_in.
    sigma_b : float
        Standard deviation of the biases.

    Returns
    -------
    float
        The fixed point that data of variance 1 reach; 0 where they vanish (tanh with σ_w ≤ 1 and no bias) and infinity
        where they explode (ReLU with σ_w² > 2). Where every variance is a fixed point (ReLU with σ_w² = 2), or 1 is an
        unstable one (GELU with its Kaiming gain), it is 1.

    Raises
    ------
    ValueError, TypeError
        If there is no such activation, or a σ is negative or not finite.
    """
    return fixed_variance(*check_point(activation, sigma_w, sigma_b))


def fixed_variance(activation: Activation, sigma_w: float, sigma_b: float) -> float:
    """Return `fixed_point` for checked arguments.

    The map never decreases, so that variances from START on move one way, to the next fixed point on it.
    """
    lines = piecewise_linear(activation)
    if lines is not None:
        return _of_lines(lines, sigma_w, sigma_b)

    def excess(q: float) -> float:
        return next_variance(activation, sigma_w, sigma_b, q) / q - 1.0

    first = excess(START)
    if abs(first) < STAYS:
        return START
    upward = first > 0
    near = START
    while True:
        far = near * STRIDE if upward else near / STRIDE
        if not SMALLEST < far < LARGEST:
            return math.inf if upward else 0.0
        beyond = excess(far)
        if (beyond < -SAME) if upward else (beyond > SAME):
            break
        near = far
    low, high = min(near, far), max(near, far)
    while high / low - 1.0 > 4e-16:
        middle = math.sqrt(low) * math.sqrt(high)
        if not low < middle < high:
            break
        if excess(middle) > 0:
            low = middle
        else:
            high = middle
    return math.sqrt(low) * math.sqrt(high)


def _of_lines(lines: tuple[float, float], sigma_w: float, sigma_b: float) -> float:
    """Return the fixed point of two straight lines through zero, whose variance map is a straight line."""
    ratio = _scaled(sigma_w, (lines[0] ** 2 + lines[1] ** 2) / 2)
    if abs(ratio - 1.0) < 1e-12:  # which is what √2, squared in floating point, must count as
        return math.inf if sigma_b else START
    if ratio > 1.0:
        return math.inf
    return sigma_b * sigma_b / (1.0 - ratio)


def chi_at(activation: Activation, sigma_w: float, q: float) -> float:
    """Return χ = σ_w² E[φ′(√q z)²], the growth of squared gradients per layer at this variance."""
    if q == 0:
        below, above = limit_slopes(activation, 0)
        return _scaled(sigma_w, (below * below + above * above) / 2)
    return _scaled(sigma_w, moments(activation, q).slope_square)


def chi(activation: str | Activation, sigma_w: float, sigma_b: float = 0.0) -> float:
    """Return χ₁ = σ_w² E[φ′(√q* z)²], the factor on squared gradients per layer in a deep network.

    Below 1 gradients vanish, above 1 they explode (Poole et al. 2016; Schoenholz et al. 2017, on backpropagation).
    Where q* is 0 or infinite, it is the limit: σ_w² times the mean of φ′² over both sides of zero, or at both
    infinities. So it is σ_w² / 2 for ReLU at every σ_w.

    Parameters
    ----------
    activation : str or Activation
        A layer, or its lower-case name.
    sigma_w : float
        Standard deviation of the weights times √fan_in.
    sigma_b : float
        Standard deviation of the biases.

    Raises
    ------
    ValueError, TypeError
        If there is no such activation, or a σ is negative or not finite.
    """
    layer, weight, bias = check_point(activation, sigma_w, sigma_b)
    return chi_at(layer, weight, fixed_variance(layer, weight, bias))
