"""How the variance of the pre-activations drifts in layers of finite width, and what gradients make of it.

The mean square of the activations of n units is not exactly its expectation. The relative error goes on from layer to
layer, and where φ is not made of straight lines the gain of gradients depends on it: a tanh network whose activations
happen to be large passes back less, in all the layers that follow.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradiometer.activations import Activation
from gradiometer.gaussian import feature_size, kinks, normal_nodes, panel_edges
from gradiometer.theory.moments import values

__all__ = ["Drift", "Response", "Sensitivity", "response"]

Array = NDArray[np.float64]


class Response(NamedTuple):
    """What an activation does to a small relative error of the variance q of its argument."""

    carry: float
    """d ln E[φ²] / d ln q."""
    gain: float
    """d ln E[φ′²] / d ln q."""
    square_excess: float
    """E[φ⁴] / E[φ²]² − 1."""
    cross_excess: float
    """E[φ² φ′²] / (E[φ²] E[φ′²]) − 1."""


def response(activation: Activation, q: float) -> Response | None:
    """Return the response at variance q; None where an expectation is zero or beyond a float64."""
    scale = q**0.5
    z, density = normal_nodes(panel_edges(kinks(activation), scale, feature_size(activation)))
    value, slope = values(activation, scale * z)
    with np.errstate(all="ignore"):
        squares = (value / np.abs(value).max()) ** 2
        slopes = (slope / np.abs(slope).max()) ** 2
        square, slope_square = float(squares @ density), float(slopes @ density)
        if not (square > 0 and slope_square > 0):
            return None
    curve = (z * z - 1.0) / 2.0 * density  # d E[f(√q z)] / d ln q = E[f (z² − 1)] / 2
    return Response(
        carry=float(squares @ curve) / square,
        gain=float(slopes @ curve) / slope_square,
        square_excess=float((squares * squares) @ density) / square**2 - 1.0,
        cross_excess=float((squares * slopes) @ density) / (square * slope_square) - 1.0,
    )


@dataclass(frozen=True)
class Drift:
    """The drift at one activation: of ln q at its input, and what it adds at its output."""

    response: Response
    variance: float
    """Of ln q at the input, over draws of the weights."""
    noise: float
    """Variance of ln q that this layer adds, E[φ⁴] / E[φ²]² − 1 over the units, as far as the rows are alike."""
    cross: float
    """Covariance of that with the fluctuation of Σ φ′² δ² over the same units."""

    @property
    def variance_after(self) -> float:
        """Of ln q at the output."""
        return self.response.carry**2 * self.variance + self.noise


class Sensitivity:
    """The variance that drift adds to the logarithm of a squared gradient, collected on the way back."""

    def __init__(self) -> None:
        self._slope = 0.0  # of the gain so far with respect to ln q here
        self._collected = 0.0  # variance from the noise of layers that are behind
        self.variance = 0.0

    def through(self, drift: Drift) -> None:
        """Take one activation, on the way back."""
        self._collected += self._slope**2 * drift.noise + 2.0 * self._slope * drift.cross
        self._slope = drift.response.gain + drift.response.carry * self._slope
        self.variance = max(self._slope**2 * drift.variance + self._collected, 0.0)

    def scaled(self, share: float) -> None:
        """Take a dense layer, whose weights make this share of the variance of its outputs; 0 for a layer norm."""
        self._slope *= share
