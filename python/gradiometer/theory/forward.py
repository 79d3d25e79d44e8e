"""The way forward: from a network and its data to the stages that gradients travel back through."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradiometer._layer import Layer, leaves_of
from gradiometer.activations import Activation, Identity
from gradiometer.init import orthogonal
from gradiometer.layers import BatchNorm, Dense, Dropout, LayerNorm, Residual
from gradiometer.theory.drift import Drift, response
from gradiometer.theory.hermite import mean_values
from gradiometer.theory.kernels import pair_kernels
from gradiometer.theory.moments import piecewise_linear, values
from gradiometer.theory.normalization import Normalization
from gradiometer.theory.residual import LayerNormStage, ResidualStage, layer_normalized
from gradiometer.theory.stages import ActivationStage, DenseStage, DropoutStage, NormStage, Stage

__all__ = ["Forward", "forward", "typical_outputs"]

Array = NDArray[np.float64]


class _Way:
    """The covariance per unit over the rows of a batch, E[h hᵀ], on its way through the layers."""

    def __init__(self, rows: Array, state: Mapping[str, Any], keep_inputs: bool) -> None:
        self.stages: list[Stage] = []
        self.outputs = np.empty((0, 0))  # the covariance behind the latest dense layer, or sum with one in it
        self._rows: Array | None = rows  # the numbers themselves, as long as no weight has touched them
        self._covariance = np.empty((0, 0))
        self._width = rows.shape[1]
        self._mean: Callable[[], Array] | None = None  # over the units, (rows,), when asked for; None: zeros
        self._normal = False  # whether what arrives is the sum of many units
        self._rotated = False  # whether by orthogonal weights, which keep the sum of its squares
        self._log_variance = 0.0  # variance of ln q over draws of the weights: see gradiometer.theory.drift
        self._prefix = ""  # of keys in the state: the connections that this is inside of
        self._state = state
        self._keep_inputs = keep_inputs

    def pass_through(self, number: int, layer: Layer) -> None:
        """Take one layer."""
        match layer:
            case Identity() | Dropout(p=0.0):
                return
            case Dense():
                self._dense(number, layer)
            case BatchNorm():
                self._batch_norm(number, layer)
            case LayerNorm():
                self._layer_norm(number, layer)
            case Residual():
                self._residual(number, layer)
            case Dropout():
                self._dropout(number, layer)
            case Activation():
                self._activation(number, layer)
            case _:
                raise ValueError(f"{self._place(number)}: there is no theory for {layer!r} yet")

    def _place(self, number: int) -> str:
        """Return the layer in the user's words."""
        return ".".join(f"layers[{index}]" for index in f"{self._prefix}{number}".split("."))

    def _key(self, number: int, name: str) -> str:
        return f"{self._prefix}{number}.{name}"

    def _mean_square(self, key: str, default: float) -> float:
        return float(np.mean(np.square(self._state[key], dtype=np.float64))) if key in self._state else default

    def _unknown_mean(self, number: int) -> Callable[[], Array]:
        def mean() -> Array:
            raise ValueError(
                f"{self._place(number)} is a batch norm of activations: the theory does not know what a layer norm or "
                "a residual connection makes of it"
            )

        return mean

    def _settle(self) -> None:
        """Turn rows of numbers into their covariance."""
        if self._rows is not None:
            mean = self._rows.mean(axis=1)
            self._mean = lambda: mean
            self._covariance = self._rows @ self._rows.T / self._rows.shape[1]
            self._rows = None

    def _dense(self, number: int, layer: Dense) -> None:
        self._settle()
        scale = float(np.trace(self._covariance)) / len(self._covariance)
        inputs = (self._covariance / (scale or 1.0)).astype(np.float32) if self._keep_inputs else None
        second_moment = self._mean_square(self._key(number, "weight"), 0.0)
        bias = self._mean_square(self._key(number, "bias"), 0.0)
        self._covariance = self._width * second_moment * self._covariance + bias
        if not np.isfinite(self._covariance).all():
            raise ValueError(f"the variance of the outputs of {self._place(number)} is beyond what a float64 can hold")
        variance = float(np.trace(self._covariance)) / len(self._covariance)
        share = 1.0 - bias / variance if variance else 0.0
        self._log_variance *= share**2
        rotation = layer.init == "orthogonal" or isinstance(layer.init, orthogonal)
        self.stages.append(
            DenseStage(
                name=self._key(number, "weight"),
                fan_in=self._width,
                second_moment=second_moment,
                orthogonal=rotation,
                variance=variance,
                weight_share=share,
                inputs=inputs,
                input_scale=scale,
            )
        )
        self.outputs = self._covariance
        self._width = layer.out_features
        self._mean = None
        self._normal, self._rotated = True, rotation

    def _batch_norm(self, number: int, layer: BatchNorm) -> None:
        if self._rows is not None:
            deviation = np.sqrt(self._rows.var(axis=0) + layer.eps)
            gamma = self._state.get(self._key(number, "weight"), 1.0)
            beta = self._state.get(self._key(number, "bias"), 0.0)
            self._rows = (self._rows - self._rows.mean(axis=0)) / deviation * gamma + beta
            return
        self._log_variance = 0.0
        normalization = Normalization.of(self._covariance, layer.eps)
        gain = self._mean_square(self._key(number, "weight"), 1.0)
        self.stages.append(NormStage(normalization, gain))
        self._covariance = gain * normalization.covariance + self._mean_square(self._key(number, "bias"), 0.0)
        if self._mean is not None:
            self._mean = self._unknown_mean(number)

    def _layer_norm(self, number: int, layer: LayerNorm) -> None:
        gain = self._mean_square(self._key(number, "weight"), 1.0)
        if self._rows is not None:
            deviation = np.sqrt(self._rows.var(axis=1, keepdims=True) + layer.eps)
            gamma = self._state.get(self._key(number, "weight"), 1.0)
            beta = self._state.get(self._key(number, "bias"), 0.0)
            self._rows = (self._rows - self._rows.mean(axis=1, keepdims=True)) / deviation * gamma + beta
            return
        mean = np.zeros(len(self._covariance)) if self._mean is None else self._mean()
        out, factor = layer_normalized(self._covariance, mean, self._width, layer.eps, gain)
        self._log_variance = 0.0
        self.stages.append(LayerNormStage(factor.astype(np.float32)))
        self._covariance = out + self._mean_square(self._key(number, "bias"), 0.0)
        self._mean = None

    def _residual(self, number: int, layer: Residual) -> None:
        body = copy.copy(self)
        body.stages = []
        body._prefix = f"{self._prefix}{number}."
        for inner_number, inner in enumerate(layer.layers):
            body.pass_through(inner_number, inner)
        if self._rows is not None and body._rows is not None:
            self._rows = self._rows + layer.scale * body._rows
            return
        if not _has_dense(layer.layers):
            raise ValueError(
                f"{self._place(number)} is a Residual without a dense layer inside: the theory knows those whose f(x) "
                "is made independent of x by random weights"
            )
        self._settle()
        skipped, added = self._mean, body._mean
        self._covariance = self._covariance + layer.scale**2 * body._covariance
        if skipped is not None and added is not None:
            cross = layer.scale * np.multiply.outer(skipped(), added())
            self._covariance = self._covariance + cross + cross.T
        if added is not None:
            self._mean = lambda: (0.0 if skipped is None else skipped()) + layer.scale * added()
        self._normal = self._normal and body._normal
        # How the variances of two terms drift together is not known here: the sum starts as if nothing had drifted.
        self._log_variance, self._rotated = 0.0, False
        self.outputs = self._covariance
        self.stages.append(ResidualStage(tuple(body.stages), layer.scale, self._width))

    def _activation(self, number: int, layer: Activation) -> None:
        if self._rows is not None:
            self._rows = values(layer, self._rows)[0]
            return
        if not self._normal:
            raise ValueError(
                f"{self._place(number)} = {layer!r} follows another activation, a dropout or a sum with one of them: "
                "the theory knows activations of the outputs of a dense layer, or of a norm after one"
            )
        kernels = pair_kernels(layer, self._covariance)
        slope, correlation = (matrix.astype(np.float32) for matrix in (kernels.slope, kernels.correlation))
        drift = self._drift(layer, kernels.correlation)
        self.stages.append(ActivationStage(self._width, slope, correlation, kernels.kurtosis, drift))
        variance = np.diag(self._covariance)
        self._mean = lambda: mean_values(layer, variance)
        self._covariance = kernels.value
        self._normal = False

    def _drift(self, layer: Activation, correlation: Array) -> Drift | None:
        """Return what the finite width of this layer adds to the drift of the variance.

        None inside of a residual connection: through the sum behind it, some of the drift goes on and some does not.
        """
        if self._prefix:
            return None
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

    def _dropout(self, number: int, layer: Dropout) -> None:
        if layer.p == 1:
            raise ValueError(f"{self._place(number)} drops every unit: no signal comes through")
        self._settle()
        stage = DropoutStage(1.0 - layer.p)
        self.stages.append(stage)
        self._covariance = stage.backward(self._covariance)  # which is the same in both directions
        self._normal = False


