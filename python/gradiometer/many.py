"""Many networks at once: one on each processor, instead of one on all of them."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack

from numpy.typing import ArrayLike

from gradiometer import _core
from gradiometer._checks import check_array, check_type
from gradiometer.recording import Recording
from gradiometer.train import Trainer
from gradiometer.training_arguments import fit_arguments

__all__ = ["step_many", "train_many"]


def step_many(
    trainers: Iterable[Trainer], x: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None
) -> list[float]:
    """Take one step of every trainer on the same batch, and return their losses.

    Each network stays on one processor, so that no thread waits for another; the bits are those of
    ``[trainer.step(x, y) for trainer in trainers]``.

    Parameters
    ----------
    trainers : iterable of Trainer
        Different ones.
    x, y, sample_weight : arrays
        As for `Trainer.step`.

    Raises
    ------
    ValueError, TypeError, NonFiniteError
        As `Trainer.step`; the other trainers have taken their step. A note of the error says whose it is.
    """
    chosen = _check(trainers)
    data = check_array("x", x), check_array("y", y), sample_weight
    with ExitStack() as stack:
        for trainer in chosen:
            if trainer._awaits_start:
                stack.enter_context(trainer._noting_start(data, lambda: None))
        return _core.step_many([trainer._core for trainer in chosen], *data)


def train_many(
    trainers: Iterable[Trainer],
    X: ArrayLike,  # noqa: N803
    y: ArrayLike,
    *,
    epochs: int,
    batch_size: int,
    sample_weight: ArrayLike | None = None,
    shuffle: bool = True,
    validation: tuple[ArrayLike, ArrayLike] | None = None,
) -> list[Recording]:
    """Train every trainer on the same data, as its `Trainer.fit` would, and return the recordings.

    Each network stays on one processor, the largest first; the bits are those of one `fit` after the other. Ctrl-C
    leaves every network as after its last whole step.

    Parameters
    ----------
    trainers : iterable of Trainer
        Different ones.
    X, y, epochs, batch_size, sample_weight, shuffle, validation
        As for `Trainer.fit`.

    Raises
    ------
    ValueError, TypeError, NonFiniteError
        As `Trainer.fit`, once the other trainers are done. A note of the error says whose it is.
    """
    chosen = _check(trainers)
    X, y = check_array("X", X), check_array("y", y)  # noqa: N806
    arguments = fit_arguments(X, y, epochs, batch_size, sample_weight, shuffle, validation)
    with ExitStack() as stack:
        for trainer in chosen:
            stack.enter_context(trainer._noting_fit(arguments))
        _core.fit_many([trainer._core for trainer in chosen], arguments)
    return [trainer.recording for trainer in chosen]


def _check(trainers: Iterable[Trainer]) -> list[Trainer]:
    if not isinstance(trainers, Iterable):
        raise TypeError(f"trainers must be a list of trainers, not {type(trainers).__name__}")
    chosen = list(trainers)
    for i, trainer in enumerate(chosen):
        check_type(f"trainers[{i}]", trainer, Trainer)
    if len({id(trainer) for trainer in chosen}) < len(chosen):
        raise ValueError("trainers must be different ones, but one of them is there twice")
    if len({id(trainer.net._core) for trainer in chosen}) < len(chosen):
        raise ValueError("trainers must have different networks, but two of them share one")
    return chosen
