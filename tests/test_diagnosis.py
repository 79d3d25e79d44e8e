"""Verdicts on made-up recordings, where the truth is known."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradiometer import slopes
from made_up_recordings import DEPTH, line, meta_of, record

# ---- slopes ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layers", [2, 3, 4, 21, 60])
@pytest.mark.parametrize("slope", [-0.63, -0.01, 0.0, 0.2])
def test_the_slope_of_a_straight_line_is_exact(slope, layers):
    found = record(line(slope, layers), line(slope / 2, layers)).diagnose()
    assert found.delta_slope == pytest.approx(slope, abs=1e-12)
    assert found.grad_slope == pytest.approx(slope / 2, abs=1e-12)
    assert found.slope == found.delta_slope
    assert found.range_decades == pytest.approx(abs(slope) * (layers - 1), abs=1e-9)
    assert found.ratio_first_last == pytest.approx(10 ** (slope * (layers - 1)))


def test_single_layers_that_are_far_off_do_not_move_the_slope():
    norms = line(-0.3, noise=0.02)
    norms[:, [0, 7, -1]] *= [1e6, 1e-5, 1e4]
    assert record(norms).diagnose().delta_slope == pytest.approx(-0.3, abs=0.03)


def test_the_median_over_pairs_is_that_of_a_plain_loop():
    logs = np.random.default_rng(0).normal(size=(5, 7))
    logs[3, 2] = np.nan
    logs[4, 1:] = np.nan
    expected = [
        np.nanmedian([(row[i] - row[j]) / (j - i) for i in range(7) for j in range(i + 1, 7)]) for row in logs[:4]
    ]
    np.testing.assert_allclose(slopes.theil_sen(logs), [*expected, np.nan], rtol=1e-12)


@given(
    st.integers(2, 40),
    st.floats(-1.5, 1.5),
    st.sampled_from([1e3, 1e-20, 1e20, 3.7e-100]),
    st.integers(0, 99),
)
def test_a_diagnosis_does_not_depend_on_the_scale(layers, slope, factor, seed):
    norms = line(slope, layers, steps=6, noise=0.1, seed=seed)
    one, other = record(norms).diagnose(), record(factor * norms).diagnose()
    assert (one.verdict, one.layer, one.since_step) == (other.verdict, other.layer, other.since_step)
    assert one.delta_slope == pytest.approx(other.delta_slope, abs=1e-9)
    assert one.grad_slope == pytest.approx(other.grad_slope, abs=1e-9)


@pytest.mark.parametrize("factor", [1e-20, 1e3])
def test_zeros_are_judged_at_every_scale_alike(factor):
    underflow, dead = line(-2.0), line(0.0)
    underflow[:, :4] = 0
    dead[:, :4] = 0
    assert record(factor * underflow).diagnose().verdict == "vanishing"
    assert record(factor * dead).diagnose().verdict == "dead"


# ---- verdicts ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("slope", "layers", "verdict"),
    [
        (0.085, 21, "healthy"),  # 20 layers of ReLU with batch norm
        (-0.085, 21, "healthy"),
        (0.1, 30, "exploding"),
        (-0.1, 30, "vanishing"),
        (0.1, 31, "exploding"),
        (-0.1, 31, "vanishing"),
        (-0.6, 21, "vanishing"),
        (-0.6, 3, "healthy"),
        (-0.01, 300, "vanishing"),
        (0.0, 300, "healthy"),
    ],
)
def test_depth_times_slope_decides(slope, layers, verdict):
    assert record(line(slope, layers, noise=0.05)).diagnose().verdict == verdict


@pytest.mark.parametrize(
    ("grad", "delta", "sigma_w", "scale", "verdict"),
    [(-0.012, 0.108, 1.8, 1.0, "exploding"), (0.004, -0.388, 0.577, 3e-12, "vanishing")],
)
def test_relu_nets_with_weights_of_the_wrong_scale(grad, delta, sigma_w, scale, verdict):
    """`grad_norm` is level in both; `delta_norm` tells."""
    found = record(line(delta, 31, noise=0.03), scale * line(grad, 31), meta=meta_of(31, sigma_w=sigma_w)).diagnose()
    assert found.verdict == verdict
    assert found.delta_slope == pytest.approx(delta, abs=0.01)
    assert found.grad_slope == pytest.approx(grad, abs=1e-6)
    assert found.cause.startswith("weight scale")
    assert f"{sigma_w}" in found.cause
    assert "kaiming_normal" in found.cure


def test_a_level_delta_norm_leaves_the_verdict_to_grad_norm():
    found = record(line(0.0), line(-0.4)).diagnose()
    assert found.verdict == "vanishing"
    assert "(grad_norm)" in str(found)


def test_a_single_break_is_found_and_named():
    norms = line(0.0)
    norms[:, :8] *= 1e-6
    found = record(norms).diagnose()
    assert found.verdict == "vanishing"
    assert found.layer == "14.weight"


@pytest.mark.parametrize(("slope", "layer"), [(-0.5, "30.weight"), (0.5, "30.weight")])
def test_the_layer_is_the_first_from_the_output_that_is_off_by_200(slope, layer):
    assert record(line(slope)).diagnose().layer == layer  # the 5th from the last of 21: 2.5 decades


@pytest.mark.parametrize("layers", [1, 2])
def test_shallow_networks(layers):
    found = record(line(0.3, layers)).diagnose()
    assert found.verdict == "healthy"
    assert found.layer is None
    assert np.isnan(found.delta_slope) == (layers == 1)
    assert str(found).startswith("healthy: ")


# ---- over the steps ----------------------------------------------------------------------------------------


def test_a_network_that_recovers_is_healthy_since_then():
    found = record(np.vstack([line(-0.5, steps=60), line(0.01, steps=240)])).diagnose()
    assert (found.verdict, found.since_step) == ("healthy", 60)
    assert found.delta_slope == pytest.approx(0.01)
    assert "vanishing at the start" in str(found)


def test_a_network_that_breaks_late_is_sick_since_then():
    steps = np.arange(300) * 10
    found = record(np.vstack([line(0.01, steps=200), line(0.5, steps=100)]), steps=steps).diagnose()
    assert (found.verdict, found.since_step) == ("exploding", 2000)
    assert found.delta_slope == pytest.approx(0.5)
    assert "healthy before" in str(found)


def test_a_network_that_was_sick_for_most_of_the_run_is_sick():
    found = record(np.vstack([line(-0.5, steps=200), line(0.0, steps=100)])).diagnose()
    assert (found.verdict, found.since_step) == ("vanishing", 0)
    assert "until step 199 (healthy after that)" in str(found)


def test_a_few_wild_steps_are_no_illness():
    norms = line(0.02, steps=100, noise=0.05)
    norms[[3, 50, 98, 99]] = line(0.6, steps=4)
    norms[70:73] = line(-0.6, steps=3)
    found = record(norms).diagnose()
    assert (found.verdict, found.since_step) == ("healthy", 0)


def test_a_single_sick_step_does_not_date_the_illness():
    norms = np.vstack([line(0.0, steps=200), line(-0.5, steps=200)])
    norms[20] = line(-0.5, steps=1)
    assert record(norms).diagnose().since_step == 200


def test_long_recordings_are_thinned():
    norms = np.vstack([line(0.0, steps=10_000), line(-0.5, steps=10_000)])
    found = record(norms).diagnose()
    assert found.verdict == "vanishing"
    assert found.since_step == pytest.approx(10_000, abs=20_000 / slopes.MOST_ROWS)


# ---- dead, non-finite, clipped -----------------------------------------------------------------------------


@pytest.mark.parametrize("full", [False, True])
def test_a_dead_layer_is_named(full):
    norms, dead_fraction = line(0.02), np.full((30, DEPTH + 1), 0.5)
    norms[:, :10] = 0
    dead_fraction[:, 9] = 1
    found = record(norms, **({"dead_fraction": dead_fraction} if full else {})).diagnose()
    assert found.verdict == "dead"
    assert found.layer == "18.weight"
    assert found.dead_layers == ("18.weight",)
    assert found.ratio_first_last == 0
    assert "exactly zero" in str(found)
    assert "LeakyReLU" in found.cure


def test_where_different_layers_are_silent_in_turn_the_one_that_is_most_often_is_named():
    norms = line(0.02)
    for i, layer in enumerate((3, 7, 12)):
        norms[i::3, layer] = 0
    norms[-1, 7] = 0  # once more than the others
    found = record(norms).diagnose()
    assert (found.verdict, found.layer) == ("dead", "14.weight")


def test_zeros_at_the_end_of_a_decay_are_underflow_unless_units_are_known_to_be_dead():
    norms = line(-2.0)
    norms[:, :5] = 0
    dead_fraction = np.zeros((30, DEPTH + 1))
    for fields in ({}, {"dead_fraction": dead_fraction.copy()}):
        found = record(norms, **fields).diagnose()
        assert found.verdict == "vanishing"
        assert found.delta_slope == pytest.approx(-2)
        assert found.ratio_first_last == 0
        assert "nothing of" in str(found)
    dead_fraction[:, 4] = 1
    assert record(norms, dead_fraction=dead_fraction).diagnose().verdict == "dead"


def test_half_dead_layers_are_sparse_not_dead():
    found = record(line(0.0), dead_fraction=0.6, saturation=0.5).diagnose()
    assert found.verdict == "healthy"
    assert found.dead_layers == ()
    assert found.saturated_layers == ()


def test_zeros_everywhere():
    assert record(np.zeros((5, 4)), loss=1.0).diagnose().verdict == "dead"
    assert "loss" in record(np.zeros((5, 4))).diagnose().cause
    learnt = np.vstack([line(0.0, 4, steps=5), np.zeros((20, 4))])
    loss = np.repeat([1.0, 0.0], [5, 20])
    assert record(learnt, loss=loss, weight_norm=1.0).diagnose().verdict == "healthy"


def test_a_network_that_explodes_until_it_dies_is_exploding():
    dead = line(0.0, steps=80)
    dead[:, :12] = 0
    found = record(np.vstack([line(0.25, steps=20), dead])).diagnose()
    assert (found.verdict, found.since_step) == ("exploding", 0)
    assert "dead" in str(found)


@pytest.mark.parametrize("tensor", ["activation", "gradient", "weight"])
def test_what_the_recorder_noted_as_not_finite_is_named(tensor):
    norms = line(0.25, steps=6)
    norms[4:] = np.nan
    meta = meta_of(DEPTH + 1, sigma_w=2.83)
    found = record(norms, nonfinite=(4, "6.weight", tensor), meta=meta).diagnose()
    assert found.verdict == "non-finite"
    assert found.nonfinite == (4, "6.weight", tensor)
    assert (found.since_step, found.layer) == (4, "6.weight")
    assert found.delta_slope == pytest.approx(0.25)
    assert str(found).startswith(
        f"non-finite: the first NaN or infinity appeared at step 4 in the {tensor} of 6.weight"
    )
    assert "2.83" in found.cause


def test_a_loss_that_diverges_is_not_finite():
    loss = np.array([1.0, 10.0, 1e9, np.inf])
    for nonfinite in [(3, "", "loss"), None]:
        found = record(line(0.0, steps=4), loss=loss, nonfinite=nonfinite, update_norm=1.0).diagnose()
        assert found.nonfinite == (3, "", "loss")
        assert found.layer is None
        assert "learning rate" in found.cause
        assert "learning rate" in found.cure


def test_not_finite_in_the_very_first_step():
    norms = np.full((3, 4), np.nan)
    for nonfinite, layer in [((0, "0.weight", "activation"), "0.weight"), (None, "6.weight")]:
        found = record(norms, nonfinite=nonfinite).diagnose()
        assert (found.verdict, found.since_step, found.layer) == ("non-finite", 0, layer)
        assert np.isnan(found.slope)
        assert "data" in found.cause


def test_a_recording_that_never_noted_anything_shows_it_itself():
    norms = line(0.0, 4, steps=9)
    norms[6, 1:3] = [np.nan, np.inf]
    assert record(norms).diagnose().nonfinite == (6, "4.weight", "gradient")


def test_a_loss_that_was_not_given_is_not_a_loss_that_is_not_finite():
    assert record(line(0.0), loss=np.nan, weight_norm=1.0).diagnose().verdict == "healthy"


def test_clipping_does_not_hide_an_explosion():
    meta = meta_of(DEPTH + 1, sigma_w=2.83) | {"clip": "ClipNorm(max_norm=1.0)"}
    found = record(line(0.3), meta=meta, clip_coefficient=1e-6, weight_norm=2.83 * 8).diagnose()
    assert found.verdict == "exploding"
    assert "1.0e-06" in found.cause
    assert "but not the slope" in found.cause
