"""The benchmark: peers compute what we compute, and the report says what was measured."""

import json
import math
import os
import subprocess
import sys

import numpy as np
import pytest

import gradiometer as gm
from gradiometer.bench import harness, kernels, peers, report, worker
from gradiometer.bench.workloads import WORKLOADS, State, Workload, grid

SMALL = [
    Workload("sgd", depth=2, width=9, batch=7, activation="sigmoid"),
    Workload("adam", depth=2, width=9, batch=7, batch_norm=True, optimizer="adam"),
    Workload("layer-norm", depth=2, width=9, batch=7, layer_norm=True, optimizer="adam"),
    Workload("residual", depth=3, width=9, batch=7, activation="tanh", layer_norm=True, residual=True),
    Workload("bare residual", depth=3, width=9, batch=7, activation="sigmoid", residual=True),
    Workload("sweep", depth=2, width=9, batch=7, activation="tanh", copies=3),
    Workload("residual sweep", depth=2, width=9, batch=7, layer_norm=True, residual=True, copies=2),
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
    np.testing.assert_allclose(theirs.losses(), ours.losses(), rtol=1e-5)
    np.testing.assert_allclose(theirs.norms(), ours.norms(), rtol=1e-3)
    np.testing.assert_allclose(theirs.first_weight(), ours.first_weight(), atol=2e-6)
    assert not np.array_equal(before, ours.first_weight())
    assert ours.norms().shape == (workload.copies, workload.depth + 1)


def test_operations_are_counted_as_on_paper():
    """2 layers: 4→3 and 3→2, 5 rows. Forward 2·5·(12+6), dW the same, dX of the second layer only 2·5·6."""
    workload = Workload("paper", depth=1, width=3, batch=5, inputs=4, classes=2)
    assert workload.sizes == [(4, 3), (3, 2)]
    assert workload.flops == 180 + 180 + 60
    assert len(State.of(workload.network()).weights) == 2
    assert len({size.name for size in grid()}) == len(grid())


def test_the_share_of_the_peak_is_that_of_each_round():
    """A machine that is five times slower in the first round has a peak that is five times lower in it."""
    flops = SMALL[0].flops
    timings = {"numpy": harness.Timing([1.0, 0.2]), "torch": harness.Timing(skipped="not there")}
    outcome = harness.Outcome(SMALL[0], timings, peaks=[2 * flops, 10 * flops])
    assert outcome.share_of_peak("numpy") == pytest.approx(0.5)
    assert math.isnan(outcome.share_of_peak("torch"))


def test_a_run_gives_ratios_and_says_who_was_left_out():
    outcome = harness.run(SMALL[0], ["numpy", "torch.compile"], rounds=2, seconds=0.01)
    assert set(outcome.timings) == {"gradiometer", "numpy", "torch.compile"}
    assert len(outcome.timings["numpy"].rounds) == 2
    assert outcome.ratio("gradiometer") == 1
    assert len(outcome.peaks) == 2
    assert 0 < outcome.share_of_peak("numpy") < 1
    assert outcome.ratio("numpy") > 0
    assert outcome.timings["numpy"].disagreement < 1e-4
    machine = harness.Machine("avx2", 2, 1e11, 1e11, 1e10)
    data = json.loads(json.dumps(report.as_json([outcome], machine)))
    assert data["workloads"][0]["peers"]["numpy"]["ratio"] == outcome.ratio("numpy")
    assert report.table([outcome]).row_count == 3
    assert data["workloads"][0]["depth"] == 2
    assert data["versions"].keys() >= {"gradiometer", "numpy"}


def test_who_was_left_out_is_told_once_for_each_reason():
    timings = {"gradiometer": harness.Timing([1.0]), "jax": harness.Timing(skipped="jax is not installed")}
    outcomes = [harness.Outcome(workload, timings) for workload in SMALL]
    assert report.notes(outcomes) == [
        "jax is left out of sgd, adam, layer-norm, residual, bare residual, sweep, residual sweep: jax is not installed"
    ]


def test_a_peer_that_fails_is_left_out_with_its_reason(monkeypatch):
    monkeypatch.setitem(peers.CANDIDATES, "absent", peers.Candidate("numpy_peer", "Absent", "numpy", True))
    monkeypatch.setattr(harness, "Worker", FailingWorker)
    outcome = harness.run(SMALL[0], ["absent"], rounds=1, seconds=0.01)
    assert outcome.timings["absent"].skipped == "absent failed: it does not compile"
    assert not outcome.timings["absent"].rounds
    assert outcome.fastest_peer is None
    assert math.isnan(outcome.ratio("absent"))


class FailingWorker(worker.Worker):
    """All but our own fail at their first step."""

    def start(self):
        if self.name != harness.OURS:
            raise RuntimeError(f"{self.name} failed: it does not compile")
        return super().start()


def first_step(loss=2.0, norm=2.0, before=1.0, update=0.1):
    weight = np.full((3, 3), before, np.float32)
    return harness.Start(np.array([loss]), np.array([[1.0, norm]]), weight, weight + np.float32(update))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"loss": 3.0}, r"the losses of numpy differ from ours by up to 0\.5"),
        ({"loss": math.nan}, "the losses of numpy differ from ours by up to nan"),
        ({"norm": 3.0}, r"the gradient norms of numpy differ from ours by up to 0\.5"),
        ({"update": 0.11}, r"the first update of numpy differs from ours by 0\.1"),
        ({"update": -0.1}, "the first update of numpy differs from ours by 2"),
        ({"update": 0.0}, "the weights of numpy did not change"),
        ({"before": 1.5}, "the first weights of numpy are not ours"),
    ],
    ids=str,
)
def test_a_peer_that_computes_something_else_is_found(wrong, message):
    assert harness._compare("numpy", first_step(), first_step(), 0.02) == 0
    with pytest.raises(RuntimeError, match=message):
        harness._compare("numpy", first_step(**wrong), first_step(), 0.02)


