"""The way forward: from a network and its data to the stages that gradients travel back through."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradiometer._layer import Layer
from gradiometer.activations import Activation, Identity
from gradiometer.init import orthogonal
from gradiometer.layers import BatchNorm, Dense, Dropout
from gradiometer.theory.kernels import pair_kernels
from gradiometer.theory.moments import values
from gradiometer.theory.normalization import Normalization
from gradiometer.theory.stages import ActivationStage, DenseStage, DropoutStage, NormStage, Stage

__all__ = ["stages_of", "typical_outputs"]

Array = NDArray[np.float64]


class _Way:
    """The covariance per unit over the rows of a batch, E[h hᵀ], on its way through the layers."""

    def __init__(self, rows: Array, state: Mapping[str, Any], keep_inputs: bool) -> None:
        self.stages: list[Stage] = []
        self._rows: Array | None = rows  # the numbers themselves, as long as no weight has touched them
        self._covariance = np.empty((0, 0))
        self._width = rows.shape[1]
        self._normal = False  # whether what arrives is the sum of many units
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
            case Dropout():
                self._dropout(number, layer)
            case Activation():
                self._activation(number, layer)
            case _:
                raise ValueError(f"layers[{number}]: there is no theory for {layer!r} yet")

    def _mean_square(self, key: str, default: float) -> float:
        return float(np.mean(np.square(self._state[key], dtype=np.float64))) if key in self._state else default

    def _settle(self) -> None:
        """Turn rows of numbers into their covariance."""
        if self._rows is not None:
            self._covariance = self._rows @ self._rows.T / self._rows.shape[1]
            self._rows = None

    def _dense(self, number: int, layer: Dense) -> None:
        self._settle()
        scale = float(np.trace(self._covariance)) / len(self._covariance)
        inputs = (self._covariance / (scale or 1.0)).astype(np.float32) if self._keep_inputs else None
        second_moment = self._mean_square(f"{number}.weight", 0.0)
        self._covariance = self._width * second_moment * self._covariance + self._mean_square(f"{number}.bias", 0.0)
        if not np.isfinite(self._covariance).all():
            raise ValueError(f"the variance of the outputs of layers[{number}] is beyond what a float64 can hold")
        rotation = layer.init == "orthogonal" or isinstance(layer.init, orthogonal)
        self.stages.append(
            DenseStage(
                name=f"{number}.weight",
                fan_in=self._width,
                second_moment=second_moment,
                orthogonal=rotation,
                variance=float(np.trace(self._covariance)) / len(self._covariance),
                inputs=inputs,
                input_scale=scale,
            )
        )
        self._width = layer.out_features
        self._normal = True

    def _batch_norm(self, number: int, layer: BatchNorm) -> None:
        if self._rows is not None:
            deviation = np.sqrt(self._rows.var(axis=0) + layer.eps)
            gamma, beta = self._state.get(f"{number}.weight", 1.0), self._state.get(f"{number}.bias", 0.0)
            self._rows = (self._rows - self._rows.mean(axis=0)) / deviation * gamma + beta
            return
        normalization = Normalization.of(self._covariance, layer.eps)
        gain = self._mean_square(f"{number}.weight", 1.0)
        self.stages.append(NormStage(normalization, gain))
        self._covariance = gain * normalization.covariance + self._mean_square(f"{number}.bias", 0.0)

    def _activation(self, number: int, layer: Activation) -> None:
        if self._rows is not None:
            self._rows = values(layer, self._rows)[0]
            return
        if not self._normal:
            raise ValueError(
                f"layers[{number}] = {layer!r} follows another activation or a dropout: the theory knows activations "
                "of the outputs of a dense layer, or of a batch norm after one"
            )
        kernels = pair_kernels(layer, self._covariance)
        slope, correlation = (matrix.astype(np.float32) for matrix in (kernels.slope, kernels.correlation))
        self.stages.append(ActivationStage(self._width, slope, correlation, kernels.kurtosis))
        self._covariance = kernels.value
        self._normal = False

    def _dropout(self, number: int, layer: Dropout) -> None:
        if layer.p == 1:
            raise ValueError(f"layers[{number}] drops every unit: no signal comes through")
        self._settle()
        stage = DropoutStage(1.0 - layer.p)
        self.stages.append(stage)
        self._covariance = stage.backward(self._covariance)  # which is the same in both directions
        self._normal = False


def stages_of(layers: Sequence[Layer], state: Mapping[str, Any], x: Array, keep_inputs: bool) -> list[Stage]:
    """Return the stages of a network for a batch x, (rows, in_features).

    The state is a state dict, in which the root mean square of an array may stand for it.
    """
    way = _Way(x, state, keep_inputs)
    for number, layer in enumerate(layers):
        way.pass_through(number, layer)
    return way.stages


def typical_outputs(layers: Sequence[Layer], state: Mapping[str, Any], x: Array, draws: Array) -> Array:
    """Return outputs as networks of this kind give them for a batch, (rows, out_features).

    Those of the last dense layer are independent units, each normal with the covariance between the rows that theory
    gives. What follows that layer acts on them; dropout is left out, as its mean is its input.

    Parameters
    ----------
    layers, state, x
        As for `stages_of`.
    draws : array, (rows, out_features)
        Standard normal numbers, which become the outputs of the last dense layer.
    """
    last = max(number for number, layer in enumerate(layers) if isinstance(layer, Dense))
    way = _Way(x, state, keep_inputs=False)
    for number, layer in enumerate(layers[: last + 1]):
        way.pass_through(number, layer)
    eigenvalues, vectors = np.linalg.eigh(way._covariance)
    after = _Way((vectors * np.sqrt(np.maximum(eigenvalues, 0.0))) @ draws, state, keep_inputs=False)
    for number, layer in enumerate(layers[last + 1 :], last + 1):
        if not isinstance(layer, Dropout):
            after.pass_through(number, layer)
    assert after._rows is not None
    return after._rows
