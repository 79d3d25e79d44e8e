"""Where the runs of a sweep are computed: in threads of this process, or wherever joblib's active backend has them."""

from __future__ import annotations

import itertools
import pickle
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any, TypeAlias

from numpy.typing import NDArray

from gradiometer.machine import get_num_threads
from gradiometer.sweeps.grid import Parameters
from gradiometer.sweeps.plan import Data, Plan
from gradiometer.sweeps.run import Finished, execute

Task: TypeAlias = tuple[Parameters, int]
"""Parameters and seed."""
Done: TypeAlias = tuple[int, Finished]
"""The place of a task in the list, and what it came to."""

LONGEST_WAIT = 0.5
"""Seconds. Python does not see a Ctrl-C that comes in the moment before a wait until that ends."""

ROUND = 4
"""Runs for each worker of a backend that gives results back only when all of a call are done."""


def run_all(plan: Plan, data: Data, tasks: list[Task]) -> Iterator[Done]:
    """Yield every run as soon as it is finished, in any order.

    The caller's ``joblib.parallel_config`` decides where: with a backend of processes or of a cluster, there; with
    none, or one of threads, in `get_num_threads` threads here, one network in each.
    """
    backend = _active_backend()
    if backend is None:
        yield from _in_threads(plan, data, tasks)
    else:
        yield from _through_joblib(plan, data, tasks, backend)


def _in_threads(plan: Plan, data: Data, tasks: list[Task]) -> Iterator[Done]:
    threads = min(get_num_threads(), max(len(tasks), 1))
    give_up = threading.Event()
    running: dict[Future[Finished], int] = {}
    left = enumerate(tasks)
    pool = ThreadPoolExecutor(threads)
    try:
        while True:
            # As many wait as run, so that no thread is idle while results are stored.
            for i, (parameters, seed) in itertools.islice(left, 2 * threads - len(running)):
                running[pool.submit(execute, plan, data, parameters, seed, give_up)] = i
            if not running:
                return
            done, _ = wait(running, timeout=LONGEST_WAIT, return_when=FIRST_COMPLETED)
            for future in sorted(done, key=running.__getitem__):
                yield running.pop(future), future.result()
    finally:  # at Ctrl-C too, which reaches this thread only
        give_up.set()
        pool.shutdown(cancel_futures=True)


def _active_backend() -> Any:
    """Return joblib's backend if it is one of other processes; None if not. Who uses it has imported joblib."""
    if "joblib" not in sys.modules:
        return None
    from joblib.parallel import get_active_backend

    backend, _ = get_active_backend(prefer="threads")
    return None if getattr(backend, "supports_sharedmem", False) else backend


def _through_joblib(plan: Plan, data: Data, tasks: list[Task], backend: Any) -> Iterator[Done]:
    import cloudpickle
    import joblib

    try:
        pickled = cloudpickle.dumps(plan)  # a function of a script or a notebook too, which pickle cannot send
    except Exception as error:
        raise TypeError(f"build cannot be sent to other processes: {error}") from error
    # The arrays are arguments of their own: joblib and Dask send a large array once, and not with every task.
    arrays = (data.x, data.y, data.validation_x, data.validation_y)
    calls = (joblib.delayed(_remote)(pickled, i, *task, *arrays) for i, task in enumerate(tasks))
    if backend.supports_return_generator:
        yield from joblib.Parallel(return_as="generator_unordered")(calls)
        return
    workers = joblib.effective_n_jobs()
    while some := list(itertools.islice(calls, ROUND * workers)):
        yield from joblib.Parallel()(some)


def _remote(
    pickled: bytes,
    i: int,
    parameters: Parameters,
    seed: int,
    x: NDArray[Any],
    y: NDArray[Any],
    validation_x: NDArray[Any] | None,
    validation_y: NDArray[Any] | None,
) -> Done:
    return i, execute(pickle.loads(pickled), Data(x, y, validation_x, validation_y), parameters, seed)