def test_an_update_may_be_as_small_as_the_rounding_of_the_weights():
    one, two = np.float32(2**-23), np.float32(2**-22)  # an ulp of 1, and two
    harness._compare("numpy", first_step(update=two), first_step(update=one), 0.02)


def test_a_worker_has_the_threads_it_is_given_and_the_environment_is_put_back(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("NPROC", raising=False)
    with worker._environment(3):
        assert {os.environ[name] for name in worker.THREADS} == {"3"}
        got = subprocess.run(
            [sys.executable, "-c", "import gradiometer as gm; print(gm.get_num_threads())"],
            capture_output=True,
            text=True,
        )
    assert got.stdout.strip() == "3"
    assert os.environ["OMP_NUM_THREADS"] == "7"
    assert "NPROC" not in os.environ


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


@pytest.mark.parametrize(
    ("option", "path", "complaint"),
    [
        ("--chart", "chart.jpg", "must end with .png, .pdf, .svg, not '.jpg'"),
        ("--chart", "nowhere/chart.png", "there is no folder nowhere"),
        ("--json", "nowhere/times.json", "there is no folder nowhere"),
    ],
)
def test_where_nothing_can_be_written_nothing_is_timed(option, path, complaint, tmp_path):
    done = command("tiny", "--peers", "numpy", option, path, folder=tmp_path)
    assert done.returncode == 2
    assert complaint in done.stderr
    assert "GFLOP/s" not in done.stdout


def test_kernels_have_a_share_of_their_floor(tmp_path):
    shares = kernels.measure(sizes=((16, 64),), seconds=1e-4)
    by_name = {share.name: share for share in shares}
    assert len(by_name) == len(shares)
    assert by_name["matmul"].operations == by_name["outer_product"].operations == 2 * 16 * 64 * 64
    assert by_name["matmul"].limit == "multiply-adds"
    assert by_name["adam"].bytes == 7 * 4 * 64 * 64  # w, m and v read and written, g read
    assert by_name["adam"].limit == "copying"
    for share in shares:
        assert 0 < share.floor < math.inf
        assert 0 < share.seconds < math.inf
    assert report.kernel_table(shares).row_count == len(shares)
    with pytest.raises(ValueError, match="columns must be a multiple of"):
        kernels.measure(sizes=((16, 63),))

    done = command("--kernels", "--json", "kernels.json", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "outer_product" in done.stdout
    data = json.loads((tmp_path / "kernels.json").read_text())
    assert {kernel["name"] for kernel in data["kernels"]} == set(by_name)
    assert data["workloads"] == []


def test_python_m_is_the_same_command():
    done = subprocess.run([sys.executable, "-m", "gradiometer.bench", "--help"], capture_output=True, text=True)
    assert done.returncode == 0
    assert "--peers" in done.stdout


def test_wrong_names_are_refused():
    for arguments, message in [
        (("fast",), "there is no workload 'fast'; known: tiny"),
        (("--peers", "keras"), "no peer 'keras'"),
        (("--kernels", "tiny"), "--kernels goes with --json only"),
    ]:
        done = command(*arguments)
        assert done.returncode == 2
        assert message in done.stderr.replace("\n", " ")
