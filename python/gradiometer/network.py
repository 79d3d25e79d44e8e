"""Networks: a list of layers with its weights, in the C++ core."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gradiometer import _core
from gradiometer._checks import (
    check_fits,
    check_integer,
    check_number,
    check_positive_integer,
    check_seed,
    check_type,
    check_width,
)
from gradiometer._layer import Layer, Leaf, check_layers, leaves_of
from gradiometer.activations import Activation, activation_from_name
from gradiometer.init import InitSpec, draw
from gradiometer.layers import BatchNorm, Dense, Dropout, Residual, following_activation

__all__ = ["Network", "mlp"]

_CORE_NETWORKS: dict[str, type[_core.NetworkFloat32] | type[_core.NetworkFloat64]] = {
    "float32": _core.NetworkFloat32,
    "float64": _core.NetworkFloat64,
}
_LARGEST_WEIGHT = 2**44
"""Entries: more bytes than a process can address, and still far from where products of sizes overflow."""


def _check_dtype(dtype: Any) -> np.dtype[Any]:
    """Return float32 or float64 in the machine's byte order, or raise a TypeError or ValueError."""
    message = f'dtype must be "float32" or "float64", not {dtype!r}'
    if dtype is None:  # float64 to NumPy
        raise TypeError(message)
    try:
        native: np.dtype[Any] = np.dtype(dtype).newbyteorder("=")
    except TypeError:
        raise TypeError(message) from None
    if native.name not in _CORE_NETWORKS:
        raise ValueError(message)
    return native


def _check_numbers(layers: Sequence[Layer], dtype: np.dtype[Any], place: str) -> None:
    for i, layer in enumerate(layers):
        check_fits(layer, dtype, f"{place}[{i}].")
        _check_numbers(layer._body(), dtype, f"{place}[{i}].layers")


def _check_sizes(in_features: int, leaves: Sequence[Leaf]) -> None:
    """Raise a ValueError if the weight of a dense layer is larger than any memory."""
    columns = in_features
    for leaf in leaves:
        if isinstance(leaf.layer, Dense):
            if leaf.layer.out_features * columns > _LARGEST_WEIGHT:
                raise ValueError(
                    f"{leaf.place} has a weight of shape ({leaf.layer.out_features}, {columns}), which no memory can "
                    "hold"
                )
            columns = leaf.layer.out_features


