"""One run of a sweep: build, train, measure. It never raises, but for being told to give up."""

from __future__ import annotations

import math
import threading
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradiometer import _core
from gradiometer._checks import check_positive_integer
from gradiometer.batches import batch_ends
from gradiometer.machine import info
from gradiometer.recording import Recording
from gradiometer.sweeps.plan import BATCH_SIZE, Data, Plan
from gradiometer.train import Trainer

PATIENCE = 0.1
"""Seconds of training after which a run looks whether it shall give up."""


class GivenUp(Exception):  # noqa: N818  no error: somebody pressed Ctrl-C
    """The sweep was broken off before this run was finished."""


@dataclass
class Outcome:
    """What a run came to; its names are columns of the store and of the table. NaN and None: not known."""

    steps: int = 0
    """Steps taken: fewer than wanted after an error, or after a NaN with ``on_nonfinite="stop"``."""
    final_loss: float = math.nan
    """Loss of the last recorded batch, before its update."""
    validation_loss: float = math.nan
    """After the last step."""
    validation_accuracy: float = math.nan
    """After the last step; of a classification."""
    verdict: str | None = None
    """Of `Recording.diagnose`; this and the next five."""
    delta_slope: float = math.nan
    grad_slope: float = math.nan
    range_decades: float = math.nan
    since_step: int | None = None
    sick_layer: str | None = None
    seconds: float = math.nan
    """From build to diagnosis. The one column that is not the same when a run is repeated."""
    version: str = ""
    """Of the library."""
    isa: str = ""
    """The instruction set that the run was computed with."""
    error: str | None = None
    """Type and message of the exception that ended the run."""


@dataclass
class Finished:
    """An outcome with what only the store keeps."""

    outcome: Outcome
    started: float
    """Seconds since 1970."""
    traceback: str | None = None
    recording: bytes | None = None
    """As `Recording.save` writes it; None if the trainer could not be built."""


def execute(
    plan: Plan, data: Data, parameters: Mapping[str, Any], seed: int, give_up: threading.Event | None = None
) -> Finished:
    """Train one configuration with one seed, in the calling thread alone.

    Raises
    ------
    GivenUp
        If the event was set before the end.
    """
    machine = info()
    outcome = Outcome(version=machine["version"], isa=machine["isa"])
    finished = Finished(outcome, started=time.time())
    begun = time.perf_counter()
    trainer: Trainer | None = None
    _core.set_work_alone(True)
    try:
        with _noting_errors(finished):
            trainer = plan.trainer(parameters, seed)
            _train(trainer, plan, data, parameters, give_up)
            if data.validation_x is not None and data.validation_y is not None:
                found = trainer.evaluate(data.validation_x, data.validation_y)
                outcome.validation_loss = found["loss"]
                outcome.validation_accuracy = found.get("accuracy", math.nan)
    finally:
        _core.set_work_alone(False)
    if trainer is not None:
        with _noting_errors(finished):
            outcome.steps = trainer._core.steps
            _judge(trainer.recording, outcome)
            finished.recording = trainer.recording._to_bytes()
    outcome.seconds = time.perf_counter() - begun
    return finished


@contextmanager
def _noting_errors(finished: Finished) -> Iterator[None]:
    try:
        yield
    except GivenUp:
        raise
    except Exception as error:
        if finished.outcome.error is None:  # the first is the cause
            finished.outcome.error = "".join(traceback.format_exception_only(error)).strip()
            finished.traceback = traceback.format_exc()


def _train(
    trainer: Trainer, plan: Plan, data: Data, parameters: Mapping[str, Any], give_up: threading.Event | None
) -> None:
    """Take exactly so many steps, those that `Trainer.fit` would take first."""
    batch_size = check_positive_integer(BATCH_SIZE, parameters.get(BATCH_SIZE, plan.batch_size))
    rows = len(data.x)
    epochs, rest = divmod(plan.steps, len(batch_ends(trainer.net, rows, batch_size)))
    at_once = 1
    while epochs and not trainer._core.stopped:
        if give_up is not None and give_up.is_set():
            raise GivenUp
        begun = time.perf_counter()
        part = min(at_once, epochs)
        trainer.fit(data.x, data.y, epochs=part, batch_size=batch_size, shuffle=plan.shuffle)
        epochs -= part
        if time.perf_counter() - begun < PATIENCE:
            at_once *= 2
    if rest and not trainer._core.stopped:
        # The first batches of one more epoch, in the order that `fit` would take them.
        chosen = np.arange(rest * batch_size)
        if plan.shuffle:
            chosen = _core.draw_permutation(trainer._settings["seed"], trainer._core.epochs, rows)[chosen]
        trainer.fit(data.x[chosen], data.y[chosen], epochs=1, batch_size=batch_size, shuffle=False)


def _judge(recording: Recording, outcome: Outcome) -> None:
    if not len(recording) or "grad_norm" not in recording._recorder.fields() or not recording.layer_names:
        return
    diagnosis = recording.diagnose()
    outcome.final_loss = float(recording.loss[-1])
    outcome.verdict = diagnosis.verdict
    outcome.delta_slope = diagnosis.delta_slope
    outcome.grad_slope = diagnosis.grad_slope
    outcome.range_decades = diagnosis.range_decades
    outcome.since_step = diagnosis.since_step
    outcome.sick_layer = diagnosis.layer
