"""One run of the lab: find the learning rate at which a network does best, train it, and measure."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

import gradiometer as gm
from gradiometer.batches import batch_ends
from gradiometer.diagnosis import Diagnosis
from gradiometer.lab.data import Dataset
from gradiometer.lab.experiments import Architecture, Experiment
from gradiometer.optim import Optimizer

Schedule = Callable[[int], float]
OPTIMIZERS: dict[str, Callable[[Schedule], Optimizer]] = {
    "sgd": lambda lr: gm.SGD(lr),
    "momentum": lambda lr: gm.SGD(lr, momentum=0.9),
    "nesterov": lambda lr: gm.SGD(lr, momentum=0.9, nesterov=True),
    "adam": lambda lr: gm.Adam(lr),
    "adamw": lambda lr: gm.AdamW(lr),
    "rmsprop": lambda lr: gm.RMSprop(lr),
}
ADAPTIVE = ("adam", "adamw", "rmsprop")
"""They divide a gradient by its own size, so their learning rates are smaller."""

PILOT_EPOCHS = 10
PILOT_ROWS = 4096
PILOT_SEEDS = 4
"""Networks that try each rate. At the edge of stability one of them may do well by luck, but hardly all."""
RATES = (0.003, 0.01, 0.03, 0.1, 0.3)
LAST_RESORT = (1e-9, 1e-8, 1e-7, 1e-6, 1e-5, 1e-4)
"""Tried where every one of RATES diverges."""


@dataclass(frozen=True)
class Settings:
    """How every network is trained."""

    optimizer: str = "momentum"
    lr: float | None = None
    """None: each network gets the rate of its own search."""
    epochs: int = 30
    batch_size: int = 64
    seed: int = 0


@dataclass(frozen=True)
class Cosine:
    """A learning rate that falls from ``peak`` to zero along a half cosine, so that a run ends settled."""

    peak: float
    steps: int

    def __call__(self, step: int) -> float:
        """Return the learning rate of a step."""
        return self.peak * 0.5 * (1 + math.cos(math.pi * min(step / self.steps, 1)))


@dataclass(frozen=True)
class Run:
    """A trained network: what was recorded, and how good it became."""

    experiment: Experiment
    recording: gm.Recording
    diagnosis: Diagnosis
    lr: float
    loss: float
    """Of all training rows, in evaluation mode, after the last step."""
    accuracy: float
    """Of the validation rows."""
    steps_per_second: float

    @property
    def start(self) -> NDArray[np.float64]:
        """``delta_norm`` of every layer at the first step."""
        return np.asarray(self.recording.delta_norm[0])

    @property
    def median(self) -> NDArray[np.float64]:
        """``delta_norm`` of every layer: the median over the steps in which all was finite."""
        delta_norm = self.recording.delta_norm
        finite = delta_norm[np.isfinite(delta_norm).all(axis=1)]
        return np.asarray(np.median(finite, axis=0)) if len(finite) else self.start

    @property
    def slope(self) -> float:
        """Decades that ``delta_norm`` gains per layer toward the input, as the diagnosis measured it."""
        return self.diagnosis.slope

    @property
    def first_over_last(self) -> float:
        """``delta_norm`` of the first layer as a multiple of the last layer's."""
        first, last = float(self.median[0]), float(self.median[-1])
        return first / last if last else math.nan


def train(experiment: Experiment, data: Dataset, settings: Settings, lr: float) -> Run:
    """Train a network with everything recorded."""
    trainer = _trainer(experiment.architecture, data, settings, lr, settings.epochs, len(data.train_x), "full")
    started = time.perf_counter()
    recording = trainer.fit(data.train_x, data.train_y, epochs=settings.epochs, batch_size=settings.batch_size)
    seconds = time.perf_counter() - started
    diagnosis = recording.diagnose()
    validation = trainer.evaluate(data.validation_x, data.validation_y)
    last_step = int(recording.steps[-1])
    recording._recorder.append_validation(
        last_step, validation["loss"], validation["accuracy"]
    )  # as the report shows it
    return Run(
        experiment,
        recording,
        diagnosis,
        lr,
        trainer.evaluate(data.train_x, data.train_y)["loss"],
        validation["accuracy"],
        len(recording.steps) / seconds,
    )


def search(
    architecture: Architecture, data: Dataset, settings: Settings, tried: Callable[[], None] = lambda: None
) -> float:
    """Return the learning rate with which a network learns most in short trials.

    Each rate of RATES trains PILOT_SEEDS networks that differ in their seeds alone for PILOT_EPOCHS, with the
    schedule of the real run shortened. The best is the one with the highest mean accuracy on the training rows
    (the validation rows are not looked at); where that is equal, as in networks that do not learn at all, the
    lowest loss. A rate at which one of them diverges is out; if all rates are, much smaller ones are tried.

    Parameters
    ----------
    tried : callable
        Called when a rate has been tried.
    """
    if settings.lr is not None:
        return settings.lr
    factor = 0.1 if settings.optimizer in ADAPTIVE else 1.0
    best = (-1.0, -math.inf)
    rates: list[float] = []
    scores: list[tuple[float, float]] = []
    for candidates in (RATES, LAST_RESORT):
        rates = [factor * rate for rate in candidates]
        scores = []
        for rate in rates:
            scores.append(_trial(architecture, data, settings, rate))
            tried()
        best = max(scores)
        if math.isfinite(best[1]):
            break
    return rates[scores.index(best)]


def _trial(architecture: Architecture, data: Dataset, settings: Settings, lr: float) -> tuple[float, float]:
    """Return (accuracy, -loss) on the training rows after a short training, means over PILOT_SEEDS networks.

    (-1, -inf) if one of them diverged.
    """
    x, y = data.train_x[:PILOT_ROWS], data.train_y[:PILOT_ROWS]
    epochs = min(PILOT_EPOCHS, settings.epochs)
    seeds = [(settings.seed + i) % 2**64 for i in range(PILOT_SEEDS)]
    trainers = [
        _trainer(architecture, data, replace(settings, seed=seed), lr, epochs, len(x), "norms") for seed in seeds
    ]
    recordings = gm.train_many(trainers, x, y, epochs=epochs, batch_size=settings.batch_size)
    after = [trainer.evaluate(x, y) for trainer in trainers]
    loss = float(np.mean([each["loss"] for each in after]))
    if not math.isfinite(loss) or any(recording.nonfinite is not None for recording in recordings):
        return -1.0, -math.inf
    return float(np.mean([each["accuracy"] for each in after])), -loss


def _trainer(
    architecture: Architecture,
    data: Dataset,
    settings: Settings,
    lr: float,
    epochs: int,
    rows: int,
    record: str,
) -> gm.Trainer:
    net = architecture.network(data.features, len(data.classes), settings.seed)
    steps = epochs * len(batch_ends(net, rows, settings.batch_size))
    return gm.Trainer(
        net,
        loss="cross_entropy",
        optimizer=OPTIMIZERS[settings.optimizer](Cosine(lr, steps)),
        clip=None if architecture.clip is None else gm.ClipNorm(architecture.clip),
        record=record,
        on_nonfinite="stop",
        seed=settings.seed,
    )
