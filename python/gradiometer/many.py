"""Many networks at once: one on each processor, instead of one on all of them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from numpy.typing import ArrayLike

from gradiometer import _core
from gradiometer._checks import check_array, check_integer, check_positive_integer, check_type
from gradiometer.machine import get_num_threads
from gradiometer.recording import Recording
from gradiometer.train import Trainer

__all__ = ["step_many", "train_many"]

Result = TypeVar("Result")


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
    x, y = check_array("x", x), check_array("y", y)
    return _spread(chosen, lambda trainer, _: trainer.step(x, y, sample_weight))


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

    Each network stays on one processor, the largest first; the bits are those of one `fit` after the other. Ctrl-C is
    answered after the epoch that each processor is in.

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
    check_integer("epochs", epochs, minimum=0)
    check_positive_integer("batch_size", batch_size)
    X, y = check_array("X", X), check_array("y", y)  # noqa: N806

    def fit(trainer: Trainer, stop: threading.Event) -> Recording:
        for _ in range(epochs):
            if stop.is_set():
                break
            trainer.fit(
                X,
                y,
                epochs=1,
                batch_size=batch_size,
                sample_weight=sample_weight,
                shuffle=shuffle,
                validation=validation,
            )
            if trainer._core.stopped:  # on_nonfinite="stop"
                break
        return trainer.recording

    return _spread(chosen, fit)


def _check(trainers: Iterable[Trainer]) -> list[Trainer]:
    chosen = list(trainers)
    for i, trainer in enumerate(chosen):
        check_type(f"trainers[{i}]", trainer, Trainer)
    if len({id(trainer) for trainer in chosen}) < len(chosen):
        raise ValueError("trainers must be different ones, but one of them is there twice")
    return chosen


def _spread(trainers: Sequence[Trainer], work: Callable[[Trainer, threading.Event], Result]) -> list[Result]:
    """Call work for each trainer, the largest network first, in as many threads as the library may use."""
    order = sorted(range(len(trainers)), key=lambda i: trainers[i].net.num_parameters)  # popped from the end
    lock, stop = threading.Lock(), threading.Event()
    results: dict[int, Result] = {}
    errors: dict[int, BaseException] = {}

    def serve() -> None:
        _core.set_work_alone(len(trainers) > 1)
        try:
            while not stop.is_set():
                with lock:
                    if not order:
                        return
                    i = order.pop()
                try:
                    results[i] = work(trainers[i], stop)
                except Exception as error:
                    error.add_note(f"(of trainers[{i}])")
                    errors[i] = error
        finally:
            _core.set_work_alone(False)

    helpers = [threading.Thread(target=serve) for _ in range(min(get_num_threads(), len(trainers)) - 1)]
    for helper in helpers:
        helper.start()
    try:
        serve()
    except BaseException:  # Ctrl-C reaches this thread only
        stop.set()
        raise
    finally:
        for helper in helpers:
            helper.join()
    if errors:
        raise errors[min(errors)]
    return [results[i] for i in range(len(trainers))]