def _has_dense(layers: Sequence[Layer]) -> bool:
    return any(isinstance(leaf.layer, Dense) for leaf in leaves_of(layers))


class Forward(NamedTuple):
    """What `forward` returns."""

    stages: list[Stage]
    outputs: Array
    """(rows, rows) Covariance of the outputs of the last layer that is dense or has a dense one inside, per unit."""


def forward(layers: Sequence[Layer], state: Mapping[str, Any], x: Array, keep_inputs: bool) -> Forward:
    """Return the stages of a network for a batch x, (rows, in_features).

    The state is a state dict, in which the root mean square of an array may stand for it.

    Raises
    ------
    ValueError
        If there is no theory for a layer where it stands, or no dense layer.
    """
    if not _has_dense(layers):
        raise ValueError("net must have at least one dense layer, but it has none")
    way = _Way(x, state, keep_inputs)
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
    eigenvalues, vectors = np.linalg.eigh(covariance)
    after = _Way((vectors * np.sqrt(np.maximum(eigenvalues, 0.0))) @ draws, state, keep_inputs=False)
    last = max(number for number, layer in enumerate(layers) if _has_dense([layer]))
    for number, layer in enumerate(layers[last + 1 :], last + 1):
        if not isinstance(layer, Dropout):
            after.pass_through(number, layer)
    assert after._rows is not None
    return after._rows
