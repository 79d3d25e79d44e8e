"""One peer in a process of its own: idle, waiting at a pipe, while the others are timed."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradiometer.bench import peers, timing
from gradiometer.bench.workloads import Workload

PAUSE = 0.02
"""Seconds before a peer's turn, in which the threads of the one before stop to spin and go to sleep."""

THREADS = ("GRADIOMETER_NUM_THREADS", "MKL_NUM_THREADS", "NPROC", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")
"""What gives every peer as many threads as we use. (``NPROC`` is for JAX.) How long its threads spin is left as its
users have it."""

STEPS_OF_A_SWEEP = 10
"""Networks of a sweep need not keep in step with each other: so many are asked for at once."""


class Start(NamedTuple):
    """What a worker says when it is ready: what its first step computed."""

    losses: NDArray[np.float64]
    norms: NDArray[np.float64]
    """See `peers.Peer.norms`."""
    before: NDArray[np.float32]
    """The weight of the first layer of the first network."""
    after: NDArray[np.float32]


class Worker:
    """A peer's process, seen from the one that times it."""

    def __init__(self, name: str, workload: Workload, threads: int) -> None:
        self.name = name
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, name, workload), daemon=True)
        with _environment(threads):
            self._process.start()
        theirs.close()

    def start(self) -> Start:
        """Wait until the peer is built and has taken its first steps."""
        start: Start = self._receive()
        return start

    def time(self, seconds: float) -> list[float]:
        """Let it step for so long; return the seconds of a step in each group of steps."""
        time.sleep(PAUSE)
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
            raise RuntimeError(f"{self.name} failed: {answer}") from answer
        return answer


@contextlib.contextmanager
def _environment(threads: int) -> Iterator[None]:
    """Set the number of threads for processes that begin meanwhile."""
    before = {name: os.environ.get(name) for name in THREADS}
    os.environ.update(dict.fromkeys(THREADS, str(threads)))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _serve(pipe: Connection, name: str, workload: Workload) -> None:
    try:
        peer = peers.make(name, workload)
        before = peer.first_weight()
        peer.step()
        pipe.send(Start(peer.losses(), peer.norms(), before, peer.first_weight()))
        group = max(timing.group_size(peer.steps), STEPS_OF_A_SWEEP if workload.copies > 1 else 1)
        while True:
            pipe.send(timing.measure(peer.steps, group, pipe.recv()))
    except (EOFError, BrokenPipeError):
        return
    except Exception as error:
        reason = str(error).strip().partition("\n")[0]  # some of PyTorch's have pages
        pipe.send(RuntimeError(f"{type(error).__name__}: {reason}"))
