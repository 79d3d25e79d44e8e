"""The store of a sweep: what is there is not run again, not after kill -9 either; what is not its own is refused."""

import functools
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import gradiometer as gm
from gradiometer.sweeps.store import Store
from sweep_builds import VALIDATION, X, Y, assert_same_bits, build

pytestmark = pytest.mark.usefixtures("restore_threads", "default_ctrl_c")

GRID = {"depth": [1, 2, 3]}


def counting(calls, fail=()):
    """A build that notes its calls; the same text at each call of this function, so the same build to a store."""

    def counted(*, depth, seed):
        calls.append((depth, seed))
        if depth in fail:
            raise RuntimeError("out of order")
        return build(depth=depth, seed=seed)

    return counted


def rows(store, columns="parameters, seed, started, finished"):
    connection = sqlite3.connect(store)
    found = connection.execute(f"SELECT {columns} FROM runs ORDER BY rowid").fetchall()
    connection.close()
    return found


def test_the_same_call_repeats_nothing(tmp_path):
    calls = []
    first = gm.sweep(counting(calls), GRID, X, Y, seeds=2, steps=3, store=tmp_path / "runs.sqlite")
    assert len(calls) == 6
    before = rows(tmp_path / "runs.sqlite")
    again = gm.sweep(counting(calls), GRID, X, Y, seeds=2, steps=3, store=str(tmp_path / "runs.sqlite"))
    assert len(calls) == 6
    assert rows(tmp_path / "runs.sqlite") == before
    assert first.to_dataframe().equals(again.to_dataframe())
    assert first.to_xarray().identical(again.to_xarray())


def test_a_larger_grid_runs_what_is_new(tmp_path):
    calls = []
    gm.sweep(counting(calls), GRID, X, Y, seeds=2, steps=3, store=tmp_path / "runs.sqlite")
    calls.clear()
    result = gm.sweep(counting(calls), {"depth": [4, 3]}, X, Y, seeds=[0, 5], steps=3, store=tmp_path / "runs.sqlite")
    assert sorted(calls) == [(3, 5), (4, 0), (4, 5)]
    assert [(run.parameters["depth"], run.seed) for run in result] == [(4, 0), (4, 5), (3, 0), (3, 5)]
    assert len(gm.load_sweep(tmp_path / "runs.sqlite")) == 9


def test_the_order_of_names_does_not_matter(tmp_path):
    settings, store = {"width": 8, "lr": 0.1}, tmp_path / "runs.sqlite"
    gm.sweep(settings, [{"depth": 1, "activation": gm.Tanh()}], X, Y, steps=1, store=store)
    gm.sweep(settings, [{"activation": gm.Tanh(), "depth": 1}], X, Y, steps=1, store=store)
    assert len(rows(store)) == 1
    gm.sweep(settings, [{"activation": "Tanh()", "depth": 1}], X, Y, steps=1, store=store)  # a string is no layer
    assert len(rows(store)) == 2


def test_all_comes_back_from_the_store_alone(tmp_path):
    settings = {"width": 8, "lr": 0.1}
    grid = {"depth": [1, 3, -1], "activation": ["relu", gm.LeakyReLU(0.3)], "bias": [True, False], "dropout": [0, 0.5]}
    result = gm.sweep(settings, grid, X, Y, seeds=2, steps=3, validation=VALIDATION, store=tmp_path / "runs.sqlite")
    shutil.copy(tmp_path / "runs.sqlite", tmp_path / "copy.sqlite")  # the one file is the whole store
    loaded = gm.load_sweep(tmp_path / "copy.sqlite")
    assert loaded.to_dataframe().equals(result.to_dataframe())
    assert loaded.to_xarray().identical(result.to_xarray())
    assert loaded.unfinished == 0
    assert [run.traceback for run in loaded.failed] == [run.traceback for run in result.failed]
    assert len(loaded.failed) == 16


def test_failed_runs_are_tried_again_on_request_only(tmp_path):
    calls, store = [], tmp_path / "runs.sqlite"
    result = gm.sweep(counting(calls, fail=[2]), GRID, X, Y, seeds=2, steps=3, store=store)
    assert len(result.failed) == 2
    calls.clear()
    assert len(gm.sweep(counting(calls), GRID, X, Y, seeds=2, steps=3, store=store).failed) == 2
    assert calls == []
    result = gm.sweep(counting(calls), GRID, X, Y, seeds=2, steps=3, store=store, retry_failed=True)
    assert result.failed == []
    assert sorted(calls) == [(2, 0), (2, 1)]
    assert_same_bits(result, gm.sweep(counting(calls), GRID, X, Y, seeds=2, steps=3))


