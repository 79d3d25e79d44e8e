"""The function `gradiometer.sweep`, and `load_sweep`, which reads what it left in a store."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from numpy.typing import ArrayLike

from gradiometer._checks import check_path, check_positive_integer, check_type
from gradiometer.sweeps.display import progress_bar
from gradiometer.sweeps.execution import run_all
from gradiometer.sweeps.grid import Grid, Parameters, check_seeds, configurations, identity
from gradiometer.sweeps.names import NamedBuild
from gradiometer.sweeps.plan import BATCH_SIZE, Build, Data, Plan, check_build
from gradiometer.sweeps.result import Run, SweepResult
from gradiometer.sweeps.run import Outcome
from gradiometer.sweeps.store import OUTCOME, Key, Store

TAKEN = {*OUTCOME, "seed", "step", "layer", "layer_name", "configuration"}

Report = Callable[[Run, int, int], None]
"""Gets each run when it is in the store, how many are done, and how many there are in all."""


def sweep(
    build: Build | Mapping[str, Any] | None,
    grid: Grid,
    X: ArrayLike,  # noqa: N803
    y: ArrayLike,
    *,
    seeds: int | Iterable[int] = 1,
    steps: int,
    batch_size: int = 128,
    shuffle: bool = True,
    validation: tuple[ArrayLike, ArrayLike] | None = None,
    store: str | os.PathLike[str] | None = None,
    retry_failed: bool = False,
    progress: bool = False,
) -> SweepResult:
    """Train every configuration of a grid with every seed, and return the runs with their verdicts.

    One network on each processor; or, inside ``joblib.parallel_config`` with a backend of processes or of a cluster
    (loky, Dask, Ray), on that. The bits are the same everywhere: those of ``build(…).fit(X, y, …)``, run by run.

    Each finished run is written to the store before the next is reported. The same call goes on where the last one was
    ended, by Ctrl-C or by ``kill -9``, and repeats nothing; with a larger grid or with more seeds, it runs what is new.
    A run that fails is stored with its error, and the others go on.

    Parameters
    ----------
    build : callable, dict or None
        Called as ``build(depth=20, …, seed=0)`` with the values of one configuration, returns a new `Trainer`. Its
        result must depend on its arguments alone. Or names and values that all runs share, to which a configuration
        adds its own: the arguments of `mlp` (``depth`` and ``width`` are needed) and of `Trainer` (``loss`` is
        ``"cross_entropy"`` unless given; ``clip`` may be a number, for `ClipNorm`), ``optimizer`` (``"sgd"``, unless
        given, ``"adam"``, ``"adamw"``, ``"rmsprop"``) with its arguments (``lr``, …), and ``sigma_w`` instead of
        ``init``, for normal weights of deviation σ_w / √fan_in in the hidden layers. None: the grid has all of it.
    grid : dict or list of dict
        ``{name: list of values}``, of which every combination is run, or the configurations themselves. Values are
        numbers, strings, truth values, None, layers, initializers, optimizers, clippings, or lists of these. The name
        ``batch_size`` is the sweep's own, and is not given to `build`.
    X, y : arrays
        All examples to train on, as for `Trainer.fit`.
    seeds : int or list of int
        So many seeds, from 0; or the seeds.
    steps : int
        Training steps of each run.
    batch_size : int
        Rows of a batch.
    shuffle : bool
        As for `Trainer.fit`.
    validation : (Xv, yv) or None
        Evaluated once, after the last step.
    store : path or None
        An SQLite file, made if it is not there. None: results live in memory.
    retry_failed : bool
        Run again what is in the store with an error.
    progress : bool
        Show a progress bar (needs the ``lab`` extra).

    Raises
    ------
    ValueError, TypeError
        If an argument is not as described, or the store holds a sweep with other data, steps or build.
    OSError
        If the store cannot be used.
    """
    check_type("progress", progress, bool)
    with progress_bar(progress) as report:
        return run_sweep(
            build,
            grid,
            X,
            y,
            seeds=seeds,
            steps=steps,
            batch_size=batch_size,
            shuffle=shuffle,
            validation=validation,
            store=store,
            retry_failed=retry_failed,
            report=report,
        )


def run_sweep(
    build: Build | Mapping[str, Any] | None,
    grid: Grid,
    x: ArrayLike,
    y: ArrayLike,
    *,
    seeds: int | Iterable[int],
    steps: int,
    batch_size: int,
    shuffle: bool,
    validation: tuple[ArrayLike, ArrayLike] | None,
    store: str | os.PathLike[str] | None,
    retry_failed: bool,
    report: Report,
) -> SweepResult:
    """Do what `sweep` does, and report as wished."""
    data = Data.check(x, y, validation)
    chosen = configurations(grid, TAKEN)
    numbers = check_seeds(seeds)
    planned = [(parameters, (identity(parameters), seed)) for parameters in chosen for seed in numbers]
    plan = Plan(
        check_build(build, data),
        check_positive_integer("steps", steps),
        check_positive_integer("batch_size", batch_size),
        check_type("shuffle", shuffle, bool),
    )
    if isinstance(plan.build, NamedBuild):
        for parameters in chosen:
            plan.build.check({name: value for name, value in parameters.items() if name != BATCH_SIZE})
        if not any(plan.build.allows_nonfinite(parameters) for parameters in chosen):
            data.check_finite()
    for parameters in chosen:
        check_positive_integer(BATCH_SIZE, parameters.get(BATCH_SIZE, batch_size))
    check_type("retry_failed", retry_failed, bool)

    kept = Store(None if store is None else check_path("store", store))
    kept.describe(plan.description(data))
    kept.plan(planned, retry_failed)
    there = kept.outcomes()
    left = []
    done = 0

    def tell(parameters: Parameters, key: Key, outcome: Outcome) -> None:
        nonlocal done
        done += 1
        report(Run(parameters, key[1], outcome, key, kept), done, len(planned))

    for parameters, key in planned:
        if key in there:
            tell(parameters, key, there[key])
        else:
            left.append((parameters, key))
    for i, finished in run_all(plan, data, [(parameters, key[1]) for parameters, key in left]):
        parameters, key = left[i]
        kept.finish(key, finished)
        tell(parameters, key, finished.outcome)
    kept.settle()
    return SweepResult(kept, planned)


def load_sweep(path: str | os.PathLike[str]) -> SweepResult:
    """Read the runs of a sweep from its store, finished ones only; `SweepResult.unfinished` counts the others.

    Values of parameters that are objects of the library come back as their text.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        The file is not the store of a sweep, is damaged, or was written by a newer version.
    """
    store = Store(check_path("path", path), create=False)
    return SweepResult(store, store.planned())
