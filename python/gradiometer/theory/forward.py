"""The way forward: from a network and its data to the stages that gradients travel back through."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradiometer._layer import Layer, leaves_of
from gradiometer.activations import Activation
from gradiometer.layers import BatchNorm, Dense, Dropout, LayerNorm, Residual
from gradiometer.theory.drift import Drift, response
from gradiometer.theory.hermite import mean_values
from gradiometer.theory.kernels import pair_kernels
from gradiometer.theory.moments import piecewise_linear
from gradiometer.theory.residual import LayerNormStage, layer_normalized
from gradiometer.theory.sampling import SampledWay
from gradiometer.theory.stages import ActivationStage, DropoutStage, Stage
from gradiometer.theory.way import Way, has_dense, square_root

__all__ = ["Forward", "forward", "typical_outputs"]

Array = NDArray[np.float64]

FEWEST_DRAWS, MOST_DRAWS, DRAWN_UNITS = 4, 16, 512
"""Where the way forward is sampled, so many units are drawn of the narrowest layer, in so many draws. One draw differs
from another about as much as two networks do, which is less where they are wide: the mean is good to some 0.001 decades
per layer."""


class _ExpectedWay(Way):
    """The covariance per unit over the rows of a batch, E[h hᵀ], as it is in the limit of wide layers."""

    def __init__(self, rows: Array, state: Mapping[str, Any], keep_inputs: bool) -> None:
        super().__init__(rows, state, keep_inputs)
        self._covariance = np.empty((0, 0))
        self._mean: Callable[[], Array] | None = None  # over the units, (rows,), when asked for; None: zeros
        self._log_variance = 0.0  # variance of ln q over draws of the weights: see gradiometer.theory.drift

    def _settle(self) -> None:
        if self.rows is not None:
            mean = self.rows.mean(axis=1)
            self._mean = lambda: mean
            self._covariance = self.rows @ self.rows.T / self.rows.shape[1]
            self.rows = None

    def _covariance_per_unit(self) -> Array:
        return self._covariance

    def _weighted(self, layer: Dense, second_moment: float, bias: float) -> None:  # noqa: ARG002
        self._covariance = self.outputs
        self._mean = None
        variance = float(np.trace(self._covariance)) / len(self._covariance)
        self._log_variance *= (1.0 - bias / variance if variance else 0.0) ** 2

    def _layer_norm(self, number: int, layer: LayerNorm) -> None:
        gain = self._mean_square(self._key(number, "weight"), 1.0)
        mean = np.zeros(len(self._covariance)) if self._mean is None else self._mean()
        out, factor = layer_normalized(self._covariance, mean, self._width, layer.eps, gain)
        self._log_variance = 0.0
        self.stages.append(LayerNormStage(factor.astype(np.float32)))
        self._covariance = out + self._mean_square(self._key(number, "bias"), 0.0)
        self._mean = None

    def _activation(self, layer: Activation) -> None:
        kernels = pair_kernels(layer, self._covariance)
        slope, correlation = (matrix.astype(np.float32) for matrix in (kernels.slope, kernels.correlation))
        drift = self._drift(layer, kernels.correlation)
        self.stages.append(ActivationStage(self._width, slope, correlation, kernels.kurtosis, drift))
        variance = np.diag(self._covariance)
        self._mean = lambda: mean_values(layer, variance)
        self._covariance = kernels.value

    def _drift(self, layer: Activation, correlation: Array) -> Drift | None:
        """Return what the finite width of this layer adds to the drift of the variance."""
        q = float(np.trace(self._covariance)) / len(self._covariance)
        known = response(layer, q) if q > 0 and piecewise_linear(layer) is None else None
        if known is None:
            return None
        alike = float(np.mean(correlation * correlation)) / self._width  # rows that are alike fluctuate together
        noise, cross = known.square_excess, known.cross_excess
        if self._rotated:  # Σ u² is given, whose relative variance would be 2 / width
            noise, cross = max(noise - 2.0 * known.carry**2, 0.0), cross - 2.0 * known.carry * known.gain
        drift = Drift(known, self._log_variance, noise * alike, cross * alike)
        self._log_variance = drift.variance_after
        return drift

    def _dropout(self, layer: Dropout) -> None:
        stage = DropoutStage(1.0 - layer.p)
        self.stages.append(stage)
        self._covariance = stage.backward(self._covariance)  # which is the same in both directions


class Forward(NamedTuple):
    """What `forward` returns."""

    stages: list[Stage]
    outputs: Array
    """(rows, rows) Covariance of the outputs of the last layer that is dense or has a dense one inside, per unit."""


def forward(layers: Sequence[Layer], state: Mapping[str, Any], x: Array, keep_inputs: bool) -> Iterator[Forward]:
    """Yield the stages of a network for a batch x, (rows, in_features).

    Without batch norm of random numbers and residual connections they are those of the limit of wide layers, once.
    With either, the limit is not enough (see `gradiometer.theory.sampling`): they come `FEWEST_DRAWS` to `MOST_DRAWS`
    times, each for another draw of the weights. The draws are the same at every call.

    The state is a state dict, in which the root mean square of an array may stand for it behind the first dense layer.

    Raises
    ------
    ValueError
        If there is no theory for a layer where it stands, or no dense layer.
    """
    if not has_dense(layers):
        raise ValueError("net must have at least one dense layer, but it has none")
    if not _width_matters(layers):
        yield _passed(_ExpectedWay(x, state, keep_inputs), layers)
        return
    random = np.random.default_rng(0)
    hidden = [leaf.layer.out_features for leaf in leaves_of(layers) if isinstance(leaf.layer, Dense)][:-1]
    wanted = math.ceil(DRAWN_UNITS / min(hidden, default=DRAWN_UNITS))
    for _ in range(min(max(wanted, FEWEST_DRAWS), MOST_DRAWS)):
        yield _passed(SampledWay(x, state, keep_inputs, random), layers)


def _width_matters(layers: Sequence[Layer]) -> bool:
    """Tell whether there is a residual connection with weights inside, or batch norm of what is random."""
    if any(isinstance(layer, Residual) and has_dense([layer]) for layer in layers):
        return True
    leaves = [leaf.layer for leaf in leaves_of(layers)]
    first = next(index for index, leaf in enumerate(leaves) if isinstance(leaf, Dense | Dropout))
    return any(isinstance(leaf, BatchNorm) for leaf in leaves[first:])


def _passed(way: Way, layers: Sequence[Layer]) -> Forward:
    with np.errstate(over="ignore", invalid="ignore"):  # what is too large is refused at the next dense layer
        for number, layer in enumerate(layers):
            way.pass_through(number, layer)
    return Forward(way.stages, way.outputs)


def typical_outputs(layers: Sequence[Layer], state: Mapping[str, Any], covariance: Array, draws: Array) -> Array:
    """Return outputs as networks of this kind give them for a batch, (rows, out_features).

    Those of the last dense layer, or of the sum that it is a term of, are independent units, each normal with the
    covariance between the rows that theory gives (a sum with activations in it is not normal, but only the size of its
    terms matters much). What follows acts on them; dropout is left out, as its mean is its input.

    Parameters
    ----------
    layers, state
        As for `forward`.
    covariance : array, (rows, rows)
        `Forward.outputs`.
    draws : array, (rows, units of the last dense layer)
        Standard normal numbers, which become its outputs.
    """
    after = _ExpectedWay(square_root(covariance) @ draws, state, keep_inputs=False)
    last = max(number for number, layer in enumerate(layers) if has_dense([layer]))
    for number, layer in enumerate(layers[last + 1 :], last + 1):
        if not isinstance(layer, Dropout):
            after.pass_through(number, layer)
    assert after.rows is not None
    return after.rows
