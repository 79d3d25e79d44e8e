"""The gradient of each loss with respect to the output of a network, in plain NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["LOSSES", "loss_gradient"]

Array = NDArray[np.float64]

LOSSES = ("cross_entropy", "bce_with_logits", "mse")


def loss_gradient(loss: str, output: Array, y: ArrayLike) -> Array:
    """Return dL/d(output), (rows, out_features), of a loss of `Trainer`.

    Raises
    ------
    ValueError
        If there is no such loss, or y does not fit the output, is not finite or out of the loss's range.
    TypeError
        If y does not hold numbers, or labels that are no integers.
    """
    if loss not in LOSSES:
        raise ValueError(f"loss must be one of {', '.join(map(repr, LOSSES))}, not {loss!r}")
    rows, columns = output.shape
    target = np.asarray(y)
    if loss == "cross_entropy":
        if target.dtype.kind not in "iu":
            raise TypeError(f"y must hold integer class labels for cross_entropy, not dtype {target.dtype}")
        if target.shape != (rows,):
            raise ValueError(f"y has shape {target.shape}; it must be ({rows},)")
        outside = np.flatnonzero((target < 0) | (target >= columns))
        if outside.size:
            raise ValueError(f"y[{outside[0]}] is {target[outside[0]]}; labels must be from 0 to {columns - 1}")
        shifted = np.exp(output - output.max(axis=1, keepdims=True))
        gradient = shifted / shifted.sum(axis=1, keepdims=True)
        gradient[np.arange(rows), target] -= 1.0
        return np.asarray(gradient / rows)
    if target.dtype.kind not in "biuf":
        raise TypeError(f"y must hold numbers, not dtype {target.dtype}")
    if target.shape != output.shape:
        raise ValueError(f"y has shape {target.shape}; it must be {output.shape}, that of the output")
    _refuse_where(~np.isfinite(target), target, "y must be finite")
    if loss == "bce_with_logits":
        _refuse_where((target < 0) | (target > 1), target, "targets of bce_with_logits must be from 0 to 1")
    if loss == "mse":
        return np.asarray(2.0 * (output - target) / output.size)
    return np.asarray((0.5 * (1.0 + np.tanh(output / 2.0)) - target) / output.size)


def _refuse_where(wrong: NDArray[np.bool_], target: NDArray[Any], demand: str) -> None:
    """Raise a ValueError that names the first entry of y that is wrong, if there is one."""
    places = np.argwhere(wrong)
    if len(places):
        place = tuple(places[0])
        raise ValueError(f"{demand}, but y[{', '.join(map(str, place))}] is {target[place]:g}")
