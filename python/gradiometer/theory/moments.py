"""Moments of an activation whose argument is normal with mean 0 and variance q."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradiometer import _core
from gradiometer.activations import ELU, Activation, Identity, LeakyReLU, ReLU, Softplus
from gradiometer.gaussian import feature_size, kinks, normal_nodes, panel_edges

__all__ = ["Moments", "limit_slopes", "moments", "piecewise_linear"]

Array = NDArray[np.float64]

TINY, HUGE = 1e-30, 1e30  # arguments at which every activation is as it is in the limit of 0 and of infinity
SMALL_SCALE = 1e-6  # below it, a Taylor expansion of the variance map's slope is exact to the last bits


class Moments(NamedTuple):
    """Expectations over z, standard normal, with φ and φ′ taken at √q z."""

    mean: float
    """E[φ]"""
    square: float
    """E[φ²]"""
    slope_square: float
    """E[φ′²]"""
    slope_fourth: float
    """E[φ′⁴]"""
    square_rate: float
    """dE[φ²]/dq = E[z φ φ′] / √q"""


def values(activation: Activation, x: Array) -> tuple[Array, Array]:
    """Return φ(x) and φ′(x), by the kernels that the networks use, for x of any shape."""
    value, slope = _core.activate(activation._spec(), np.ascontiguousarray(x).ravel())
    return value.reshape(x.shape), slope.reshape(x.shape)


def piecewise_linear(activation: Activation) -> tuple[float, float] | None:
    """Return the slopes below and above zero if the activation is made of two straight lines through zero."""
    match activation:
        case Identity():
            return (1.0, 1.0)
        case ReLU():
            return (0.0, 1.0)
        case LeakyReLU(slope):
            return (slope, 1.0)
        case ELU(alpha) if alpha == 0:
            return (0.0, 1.0)
    return None


def limit_slopes(activation: Activation, at: float) -> tuple[float, float]:
    """Return φ′ on the left and on the right, in the limit of 0 (``at=0``) or of infinity (``at=inf``)."""
    argument = TINY if at == 0 else HUGE
    left, right = values(activation, np.array([-argument, argument]))[1]
    if at == 0:
        return float(left), float(right)
    return (0.0 if abs(left) < TINY else float(left)), (0.0 if abs(right) < TINY else float(right))


def moments(activation: Activation, q: float) -> Moments:
    """Return the moments at variance q, from 0 to infinity; exact to 1e-10 relative to the largest |φ| or |φ′|.

    Closed forms for the identity, ReLU and LeakyReLU; Gauss–Legendre panels that end at the kinks for the others.
    (Plain Gauss–Hermite quadrature smears a kink: it gives 0.91 for the χ₁ = 1 of ReLU.)
    """
    lines = piecewise_linear(activation)
    if lines is not None:
        return _of_lines(*lines, q)
    if q == math.inf:
        left, right = limit_slopes(activation, math.inf)
        return _of_lines(left, right, q) if left or right else _of_limits(activation)
    if q == 0:
        return _at_zero(activation)
    return _by_quadrature(activation, q)


def _of_lines(below: float, above: float, q: float) -> Moments:
    half = (below * below + above * above) / 2
    return Moments(
        mean=(above - below) * math.sqrt(q / (2 * math.pi)) if above != below else 0.0,
        square=half * q,
        slope_square=half,
        slope_fourth=(below**4 + above**4) / 2,
        square_rate=half,
    )


def _of_limits(activation: Activation) -> Moments:
    """Return the moments of an activation that is bounded on both sides, for arguments at infinity."""
    low, high = values(activation, np.array([-HUGE, HUGE]))[0]
    return Moments(float(low + high) / 2, float(low * low + high * high) / 2, 0.0, 0.0, 0.0)


def _at_zero(activation: Activation) -> Moments:
    below, above = limit_slopes(activation, 0)
    value = float(values(activation, np.zeros(1))[0][0])
    half = (below * below + above * above) / 2
    curvature = activation.beta / 4 if isinstance(activation, Softplus) else 0.0  # only where φ(0) and φ″(0) are not 0
    rate = half + value * curvature
    if value and below != above:
        rate = math.copysign(math.inf, value * (above - below))
    return Moments(value, value * value, half, (below**4 + above**4) / 2, rate)


@lru_cache(maxsize=4096)
def _by_quadrature(activation: Activation, q: float) -> Moments:
    scale = math.sqrt(q)
    z, density = normal_nodes(panel_edges(kinks(activation), scale, feature_size(activation)))
    value, slope = values(activation, scale * z)
    unit = float(np.abs(value).max()) or 1.0  # so that no square leaves the range of a float64
    relative = value / unit
    steepest = float(np.abs(slope).max()) or 1.0
    steepness = slope / steepest
    squares = steepness * steepness

    def mean(integrand: Array) -> float:
        return float((integrand * density).sum())  # not by BLAS, whose threads cost more than so short a sum

    rate = unit / scale * steepest * mean(z * relative * steepness)
    if scale < SMALL_SCALE and value[0] * value[-1] > 0:  # φ(0) is not 0: the two sides cancel to rounding noise
        rate = _at_zero(activation).square_rate
    return Moments(
        mean=unit * mean(relative),
        square=unit * unit * mean(relative * relative),
        slope_square=steepest**2 * mean(squares),
        slope_fourth=steepest**4 * mean(squares * squares),
        square_rate=rate,
    )
