"""One module for each library, written as its own users would write the step."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from gradiometer.bench.workloads import State, Workload


class Peer(Protocol):
    """A training step of one library. Its constructor takes the workload, the initial states and the batch."""

    def step(self) -> None:
        """Take one training step, and return when it is done."""

    def steps(self, count: int) -> None:
        """Take so many."""

    def losses(self) -> NDArray[np.float64]:
        """Return the loss of each network in the last step; (copies,)."""

    def norms(self) -> NDArray[np.float64]:
        """Return the norm of each dense layer's weight gradient in the last step, before clipping; (copies, layers)."""

    def first_weight(self) -> NDArray[Any]:
        """Return the present weight of the first dense layer of the first network."""


class Stepwise:
    """A peer that takes many steps one by one."""

    def step(self) -> None:
        """Take one training step, and return when it is done."""
        raise NotImplementedError

    def steps(self, count: int) -> None:
        """Take so many."""
        for _ in range(count):
            self.step()


class Candidate(NamedTuple):
    """Where a peer is, and what it needs."""

    module: str
    factory: str
    package: str
    sweeps: bool
    """Whether it can train many networks at once."""
    deepest: int = 10**9
    """Beyond so many layers it is left out: compiling would take minutes."""


CANDIDATES = {
    "gradiometer": Candidate("gradiometer_peer", "Gradiometer", "gradiometer", True),
    "numpy": Candidate("numpy_peer", "NumPy", "numpy", True),
    "torch": Candidate("torch_peer", "Eager", "torch", True),
    "torch.compile": Candidate("torch_peer", "Compiled", "torch", False, deepest=200),
    "jax": Candidate("jax_peer", "Jitted", "jax", True),
}


def installed(name: str) -> bool:
    """Tell whether the library of a peer is there."""
    return importlib.util.find_spec(CANDIDATES[name].package) is not None


def make(name: str, workload: Workload) -> Peer:
    """Import a peer and build it at the workload's start."""
    candidate = CANDIDATES[name]
    module = importlib.import_module(f"{__name__}.{candidate.module}")
    states = [State.of(workload.network(seed)) for seed in range(workload.copies)]
    x, y = workload.data()
    peer: Peer = getattr(module, candidate.factory)(workload, states, x, y)
    return peer
