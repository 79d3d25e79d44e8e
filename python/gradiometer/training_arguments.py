"""What a trainer is given, but for the arrays, which the engine checks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from gradiometer import _core
from gradiometer._checks import check_integer, check_number, check_positive_integer, check_seed, check_type
from gradiometer.optim import LearningRate

__all__ = ["checked_rate", "checked_state", "choice", "fit_arguments"]


def choice(name: str, value: Any, choices: Any) -> Any:
    """Return the value if it is among the choices; raise a ValueError that lists them if not."""
    if not any(value is choice or (isinstance(value, str) and value == choice) for choice in choices):
        known = ", ".join(repr(choice) for choice in choices)
        raise ValueError(f"{name} must be one of {known}, not {value!r}")
    return value


def checked_rate(lr: LearningRate, dtype: np.dtype[Any]) -> LearningRate:
    """Return a learning rate whose values, where it is a function, are checked as they come."""
    if not callable(lr):
        return lr
    largest = float(np.finfo(dtype).max)

    def rate(step: int) -> float:
        return check_number(f"lr({step})", lr(step), minimum=0.0, maximum=largest)

    return rate


def fit_arguments(
    X: ArrayLike,  # noqa: N803
    y: ArrayLike,
    epochs: int,
    batch_size: int,
    sample_weight: ArrayLike | None,
    shuffle: bool,
    validation: tuple[ArrayLike, ArrayLike] | None,
) -> _core.FitArguments:
    """Check what `Trainer.fit` and `train_many` are given, but for the arrays, which the trainer checks."""
    check_integer("epochs", epochs, minimum=0)
    check_positive_integer("batch_size", batch_size)
    check_type("shuffle", shuffle, bool)
    if validation is not None and not isinstance(validation, (tuple, list)):
        raise TypeError(f"validation must be a pair (X, y), not {type(validation).__name__}")
    if validation is not None and len(validation) not in (2, 3):
        raise ValueError(f"validation must be (X, y) or (X, y, sample_weight), but it has length {len(validation)}")
    return _core.FitArguments(
        x=X,
        y=y,
        sample_weight=sample_weight,
        epochs=epochs,
        batch_size=batch_size,
        shuffle=shuffle,
        validation=None if validation is None else tuple(validation),
    )


def checked_state(state: Mapping[str, Any]) -> tuple[int, int, int, int, dict[str, Any]]:
    """Return the steps, epochs, updates, seed and optimizer of `Trainer.state_dict`."""
    keys = ("step", "epoch", "update", "seed", "optimizer")
    if not isinstance(state, Mapping):
        raise TypeError(f"state must be a dict, as state_dict() gives it, not {type(state).__name__}")
    missing, unknown = [key for key in keys if key not in state], [key for key in state if key not in keys]
    if missing:
        raise ValueError(f"the trainer's state dict has no {', '.join(map(repr, missing))}")
    if unknown:
        raise ValueError(f"a trainer's state dict has no {', '.join(map(repr, unknown))}, as this one has")
    if not isinstance(state["optimizer"], Mapping):
        raise TypeError(f"state['optimizer'] must be a dict, not {type(state['optimizer']).__name__}")
    steps, updates = (check_integer(key, state[key], minimum=0, maximum=2**62) for key in ("step", "update"))
    epochs = check_integer("epoch", state["epoch"], minimum=0, maximum=2**32 - 1)
    if updates > steps:
        raise ValueError(f"update must be at most step, {steps}, not {updates}: not every step updates")
    seed = check_seed(state["seed"])
    return steps, epochs, updates, seed, dict(state["optimizer"])
