"""The layers of an actual network as maps of covariance matrices over the rows of a batch, forward and backward.

A stage of width n turns the gradient G = Σ over units of δ δᵀ, (rows, rows), at its output into that at its input.
`spread` is the relative variance of tr G over the draws of the weights that this stage adds, to first order in 1 / n
(Hanin 2018; Hanin and Nica 2020): with fixed expectations, only sums over n units fluctuate.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gradiometer.theory.drift import Drift
from gradiometer.theory.sharing import SharedWeights

__all__ = ["ActivationStage", "DenseStage", "DropoutStage", "Stage"]

Array = NDArray[np.float64]
Packed = NDArray[np.float32]  # one matrix of each kind for every layer of a deep network


class Stage:
    """Base class of all stages."""

    def backward(self, gradient: Array) -> Array:
        """Return G at the input."""
        raise NotImplementedError

    def spread(self, gradient: Array) -> float:  # noqa: ARG002
        """Return the relative variance that this stage adds to tr G, from G at its output."""
        return 0.0


@dataclass(frozen=True)
class DenseStage(Stage):
    """A dense layer: weights of zero mean and this second moment."""

    name: str
    fan_in: int
    second_moment: float
    orthogonal: bool
    variance: float
    """Of its outputs, the mean over rows."""
    weight_share: float
    """The share of that variance that comes from the weights; the rest is that of the biases."""
    inputs: Packed | None
    """E[h hᵀ] per unit over the rows, relative to `input_scale`; None where no gradient norm is wanted."""
    input_scale: float
    shared: SharedWeights | None = None
    """Where a batch norm follows and the weights are not orthogonal."""

    def backward(self, gradient: Array) -> Array:
        """Return G at the input: Wᵀ δ has fan_in independent units of variance second_moment · |δ|²."""
        return gradient * (self.fan_in * self.second_moment)

    def spread(self, gradient: Array) -> float:
        """Return 2 Σ Gᵢⱼ² / (tr G)² / fan_in, the fluctuation of |Wᵀ δ|²; none if W is a rotation."""
        trace = float(np.trace(gradient))
        if self.orthogonal or trace == 0:
            return 0.0
        return 2.0 * float((gradient * gradient).sum()) / trace**2 / self.fan_in

    def log_weight_gradient(self, gradient: Array) -> float:
        """Return the logarithm of ‖dL/dW‖² = Σ (δᵢ · δⱼ) (hᵢ · hⱼ), which is below that of the product of the norms."""
        if self.inputs is None:
            return np.nan
        with np.errstate(divide="ignore"):
            total = max(float((gradient * self.inputs).sum()), 0.0)
            return float(np.log(total) + np.log(self.fan_in) + np.log(self.input_scale))


@dataclass(frozen=True)
class ActivationStage(Stage):
    """An activation of so many units: E[φ′ φ′] for all pairs of rows, and the kurtosis of φ′ in each row."""

    width: int
    slope: Packed
    correlation: Packed
    kurtosis: Array
    drift: Drift | None
    """None where the gain of gradients does not depend on the size of the activations."""

    def backward(self, gradient: Array) -> Array:
        """Return G at the input."""
        return np.asarray(gradient * self.slope)

    def spread(self, gradient: Array) -> float:
        """Return the fluctuation of Σ φ′² (Wᵀ δ)² over the units, beyond that of |Wᵀ δ|².

        For two rows, E[φ′² φ′²] / (E[φ′²] E[φ′²]) is taken as 1 + c² times the geometric mean of both kurtoses − 1,
        which is right at c = 0 and for equal rows.
        """
        trace = float(np.trace(gradient))
        if trace == 0:
            return 0.0
        size = np.diag(gradient)
        pairs = size[:, None] * size + 2.0 * gradient * gradient
        alike = np.square(self.correlation, dtype=np.float64)
        excess = np.sqrt(np.maximum(self.kurtosis - 1.0, 0.0))
        return float(excess @ (pairs * alike) @ excess) / trace**2 / self.width


@dataclass(frozen=True)
class DropoutStage(Stage):
    """Dropout that keeps this share of the units, drawn for each row by itself."""

    kept: float

    def backward(self, gradient: Array) -> Array:
        """Return G at the input: masks of two rows are independent, so that only the diagonal grows."""
        return gradient + np.diag(np.diag(gradient)) * (1.0 / self.kept - 1.0)
