"""What both ways forward have in common: which layer comes where, what is refused, and layers that act on the data."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradiometer._layer import Layer, leaves_of
from gradiometer.activations import Activation, Identity
from gradiometer.init import orthogonal
from gradiometer.layers import BatchNorm, Dense, Dropout, LayerNorm, Residual
from gradiometer.theory.moments import values
from gradiometer.theory.stages import DenseStage, Stage

__all__ = ["Way", "has_dense", "square_root"]

Array = NDArray[np.float64]


class Way:
    """A batch on its way through the layers, which leaves the stages that its gradients travel back through."""

    def __init__(self, rows: Array, state: Mapping[str, Any], keep_inputs: bool) -> None:
        self.stages: list[Stage] = []
        self.outputs = np.empty((0, 0))  # the covariance behind the latest dense layer, or sum with one in it
        self.rows: Array | None = rows  # the numbers themselves, as long as no weight has touched them
        self._width = rows.shape[1]
        self._normal = False  # whether what arrives is the sum of many units
        self._rotated = False  # whether by orthogonal weights, which keep the sum of its squares
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
            case Residual():
                self._residual(number, layer)
            case Dropout():
                if layer.p == 1:
                    raise ValueError(f"{self._place(number)} drops every unit: no signal comes through")
                self._settle()
                self._dropout(layer)
                self._normal = False
            case BatchNorm() | LayerNorm() | Activation() if self.rows is not None:
                self._on_data(number, layer, self.rows)
            case BatchNorm():
                self._batch_norm(number, layer)
            case LayerNorm():
                self._layer_norm(number, layer)
            case Activation():
                if not self._normal:
                    raise ValueError(
                        f"{self._place(number)} = {layer!r} follows another activation, a dropout or a sum with one of "
                        "them: the theory knows activations of the outputs of a dense layer, or of a norm after one"
                    )
                self._activation(layer)
                self._normal = False
            case _:
                raise ValueError(f"{self._place(number)}: there is no theory for {layer!r} yet")

    def _settle(self) -> None:
        """Turn from numbers to what this way knows of them, before the first layer that is random."""
        raise NotImplementedError

    def _covariance_per_unit(self) -> Array:
        """Return E[h hᵀ] per unit, (rows, rows), of what is here."""
        raise NotImplementedError

    def _weighted(self, layer: Dense, second_moment: float, bias: float) -> None:
        """Take a dense layer whose weights and biases have these mean squares."""
        raise NotImplementedError

    def _batch_norm(self, number: int, layer: BatchNorm) -> None:
        raise NotImplementedError

    def _layer_norm(self, number: int, layer: LayerNorm) -> None:
        raise NotImplementedError

    def _activation(self, layer: Activation) -> None:
        raise NotImplementedError

    def _dropout(self, layer: Dropout) -> None:
        raise NotImplementedError

    def _add(self, body: Way, scale: float) -> None:
        """Add scale times what came through the body of a residual connection."""
        raise NotImplementedError

    def _place(self, number: int) -> str:
        """Return the layer in the user's words."""
        return ".".join(f"layers[{index}]" for index in f"{self._prefix}{number}".split("."))

    def _key(self, number: int, name: str) -> str:
        return f"{self._prefix}{number}.{name}"

    def _mean_square(self, key: str, default: float) -> float:
        return float(np.mean(np.square(self._state[key], dtype=np.float64))) if key in self._state else default

    def _dense(self, number: int, layer: Dense) -> None:
        self._settle()
        inputs = self._covariance_per_unit()
        second_moment = self._mean_square(self._key(number, "weight"), 0.0)
        bias = self._mean_square(self._key(number, "bias"), 0.0)
        self.outputs = self._width * second_moment * inputs + bias
        if not np.isfinite(self.outputs).all():
            raise ValueError(f"the variance of the outputs of {self._place(number)} is beyond what a float64 can hold")
        variance = float(np.trace(self.outputs)) / len(self.outputs)
        scale = float(np.trace(inputs)) / len(inputs)
        self._normal, self._rotated = True, layer.init == "orthogonal" or isinstance(layer.init, orthogonal)
        self.stages.append(
            DenseStage(
                name=self._key(number, "weight"),
                fan_in=self._width,
                second_moment=second_moment,
                orthogonal=self._rotated,
                variance=variance,
                weight_share=1.0 - bias / variance if variance else 0.0,
                inputs=(inputs / (scale or 1.0)).astype(np.float32) if self._keep_inputs else None,
                input_scale=scale,
            )
        )
        self._weighted(layer, second_moment, bias)
        self._width = layer.out_features

    def _on_data(self, number: int, layer: BatchNorm | LayerNorm | Activation, rows: Array) -> None:
        if isinstance(layer, Activation):
            self.rows = values(layer, rows)[0]
            return
        axis = 0 if isinstance(layer, BatchNorm) else 1
        deviation = np.sqrt(rows.var(axis=axis, keepdims=True) + layer.eps)
        gamma = self._state.get(self._key(number, "weight"), 1.0)
        beta = self._state.get(self._key(number, "bias"), 0.0)
        self.rows = (rows - rows.mean(axis=axis, keepdims=True)) / deviation * gamma + beta

    def _residual(self, number: int, layer: Residual) -> None:
        body = copy.copy(self)
        body.stages = []
        body._prefix = f"{self._prefix}{number}."
        for inner_number, inner in enumerate(layer.layers):
            body.pass_through(inner_number, inner)
        if self.rows is not None and body.rows is not None:
            self.rows = self.rows + layer.scale * body.rows
            return
        if not has_dense(layer.layers):
            raise ValueError(
                f"{self._place(number)} is a Residual without a dense layer inside: the theory knows those whose f(x) "
                "is made independent of x by random weights"
            )
        self._settle()
        self._add(body, layer.scale)
        self._normal, self._rotated = self._normal and body._normal, False
        self.outputs = self._covariance_per_unit()


def has_dense(layers: Sequence[Layer]) -> bool:
    """Tell whether there is a dense layer among these, or inside of one of them."""
    return any(isinstance(leaf.layer, Dense) for leaf in leaves_of(layers))


def square_root(covariance: Array) -> Array:
    """Return the symmetric square root of a covariance matrix, (rows, rows).

    Other factors would do, but this one is unique, and small errors of rounding stay small in it. With the signs of
    eigenvectors, which each processor's linear algebra chooses by itself, the same random numbers would be other draws.
    """
    eigenvalues, vectors = np.linalg.eigh(covariance)
    return np.asarray((vectors * np.sqrt(np.maximum(eigenvalues, 0.0))) @ vectors.T)
