"""What is the same for all runs of a sweep, and what a store remembers of it."""

from __future__ import annotations

import functools
import hashlib
import inspect
import threading
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gradiometer._checks import check_array
from gradiometer.network import Network
from gradiometer.sweeps.grid import plain, to_json
from gradiometer.sweeps.names import NamedBuild
from gradiometer.train import Trainer

Build: TypeAlias = Callable[..., Trainer]
BATCH_SIZE = "batch_size"
"""A configuration may hold it; it is the sweep's own then, and `build` does not see it."""

_trained: weakref.WeakSet[Network] = weakref.WeakSet()
"""Networks of all runs in this process: one that `build` gives out twice would be trained by two runs at once."""
_lock = threading.Lock()


@dataclass(frozen=True)
class Data:
    """Examples to train on, and to validate with, or none."""

    x: NDArray[Any]
    y: NDArray[Any]
    validation_x: NDArray[Any] | None = None
    validation_y: NDArray[Any] | None = None

    @classmethod
    def check(cls, x: ArrayLike, y: ArrayLike, validation: tuple[ArrayLike, ArrayLike] | None) -> Data:
        """Refuse what no run could use: wrong axes, no rows, not as many of one as of the other."""
        train = _pair("X", x, "y", y)
        if validation is None:
            return cls(*train)
        if not isinstance(validation, (tuple, list)):
            raise TypeError(f"validation must be a pair (X, y), not {type(validation).__name__}")
        if len(validation) != 2:
            raise ValueError(f"validation must be (X, y), but it has length {len(validation)}")
        held_out = _pair("validation[0]", validation[0], "validation[1]", validation[1])
        if held_out[0].shape[1] != train[0].shape[1]:
            raise ValueError(f"X has {train[0].shape[1]} columns but validation[0] has {held_out[0].shape[1]}")
        return cls(*train, *held_out)

    def check_finite(self) -> None:
        """Refuse a NaN or an infinity, with its place."""
        for name, array in (
            ("X", self.x),
            ("y", self.y),
            ("validation[0]", self.validation_x),
            ("validation[1]", self.validation_y),
        ):
            if array is not None and not np.isfinite(array).all():
                place = tuple(np.argwhere(~np.isfinite(array))[0].tolist())
                raise ValueError(f"{name} must be finite, but {name}{list(place)} is {array[place]}")

    def digest(self) -> str:
        """Return a fingerprint of all values, shapes and dtypes."""
        sha = hashlib.sha256()
        for array in (self.x, self.y, self.validation_x, self.validation_y):
            if array is not None:
                sha.update(f"{array.shape} {array.dtype.str};".encode())
                sha.update(array.data)
        return sha.hexdigest()


def _pair(x_name: str, x: ArrayLike, y_name: str, y: ArrayLike) -> tuple[NDArray[Any], NDArray[Any]]:
    examples, targets = (np.ascontiguousarray(check_array(*each)) for each in ((x_name, x), (y_name, y)))
    for name, array, axes in ((x_name, examples, (2,)), (y_name, targets, (1, 2))):
        if array.dtype.kind not in "biuf":
            raise TypeError(f"{name} must hold numbers, not {array.dtype}")
        if array.ndim not in axes:
            wanted = "(rows, in_features)" if axes == (2,) else "(rows,) or (rows, out_features)"
            raise ValueError(f"{name} must have the shape {wanted}, not {array.shape}")
    if not examples.size:
        raise ValueError(f"{x_name} must hold at least one number, but its shape is {examples.shape}")
    if len(examples) != len(targets):
        raise ValueError(f"{x_name} has {len(examples)} rows but {y_name} has {len(targets)}")
    return examples, targets


@dataclass(frozen=True)
class Plan:
    """How every run is built and trained."""

    build: Build
    steps: int
    batch_size: int
    shuffle: bool

    def trainer(self, parameters: Mapping[str, Any], seed: int) -> Trainer:
        """Build the trainer of one run."""
        given = {name: value for name, value in parameters.items() if name != BATCH_SIZE}
        trainer = self.build(**given, seed=seed)
        if not isinstance(trainer, Trainer):
            raise TypeError(f"build must return a gradiometer.Trainer, not {trainer!r}")
        with _lock:
            if trainer._core.steps or trainer.net in _trained:
                raise ValueError("build must make a new network and a new trainer for each run, but these were trained")
            _trained.add(trainer.net)
        return trainer

    def description(self, data: Data) -> dict[str, str]:
        """Return what must be the same for all runs of a store."""
        return {
            "steps": str(self.steps),
            "batch_size": str(self.batch_size),
            "shuffle": str(self.shuffle),
            "data": data.digest(),
            "build": _describe_build(self.build),
        }


def check_build(build: Build | Mapping[str, Any] | None, data: Data) -> Build:
    """Return the function that builds a trainer: the one given, or one that understands names."""
    if build is None or isinstance(build, Mapping):
        settings = {name: plain(f"build[{name!r}]", value) for name, value in (build or {}).items()}
        if "seed" in settings:
            raise ValueError("build has the name 'seed'; the seeds are in seeds=")
        if BATCH_SIZE in settings:
            raise ValueError("build has the name 'batch_size', which is an argument of sweep")
        return NamedBuild(settings, data.x, data.y, data.validation_y)
    if isinstance(build, Trainer):
        raise TypeError("build must be a function that returns a new trainer for each run, not a trainer")
    if not callable(build):
        raise TypeError(f"build must be a function, a dict of settings that all runs share, or None, not {build!r}")
    return build


def _describe_build(build: Build) -> str:
    """Return names and values, or the name of a function and a digest of its source, so that a change is noticed."""
    if isinstance(build, NamedBuild):
        return to_json(dict(sorted(build.settings.items())))
    if isinstance(build, functools.partial):
        given = {str(i): value for i, value in enumerate(build.args)} | build.keywords
        fixed = {name: plain(f"the argument {name} that build fixes", value) for name, value in given.items()}
        return f"{_describe_build(build.func)} with {to_json(dict(sorted(fixed.items())))}"
    function: Any = build if hasattr(build, "__qualname__") else type(build)
    try:
        source = inspect.getsource(function)
    except (OSError, TypeError):  # typed into an interpreter, or compiled
        return str(function.__qualname__)
    return f"{function.__qualname__} {hashlib.sha256(source.encode()).hexdigest()[:16]}"
