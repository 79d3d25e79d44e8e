"""The benchmark: peers compute what we compute, and the report says what was measured."""

import json
import math
import subprocess
import sys

import numpy as np
import pytest

import gradiometer as gm
from gradiometer.bench import harness, peers, report
from gradiometer.bench.workloads import WORKLOADS, State, Workload, grid

SMALL = [
    Workload("sgd", depth=2, width=9, batch=7, activation="sigmoid"),
    Workload("adam", depth=2, width=9, batch=7, batch_norm=True, optimizer="adam"),
    Workload("sweep", depth=2, width=9, batch=7, activation="tanh", copies=3),
]
PEERS = ["numpy", "torch", "jax"]


@pytest.mark.parametrize("workload", SMALL, ids=lambda workload: workload.name)
@pytest.mark.parametrize("name", PEERS)
def test_a_peer_takes_the_same_steps(name, workload):
    """Three steps: the norms of the third show that the second update was the same too."""
    if name != "numpy":
        pytest.importorskip(name)
    ours, theirs = peers.make("gradiometer", workload), peers.make(name, workload)
    before = ours.first_weight()
    ours.steps(3)
    for _ in range(3):
        theirs.step()
    # float32, three steps of a shallow net; Adam divides small numbers by small numbers.
    np.testing.assert_allclose(theirs.norms(), ours.norms(), rtol=1e-3)
    np.testing.assert_allclose(theirs.first_weight(), ours.first_weight(), atol=2e-6)
    assert not np.array_equal(before, ours.first_weight())
    assert ours.norms().shape == (workload.copies, 3)


def test_operations_are_counted_as_on_paper():
    """2 layers: 4→3 and 3→2, 5 rows. Forward 2·5·(12+6), dW the same, dX of the second layer only 2·5·6."""
    workload = Workload("paper", depth=1, width=3, batch=5, inputs=4, classes=2)
    assert workload.sizes == [(4, 3), (3, 2)]
    assert workload.flops == 180 + 180 + 60
    assert len(State.of(workload.network()).weights) == 2
    assert len({size.name for size in grid()}) == len(grid())


def test_a_run_gives_ratios_and_says_who_was_left_out():
    outcome = harness.run(SMALL[0], ["numpy", "torch.compile"], rounds=2, seconds=0.01)
    assert set(outcome.timings) == {"gradiometer", "numpy", "torch.compile"}
    assert len(outcome.timings["numpy"].rounds) == 2
    assert outcome.ratio("gradiometer") == 1
    assert outcome.ratio("numpy") > 0
    assert outcome.timings["numpy"].disagreement < 1e-4
    machine = harness.Machine("avx2", 2, 1e11, 1e11, 1e10)
    data = json.loads(json.dumps(report.as_json([outcome], machine)))
    assert data["workloads"][0]["peers"]["numpy"]["ratio"] == outcome.ratio("numpy")
    assert report.table([outcome], machine).row_count == 3


def test_a_peer_that_computes_something_else_is_found():
    ours = harness.Start(np.array([[1.0, 2.0]]), True)
    with pytest.raises(RuntimeError, match=r"gradient norms of numpy differ from ours by up to 0\.5"):
        harness._compare("numpy", harness.Start(np.array([[1.0, 3.0]]), True), ours)
    with pytest.raises(RuntimeError, match="weights of numpy did not change"):
        harness._compare("numpy", harness.Start(np.array([[1.0, 2.0]]), False), ours)


def test_sweeps_and_depth_leave_some_peers_out():
    assert "no sweep" in harness.reason_to_skip("torch.compile", WORKLOADS["sweep"]) or not peers.installed("torch")
    assert not harness.reason_to_skip("numpy", WORKLOADS["very-deep"])


@pytest.mark.parametrize(
    ("seconds", "text"), [(2.0, "2 s"), (0.0123, "12.3 ms"), (4.56e-6, "4.56 µs"), (5e-9, "5 ns"), (math.nan, "")]
)
def test_times_have_units(seconds, text):
    assert report.time_text(seconds) == text


def command(*arguments, folder=None):
    return subprocess.run(
        [sys.executable, "-m", "gradiometer.cli", "bench", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_the_command_writes_json_and_a_chart(tmp_path):
    arguments = (
        "tiny",
        "--peers",
        "numpy",
        "--rounds",
        "1",
        "--seconds",
        "0.01",
        "--json",
        "-",
        "--chart",
        "chart.png",
    )
    done = command(*arguments, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    data = json.loads(done.stdout)
    assert data["machine"]["isa"] == gm.info()["isa"]
    assert data["machine"]["peak_flops"] > 1e9
    assert data["workloads"][0]["name"] == "tiny"
    assert "GFLOP/s" in done.stderr
    assert (tmp_path / "chart.png").stat().st_size > 5000


def test_wrong_names_are_refused():
    for arguments, message in [
        (("fast",), "there is no workload 'fast'; known: tiny"),
        (("--peers", "keras"), "no peer 'keras'"),
    ]:
        done = command(*arguments)
        assert done.returncode == 2
        assert message in done.stderr.replace("\n", " ")
