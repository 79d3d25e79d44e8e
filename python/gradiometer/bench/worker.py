"""One peer in a process of its own: idle, waiting at a pipe, while the others are timed."""

from __future__ import annotations

import multiprocessing
import time
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradiometer.bench import peers
from gradiometer.bench.workloads import Workload

SHORTEST = 2e-4
"""Seconds. Steps are timed in groups at least so long, so that reading the clock does not count."""


STEPS_OF_A_SWEEP = 10
"""Networks of a sweep need not keep in step with each other: so many are asked for at once."""


class Start(NamedTuple):
    """What a worker says when it is ready: the gradient norms of its first step, and whether weights moved."""

    norms: NDArray[np.float64]
    changed: bool


class Worker:
    """A peer's process, seen from the one that times it."""

    def __init__(self, name: str, workload: Workload) -> None:
        self.name = name
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, name, workload), daemon=True)
        self._process.start()
        theirs.close()

    def start(self) -> Start:
        """Wait until the peer is built and has taken its first steps."""
        return Start(*self._receive())

    def time(self, seconds: float) -> list[float]:
        """Let it step for so long; return the seconds of a step in each group of steps."""
        self._pipe.send(seconds)
        times: list[float] = self._receive()
        return times

    def stop(self) -> None:
        """End the process."""
        self._process.terminate()
        self._process.join()
        self._pipe.close()

    def _receive(self) -> Any:
        try:
            answer = self._pipe.recv()
        except EOFError:
            self._process.join()
            raise RuntimeError(f"{self.name} ended with exit code {self._process.exitcode}") from None
        if isinstance(answer, Exception):
            raise RuntimeError(f"{self.name} failed: {type(answer).__name__}: {answer}") from answer
        return answer


def _serve(pipe: Connection, name: str, workload: Workload) -> None:
    try:
        peer = peers.make(name, workload)
        before = peer.first_weight()
        peer.step()
        pipe.send((peer.norms(), not np.array_equal(before, peer.first_weight())))
        group = max(_group_size(peer), STEPS_OF_A_SWEEP if workload.copies > 1 else 1)
        while True:
            pipe.send(_measure(peer, group, pipe.recv()))
    except (EOFError, BrokenPipeError):
        return
    except Exception as error:
        pipe.send(RuntimeError(f"{type(error).__name__}: {error}"))


def _group_size(peer: peers.Peer) -> int:
    """Warm up, and find how many steps fill the shortest time that is measured."""
    size = 1
    while True:
        start = time.perf_counter()
        peer.steps(size)
        if time.perf_counter() - start >= SHORTEST:
            return size
        size *= 2


def _measure(peer: peers.Peer, group: int, seconds: float) -> list[float]:
    peer.step()  # what the others left in the caches is not this peer's fault
    times = []
    end = time.perf_counter() + seconds
    while True:
        start = time.perf_counter()
        peer.steps(group)
        now = time.perf_counter()
        times.append((now - start) / group)
        if now >= end:
            return times