# ---- another sweep ----


def other_build(*, depth, seed):
    return build(depth=depth, seed=seed)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": 4}, "steps is 3 there and 4 here"),
        ({"batch_size": 10}, "batch_size is 128 there and 10 here"),
        ({"shuffle": False}, "shuffle is True there and False here"),
        ({"X": X + np.float32(1)}, "the data differ"),
        ({"X": X.astype("f8")}, "the data differ"),
        ({"y": (Y + 1) % 3}, "the data differ"),
        ({"validation": VALIDATION}, "the data differ"),
        ({"build": other_build}, "the build differs"),
        ({"build": functools.partial(build, dropout=0.2)}, "the build differs"),
        ({"build": {"width": 8, "lr": 0.1}}, "the build differs"),
    ],
)
def test_another_sweep_is_refused(tmp_path, change, message):
    call = {"build": build, "X": X, "y": Y, "steps": 3, **change}
    gm.sweep(build, GRID, X, Y, steps=3, store=tmp_path / "runs.sqlite")
    before = rows(tmp_path / "runs.sqlite")
    with pytest.raises(ValueError, match=message):
        gm.sweep(grid={"depth": [9]}, store=tmp_path / "runs.sqlite", **call)
    assert rows(tmp_path / "runs.sqlite") == before


def test_a_function_that_was_changed_is_refused(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    text = (
        "from sweep_builds import build\n\ndef changing(*, depth, seed):\n    return build(depth=depth{}, seed=seed)\n"
    )
    for module, change in (("first_version", ""), ("second_version", " + 1")):
        (tmp_path / f"{module}.py").write_text(text.format(change))
    import first_version
    import second_version

    gm.sweep(first_version.changing, GRID, X, Y, steps=1, store=tmp_path / "runs.sqlite")
    with pytest.raises(ValueError, match="the build differs"):
        gm.sweep(second_version.changing, GRID, X, Y, steps=1, store=tmp_path / "runs.sqlite")


def test_partial_functions(tmp_path):
    partial = functools.partial(build, dropout=0.5)
    for _ in range(2):
        (run,) = gm.sweep(partial, {"depth": [1]}, X, Y, steps=1, store=tmp_path / "runs.sqlite")
    assert np.array_equal(
        run.recording.grad_norm, gm.sweep(partial, {"depth": [1]}, X, Y, steps=1)[0].recording.grad_norm
    )
    with pytest.raises(TypeError, match="the argument dropout that build fixes must be a number"):
        gm.sweep(functools.partial(build, dropout=np.ones(3)), {"depth": [1]}, X, Y, steps=1)


# ---- what is no store ----


def test_files_that_are_no_store(tmp_path):
    (tmp_path / "text.sqlite").write_text("a text that is not a database, and longer than its header" * 3)
    connection = sqlite3.connect(tmp_path / "other.sqlite")
    connection.execute("CREATE TABLE runs (x)")
    connection.close()
    (tmp_path / "empty.sqlite").touch()
    for name in ("text.sqlite", "other.sqlite"):
        before = (tmp_path / name).read_bytes()
        for use in (
            functools.partial(gm.sweep, build, GRID, X, Y, steps=1, store=tmp_path / name),
            functools.partial(gm.load_sweep, tmp_path / name),
        ):
            with pytest.raises(ValueError, match=f"{name}' is not the store of a sweep"):
                use()
        assert (tmp_path / name).read_bytes() == before
    with pytest.raises(ValueError, match=r"empty.sqlite' is not the store of a sweep: it is empty"):
        gm.load_sweep(tmp_path / "empty.sqlite")
    assert len(gm.sweep(build, GRID, X, Y, steps=1, store=tmp_path / "empty.sqlite")) == 3


def test_paths_that_cannot_be(tmp_path):
    with pytest.raises(IsADirectoryError, match="is a folder"):
        gm.sweep(build, GRID, X, Y, steps=1, store=tmp_path)
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        gm.sweep(build, GRID, X, Y, steps=1, store=tmp_path / "nowhere" / "runs.sqlite")
    with pytest.raises(FileNotFoundError, match=r"there is no store '.*absent.sqlite'"):
        gm.load_sweep(tmp_path / "absent.sqlite")
    assert not (tmp_path / "absent.sqlite").exists()


def test_a_store_of_a_newer_version(tmp_path):
    gm.sweep(build, GRID, X, Y, steps=1, store=tmp_path / "runs.sqlite")
    connection = sqlite3.connect(tmp_path / "runs.sqlite")
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(ValueError, match="was written by a newer gradiometer: its format is version 99"):
        gm.load_sweep(tmp_path / "runs.sqlite")


def test_a_damaged_recording(tmp_path):
    gm.sweep(build, GRID, X, Y, steps=1, store=tmp_path / "runs.sqlite")
    connection = sqlite3.connect(tmp_path / "runs.sqlite")
    connection.execute("UPDATE runs SET recording = x'504b0304'")
    connection.commit()
    connection.close()
    with pytest.raises(ValueError, match="the recording of depth=1, seed 0' is cut short"):
        _ = gm.load_sweep(tmp_path / "runs.sqlite")[0].recording


# ---- broken off ----


SCRIPT = """
import sys
import gradiometer as gm
from sweep_builds import VALIDATION, X, Y, build

result = gm.sweep(build, {"depth": [1, 2, 3, 4], "batch_norm": [False, True]}, X, Y, seeds=10, steps=40,
                  batch_size=20, validation=VALIDATION, store=sys.argv[1])
print(result)
"""


def start(store):
    path = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(store)], env={**os.environ, "PYTHONPATH": path}, stdout=subprocess.PIPE
    )


