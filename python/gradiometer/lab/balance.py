"""The weight scale at which gradients neither vanish nor explode at the start: measured, not derived."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

import gradiometer as gm
from gradiometer.lab.data import Dataset
from gradiometer.lab.experiments import Architecture

SMALLEST, LARGEST = 0.25, 16.0
ROWS = 256
HALVINGS = 7


def balanced_scale(architecture: Architecture, data: Dataset, seed: int) -> float:
    """Return the σ_w at which ``delta_norm`` is as large in the first hidden layer as in the last.

    Found by bisection: one step without learning, on one batch, gives the ratio for a σ_w. Where no σ_w of
    the range balances it (sigmoid layers with batch norm, say), the end that comes nearest is returned.
    """
    low, high = math.log(SMALLEST), math.log(LARGEST)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        if _growth(replace(architecture, init=math.exp(middle)), data, seed) < 0:
            low = middle
        else:
            high = middle
    return round(math.exp((low + high) / 2), 2)


def _growth(architecture: Architecture, data: Dataset, seed: int) -> float:
    """Return how many decades ``delta_norm`` gains from the last hidden layer to the first."""
    network = architecture.network(data.features, len(data.classes), seed)
    trainer = gm.Trainer(network, loss="cross_entropy", optimizer=gm.SGD(0.0), seed=seed)
    trainer.step(data.train_x[:ROWS], data.train_y[:ROWS])
    delta_norm = trainer.recording.delta_norm[0]
    first, last = delta_norm[0], delta_norm[max(len(delta_norm) - 2, 0)]
    if not (np.isfinite(first) and np.isfinite(last) and last > 0):
        return math.inf
    return math.log10(first / last) if first > 0 else -math.inf
