"""The step of gradiometer itself."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

import gradiometer as gm
from gradiometer.bench.workloads import MAX_NORM, State, Workload


class Gradiometer:
    """`Trainer.step`; in a sweep, `step_many` and `train_many`."""

    def __init__(self, workload: Workload, states: list[State], x: NDArray[np.float32], y: NDArray[np.int64]) -> None:
        del states  # the networks start as the states were taken
        optimizer = gm.SGD(workload.rate) if workload.optimizer == "sgd" else gm.Adam(workload.rate)
        self._trainers = [
            gm.Trainer(
                workload.network(seed),
                loss="cross_entropy",
                optimizer=optimizer,
                clip=gm.ClipNorm(MAX_NORM),
                record="norms",
            )
            for seed in range(workload.copies)
        ]
        self._x, self._y = x, y

    def step(self) -> None:
        """Take one step."""
        if len(self._trainers) == 1:
            self._trainers[0].step(self._x, self._y)
        else:
            gm.step_many(self._trainers, self._x, self._y)

    def steps(self, count: int) -> None:
        """Take many steps; of a sweep, each network all of its own before the next begins."""
        if len(self._trainers) == 1:
            for _ in range(count):
                self._trainers[0].step(self._x, self._y)
        else:
            rows = len(self._x)
            gm.train_many(self._trainers, self._x, self._y, epochs=count, batch_size=rows, shuffle=False)

    def losses(self) -> NDArray[np.float64]:
        """Return the recorded losses."""
        return np.array([trainer.recording.loss[-1] for trainer in self._trainers])

    def norms(self) -> NDArray[np.float64]:
        """Return the recorded norms."""
        return np.array([trainer.recording.grad_norm[-1] for trainer in self._trainers])

    def first_weight(self) -> NDArray[Any]:
        """Return a weight."""
        return self._trainers[0].net.state_dict()["0.weight"]
