"""The data of the lab: handwritten digits, or a file; checked, split and standardised."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

VALIDATION_SHARE = 0.2
MINIMUM_ROWS = 10


class DataError(ValueError):
    """Data that cannot be learnt from; the message says which, where and why."""


@dataclass(frozen=True)
class Dataset:
    """Standardised features and encoded labels, split into training and validation."""

    name: str
    train_x: NDArray[np.float32]
    train_y: NDArray[np.int64]
    validation_x: NDArray[np.float32]
    validation_y: NDArray[np.int64]
    classes: list[str]
    """Names of the classes; the label k stands for ``classes[k]``."""

    @property
    def features(self) -> int:
        """Number of columns of ``train_x``."""
        return int(self.train_x.shape[1])

    def __str__(self) -> str:
        rows = f"{len(self.train_x)} rows to train, {len(self.validation_x)} to validate"
        return f"{self.name}: {rows}, {self.features} features, {len(self.classes)} classes"


def digits() -> Dataset:
    """Return scikit-learn's 1797 images of handwritten digits, 8 × 8 pixels."""
    from sklearn.datasets import load_digits

    images = load_digits()
    return prepare("digits", images.data, images.target)


def prepare(name: str, x: Any, y: Any, x_val: Any = None, y_val: Any = None) -> Dataset:
    """Check, split (unless validation rows are given), standardise and encode.

    Parameters
    ----------
    name : str
        What messages call the data.
    x : array_like of shape (rows, features)
        Any real dtype.
    y : array_like of shape (rows,)
        Integers, truth values or strings.
    x_val, y_val : array_like, optional
        Validation rows, both or neither; without them a fifth of every class is held out, always the same
        rows.

    Raises
    ------
    DataError
        The message names the array, and the row and column where there is one.
    """
    features, labels = _features(f"{name}: X", x), _labels(f"{name}: y", y)
    _check_pair(f"{name}: X", features, f"{name}: y", labels)
    if len(features) < MINIMUM_ROWS:
        raise DataError(f"{name}: {len(features)} rows are too few, {MINIMUM_ROWS} are needed")
    classes, encoded = np.unique(labels, return_inverse=True)
    if len(classes) < 2:
        raise DataError(f"{name}: y has one class only ({classes[0]}), two or more are needed")

    if x_val is None and y_val is None:
        held_out = _held_out(encoded)
        train_x, validation_x = features[~held_out], features[held_out]
        train_y, validation_y = encoded[~held_out], encoded[held_out]
        if not len(validation_y):
            raise DataError(f"{name}: no class has the two rows that are needed to hold one out for validation")
    else:
        if x_val is None or y_val is None:
            raise DataError(f"{name}: {'X_val' if x_val is None else 'y_val'} is missing; give both or neither")
        train_x, train_y = features, encoded
        validation_x = _features(f"{name}: X_val", x_val)
        validation_y = _encode(f"{name}: y_val", _labels(f"{name}: y_val", y_val), classes)
        _check_pair(f"{name}: X_val", validation_x, f"{name}: y_val", validation_y)
        if not len(validation_x):
            raise DataError(f"{name}: X_val has no rows")
        if validation_x.shape[1] != train_x.shape[1]:
            raise DataError(f"{name}: X has {train_x.shape[1]} columns but X_val has {validation_x.shape[1]}")

    train_x, validation_x = _standardise(train_x, validation_x)
    return Dataset(
        name,
        train_x.astype(np.float32),
        train_y.astype(np.int64),
        validation_x.astype(np.float32),
        validation_y.astype(np.int64),
        [str(label) for label in classes],
    )


def _features(name: str, values: Any) -> NDArray[np.float64]:
    array = np.asarray(values)
    if array.ndim != 2:
        hint = "; flatten each image to one row: X.reshape(len(X), -1)" if array.ndim > 2 else ""
        raise DataError(f"{name} must have two dimensions (rows, features), not the shape {array.shape}{hint}")
    if array.shape[1] == 0:
        raise DataError(f"{name} has no columns")
    if array.dtype.kind not in "biuf":
        raise DataError(f"{name} must hold real numbers, not {array.dtype}")
    numbers = array.astype(np.float64)
    bad = np.argwhere(~np.isfinite(numbers))
    if len(bad):
        row, column = bad[0]
        more = f", and {len(bad) - 1} more" if len(bad) > 1 else ""
        raise DataError(f"{name} has {numbers[row, column]} at row {row}, column {column}{more} (counted from 0)")
    return numbers


def _labels(name: str, values: Any) -> NDArray[Any]:
    array = np.asarray(values)
    if array.ndim != 1:
        raise DataError(f"{name} must have one dimension (one label for each row), not the shape {array.shape}")
    if array.dtype.kind == "O" and len(array) and all(isinstance(label, int | np.integer) for label in array):
        return array.astype(np.int64)
    if array.dtype.kind in "OT":
        strange = [row for row, label in enumerate(array) if not isinstance(label, str)]
        if strange:
            row = strange[0]
            raise DataError(f"{name} must hold integers or strings; row {row} (counted from 0) is {array[row]!r}")
        return array.astype(str)
    if array.dtype.kind not in "biuU":
        raise DataError(f"{name} must hold integers or strings (names of classes), not {array.dtype}")
    return array


def _check_pair(features_name: str, features: NDArray[Any], labels_name: str, labels: NDArray[Any]) -> None:
    if len(features) != len(labels):
        raise DataError(f"{features_name} has {len(features)} rows but {labels_name} has {len(labels)} labels")


def _encode(name: str, labels: NDArray[Any], classes: NDArray[Any]) -> NDArray[np.int64]:
    same_kind = (labels.dtype.kind == "U") == (classes.dtype.kind == "U")
    unknown = [row for row, label in enumerate(labels) if not same_kind or label not in classes]
    if unknown:
        row = unknown[0]
        raise DataError(f"{name} has the label {labels[row].item()!r} at row {row}, which y does not have")
    return np.searchsorted(classes, labels).astype(np.int64)


def _held_out(labels: NDArray[Any]) -> NDArray[np.bool_]:
    """Mark a fifth of the rows of every class; at least one, unless a class has a single row."""
    chance = np.random.default_rng(0)
    held_out = np.zeros(len(labels), dtype=np.bool_)
    for label in np.unique(labels):
        rows = chance.permutation(np.flatnonzero(labels == label))
        count = max(round(len(rows) * VALIDATION_SHARE), 1) if len(rows) > 1 else 0
        held_out[rows[:count]] = True
    return held_out


def _standardise(
    train: NDArray[np.float64], validation: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Subtract the training mean and divide by the training deviation; a constant column becomes zero."""
    largest = np.abs(train).max(axis=0)
    largest[largest == 0] = 1  # dividing by it first keeps squares of huge and of tiny numbers in range
    train, validation = train / largest, validation / largest
    constant = (train == train[0]).all(axis=0)
    mean, deviation = train.mean(axis=0), train.std(axis=0)
    deviation[constant] = 1
    train, validation = (train - mean) / deviation, (validation - mean) / deviation
    train[:, constant] = 0
    validation[:, constant] = 0
    return train, validation
