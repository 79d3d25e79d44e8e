"""Diagnoses: of made-up recordings, where the truth is known, and of real networks learning real images."""

import copy
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import gradiometer as gm
from gradiometer import slopes
from gradiometer._core import Recorder
from gradiometer.diagnosis import diagnose
from gradiometer.recording import Recording

DEPTH = 20
PER_STEP = {"loss": 1.0, "total_norm": 1.0, "clip_coefficient": 1.0, "lr": 0.1}
NOT_MEASURED = np.nan


def line(slope, layers=DEPTH + 1, steps=30, noise=0.0, seed=0):
    """Norms that change by `slope` decades per layer toward the input."""
    logs = slope * np.arange(layers)[::-1] + noise * np.random.default_rng(seed).normal(size=(steps, layers))
    return 10.0**logs


def meta_of(layers, activation="relu", sigma_w=1.4, **changes):
    hidden = {"activation": activation, "sigma_w": sigma_w, "fan_in": 64, "fan_out": 64, "batch_norm": False}
    described = [{"name": f"{2 * i}.weight", **hidden, **changes} for i in range(layers)]
    described[-1] |= {"activation": "identity", "fan_out": 10}
    return {"layers": described, "loss": "cross_entropy", "optimizer": "SGD(lr=0.1)", "clip": None}


def record(delta_norm, grad_norm=None, *, steps=None, meta=None, names=None, nonfinite=None, **fields):
    """A recording of these norms; with other fields too, one of record="full"."""
    delta_norm = np.asarray(delta_norm, float)
    grad_norm = delta_norm if grad_norm is None else np.asarray(grad_norm, float)
    rows, layers = delta_norm.shape
    recorder = Recorder(names or [f"{2 * i}.weight" for i in range(layers)], "full" if fields else "norms", 1)
    columns = {"delta_norm": delta_norm, "grad_norm": grad_norm, **fields}
    for name in recorder.fields():
        shape = (rows,) if name in PER_STEP else (rows, layers)
        value = columns.get(name, PER_STEP.get(name, NOT_MEASURED))
        columns[name] = np.broadcast_to(np.asarray(value, float), shape).copy()
    columns = {name: columns[name] for name in recorder.fields()}
    recorder.extend(np.arange(rows) if steps is None else np.asarray(steps), columns)
    if nonfinite:
        recorder.note_nonfinite(*nonfinite)
    return Recording(recorder, meta_of(layers) if meta is None else meta)


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
    nothing = Recording(Recorder(["0.weight"], None, 1), {})
    with pytest.raises(AttributeError, match="record="):
        nothing.diagnose()


# ---- as a value --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("slope", [-0.5, 0.0, 0.5])
def test_text_and_table(slope):
    found = record(line(slope), update_norm=0.001, weight_norm=11.0).diagnose()
    assert str(found).startswith(f"{found.verdict}: ")
    assert 3 <= str(found).count(". ") + 1 <= 4
    assert "nan" not in str(found)
    assert repr(found).startswith(f"Diagnosis: {found.verdict}\n")
    for name in ("delta_slope", "since_step", "update_to_weight", "cure"):
        assert f"\n  {name}" in repr(found)
    assert pickle.loads(pickle.dumps(found)) == copy.deepcopy(found) == found
    with pytest.raises(AttributeError):
        found.verdict = "healthy"


# ---- real networks -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def digits():
    data = pytest.importorskip("sklearn.datasets").load_digits()
    return ((data.data - data.data.mean(0)) / (data.data.std(0) + 0.01)).astype(np.float32), data.target


def train(digits, *, lr, epochs=8, clip=None, momentum=0.9, **architecture):
    net = gm.mlp(64, 10, **{"width": 64, "depth": DEPTH, "seed": 0, **architecture})
    optimizer = gm.SGD(lr=lr, momentum=momentum)
    trainer = gm.Trainer(net, loss="cross_entropy", optimizer=optimizer, clip=clip, record="full", seed=0)
    return diagnose(trainer.fit(*digits, epochs=epochs, batch_size=128))


def scaled(sigma_w):
    return gm.init.normal(std=sigma_w / 8)  # every layer has 64 inputs


def test_the_sick_network_vanishes(digits):
    found = train(digits, lr=0.1, activation="sigmoid", init="xavier_normal")
    assert found.verdict == "vanishing"
    assert found.delta_slope < -0.4
    assert found.since_step == 0
    assert "sigmoid" in found.cause


@pytest.mark.parametrize("lr", [0.01, 0.1])
def test_the_cured_network_is_healthy(digits, lr):
    found = train(digits, lr=lr, epochs=25, clip=gm.ClipNorm(5.0), init="kaiming_normal", batch_norm=True, dropout=0.02)
    assert found.verdict == "healthy", str(found)
    assert abs(found.delta_slope) < 0.1
    assert found.since_step < 10


@pytest.mark.parametrize("depth", [0, 1, 3])
def test_shallow_networks_that_learn_are_healthy(digits, depth):
    assert train(digits, lr=0.1, depth=depth, epochs=30).verdict == "healthy"


@pytest.mark.parametrize(
    ("architecture", "verdict", "delta_slope"),
    [
        ({"depth": 30, "init": scaled(1.8)}, "exploding", 0.108),
        ({"depth": 30, "init": scaled(0.577)}, "vanishing", -0.388),
        ({"depth": 20, "batch_norm": True}, "healthy", 0.085),
        ({"depth": 20}, "healthy", 0.0),
        ({"depth": 20, "activation": "tanh", "init": scaled(0.6)}, "vanishing", -0.22),
        ({"depth": 20, "activation": "tanh", "init": scaled(4.0)}, "exploding", 0.15),
        ({"depth": 20, "activation": "leaky_relu"}, "healthy", 0.0),
    ],
)
def test_networks_at_the_start(digits, architecture, verdict, delta_slope):
    found = train(digits, lr=0.0, epochs=1, **architecture)
    assert found.verdict == verdict, str(found)
    assert found.delta_slope == pytest.approx(delta_slope, abs=0.06)


def test_a_network_whose_weights_are_too_large_explodes_clipped_or_not(digits):
    architecture = {"init": scaled(2.83), "momentum": 0.0}
    assert train(digits, lr=0.01, **architecture).verdict == "non-finite"
    found = train(digits, lr=1e-5, clip=gm.ClipNorm(1.0), **architecture)
    assert found.verdict == "exploding"
    assert "clipping" in found.cause


def test_units_pushed_below_zero_are_dead(digits):
    net = gm.mlp(64, 10, depth=4, width=64, seed=0)
    state = net.state_dict()
    state["4.bias"] -= 1e3
    state["6.bias"] += 0.1  # or it would be dead too: ReLU has no slope at zero, which is all it gets
    net.load_state_dict(state)
    trainer = gm.Trainer(net, loss="cross_entropy", optimizer=gm.SGD(lr=0.01), record="full", seed=0)
    found = trainer.fit(*digits, epochs=1, batch_size=128).diagnose()
    assert (found.verdict, found.layer, found.dead_layers) == ("dead", "4.weight", ("4.weight",))