class Network:
    """A feed-forward network that trains on the CPU.

    Parameters
    ----------
    in_features : int
        Columns of the input.
    layers : list of Layer
        Layers in order; the same layer object may stand in it many times.
    dtype : {"float32", "float64"}
        Of parameters and all arithmetic. A float32 network accepts float64 input and rounds it; a float64 network never
        computes in less.
    seed : int or None
        Of the initial weights, and of the dropout masks of a bare ``forward(training=True)``. None: a new one.

    Raises
    ------
    ValueError, TypeError
        If an argument is not as described; the message says which, what it was and what it must be.
    """

    def __init__(
        self, in_features: int, layers: Iterable[Layer], *, dtype: str = "float32", seed: int | None = None
    ) -> None:
        self._in_features = check_width("in_features", in_features)
        self._layers = check_layers("layers", layers)
        _check_sizes(self._in_features, leaves_of(self._layers))
        self._dtype = _check_dtype(dtype)
        _check_numbers(self._layers, self._dtype, "layers")
        self._seed = check_seed(seed)
        self._core = _CORE_NETWORKS[self._dtype.name](
            self._in_features, [layer._spec() for layer in self._layers], self._seed
        )
        self._initialize()

    def _initialize(self) -> None:
        leaves = leaves_of(self._layers)
        columns = self._in_features
        for number, leaf in enumerate(leaves):
            if not isinstance(leaf.layer, Dense):
                continue
            try:
                self._draw(leaf.name, leaf.layer, columns, following_activation(leaves, number), number)
            except ValueError as error:
                raise ValueError(f"{leaf.place}: {error}") from None
            columns = leaf.layer.out_features

    def _draw(self, name: str, layer: Dense, columns: int, following: Activation, number: int) -> None:
        """Draw the first values of a dense layer; they are gone from memory when this returns."""
        shape = (layer.out_features, columns)
        weight, bias = draw(layer.init, shape, following=following, seed=self._seed, layer=number)
        self._core.set_parameter(f"{name}.weight", weight)
        if layer.bias:
            self._core.set_parameter(f"{name}.bias", bias)

    @property
    def in_features(self) -> int:
        """Columns of the input."""
        return self._in_features

    @property
    def out_features(self) -> int:
        """Columns of the output."""
        dense = [leaf.layer for leaf in leaves_of(self._layers) if isinstance(leaf.layer, Dense)]
        return dense[-1].out_features if dense else self._in_features

    @property
    def layers(self) -> list[Layer]:
        """The layers, in order."""
        return list(self._layers)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The NumPy dtype of the parameters."""
        return self._dtype

    @property
    def seed(self) -> int:
        """The seed of the initial weights."""
        return self._seed

    @property
    def num_parameters(self) -> int:
        """How many numbers training adjusts."""
        return self._core.num_parameters

    def forward(self, x: ArrayLike, training: bool = False) -> NDArray[Any]:
        """Return the output of the last layer, (rows, out_features), for x, (rows, in_features).

        In training mode batch norm uses the batch's own statistics (and the running ones move), dropout drops, and the
        batch is kept for `backward`. In evaluation mode neither happens.

        Raises
        ------
        ValueError
            If x has another shape, no rows, a NaN or an infinity, or, in training, one row before batch norm.
        TypeError
            If x does not hold numbers.
        """
        return self._core.forward(x, check_type("training", training, bool), False)

    def backward(self, dy: ArrayLike) -> NDArray[Any]:
        """Go back from dL/d(output), (rows, out_features), to the returned dL/dx, (rows, in_features).

        The gradients of all parameters are overwritten: see `gradients`.

        Raises
        ------
        RuntimeError
            If there was no ``forward(x, training=True)`` before.
        ValueError
            If dy has another shape than the output of that pass.
        """
        return self._core.backward(dy)

    def gradients(self) -> dict[str, NDArray[Any]]:
        """Return copies of the gradients of the last backward pass, unclipped, under the keys of `state_dict`.

        Zeros before the first backward pass.
        """
        return self._core.gradients()

    def state_dict(self) -> dict[str, NDArray[Any]]:
        """Return copies of all parameters and running statistics, under the keys of a `torch.nn.Sequential`."""
        return self._core.state_dict()

    def load_state_dict(self, state: Mapping[str, ArrayLike]) -> None:
        """Take over parameters and running statistics; nothing changes if any of them does not fit.

        Raises
        ------
        ValueError
            If keys are missing or unknown, or an array has another shape.
        TypeError
            If an array does not hold numbers.
        """
        if not isinstance(state, Mapping):
            raise TypeError(f"state must be a dict of arrays, not {type(state).__name__}")
        self._core.load_state_dict(dict(state))

    def predict(self, x: ArrayLike, batch_size: int | None = None) -> NDArray[Any]:
        """Return the output in evaluation mode, (rows, out_features), `batch_size` rows at a time (None: all).

        Raises
        ------
        ValueError, TypeError
            As `forward`, or if batch_size is no whole number above 0.
        """
        if batch_size is None:
            return self.forward(x)
        size = check_positive_integer("batch_size", batch_size)
        try:
            rows = np.asarray(x)
            if rows.ndim != 2 or len(rows) == 0:
                return self.forward(x)
            out = np.empty((len(rows), self.out_features), self._dtype)
            for begin in range(0, len(rows), size):
                out[begin : begin + size] = self.forward(rows[begin : begin + size])
            return out
        except (RuntimeError, TypeError, ValueError):  # a runtime error is what tensors give that are no arrays
            return self.forward(x)  # says what is wrong, and where in the whole of x

    def __getstate__(self) -> dict[str, Any]:
        return {
            "in_features": self._in_features,
            "layers": self._layers,
            "dtype": self._dtype.name,
            "seed": self._seed,
            "state": self.state_dict(),
            "forward_count": self._core.forward_count,
        }

    def __setstate__(self, pickled: dict[str, Any]) -> None:
        self._in_features = pickled["in_features"]
        self._layers = pickled["layers"]
        self._dtype = np.dtype(pickled["dtype"])
        self._seed = pickled["seed"]
        self._core = _CORE_NETWORKS[self._dtype.name](
            self._in_features, [layer._spec() for layer in self._layers], self._seed
        )
        self.load_state_dict(pickled["state"])
        self._core.forward_count = pickled["forward_count"]

    def __repr__(self) -> str:
        rows = self._table()
        widths = [max(len(row[column]) for row in rows) for column in range(4)]
        nested = any(layer._body() for layer in self._layers)
        sides = ("<" if nested else ">", "<", ">", ">")
        lines = [
            "  ".join(f"{cell:{side}{width}}" for cell, side, width in zip(row, sides, widths, strict=True))
            for row in rows
        ]
        return "\n".join([self._headline(), *lines])

    def _repr_html_(self) -> str:
        from gradiometer.html import table_html

        return table_html(self._headline(), self._table())

    def _headline(self) -> str:
        return f"Network({self._in_features} -> {self.out_features}, {self._dtype}, {self.num_parameters:,} parameters)"

    def _table(self) -> list[tuple[str, str, str, str]]:
        """Return the rows of the table of layers, its head first."""
        sizes: dict[str, int] = {}
        for key, value in self.state_dict().items():
            layer, _, name = key.rpartition(".")
            if name in ("weight", "bias"):
                sizes[layer] = sizes.get(layer, 0) + value.size
        return [("", "layer", "output", "parameters"), *_table_rows(self._layers, self._in_features, sizes)]


def _table_rows(
    layers: Sequence[Layer], width: int, sizes: Mapping[str, int], prefix: str = ""
) -> list[tuple[str, str, str, str]]:
    """Return number, layer, output columns and parameters of each layer; those inside of another one are indented."""
    indent = "  " * prefix.count(".")
    rows: list[tuple[str, str, str, str]] = []
    for i, layer in enumerate(layers):
        name = f"{prefix}{i}"
        if isinstance(layer, Residual):
            inner = sum(size for key, size in sizes.items() if key.startswith(f"{name}."))
            rows.append((name, f"{indent}Residual(scale={layer.scale!r})", str(width), f"{inner:,}"))
            rows += _table_rows(layer.layers, width, sizes, f"{name}.")
            continue
        width = layer.out_features if isinstance(layer, Dense) else width
        rows.append((name, f"{indent}{layer!r}", str(width), f"{sizes.get(name, 0):,}"))
    return rows


def mlp(
    in_features: int,
    out_features: int,
    *,
    depth: int,
    width: int,
    activation: str | Activation = "relu",
    init: InitSpec = None,
    batch_norm: bool = False,
    dropout: float = 0.0,
    bias: bool = True,
    dtype: str = "float32",
    seed: int | None = None,
) -> Network:
    """Return a network of `depth` times (Dense, BatchNorm?, activation, Dropout?) and a last Dense.

    With ``depth=20, width=64, activation="tanh", init="xavier_normal", batch_norm=True, dropout=0.1`` and ten outputs,
    it is to the bit the network of
    ``[Dense(64, init="xavier_normal"), BatchNorm(), Tanh(), Dropout(0.1)] * 20 + [Dense(10)]``.

    Parameters
    ----------
    in_features, out_features : int
        Columns of the input and of the output.
    depth : int
        Number of hidden dense layers; 0 for a linear model.
    width : int
        Units of each of them.
    activation : str or Activation
        A layer, or its lower-case name: ``"relu"``, ``"leaky_relu"``, ….
    init : str, Initializer or None
        Of the hidden dense layers; the last one has the default. See `Dense`.
    batch_norm : bool
        Whether a `BatchNorm` follows each hidden dense layer.
    dropout : float
        If above 0, a `Dropout` with this p follows each activation.
    bias : bool
        Whether the dense layers have one, the last one too.
    dtype, seed
        See `Network`.
    """
    number = check_integer("depth", depth, minimum=0)
    units = check_width("width", width)
    probability = check_number("dropout", dropout, minimum=0.0, maximum=1.0)
    hidden: list[Layer] = [Dense(units, bias=bias, init=init)]
    if check_type("batch_norm", batch_norm, bool):
        hidden.append(BatchNorm())
    hidden.append(activation_from_name(activation))
    if probability > 0:
        hidden.append(Dropout(probability))
    last = Dense(check_width("out_features", out_features), bias=bias)
    return Network(in_features, hidden * number + [last], dtype=dtype, seed=seed)
