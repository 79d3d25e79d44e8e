"""Peers take turns at the same workload; what they compute is compared before it is timed."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gradiometer import _core
from gradiometer.bench import peers
from gradiometer.bench.worker import PAUSE, Start, Worker
from gradiometer.bench.workloads import Workload
from gradiometer.machine import get_num_threads, info

OURS = "gradiometer"
AGREEMENT = 0.02
"""Largest relative difference of a loss or a gradient norm between two float32 libraries, in the first step. The two
round differently at every layer; 500 layers of ReLU carry that to some thousandths."""
UPDATE_AGREEMENT = {"sgd": 0.02, "adam": 0.2}
"""The same of the first layer's first update. Adam's is the sign of the gradient at first, and rounding turns the signs
of what is nearly zero."""


@dataclass
class Timing:
    """One peer on one workload."""

    rounds: list[float] = field(default_factory=list)
    """Median seconds of a step in each round."""
    disagreement: float = 0.0
    """Largest relative difference of its first losses and gradient norms from ours."""
    skipped: str = ""
    """Why there is no timing, if there is none."""

    @property
    def seconds(self) -> float:
        """Median of the rounds."""
        return float(np.median(self.rounds)) if self.rounds else float("nan")

    @property
    def spread(self) -> tuple[float, float]:
        """Quartiles of the rounds."""
        if not self.rounds:
            return float("nan"), float("nan")
        low, high = np.percentile(self.rounds, [25, 75])
        return float(low), float(high)


@dataclass
class Outcome:
    """All peers on one workload."""

    workload: Workload
    timings: dict[str, Timing]
    peaks: list[float] = field(default_factory=list)
    """Operations a second in registers, measured in each round: the machine is not the same from minute to minute."""

    def ratio(self, peer: str) -> float:
        """Return the median over rounds of the peer's time ÷ ours: how many times faster we are."""
        theirs, ours = self.timings[peer].rounds, self.timings[OURS].rounds
        return float(np.median(np.array(theirs) / np.array(ours))) if theirs else float("nan")

    def share_of_peak(self, peer: str) -> float:
        """Return the median over rounds of the peer's operations a second ÷ the peak of that round."""
        rounds = self.timings[peer].rounds
        return float(np.median(self.workload.flops / np.array(rounds) / np.array(self.peaks))) if rounds else math.nan

    @property
    def fastest_peer(self) -> str | None:
        """The fastest of the others."""
        others = [name for name, timing in self.timings.items() if name != OURS and timing.rounds]
        return min(others, key=lambda name: self.timings[name].seconds, default=None)


@dataclass(frozen=True)
class Machine:
    """What the workloads ran on, as measured."""

    isa: str
    threads: int
    peak: float
    """float32 operations a second, of all threads: multiply-adds in registers."""
    cache_bandwidth: float
    """Bytes a second, read and written, copying 8 MB."""
    memory_bandwidth: float
    """The same with 256 MB."""

    @classmethod
    def measure(cls) -> Machine:
        """Measure it."""
        threads = get_num_threads()
        bandwidths = (_core.measure_bandwidth(threads, size << 20) for size in (8, 256))
        return cls(info()["isa"], threads, _core.measure_peak(threads), *bandwidths)


def run(
    workload: Workload,
    names: Sequence[str],
    *,
    rounds: int = 7,
    seconds: float = 0.3,
    say: Callable[[str], Any] = lambda _: None,
) -> Outcome:
    """Time the peers on one workload, `rounds` times each for `seconds`, in turn.

    Raises
    ------
    RuntimeError
        If our own step fails, or a peer computes other gradients than ours, or its weights do not move.
    """
    outcome = Outcome(workload, {name: Timing() for name in [OURS, *(name for name in names if name != OURS)]})
    workers: dict[str, Worker] = {}
    ours: Start | None = None
    try:
        for name, timing in outcome.timings.items():
            timing.skipped = reason_to_skip(name, workload)
            if timing.skipped:
                continue
            say(f"{workload.name}: starting {name}")
            workers[name] = Worker(name, workload, get_num_threads())
            try:
                start = workers[name].start()
            except RuntimeError as error:
                if name == OURS:
                    raise
                timing.skipped = str(error)
                workers.pop(name).stop()
                continue
            ours = ours or start
            timing.disagreement = _compare(name, start, ours, UPDATE_AGREEMENT[workload.optimizer])
        for turn in range(rounds):
            say(f"{workload.name}: round {turn + 1} of {rounds}")
            time.sleep(PAUSE)
            outcome.peaks.append(_core.measure_peak(get_num_threads()))
            order = list(workers)
            for name in order[turn % len(order) :] + order[: turn % len(order)]:
                outcome.timings[name].rounds.append(float(np.median(workers[name].time(seconds))))
    finally:
        for worker in workers.values():
            worker.stop()
    return outcome


def reason_to_skip(name: str, workload: Workload) -> str:
    """Say why this peer has no part in this workload; empty if it has."""
    candidate = peers.CANDIDATES[name]
    if not peers.installed(name):
        return f'{candidate.package} is not installed (pip install "gradiometer[bench]")'
    if workload.copies > 1 and not candidate.sweeps:
        return "no sweep of this peer"
    return "too deep to compile" if workload.depth > candidate.deepest else ""


def _compare(name: str, start: Start, ours: Start, update_agreement: float) -> float:
    """Return the largest difference; raise a RuntimeError, which says of what, if it is too large."""
    if np.array_equal(start.before, start.after):
        raise RuntimeError(f"the weights of {name} did not change in its first step")
    if not np.array_equal(start.before, ours.before):
        raise RuntimeError(f"the first weights of {name} are not ours")
    if start.norms.shape != ours.norms.shape:
        raise RuntimeError(f"{name} has gradient norms of shape {start.norms.shape}, not {ours.norms.shape}")
    differences = {
        "losses": float(np.max(np.abs(start.losses - ours.losses) / np.abs(ours.losses))),
        "gradient norms": float(np.max(np.abs(start.norms - ours.norms) / ours.norms)),
    }
    for what, difference in differences.items():
        if not difference <= AGREEMENT:
            raise RuntimeError(f"the {what} of {name} differ from ours by up to {difference:.2g}")
    # Small updates drown in the rounding of the weights that they are added to: half an ulp of each, for both.
    size = float(np.linalg.norm(ours.after - ours.before))
    rounding = float(np.finfo(np.float32).eps * np.linalg.norm(ours.before))
    difference = float(np.linalg.norm(start.after - ours.after))
    if not difference <= update_agreement * size + rounding:
        raise RuntimeError(f"the first update of {name} differs from ours by {difference / size:.2g}")
    return max(differences.values())
