"""Expectations under the standard normal distribution, exact to about 1e-14 for piecewise smooth functions."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradiometer import _core
from gradiometer.activations import ELU, SELU, Activation, Hardswish, Hardtanh, LeakyReLU, ReLU, Softplus, Softsign

__all__ = ["activation_moments", "expectation", "kinks"]

Array = NDArray[np.float64]

REACH = 14.0  # beyond it the density is below 1e-43
PANEL = 0.5  # on which an integrand without a kink is close to a polynomial of degree 40


@cache
def _gauss_legendre() -> tuple[Array, Array]:
    """Nodes and weights on [-1, 1]."""
    nodes, weights = np.polynomial.legendre.leggauss(24)
    return nodes, weights


def expectation(function: Callable[[Array], Array], breaks: Sequence[float] = ()) -> float:
    """Return E[function(z)] for a standard normal z.

    Parameters
    ----------
    function : callable
        Takes and returns an array of shape (n,). At most of exponential growth.
    breaks : sequence of float
        Where the function or one of its derivatives jumps: Gauss–Legendre panels end there.
    """
    inside = {b for b in breaks if -REACH < b < REACH}
    edges = np.array(sorted({*np.arange(-REACH, REACH + PANEL / 2, PANEL), *inside}))
    nodes, weights = _gauss_legendre()
    half = np.diff(edges)[:, None] / 2
    z = (edges[:-1, None] + half + half * nodes).ravel()
    density = np.exp(-z * z / 2) * (half * weights).ravel() / math.sqrt(2 * math.pi)
    values: Any = function(z)
    return float(values @ density)


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


def activation_moments(activation: Activation) -> tuple[float, float, float]:
    """Return E[φ(z)], E[φ(z)²] and E[φ′(z)²] for a standard normal z."""
    breaks = kinks(activation)

    def moment(which: int, power: int) -> float:
        return expectation(lambda z: _core.activate(activation._spec(), z)[which] ** power, breaks)

    return moment(0, 1), moment(0, 2), moment(1, 2)
