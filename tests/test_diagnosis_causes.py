"""Causes that a diagnosis names, and recordings that know little."""

import copy
import pickle

import numpy as np
import pytest

import gradiometer as gm
from gradiometer._core import Recorder
from made_up_recordings import DEPTH, line, meta_of, record

# ---- causes ------------------------------------------------------------------------------------------------


def test_saturation_is_seen():
    found = record(line(-0.3), meta=meta_of(DEPTH + 1, "tanh", 4.0), saturation=0.7).diagnose()
    assert len(found.saturated_layers) == DEPTH + 1
    assert found.cause.startswith("saturation: in 21 of 21 layers")


def test_the_cure_of_a_sigmoid():
    found = record(line(-0.63), meta=meta_of(DEPTH + 1, "sigmoid", 1.0)).diagnose()
    assert "1/4" in found.cause
    assert "kaiming_normal" in found.cure
    assert "batch norm" in found.cure


def test_too_fast_steps_are_the_cause_of_a_late_explosion():
    norms = np.vstack([line(0.0, steps=30), line(0.3, steps=60)])
    found = record(norms, update_norm=0.2, weight_norm=1.0).diagnose()
    assert found.update_to_weight == pytest.approx(0.2)
    assert found.cause.startswith("learning rate")


def test_the_present_weights_count_not_the_initial_ones():
    found = record(line(-0.3), meta=meta_of(DEPTH + 1, sigma_w=1.4), weight_norm=0.5 * 8).diagnose()
    assert "σ_w is 0.5" in found.cause


def test_batch_norm_takes_the_weight_scale_out():
    found = record(line(0.12, 31), meta=meta_of(31, sigma_w=3.0, batch_norm=True)).diagnose()
    assert found.verdict == "exploding"
    assert found.cause.startswith("batch norm")


# ---- recordings from elsewhere -----------------------------------------------------------------------------


def test_grad_norm_alone_and_nothing_known():
    found = record(np.full((30, 12), np.nan), line(-0.4, 12), meta={}).diagnose()
    assert found.verdict == "vanishing"
    assert np.isnan(found.delta_slope)
    assert found.slope == found.grad_slope == pytest.approx(-0.4)
    assert "delta_norm was not recorded" in str(found)


def test_biases_do_not_count_where_parameters_are_recorded():
    weights = line(0.02, 8)
    norms = np.empty((30, 16))
    norms[:, 0::2], norms[:, 1::2] = weights, 1e-9 * 10 ** np.random.default_rng(0).normal(size=(30, 8))
    norms[:, 3] = 0
    names = [f"{i}.{kind}" for i in range(8) for kind in ("weight", "bias")]
    found = record(np.full((30, 16), np.nan), norms, meta={}, names=names).diagnose()
    assert found.verdict == "healthy"
    assert found.grad_slope == pytest.approx(0.02)


def test_nothing_to_judge():
    with pytest.raises(ValueError, match="at least one step"):
        record(np.ones((0, 4))).diagnose()
    with pytest.raises(ValueError, match="at least one layer"):
        record(np.ones((3, 0)), meta={}).diagnose()
    nothing = gm.Recording(Recorder(["0.weight"], None, 1), {})
    with pytest.raises(AttributeError, match="record="):
        nothing.diagnose()


# ---- as a value --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("slope", [-0.5, 0.0, 0.5])
def test_text_and_table(slope):
    found = record(line(slope), update_norm=0.001, weight_norm=11.0).diagnose()
    assert str(found).startswith(f"{found.verdict}: ")
    assert 3 <= str(found).count(". ") + 1 <= 5
    assert "nan" not in str(found)
    assert repr(found).startswith(f"Diagnosis: {found.verdict}\n")
    for name in ("delta_slope", "since_step", "update_to_weight", "cure"):
        assert f"\n  {name}" in repr(found)
    assert pickle.loads(pickle.dumps(found)) == copy.deepcopy(found) == found
    with pytest.raises(AttributeError):
        found.verdict = "healthy"