def finished(store):
    try:
        return [row for row in rows(store) if row[3] is not None]
    except sqlite3.OperationalError:  # the process has not made it yet
        return []


def test_after_kill_9_the_same_call_goes_on(tmp_path):
    killed, whole = tmp_path / "killed.sqlite", tmp_path / "whole.sqlite"
    process = start(killed)
    while len(finished(killed)) < 20:
        assert process.poll() is None
        threading.Event().wait(0.005)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    before = finished(killed)
    assert 20 <= len(before) < 80
    assert gm.load_sweep(killed).unfinished == 80 - len(before)

    for store in (killed, whole):
        process = start(store)
        process.communicate()
        assert process.returncode == 0
    after = finished(killed)
    assert len(after) == 80
    assert set(before) <= set(after)  # with the times at which they were run
    assert_same_bits(gm.load_sweep(killed), gm.load_sweep(whole))


def test_two_processes_share_a_store(tmp_path):
    store = tmp_path / "runs.sqlite"
    for process in [start(store), start(store)]:
        output, _ = process.communicate()
        assert output.startswith(b"SweepResult of 80 runs in")
        assert process.returncode == 0
    assert len(finished(store)) == 80
    assert gm.load_sweep(store).failed == []


def test_a_store_can_be_made_by_several_in_the_same_moment(tmp_path):
    """One could see the other's tables, but not yet that they were a sweep's."""

    def make(number):
        barrier.wait()
        Store(tmp_path / f"{number}.sqlite")

    barrier = threading.Barrier(3)
    with ThreadPoolExecutor(3) as threads:
        for number in range(100):
            for made in [threads.submit(make, number) for _ in range(3)]:
                made.result()


def test_a_run_that_is_there_already_stays(tmp_path):
    """Somebody else finishes the whole sweep while our first run is being built."""
    store, others = tmp_path / "runs.sqlite", []

    def slow(*, depth, seed):
        if not others:
            others.append("on its way")
            gm.sweep(slow, GRID, X, Y, steps=1, store=store)
            others.extend(rows(store))
        return build(depth=depth, seed=seed)

    gm.set_num_threads(1)
    gm.sweep(slow, GRID, X, Y, steps=1, store=store)
    assert rows(store) == others[1:]


@pytest.mark.parametrize("threads", [1, 2])
def test_ctrl_c_keeps_what_was_finished(tmp_path, threads):
    gm.set_num_threads(threads)
    store, calls, reached = tmp_path / "runs.sqlite", [], threading.Event()

    def slow_from_4_on(*, number, seed):
        calls.append(number)
        if number >= 4:
            reached.set()
        init = gm.init.kaiming_normal(gain=1.0 if number >= 4 else 1e30)  # too large: the run stops at its first step
        net = gm.mlp(6, 3, depth=2, width=256, init=init, seed=seed)
        optimizer = gm.SGD(lr=0.01)
        return gm.Trainer(net, loss="cross_entropy", optimizer=optimizer, on_nonfinite="stop", record=None, seed=seed)

    def press():
        reached.wait()
        while len(finished(store)) < 4:
            threading.Event().wait(0.005)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=press)
    thread.start()
    steps = 10**9  # more than a test waits for
    with pytest.raises(KeyboardInterrupt):
        gm.sweep(slow_from_4_on, {"number": list(range(10))}, X, Y, steps=steps, batch_size=97, store=store)
    thread.join()
    assert len(finished(store)) == 4
    assert len(calls) < 10
    assert gm.load_sweep(store).unfinished == 6
