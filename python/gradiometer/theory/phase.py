"""The phase diagram of an activation: where gradients vanish and where they explode, over σ_w and σ_b."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gradiometer.activations import Activation, activation_from_name
from gradiometer.theory.moments import moments
from gradiometer.theory.variance import chi_at

__all__ = ["PhaseDiagram", "phase_diagram"]

Array = NDArray[np.float64]

# The table of moments over ln q. Outside it an activation is as in the limits of 0 and infinity.
SMALLEST, LARGEST, PER_DECADE = -10, 10, 64


@dataclass(frozen=True)
class PhaseDiagram:
    """What `phase_diagram` returns; rows are values of σ_b, columns values of σ_w."""

    sigma_w: Array
    """(columns,)"""
    sigma_b: Array
    """(rows,)"""
    variance: Array
    """(rows, columns) The fixed point q*; 0 and infinity where there is none between 1e-10 and 1e10."""
    chi: Array
    """(rows, columns) χ₁, the factor on squared gradients per layer toward the input."""

    @property
    def slope(self) -> Array:
        """(rows, columns) log₁₀ √χ₁: decades of `delta_norm` per layer toward the input, as in a diagnosis."""
        with np.errstate(divide="ignore"):
            return np.asarray(np.log10(self.chi) / 2)


def phase_diagram(activation: str | Activation, sigma_w: ArrayLike, sigma_b: ArrayLike) -> PhaseDiagram:
    """Return q* and χ₁ for all pairs of σ_w and σ_b at once (Poole et al. 2016, figure 1).

    By interpolation in a table of moments over q, within 1e-4 of what `fixed_point` and `chi` give one by one, except
    next to where q* leaps.

    Parameters
    ----------
    activation : str or Activation
        A layer, or its lower-case name.
    sigma_w : array, (columns,)
        Standard deviations of the weights times √fan_in.
    sigma_b : array, (rows,)
        Standard deviations of the biases.

    Raises
    ------
    ValueError, TypeError
        If there is no such activation, or a σ is negative or not finite.
    """
    layer = activation_from_name(activation)
    weights, biases = _sigmas("sigma_w", sigma_w), _sigmas("sigma_b", sigma_b)
    log_q = np.log(10.0) * np.arange(SMALLEST, LARGEST + 0.5 / PER_DECADE, 1.0 / PER_DECADE)
    found = [moments(layer, float(np.exp(point))) for point in log_q]
    square, slope_square = (np.array([getattr(at, name) for at in found]) for name in ("square", "slope_square"))

    variance, chi = np.empty((2, len(biases), len(weights)))
    for row, bias in enumerate(biases):
        with np.errstate(divide="ignore"):
            excess = np.log(weights[:, None] ** 2 * square + bias**2) - log_q  # (columns, table)
        log_variance = _settle(excess, log_q)
        variance[row] = np.exp(log_variance)
        chi[row] = weights**2 * np.interp(log_variance, log_q, slope_square)
        for column in np.flatnonzero(~np.isfinite(log_variance)):
            chi[row, column] = chi_at(layer, float(weights[column]), float(variance[row, column]))
    return PhaseDiagram(weights, biases, variance, chi)


def _sigmas(name: str, values: ArrayLike) -> Array:
    try:
        array = np.asarray(values, np.float64)
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be an array of numbers, not {values!r}") from None
    if array.ndim != 1:
        raise ValueError(f"{name} has shape {array.shape}; it must have one dimension")
    wrong = ~(np.isfinite(array) & (array >= 0))
    if wrong.any():
        raise ValueError(f"{name} must be finite and at least 0, not {array[wrong][0]:g}")
    return array


def _settle(excess: Array, log_q: Array) -> Array:
    """Return the ln q that data of variance 1 reach, where ln q grows by the excess from layer to layer.

    They move upward from q = 1 to the first sign of a negative excess, or downward to the first positive one.
    """
    start = int(np.argmin(np.abs(log_q)))
    settled = np.empty(len(excess))
    for row, change in enumerate(excess):
        upward = change[start] > 0
        way = change[start:] if upward else -change[start::-1]
        places = log_q[start:] if upward else log_q[start::-1]
        if abs(change[start]) < 1e-9:  # it is a fixed point itself; initial gains are rounded
            settled[row] = 0.0
        elif not (way < 0).any():
            settled[row] = np.inf if upward else -np.inf
        else:
            beyond = int(np.argmax(way < 0))
            near, far = way[beyond - 1], way[beyond]
            share = near / (near - far) if np.isfinite(near) else 1.0
            settled[row] = places[beyond - 1] + share * (places[beyond] - places[beyond - 1])
    return settled
