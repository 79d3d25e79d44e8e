"""Every available instruction set, in a process of its own, with proof that it was the one that ran.

The same seed must give the same bits for every instruction set with fused multiply-add, for every number
of threads, and whether the run is recorded or not. The baseline has no fused multiply-add: it agrees to a
tolerance.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import gradiometer as gm

AVAILABLE = gm.info()["available_isas"]
FUSED = [isa for isa in AVAILABLE if isa != "baseline"]

SATURATED = "67"  # the numbers of such runs in the scenario
SCENARIO = str(Path(__file__).with_name("isa_scenario.py"))


def process(arguments, isa=None):
    environment = {key: value for key, value in os.environ.items() if key != "GRADIOMETER_ISA"}
    if isa is not None:
        environment["GRADIOMETER_ISA"] = isa
    return subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, text=True, timeout=120)


def run(path, isa, threads=1, record="full"):
    """The report of one process, which leaves its arrays in path."""
    done = process([SCENARIO, str(threads), str(record), str(path)], isa)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["isa"] == isa, "another instruction set ran than the one that was forced"
    assert report["threads"] == threads
    return report


def load(path):
    with np.load(path) as file:
        return dict(file)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("isa")


@pytest.fixture(scope="module")
def first(folder):
    """One thread, everything recorded, for each instruction set."""
    return {isa: run(folder / f"{isa}.npz", isa) for isa in AVAILABLE}


def test_the_best_is_chosen():
    done = process(["-c", "import gradiometer as gm; print(gm.info()['isa'])"])
    assert done.stdout.strip() == AVAILABLE[-1]


@pytest.mark.skipif(len(FUSED) < 2, reason="one instruction set with fused multiply-add on this machine")
def test_all_instruction_sets_with_fma_give_the_same_bits(first):
    for key in ("weights", "recorded"):
        assert len({first[isa][key] for isa in FUSED}) == 1, key


@pytest.mark.parametrize("isa", AVAILABLE)
def test_the_number_of_threads_does_not_change_a_bit(isa, first, folder):
    two = run(folder / "two.npz", isa, threads=2)
    assert (two["weights"], two["recorded"]) == (first[isa]["weights"], first[isa]["recorded"])


@pytest.mark.parametrize("isa", AVAILABLE)
@pytest.mark.parametrize("record", [None, "norms"])
def test_recording_does_not_change_a_bit_of_the_weights(isa, record, first, folder):
    assert run(folder / "record.npz", isa, record=record)["weights"] == first[isa]["weights"]


@pytest.mark.usefixtures("first")
@pytest.mark.skipif(not FUSED or "baseline" not in AVAILABLE, reason="nothing to compare with each other")
def test_the_baseline_agrees_to_a_tolerance(folder):
    """Three steps through at most 16 layers: rounding of 6e-8 (1e-16) grows by two to three orders.

    A bias in front of a batch norm is left out, and the running mean that follows it: the gradient of the
    bias is rounding alone, and Adam makes it full size. So are the saturated networks: their slopes are the
    exponentials of sums of some hundred, and lose as many times the rounding of a float.
    """
    baseline, fused = (load(folder / f"{isa}.npz") for isa in ("baseline", FUSED[0]))
    assert list(baseline) == list(fused)
    for key in baseline:
        if key[0] in SATURATED or (key[0] != "0" and key.endswith((" 0.bias", " 1.running_mean"))):
            continue
        tolerance = 1e-9 if "float64" in key else 3e-3 if "running" in key or key[0] in "123" else 2e-4
        expected = fused[key].astype(np.float64)
        error = np.abs(baseline[key] - expected).max()
        assert error <= tolerance * np.abs(expected).max(), key


@pytest.mark.parametrize("isa", ["sse9", "AVX2", *({"avx2", "avx512", "neon"} - set(AVAILABLE))])
def test_forcing_an_instruction_set_that_is_not_there_fails_loudly(isa):
    done = process(["-c", "import gradiometer"], isa)
    assert done.returncode != 0
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith(("ImportError", "RuntimeError"))
    assert "GRADIOMETER_ISA" in last
    assert isa in last
    assert all(available in last for available in AVAILABLE), last


@pytest.mark.skipif("GRADIOMETER_ISA" not in os.environ, reason="no instruction set is forced")
def test_this_process_runs_the_forced_instruction_set():
    assert gm.info()["isa"] == os.environ["GRADIOMETER_ISA"]
