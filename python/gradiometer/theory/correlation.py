"""How similar two inputs stay: the correlation map, its fixed point c*, and the depth scales.

Two inputs have pre-activations that are jointly normal; their correlation goes from layer to layer as
c → (σ_w² E[φ(u₁) φ(u₂)] + σ_b²) / q* (Poole et al. 2016, the correlation map).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gradiometer._checks import check_number
from gradiometer.activations import Activation
from gradiometer.gaussian import REACH, feature_size, gauss_legendre, kinks, normal_nodes, panel_edges
from gradiometer.theory.moments import moments, piecewise_linear, values
from gradiometer.theory.variance import check_point, chi_at, fixed_variance, next_variance

__all__ = ["DepthScales", "correlation_map", "depth_scales", "fixed_correlation", "lines_kernel", "pair_moments"]

Array = NDArray[np.float64]

PANEL = 1.0  # the integrand has 24 nodes on each panel, in both directions
EDGE = 1e-9  # a growth that is closer to 1 than this is 1: half of the digits of σ_w are enough for it
MOST_STEPS = 200  # of the search for c*, which takes some 10
CLOSE = 1e-7  # correlations that are closer to 1 than this are 1


@dataclass(frozen=True)
class DepthScales:
    """Over how many layers differences decay by a factor e, near the fixed point (Schoenholz et al. 2017).

    They are infinite at the edge of chaos.
    """

    xi_q: float
    """Of the variance: ``1 / |ln(dq'/dq)|`` at q*, with dq'/dq = χ₁ + σ_w² E[φ″ φ]."""
    xi_c: float
    """Of the correlation of two inputs: ``1 / |ln(dc'/dc)|`` at c*, with dc'/dc = σ_w² E[φ′ φ′]: information about the
    input travels about so far."""
    xi_grad: float
    """Of squared gradients: ``1 / |ln χ₁|``; they vanish (χ₁ < 1) or explode (χ₁ > 1) by e over so many layers."""


def lines_kernel(lines: tuple[float, float], c: Array) -> tuple[Array, Array]:
    """Return E[φ(u₁) φ(u₂)] and E[φ′(u₁) φ′(u₂)] of two lines through zero, for variances 1 (Cho and Saul 2009)."""
    below, above = lines
    angle = np.arccos(np.clip(c, -1.0, 1.0))
    same = (math.pi - angle) / (2 * math.pi)  # chance that both are positive
    arc = (np.sqrt(np.maximum(1.0 - c * c, 0.0)) + (math.pi - angle) * c) / (2 * math.pi)
    cross, squares = 2 * above * below, above * above + below * below
    # E[φφ] with ReLU(x) = arc(c), ReLU(-x) ReLU(y) = arc(-c), and arc(c) - arc(-c) = c / 2.
    return squares * arc - cross * (arc - c / 2), squares * same + cross * (0.5 - same)


def pair_moments(activation: Activation, q: float, c: float) -> tuple[float, float]:
    """Return E[φ(u₁) φ(u₂)] and E[φ′(u₁) φ′(u₂)] for u₁, u₂ of variance q and correlation c, to 1e-10.

    Closed forms for the identity, ReLU and LeakyReLU; a quadrature over both, with panels that end at the kinks of
    either, for the others.
    """
    lines = piecewise_linear(activation)
    if lines is not None:
        value, slope = lines_kernel(lines, np.array(c))
        return q * float(value), float(slope)
    if c >= 1.0 or q == 0:
        return moments(activation, q).square, moments(activation, q).slope_square
    scale, feature = math.sqrt(q), feature_size(activation)
    edges = panel_edges(kinks(activation), scale, feature, PANEL)
    rest = math.sqrt((1.0 - c) * (1.0 + c))
    first, density = normal_nodes(np.unique(np.concatenate([edges, _smeared(kinks(activation), scale, c, rest)])))
    # Given the first, the second is c · first + rest · w. Its panels in w end where it meets the edges of its own.
    own = (edges[None, :] - c * first[:, None]) / rest if rest else np.empty((len(first), 0))
    coarse = np.broadcast_to(np.arange(-REACH, REACH + PANEL / 2, PANEL), (len(first), int(2 * REACH / PANEL) + 1))
    bounds = np.sort(np.clip(np.concatenate([own, coarse], axis=1), -REACH, REACH), axis=1)
    value, slope = values(activation, scale * first)
    inner_value, inner_slope = _inner(activation, scale, c * first, rest, bounds)
    return float((density * value) @ inner_value), float((density * slope) @ inner_slope)


def _smeared(breaks: tuple[float, ...], scale: float, c: float, rest: float) -> Array:
    """Return edges where the kinks of the second make the inner expectation bend, over a width of rest / c."""
    if abs(c) < 0.1:
        return np.empty(0)
    centres = np.array([0.0, *breaks]) / scale / c
    edges = centres[:, None] + rest / c * np.arange(-10.0, 11.0)
    return np.asarray(edges[np.abs(edges) < REACH])


def _inner(activation: Activation, scale: float, centre: Array, rest: float, bounds: Array) -> tuple[Array, Array]:
    """Return E[φ] and E[φ′] at ``scale (centre + rest · w)`` for each centre, by panels between each row of bounds."""
    nodes, weights = gauss_legendre()
    value, slope = np.empty(len(centre)), np.empty(len(centre))
    at_once = max(1, 1_000_000 // (bounds.shape[1] * len(nodes)))
    for start in range(0, len(centre), at_once):
        part = slice(start, start + at_once)
        half = np.diff(bounds[part], axis=1)[:, :, None] / 2
        w = bounds[part, :-1, None] + half + half * nodes
        density = np.exp(-w * w / 2) * (half * weights) / math.sqrt(2 * math.pi)
        inner = values(activation, scale * (centre[part, None, None] + rest * w))
        value[part], slope[part] = ((part_values * density).sum(axis=(1, 2)) for part_values in inner)
    return value, slope


def correlation_map(activation: str | Activation, sigma_w: float, sigma_b: float = 0.0, c: float = 1.0) -> float:
    """Return the correlation after a layer of two inputs of variance q* and correlation c (Poole et al. 2016).

    Raises
    ------
    ValueError
        If q* is 0 or infinite, where correlations depend on the way there; or an argument is out of range.
    """
    layer, weight, bias = check_point(activation, sigma_w, sigma_b)
    correlation = check_number("c", c, minimum=-1.0, maximum=1.0)
    q = fixed_variance(layer, weight, bias)
    if q in (0.0, math.inf):
        raise ValueError(f"the correlation map needs a variance to settle at, but q* is {q:g} for sigma_w = {weight:g}")
    return (weight * weight * pair_moments(layer, q, correlation)[0] + bias * bias) / q


def fixed_correlation(activation: str | Activation, sigma_w: float, sigma_b: float = 0.0) -> float:
    """Return c*, the correlation that two inputs settle at (Poole et al. 2016): 1 in the ordered phase, less in chaos.

    Where q* is 0 or infinite it is 1, the limit of small biases, and of the straight lines that an activation is far
    from zero.
    """
    return _fixed_correlation(*check_point(activation, sigma_w, sigma_b))


def _fixed_correlation(layer: Activation, sigma_w: float, sigma_b: float) -> float:
    q = fixed_variance(layer, sigma_w, sigma_b)
    if q in (0.0, math.inf) or piecewise_linear(layer) is not None or chi_at(layer, sigma_w, q) <= 1.0 + EDGE:
        return 1.0
    square = next_variance(layer, sigma_w, sigma_b, q)

    def excess(c: float) -> float:
        return (sigma_w * sigma_w * pair_moments(layer, q, c)[0] + sigma_b * sigma_b) / square - c

    # On [0, 1] the map is convex, for its power series has no negative terms: one fixed point below 1.
    low, high = 0.0, 1.0 - CLOSE
    if abs(excess(0.0)) < 1e-14:
        return 0.0
    if excess(high) >= 0:
        return 1.0
    return _root(excess, low, high)


def _root(function: Callable[[float], float], low: float, high: float) -> float:
    """Return where a function that is positive at `low` and negative at `high` is zero (Illinois' false position)."""
    above, below = function(low), function(high)
    side = 0
    for _ in range(MOST_STEPS):
        if high - low < 1e-14:
            break
        middle = min(max((low * below - high * above) / (below - above), low), high)
        value = function(middle)
        if abs(value) < 1e-14:
            return middle
        if value > 0:
            low, above, below, side = middle, value, below / 2 if side > 0 else below, 1
        else:
            high, below, above, side = middle, value, above / 2 if side < 0 else above, -1
    return (low + high) / 2


def depth_scales(activation: str | Activation, sigma_w: float, sigma_b: float = 0.0) -> DepthScales:
    """Return how deep signals reach: the depth scales of variance, correlation and gradients (Schoenholz et al. 2017).

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
    DepthScales
        With `xi_q`, `xi_c` and `xi_grad`, in layers. Where q* is 0, they are the limits for small biases; where it is
        infinite, `xi_q` is that of its growth, and `xi_c` is infinite, as the correlation map has slope 1 there.

    Raises
    ------
    ValueError, TypeError
        If there is no such activation, or a σ is negative or not finite.
    """
    layer, weight, bias = check_point(activation, sigma_w, sigma_b)
    q = fixed_variance(layer, weight, bias)
    growth = chi_at(layer, weight, q)
    variance_growth = growth if q in (0.0, math.inf) else weight * weight * moments(layer, q).square_rate
    correlation = _fixed_correlation(layer, weight, bias)
    if q == math.inf or (bias == 0 and piecewise_linear(layer) is not None and q > 0):
        correlation_growth = 1.0 if growth > 0 else 0.0
    elif correlation == 1.0:
        correlation_growth = growth
    else:
        correlation_growth = weight * weight * pair_moments(layer, q, correlation)[1]
    return DepthScales(_scale(variance_growth), _scale(correlation_growth), _scale(growth))


def _scale(growth: float) -> float:
    """Return ``1 / |ln growth|``; infinite where the growth is 1, and 0 where nothing is left after one layer."""
    if abs(growth - 1.0) < EDGE:
        return math.inf
    return 0.0 if growth <= 0 or growth == math.inf else 1.0 / abs(math.log(growth))
