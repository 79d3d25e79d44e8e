"""The experiments that claims share: networks at their start, and networks that train, over the seeds.

All learn scikit-learn's digits, split and standardised as in `gradiometer lab`. Seeds are 0, 1, …; the same seeds give
the same numbers. What several claims need is measured once.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache, cached_property

import numpy as np
from numpy.typing import NDArray

import gradiometer as gm
from gradiometer.claims.criteria import ACCURACY, LEARNS, SLOPE
from gradiometer.claims.outcome import Criterion, Curve, Measurement
from gradiometer.lab.data import digits
from gradiometer.lab.experiments import Architecture
from gradiometer.lab.training import OPTIMIZERS, Cosine, Settings, search
from gradiometer.optim import Optimizer
from gradiometer.slopes import Signal

Array = NDArray[np.float64]

ROWS = 128
"""Of the batch on which a network is measured at its start."""
SETTINGS = Settings()
"""How networks are trained that shall learn: 30 epochs of batches of 64, momentum, and a cosine from the rate that a
short search, with four seeds, finds best for each."""

EPOCH = 23
"""Steps of an epoch: 1438 rows in batches of 64."""


@dataclass(frozen=True)
class Start:
    """A network before it learns anything, once for each seed."""

    delta_norm: Array
    """(seeds, layers)"""
    theory: float
    """Slope that `gm.theory.predict` expects of the first seed's network on the same batch."""

    @property
    def layers(self) -> int:
        """How many dense layers there are."""
        return int(self.delta_norm.shape[1])

    @cached_property
    def slopes(self) -> Array:
        """Decades per layer toward the input, (seeds,); −∞ where nothing at all reaches the first layer."""
        slopes = Signal.of("delta_norm", self.delta_norm).slope
        return np.where(self.delta_norm[:, 0] == 0, -math.inf, slopes)

    def slope(self, label: str, needed: Criterion | None, theory: float | None = None) -> Measurement:
        """Return the slope as a measurement; theory's is `predict`'s unless given."""
        return Measurement.of(label, SLOPE, self.slopes, self.theory if theory is None else theory, needed)

    def curve(self, label: str) -> Curve:
        """Return `delta_norm` of every layer as a multiple of the last one's, by the distance from the output."""
        return curve(label, np.arange(self.layers)[::-1], self.delta_norm / self.delta_norm[:, -1:])


@dataclass(frozen=True)
class Training:
    """Networks that have learnt, one for each seed."""

    recordings: list[gm.Recording]
    loss: list[float]
    """Of all training rows, at the end; NaN where the run met a NaN or an infinity."""
    accuracies: list[float]
    """Of the validation rows; that of guessing where the run met a NaN or an infinity."""

    @property
    def diverged(self) -> list[float]:
        """1 where the run met a NaN or an infinity, or ended with a larger loss than it began with; else 0."""
        first = [float(recording.loss[0]) for recording in self.recordings]
        return [float(not end <= start) for start, end in zip(first, self.loss, strict=True)]

    def accuracy(self, label: str, needed: Criterion | None = LEARNS) -> Measurement:
        """Return the accuracy as a measurement, of which theory has none."""
        return Measurement.of(label, ACCURACY, self.accuracies, None, needed)

    def slope(self, label: str, needed: Criterion | None, theory: float) -> Measurement:
        """Return the median slope over all steps as a measurement; theory's is that of the start."""
        slopes = [Signal.of("delta_norm", recording.delta_norm).slope for recording in self.recordings]
        return Measurement.of(label, SLOPE, [float(np.median(values)) for values in slopes], theory, needed)

    def curve(self, label: str, window: int = EPOCH, steps: int | None = None) -> Curve:
        """Return the loss of the batches, a mean over each window, up to where the first of the runs ended."""
        shortest = min(len(recording) for recording in self.recordings)
        points = max((shortest if steps is None else min(steps, shortest)) // window, 1)
        losses = [recording.loss[: points * window].reshape(points, -1).mean(axis=1) for recording in self.recordings]
        broken = any(recording.nonfinite is not None for recording in self.recordings)
        whole = steps is None or shortest < steps
        return curve(label, np.arange(1, points + 1) * window, np.array(losses), broken=broken and whole)


class Laboratory:
    """Runs experiments over some seeds, and remembers them."""

    def __init__(self, seeds: int) -> None:
        self.seeds = range(seeds)
        self.data = digits()
        self.start = cache(self._start)
        self.learn = cache(self._learn)
        self.run = cache(self._run)

    def _start(self, architecture: Architecture) -> Start:
        trainers = list(self._trainers(architecture, gm.SGD(0.0)))
        x, y = self.data.train_x[:ROWS], self.data.train_y[:ROWS]
        prediction = gm.theory.predict(trainers[0].net, x, y, "cross_entropy")
        gm.step_many(trainers, x, y)
        return Start(np.array([trainer.recording.delta_norm[0] for trainer in trainers]), prediction.slope)

    def _learn(self, architecture: Architecture) -> Training:
        """Train as well as can be: at the best of some rates, with a schedule."""
        rate = search(architecture, self.data, SETTINGS)
        steps = SETTINGS.epochs * math.ceil(len(self.data.train_x) / SETTINGS.batch_size)
        return self._run(architecture, OPTIMIZERS[SETTINGS.optimizer](Cosine(rate, steps)), SETTINGS.epochs)

    def _run(self, architecture: Architecture, optimizer: Optimizer, epochs: int) -> Training:
        trainers = list(self._trainers(architecture, optimizer))
        x, y = self.data.train_x, self.data.train_y
        recordings = gm.train_many(trainers, x, y, epochs=epochs, batch_size=SETTINGS.batch_size)
        broken = [recording.nonfinite is not None for recording in recordings]
        losses, accuracies = [], []
        for trainer, bad in zip(trainers, broken, strict=True):
            losses.append(math.nan if bad else trainer.evaluate(x, y)["loss"])
            held_out = trainer.evaluate(self.data.validation_x, self.data.validation_y)["accuracy"]
            accuracies.append(1 / len(self.data.classes) if bad else held_out)
        return Training(recordings, losses, accuracies)

    def _trainers(self, architecture: Architecture, optimizer: Optimizer) -> Iterator[gm.Trainer]:
        for seed in self.seeds:
            yield gm.Trainer(
                architecture.network(self.data.features, len(self.data.classes), seed),
                loss="cross_entropy",
                optimizer=optimizer,
                clip=None if architecture.clip is None else gm.ClipNorm(architecture.clip),
                on_nonfinite="stop",
                seed=seed,
            )


def curve(label: str, x: NDArray[np.int64], values: Array, *, broken: bool = False) -> Curve:
    """Return the median and the range over the seeds, (seeds, points), with as many digits as a picture shows."""

    def kept(numbers: Array) -> tuple[float, ...]:
        return tuple(float(f"{number:.4g}") for number in numbers)

    low, median, high = values.min(axis=0), np.median(values, axis=0), values.max(axis=0)
    return Curve(label, kept(x.astype(float)), kept(low), kept(median), kept(high), broken)


SIGMOID = Architecture()
"""20 layers of 64 sigmoid units with Xavier's weights: what the notes call sick."""
TANH = replace(SIGMOID, activation="tanh")
RELU = replace(SIGMOID, activation="relu", init="kaiming_normal")
"""The healthy one."""
