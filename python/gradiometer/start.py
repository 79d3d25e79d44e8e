"""How a run started: the little of the network and of its first batch that theory needs for a prediction.

Training knows nothing of theory: it only keeps this, once, and what is predicted from it is worked out when it is asked
for.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gradiometer._core import draw_permutation
from gradiometer._layer import Layer, leaves_of
from gradiometer.batches import batch_ends
from gradiometer.init import orthogonal
from gradiometer.layers import Dense
from gradiometer.network import Network

if TYPE_CHECKING:
    from gradiometer.recording import Recording
    from gradiometer.theory import Prediction

__all__ = ["MOST_ROWS", "Examples", "Start", "first_batch", "noting_start"]

Examples: TypeAlias = tuple[ArrayLike, ArrayLike, ArrayLike | None]
"""x, y, sample weights or None."""

MOST_ROWS = 128
"""So many rows of a batch are kept. Theory takes rows² × layers of time; what more rows change is about 1 / rows."""

ARRAYS = ("x", "y", "sample_weight")


@dataclass(frozen=True)
class Start:
    """A network before its first recorded step, and the batch of that step."""

    layers: tuple[Layer, ...]
    parameters: Mapping[str, Any]
    """By state-dict key, see `parameter_sizes`."""
    loss: str
    rows: int
    """Of the whole batch."""
    x: NDArray[Any]
    """(kept rows, in_features), evenly spaced ones of the batch."""
    y: NDArray[Any]
    """(kept rows,) labels or (kept rows, out_features) targets."""
    sample_weight: NDArray[Any] | None

    @cached_property
    def outcome(self) -> tuple[Prediction | None, str]:
        """The prediction; where theory does not apply, None and the reason."""
        from gradiometer.theory.prediction import predict_start

        try:
            return predict_start(self), ""
        except ValueError as error:
            return None, str(error)

    def state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Return JSON values and arrays from which `of_state` makes it again."""
        text = {
            "layers": [_describe(layer) for layer in self.layers],
            "parameters": {key: np.asarray(value).tolist() for key, value in self.parameters.items()},
            "loss": self.loss,
            "rows": self.rows,
        }
        arrays = {f"start_{name}": getattr(self, name) for name in ARRAYS}
        return text, {name: array for name, array in arrays.items() if array is not None}

    @classmethod
    def of_state(cls, text: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Start:
        """Return what `state` described. Raises KeyError, TypeError or ValueError if it is damaged."""
        parameters = {key: np.asarray(value, np.float64) for key, value in text["parameters"].items()}
        layers = tuple(_build(layer) for layer in text["layers"])
        kept = {name: arrays.get(f"start_{name}") for name in ARRAYS}
        if kept["x"] is None or kept["y"] is None:
            raise ValueError("the first batch is missing")
        return cls(layers, parameters, text["loss"], text["rows"], kept["x"], kept["y"], kept["sample_weight"])

    @classmethod
    def of(
        cls,
        net: Network,
        parameters: Mapping[str, Any],
        loss: str,
        data: Examples,
        batch: NDArray[np.int64] | None = None,
    ) -> Start:
        """Copy what is needed of examples that a trainer has accepted: (x, y, sample weights or None).

        Parameters
        ----------
        net, parameters, loss
            As they were before the step.
        data : Examples
            The batch, or all examples.
        batch : array, (rows,), optional
            The numbers of the examples that are the batch; None: all.
        """
        x, y, weight = (None if array is None else np.asarray(array) for array in data)
        assert x is not None
        assert y is not None
        rows = len(x) if batch is None else len(batch)
        kept = np.linspace(0, rows - 1, min(rows, MOST_ROWS)).round().astype(np.intp)
        if batch is not None:
            kept = batch[kept]
        targets = y[kept]
        with np.errstate(over="ignore"):  # beyond the dtype is infinity, to the trainer too where it allows that
            inputs = x[kept].astype(net.dtype)
            if loss != "cross_entropy":
                targets = targets.astype(net.dtype).reshape(len(kept), -1)
        return cls(
            layers=tuple(net.layers),
            parameters=parameters,
            loss=loss,
            rows=rows,
            x=inputs,
            y=targets,
            sample_weight=None if weight is None else weight[kept].astype(np.float64),
        )


@contextmanager
def noting_start(
    net: Network, recording: Recording, loss: str, data: Examples, batch: Callable[[], NDArray[np.int64] | None]
) -> Iterator[None]:
    """Let a recording keep its start, if what runs inside records a step.

    Parameters
    ----------
    net, loss, data
        As for `Start.of`; of the data nothing is read unless a step was taken, so that it is known to be right.
    recording : Recording
        Without steps.
    batch : callable
        Returns the numbers of the examples in the first batch; None for all.
    """
    parameters = parameter_sizes(net)
    try:
        yield
    finally:
        if len(recording):
            recording._start = Start.of(net, parameters, loss, data, batch())


def parameter_sizes(net: Network) -> dict[str, Any]:
    """Return, under each state-dict key, the root mean square of a parameter: a scalar stands for the whole array.

    Those of layers in front of the first dense layer, which act on the data themselves, are whole.
    """
    first_dense = next((leaf.name for leaf in leaves_of(net.layers) if isinstance(leaf.layer, Dense)), "")
    on_data = True
    sizes: dict[str, Any] = {}
    for key in net._core.parameter_names:  # in the order in which a batch meets the layers
        on_data = on_data and key.rpartition(".")[0] != first_dense
        sizes[key] = net._core.parameter(key).astype(np.float64) if on_data else net._core.parameter_size(key)[1]
    return sizes


def first_batch(
    net: Network,
    examples: ArrayLike,
    batch_size: int,
    shuffled_by: tuple[int, int] | None,
    sample_weight: ArrayLike | None,
) -> NDArray[np.int64]:
    """Return the numbers of the examples in the first batch of an epoch of `fit` that takes a step.

    Parameters
    ----------
    examples : array, (rows, in_features)
        All of them.
    batch_size : int
        Rows of a batch.
    shuffled_by : (seed, epoch) or None
        What decides their order; None: they are in order.
    sample_weight : array, (rows,), or None
        A batch in which all of them are zero takes no step.
    """
    rows = len(np.asarray(examples))
    order = np.arange(rows) if shuffled_by is None else draw_permutation(*shuffled_by, rows)
    first_row = 0 if sample_weight is None else int(np.flatnonzero(np.asarray(sample_weight)[order])[0])
    ends = batch_ends(net, rows, batch_size)
    number = bisect_right(ends, first_row)
    return order[ends[number - 1] if number else 0 : ends[number]]


def _describe(layer: Layer) -> dict[str, Any]:
    """Return the class and the arguments of a layer as JSON values; of an init only whether it is orthogonal."""
    described: dict[str, Any] = {"layer": type(layer).__name__}
    for field in fields(layer):  # type: ignore[arg-type]  # every layer is a dataclass
        value = getattr(layer, field.name)
        if field.name == "init":
            value = "orthogonal" if value == "orthogonal" or isinstance(value, orthogonal) else None
        elif isinstance(value, Sequence) and not isinstance(value, str):
            value = [_describe(inner) for inner in value]
        described[field.name] = value
    return described


def _build(described: Mapping[str, Any]) -> Layer:
    arguments = {
        name: [_build(inner) for inner in value] if isinstance(value, list) else value
        for name, value in described.items()
        if name != "layer"
    }
    return _classes(Layer)[described["layer"]](**arguments)


def _classes(base: type[Layer]) -> dict[str, type[Layer]]:
    """Return all kinds of layers by name."""
    known = {base.__name__: base}
    for kind in base.__subclasses__():
        known |= _classes(kind)
    return known
