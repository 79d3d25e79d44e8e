"""Expectations under the normal distribution, exact to about 1e-14 for piecewise smooth functions of any scale."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradiometer import _core
from gradiometer.activations import ELU, SELU, Activation, Hardswish, Hardtanh, LeakyReLU, ReLU, Softplus, Softsign

__all__ = ["activation_moments", "expectation", "feature_size", "gauss_legendre", "kinks", "panel_edges"]

Array = NDArray[np.float64]

REACH = 14.0  # beyond it the density is below 1e-43
PANEL = 0.5  # on which an integrand without a kink is close to a polynomial of degree 40
FLAT = 8.0  # so many feature sizes from zero, an activation is smooth enough for panels that double in width


@cache
def gauss_legendre() -> tuple[Array, Array]:
    """Return nodes and weights on [-1, 1]."""
    nodes, weights = np.polynomial.legendre.leggauss(24)
    return nodes, weights


def panel_edges(breaks: Sequence[float], scale: float, feature: float = 1.0, panel: float = PANEL) -> Array:
    """Return the edges of the panels, from -REACH to REACH, for a function of ``scale · z``.

    Where the scale is large, all that happens to an activation happens near z = 0: fine panels cover it there, and
    panels that double in width lead from it to the coarse ones.
    """
    edges = [np.arange(-REACH, REACH + panel / 2, panel)]
    if scale > feature:
        width = feature / scale
        steps = np.arange(0.0, FLAT + panel / 2, panel)
        doublings = max(0, math.ceil(math.log2(REACH / FLAT) - math.log2(width)))
        fine = np.concatenate([steps * width, FLAT * width * 2.0 ** np.arange(1, doublings + 1)])
        edges += [fine, -fine]
    if scale > 0:
        with np.errstate(over="ignore"):
            edges.append(np.asarray(breaks, np.float64) / scale)
    together = np.unique(np.concatenate(edges))
    return np.asarray(together[np.abs(together) <= REACH])


def expectation(
    function: Callable[[Array], Array], breaks: Sequence[float] = (), scale: float = 1.0, feature: float = 1.0
) -> float:
    """Return E[function(scale · z)] for a standard normal z.

    Parameters
    ----------
    function : callable
        Takes and returns an array of shape (n,). At most of exponential growth.
    breaks : sequence of float
        The arguments where the function or one of its derivatives jumps: Gauss–Legendre panels end there.
    scale : float
        Standard deviation of the argument.
    feature : float
        The length on which the function changes near zero.
    """
    z, density = normal_nodes(panel_edges(breaks, scale, feature))
    values: Any = function(scale * z)
    return float((values * density).sum())


def normal_nodes(edges: Array) -> tuple[Array, Array]:
    """Return the nodes of all panels between the edges, and their weights times the normal density."""
    nodes, weights = gauss_legendre()
    half = np.diff(edges)[:, None] / 2
    z = (edges[:-1, None] + half + half * nodes).ravel()
    return z, np.exp(-z * z / 2) * (half * weights).ravel() / math.sqrt(2 * math.pi)


def kinks(activation: Activation) -> tuple[float, ...]:
    """Return where the activation or its derivative is not smooth."""
    match activation:
        case ReLU() | LeakyReLU() | ELU() | SELU() | Softsign():
            return (0.0,)
        case Hardtanh(low, high):
            return (low, high)
        case Hardswish():
            return (-3.0, 3.0)
        case Softplus(beta, threshold):
            return (threshold / beta,)
    return ()


def feature_size(activation: Activation) -> float:
    """Return the length on which the activation changes near zero, apart from its kinks."""
    return 1.0 / activation.beta if isinstance(activation, Softplus) else 1.0


def activation_moments(activation: Activation) -> tuple[float, float, float]:
    """Return E[φ(z)], E[φ(z)²] and E[φ′(z)²] for a standard normal z."""
    breaks, feature = kinks(activation), feature_size(activation)

    def moment(which: int, power: int) -> float:
        return expectation(lambda z: _core.activate(activation._spec(), z)[which] ** power, breaks, 1.0, feature)

    return moment(0, 1), moment(0, 2), moment(1, 2)
