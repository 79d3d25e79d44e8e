"""The way forward through layers of their actual width, drawn at random.

Given what a layer receives, h, the outputs of the units of a dense layer are independent draws of N(0, σ_w² h hᵀ / n +
σ_b²), exactly so for normal weights. So the covariance of a batch is a Markov chain from layer to layer, whose steps
scatter by some 1 / √width around the recursion of infinite width (Hanin and Nica 2020; Roberts, Yaida and Hanin 2022,
chapter 4; Li, Nica and Roy 2022).

Batch norm makes that scatter count. It drives rows apart until width sets a limit (Daneshmand, Joudaki and Bach 2021),
and where the recursion has an unstable fixed point, as for Hardswish, it is what starts the departure. How gradients
grow depends on the eigenvalues of the covariance, which scatter by far more than 1 / width. No expansion in 1 / width
covers that, so the chain is drawn: units act as themselves, and their empirical covariances make the stages. Likewise
behind residual connections, where the same units come again in every sum.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradiometer.activations import Activation
from gradiometer.layers import BatchNorm, Dense, Dropout, LayerNorm, Residual
from gradiometer.theory.moments import values
from gradiometer.theory.residual import LayerNormStage, ResidualStage, layer_normalized
from gradiometer.theory.sharing import SharedWeights, overlap
from gradiometer.theory.stages import DenseStage, Stage
from gradiometer.theory.way import Way, square_root

__all__ = ["SampledNormStage", "SampledWay", "SlopeStage"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class SlopeStage(Stage):
    """What acts on each number by itself, as an activation or a mask of dropout: slopes of so many drawn units."""

    width: int
    slope: Array
    """Mean of sᵢ sⱼ over the units, (rows, rows)."""
    fourth: Array
    """Mean of sᵢ² sⱼ², (rows, rows)."""

    @classmethod
    def of(cls, slopes: Array) -> SlopeStage:
        """Take slopes, (rows, units)."""
        squares = slopes * slopes
        width = slopes.shape[1]
        return cls(width, slopes @ slopes.T / width, squares @ squares.T / width)

    def backward(self, gradient: Array) -> Array:
        """Return G at the input."""
        return np.asarray(gradient * self.slope)

    def spread(self, gradient: Array) -> float:
        """Return the fluctuation of Σ s² (Wᵀ δ)² over the units beyond that of |Wᵀ δ|²; that of s² itself is drawn."""
        before, after = float(np.trace(gradient)), float(np.trace(gradient * self.slope))
        if after <= 0:
            return 0.0
        squares = gradient * gradient
        return 2.0 / self.width * float((squares * self.fourth).sum() / after**2 - squares.sum() / before**2)


@dataclass(frozen=True)
class SampledNormStage(Stage):
    """Batch norm of drawn units, with what acts on each number right in front of it and right behind it.

    They belong together: a unit that is nearly dead has a small variance, and few rows that count.
    """

    normalized: Array
    """x̂, (rows, units), before gamma and beta."""
    inverse_variance: Array
    """1 / (v + eps) of each unit."""
    before: Array
    """Slopes of what is in front, (rows, units); ones if nothing is."""
    after: Array
    """Slopes of gamma and what is behind, (rows, units)."""

    def backward(self, gradient: Array) -> Array:
        """Return the mean over the units of D A E G E A D / (v + eps), with A = 1 − 1/B − x̂ x̂ᵀ / B.

        A / √(v + eps) is the derivative of batch norm (Ioffe and Szegedy 2015); D and E are slopes, before and after.
        """
        rows, width = self.normalized.shape
        weight = self.inverse_variance / width
        both, own = self.before * self.after, self.before * self.normalized
        means = self.after * (gradient @ self.after) / rows  # of E G E, over its rows
        along = self.after * (gradient @ (self.after * self.normalized))  # E G E x̂
        # A takes off a share of ones and a share of x̂; first as if from one side only.
        ones = means - means.mean(axis=0) / 2.0
        shares = along - along.mean(axis=0) - self.normalized * (self.normalized * along).mean(axis=0) / 2.0
        off = (weight * self.before) @ (self.before * ones).T + (weight * own) @ (self.before * shares).T / rows
        return np.asarray(gradient * ((weight * both) @ both.T) - off - off.T)

    def spread(self, gradient: Array) -> float:
        """Return that of the slopes behind."""
        return SlopeStage.of(self.after).spread(gradient)


@dataclass
class _Block:
    """From a dense layer to the next one, as long as units do not mix."""

    number: int
    """Of the stage of the dense layer."""
    outputs: Array
    """Of the dense layer, (rows, units)."""
    values: Array
    """What is here, but for a norm that comes behind an activation."""
    slopes: Array
    """Of what has come since."""
    overlap: float
    """Of the units in front of the dense layer."""
    norm_first: bool | None = None
    """None as long as there is no batch norm."""


class SampledWay(Way):
    """Units of random layers, (rows, units)."""

    def __init__(self, rows: Array, state: Mapping[str, Any], keep_inputs: bool, random: np.random.Generator) -> None:
        super().__init__(rows, state, keep_inputs)
        self._units = np.empty((0, 0))
        self._random = random
        self._block: _Block | None = None
        self._slopes: list[Array] = []  # of the latest stages, as far as they are of slopes

    def _settle(self) -> None:
        if self.rows is not None:
            self._units, self.rows = self.rows, None

    def _covariance_per_unit(self) -> Array:
        return np.asarray(self._units @ self._units.T / self._width)

    def _weighted(self, layer: Dense, second_moment: float, bias: float) -> None:
        self._close_block()
        self._slopes = []
        before = overlap(self._units)
        factor = self._units  # times its transpose it is the covariance, as a smaller one is
        if self._width > len(factor):
            factor = square_root(factor @ factor.T)
        shape = factor.shape[1], layer.out_features
        weights = self._rotation(*shape) if self._rotated else self._random.standard_normal(shape)
        biases = math.sqrt(bias) * self._random.standard_normal(layer.out_features)
        self._units = math.sqrt(second_moment) * factor @ weights + biases
        self._block = _Block(len(self.stages) - 1, self._units, self._units, np.ones_like(self._units), before)

    def _close_block(self) -> None:
        """Let the dense layer of the block know what came behind it. Orthogonal weights have no overlap."""
        block, self._block = self._block, None
        if block is None or block.norm_first is None:
            return
        stage = self.stages[block.number]
        assert isinstance(stage, DenseStage)
        if not stage.orthogonal:
            shared = SharedWeights.of(block.outputs, block.slopes, block.values, block.overlap, block.norm_first)
            self.stages[block.number] = replace(stage, shared=shared)

    def _rotation(self, inputs: int, outputs: int) -> Array:
        """Return these many rows and columns of a random rotation that is as large as the weights; mean square 1."""
        size = max(self._width, outputs)
        smaller, larger = sorted((inputs, outputs))
        basis, triangle = np.linalg.qr(self._random.standard_normal((size, smaller)))
        columns = (basis * np.sign(np.diag(triangle)))[:larger] * math.sqrt(size)
        return np.asarray(columns.T if smaller == inputs else columns)

    def _batch_norm(self, number: int, layer: BatchNorm) -> None:
        inverse = 1.0 / (self._units.var(axis=0) + layer.eps)
        normalized = (self._units - self._units.mean(axis=0)) * np.sqrt(inverse)
        gain = self._mean_square(self._key(number, "weight"), 1.0)
        before, count = np.ones_like(normalized), len(self._slopes)
        if count:
            before = np.prod(self._slopes, axis=0)
            del self.stages[-count:]  # the stage of the norm includes them
            self._slopes = []
        after = np.full_like(normalized, math.sqrt(gain))
        if self._block is not None and self._block.norm_first is None:
            self._block.norm_first = not count
            if count:
                self._block.values = self._units - self._units.mean(axis=0)
            else:
                self._block.values, self._block.slopes = math.sqrt(gain) * normalized, after
        self.stages.append(SampledNormStage(normalized, inverse, before, after))
        self._units = math.sqrt(gain) * normalized + self._shift(number)

    def _layer_norm(self, number: int, layer: LayerNorm) -> None:
        self._block, self._slopes = None, []
        gain = self._mean_square(self._key(number, "weight"), 1.0)
        mean = self._units.mean(axis=1)
        _, factor = layer_normalized(self._covariance_per_unit(), mean, self._width, layer.eps, gain)
        self.stages.append(LayerNormStage(factor.astype(np.float32)))
        deviation = np.sqrt(self._units.var(axis=1, keepdims=True) + layer.eps)
        self._units = math.sqrt(gain) * (self._units - mean[:, None]) / deviation + self._shift(number)

    def _shift(self, number: int) -> Array:
        """Draw beta."""
        size = math.sqrt(self._mean_square(self._key(number, "bias"), 0.0))
        return np.asarray(size * self._random.standard_normal(self._width))

    def _activation(self, layer: Activation) -> None:
        self._units, slopes = values(layer, self._units)
        self._elementwise(slopes)
        if self._block is not None:
            self._block.values = self._units

    def _dropout(self, layer: Dropout) -> None:
        mask = (self._random.random(self._units.shape) >= layer.p) / (1.0 - layer.p)
        self._units = self._units * mask
        self._elementwise(mask)
        if self._block is not None:
            self._block.values = self._block.values * mask

    def _elementwise(self, slopes: Array) -> None:
        match self.stages[-1:]:
            case [SampledNormStage() as norm]:
                self.stages[-1] = replace(norm, after=norm.after * slopes)
            case _:
                self.stages.append(SlopeStage.of(slopes))
                self._slopes = [*self._slopes, slopes]
        if self._block is not None:
            self._block.slopes = self._block.slopes * slopes

    def _residual(self, number: int, layer: Residual) -> None:
        self._block, self._slopes = None, []  # its units are in the sum, which others share
        super()._residual(number, layer)

    def _add(self, body: Way, scale: float) -> None:
        assert isinstance(body, SampledWay)
        self._units = self._units + scale * body._units
        self.stages.append(ResidualStage(tuple(body.stages), scale, self._width))
