"""Sweeps on joblib's backends of other processes, a Dask cluster above all: the same bits, the same store."""

import os
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import distributed
import joblib
import pytest

import gradiometer as gm
from gradiometer.sweeps import execution
from sweep_builds import VALIDATION, X, Y, assert_same_bits, build

GRID = {"depth": [1, 2, 3, 4], "batch_norm": [False, True], "activation": ["relu", gm.LeakyReLU(0.2)]}
CALL = {"X": X, "y": Y, "seeds": 2, "steps": 5, "batch_size": 32, "validation": VALIDATION}


@pytest.fixture(scope="module")
def expected():
    return gm.sweep(build, GRID, **CALL)


@pytest.fixture(scope="module")
def cluster():
    """Two worker processes, as two machines would have them."""
    cluster = distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None)
    with cluster, distributed.Client(cluster) as client:
        yield client


@pytest.fixture(autouse=True)
def no_threads_here(monkeypatch):
    """Let no run be computed in this process's own way."""
    monkeypatch.setattr(execution, "_in_threads", lambda *_: pytest.fail("the runs were computed in this process"))


def noting(folder):
    """A build that notes its process in a folder, and goes on when there are two: the work is for both."""

    def noted(*, depth, seed, **rest):
        import time

        (folder / str(os.getpid())).touch()
        while len(list(folder.iterdir())) < 2:
            time.sleep(0.01)
        return build(depth=depth, seed=seed, **rest)

    return noted


def test_the_same_bits_on_two_processes_of_dask(expected, cluster, tmp_path):
    store, notes = tmp_path / "runs.sqlite", tmp_path / "notes"
    notes.mkdir()
    with joblib.parallel_config(backend="dask"):
        result = gm.sweep(noting(notes), GRID, store=store, **CALL)
    assert_same_bits(result, expected)
    processes = {int(note.name) for note in notes.iterdir()}
    assert processes == set(cluster.run(os.getpid).values())
    assert os.getpid() not in processes
    assert_same_bits(gm.load_sweep(store), expected)


def test_a_sweep_goes_on_elsewhere(expected, cluster, tmp_path, monkeypatch):  # noqa: ARG001
    """Half of it in this process, the rest on the cluster: one store, one table."""
    store = tmp_path / "runs.sqlite"
    monkeypatch.undo()
    gm.sweep(build, {**GRID, "depth": [1, 3]}, store=store, **CALL)
    with joblib.parallel_config(backend="dask"):
        assert_same_bits(gm.sweep(build, GRID, store=store, **CALL), expected)


def test_each_run_is_stored_as_it_comes(cluster, tmp_path):  # noqa: ARG001
    """The last configuration waits for a file that is only made when others are in the store."""
    store, flag = tmp_path / "runs.sqlite", tmp_path / "flag"

    def waiting(*, number, seed):
        import time

        while number == 7 and not flag.exists():
            time.sleep(0.01)
        return build(depth=1, seed=seed)

    def watch():
        while not flag.exists():
            if store.exists():
                connection = sqlite3.connect(store)
                try:
                    (count,) = connection.execute("SELECT count(*) FROM runs WHERE finished IS NOT NULL").fetchone()
                    if count >= 4:
                        flag.touch()
                except sqlite3.OperationalError:  # no table yet
                    pass
                connection.close()
            threading.Event().wait(0.01)

    thread = threading.Thread(target=watch)
    thread.start()
    with joblib.parallel_config(backend="dask"):
        result = gm.sweep(waiting, {"number": list(range(8))}, X, Y, steps=1, store=store)
    thread.join()
    assert len(result) == 8


def test_other_processes_of_this_machine(expected):
    with joblib.parallel_config(backend="loky", n_jobs=2):
        assert_same_bits(gm.sweep(build, GRID, **CALL), expected)


def test_a_backend_that_gives_results_back_when_all_are_done(expected, tmp_path):
    """Multiprocessing stands for those, such as Ray's. It forks, so a process of its own calls it."""
    code = (
        "import joblib, sys, gradiometer as gm\n"
        "from test_sweep_cluster import CALL, GRID, build\n"
        "with joblib.parallel_config(backend='multiprocessing', n_jobs=2):\n"
        "    gm.sweep(build, GRID, store=sys.argv[1], **CALL)\n"
    )
    path = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path}
    command = [sys.executable, "-c", code, str(tmp_path / "runs.sqlite")]
    subprocess.run(command, env=environment, check=True, timeout=120)
    assert_same_bits(gm.load_sweep(tmp_path / "runs.sqlite"), expected)


def test_failing_runs_elsewhere(cluster):  # noqa: ARG001
    def failing(*, depth, seed):
        if depth == 2:
            raise RuntimeError("no such depth")
        return build(depth=depth, seed=seed)

    with joblib.parallel_config(backend="dask"):
        result = gm.sweep(failing, {"depth": [1, 2, 3]}, X, Y, steps=2)
    assert [run.outcome.error for run in result] == [None, "RuntimeError: no such depth", None]
    assert "failing" in result[1].traceback


def test_a_build_that_cannot_be_sent(cluster):  # noqa: ARG001
    lock = threading.Lock()
    with (
        joblib.parallel_config(backend="dask"),
        pytest.raises(TypeError, match="build cannot be sent to other processes: cannot pickle"),
    ):
        gm.sweep(lambda seed: lock, {}, X, Y, steps=1)  # noqa: ARG005


@pytest.mark.parametrize("config", [{}, {"n_jobs": 2}, {"backend": "threading"}, {"backend": "sequential"}])
def test_without_other_processes_it_is_this_one(expected, monkeypatch, config):
    monkeypatch.undo()
    monkeypatch.setattr(execution, "_through_joblib", lambda *_: pytest.fail("the runs went through joblib"))
    with joblib.parallel_config(**config):
        assert_same_bits(gm.sweep(build, GRID, **CALL), expected)
