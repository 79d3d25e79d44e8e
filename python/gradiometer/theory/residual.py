"""Residual connections and layer norm as maps of covariance matrices over the rows of a batch.

Both rest on weights inside or behind them that are independent of what goes around them and have zero mean: then f(x)
is not correlated with x, nor are the gradients that come back through f with those that go around it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gradiometer.theory.kernels import correlations
from gradiometer.theory.stages import Packed, Stage

__all__ = ["LayerNormStage", "ResidualStage", "Signal", "layer_normalized"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Signal:
    """The gradients at one place: G = Σ over units of δ δᵀ, (rows, rows).

    Its size is kept apart as a logarithm, because a deep network leaves the range of a float64.
    """

    covariance: Array
    """G, scaled to a trace of 1; zeros where no gradient comes."""
    log_scale: float
    """ln tr G; −∞ where no gradient comes."""
    log_spread: float
    """Variance of ln tr G over the draws of the weights."""

    @classmethod
    def of(cls, covariance: Array, log_scale: float, log_spread: float) -> Signal:
        """Return the signal G · exp(log_scale)."""
        trace = float(np.trace(covariance))
        if trace <= 0 or log_scale == -math.inf:
            return cls(np.zeros_like(covariance), -math.inf, log_spread)
        return cls(covariance / trace, log_scale + math.log(trace), log_spread)


@dataclass(frozen=True)
class ResidualStage(Stage):
    """y = x + scale · f(x), with the stages of f; the stream is so many units wide."""

    stages: tuple[Stage, ...]
    scale: float
    width: int

    def into_body(self, signal: Signal) -> Signal:
        """Return what goes into f from behind, of a signal at y."""
        return Signal.of(signal.covariance * self.scale**2, signal.log_scale, signal.log_spread)

    def joined(self, around: Signal, through: Signal) -> Signal:
        """Return the sum at x of what went around f and what came through it.

        On the average over the weights the two are orthogonal. Their product fluctuates by Σ Gᵢⱼ Hᵢⱼ / width, and
        twice of it is in the squared norm of the sum.
        """
        top = max(around.log_scale, through.log_scale)
        if top == -math.inf:
            return around
        sizes = math.exp(around.log_scale - top), math.exp(through.log_scale - top)
        total = sizes[0] + sizes[1]
        product = sizes[0] * sizes[1] * float((around.covariance * through.covariance).sum())
        share = sizes[1] / total
        return Signal.of(
            around.covariance * sizes[0] + through.covariance * sizes[1],
            top,
            around.log_spread
            + share**2 * (through.log_spread - around.log_spread)
            + 4.0 * product / self.width / total**2,
        )


@dataclass(frozen=True)
class LayerNormStage(Stage):
    """Layer norm: a factor for each pair of rows."""

    factor: Packed

    def backward(self, gradient: Array) -> Array:
        """Return G at the input."""
        return np.asarray(gradient * self.factor)


def layer_normalized(covariance: Array, mean: Array, width: int, eps: float, gain: float) -> tuple[Array, Array]:
    """Return the covariance per unit of gamma · x̂, and the factors of `LayerNormStage`.

    dL/dz is gamma · g / std without its parts along the vector of ones and along x̂, two directions of `width`; for
    a pair of rows, whose x̂ differ, three.

    Parameters
    ----------
    covariance, mean : arrays, (rows, rows) and (rows,)
        E[h hᵀ] per unit, and the mean over the units.
    width : int
        Units.
    eps : float
        Of the layer norm.
    gain : float
        Mean square of gamma.
    """
    centred = covariance - np.multiply.outer(mean, mean)
    inverse = 1.0 / np.sqrt(np.maximum(np.diag(centred), 0.0) + eps)
    pairs = inverse[:, None] * inverse
    lost = (3.0 - correlations(centred) ** 2) / width
    return gain * centred * pairs, gain * pairs * np.maximum(1.0 - lost, 0.0)
