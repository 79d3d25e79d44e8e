"""What a recording keeps of its start, and the prediction that is made from it."""

import copy
import pickle

import numpy as np
import pytest

import gradiometer as gm
from gradiometer import recording_file
from gradiometer.activations import _ACTIVATIONS
from gradiometer.start import MOST_ROWS, _build, _describe

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(300, 12)), RNG.integers(0, 5, 300)


def trainer(net=None, loss="cross_entropy", lr=0.1, **arguments):
    net = gm.mlp(12, 5, depth=6, width=40, activation="tanh", dropout=0.2, seed=0) if net is None else net
    return gm.Trainer(net, loss=loss, optimizer=gm.SGD(lr=lr), seed=3, **arguments)


def test_the_prediction_is_that_of_theory_for_the_first_step():
    run = trainer()
    expected = gm.theory.predict(run.net, X[:100], Y[:100], "cross_entropy")
    for _ in range(5):
        run.step(X[:100], Y[:100])
    got = run.recording.prediction
    assert run.recording.no_prediction_because == ""
    assert got.layer_names == run.recording.layer_names
    assert got.variance == pytest.approx(expected.variance)
    # The outputs are typical ones instead of the actual ones, which matters for the sizes more than for their ratios.
    assert got.delta_norm == pytest.approx(expected.delta_norm, rel=0.01)
    assert got.grad_norm == pytest.approx(expected.grad_norm, rel=0.2)
    assert run.recording.prediction is got


def skip(*layers, scale=1.0):
    return gm.Residual(layers, scale)


NESTED = {
    "blocks": [
        gm.Dense(40), *[skip(gm.LayerNorm(), gm.Tanh(), gm.Dense(20), gm.GELU(), gm.Dense(40), scale=0.5)] * 5,
        gm.LayerNorm(), gm.Dense(5),
    ],
    "norms and dropout inside": [
        gm.Dense(40),
        *[skip(gm.BatchNorm(), gm.ReLU(), gm.Dropout(0.2), gm.Dense(40), skip(gm.SiLU(), gm.Dense(40)))] * 3,
        gm.Tanh(), gm.Dense(5),
    ],
    "norms around the data": [
        skip(gm.LayerNorm(), gm.Tanh()), gm.BatchNorm(), skip(gm.LayerNorm(), gm.Dense(12), gm.LayerNorm()),
        gm.Dense(5),
    ],
    "a sum is the output": [gm.Dense(40), gm.Tanh(), gm.Dense(5), skip(gm.Sigmoid(), gm.Dense(5)), gm.LayerNorm()],
}  # fmt: skip


@pytest.mark.parametrize("layers", NESTED.values(), ids=NESTED)
def test_predictions_know_residual_connections_and_layer_norm(layers, tmp_path):
    run = trainer(gm.Network(12, layers, seed=0))
    state = run.net.state_dict()
    keys = [key for key, value in state.items() if value.ndim == 1 and key.endswith(("weight", "bias"))]
    run.net.load_state_dict(state | {key: state[key] + RNG.uniform(-0.4, 0.4, state[key].shape) for key in keys})
    expected = gm.theory.predict(run.net, X[:100], Y[:100], "cross_entropy")
    run.step(X[:100], Y[:100])
    run.recording.save(tmp_path / "run")
    for got in (run.recording.prediction, gm.load_recording(tmp_path / "run").prediction):
        assert got.layer_names == run.recording.layer_names
        assert got.variance == pytest.approx(expected.variance, rel=1e-6)
        # Five typical outputs instead of the actual ones matter for the jump to the last layer, not in front of it.
        assert got.delta_norm == pytest.approx(expected.delta_norm, rel=0.1)
        hidden = [prediction.delta_norm[:-1] / prediction.delta_norm[-2] for prediction in (got, expected)]
        assert hidden[0] == pytest.approx(hidden[1], rel=0.02)
        assert got.spread == pytest.approx(expected.spread, rel=0.1)


@pytest.mark.parametrize(("shuffle", "rows", "batch_size"), [(True, 300, 64), (False, 300, 64), (True, 65, 64)])
def test_fit_keeps_the_rows_of_its_first_batch(shuffle, rows, batch_size):
    layers = [gm.Dense(9), skip(gm.BatchNorm(), gm.ReLU()), gm.Dropout(0.3), gm.Dense(5)]
    runs = [trainer(gm.Network(12, layers, seed=1), lr=0.0) for _ in range(2)]
    runs[0].fit(X[:rows], Y[:rows], epochs=1, batch_size=batch_size, shuffle=shuffle)
    start = runs[0].recording._start
    assert len(start.x) == start.rows == (65 if rows == 65 else 64)  # a single row is no batch of batch norm
    runs[1].step(start.x, start.y)
    # Rows in the same order give the same bits.
    assert np.array_equal(runs[0].recording.delta_norm[0], runs[1].recording.delta_norm[0])


def test_parameters_are_those_before_the_first_step_not_those_at_the_beginning():
    run = trainer()
    before = run.net.state_dict()
    run.net.load_state_dict({key: 3 * value for key, value in before.items()})
    run.step(X, Y)
    size = np.sqrt(np.mean(np.square(before["3.weight"])))
    assert run.recording._start.parameters["3.weight"] == pytest.approx(3 * size, rel=1e-6)


def test_of_a_large_batch_some_rows_are_kept_and_no_grad_norm_is_predicted():
    run = trainer()
    run.step(X, Y)
    start = run.recording._start
    assert (start.rows, len(start.x), len(start.y)) == (300, MOST_ROWS, MOST_ROWS)
    assert np.array_equal(start.x[[0, -1]], X[[0, -1]].astype("f4"))
    got = run.recording.prediction
    assert got.grad_norm is None
    assert got.slope == pytest.approx(gm.theory.predict(run.net, X, Y, "cross_entropy").slope, abs=2e-3)


def test_sample_weights_choose_the_rows_that_matter():
    """Rows of weight 0 are as good as absent, and here they are a thousand times larger."""
    x, weight = X[:100].copy(), np.repeat([1.0, 0.0], 50)
    x[50:] *= 1000
    weighted, alone = trainer(), trainer()
    weighted.step(x, Y[:100], weight)
    alone.step(x[:50], Y[:50])
    slopes = [run.recording.prediction.slope for run in (weighted, alone)]
    assert slopes[0] == pytest.approx(slopes[1], abs=2e-3)  # the draws of the outputs are others
    assert weighted.recording.prediction.slope != gm.theory.predict(weighted.net, x).slope


def test_nothing_is_kept_where_nothing_is_recorded_or_no_data_were_seen():
    silent = trainer(record=None)
    silent.step(X, Y)
    own = trainer()
    dy = np.ones_like(own.net.forward(X, training=True))
    own.net.backward(dy)
    own.apply_gradients()
    own.step(X, Y)
    own.fit(X, Y, epochs=1, batch_size=50)
    for run in (trainer(), silent, own):
        assert run.recording._start is None
        assert run.recording.prediction is None
        assert "nothing is known" in run.recording.no_prediction_because


def test_a_step_that_was_refused_is_no_start():
    run = trainer()
    with pytest.raises(ValueError, match="x has shape"):
        run.step(X[:, :3], Y)
    assert run.recording.prediction is None
    run.step(X, Y)
    assert run.recording.prediction is not None


def test_a_run_that_is_taken_up_starts_with_its_first_recorded_step():
    first = trainer(record_every=4)
    for _ in range(3):
        first.step(X, Y)
    second = trainer(first.net, record_every=4)
    second.load_state_dict(first.state_dict())
    second.step(X, Y)
    assert second.recording._start is None
    second.step(X[:50], Y[:50])
    assert second.recording.steps.tolist() == [4]
    assert second.recording._start.rows == 50


@pytest.mark.parametrize("loss", ["mse", "bce_with_logits"])
def test_targets_of_one_output_may_be_a_row(loss):
    net = gm.mlp(12, 1, depth=2, width=10, seed=0)
    run = trainer(net, loss)
    run.step(X, RNG.random(300))
    assert run.recording.prediction.delta_norm.shape == (3,)


@pytest.mark.parametrize("way", ["copy", "deepcopy", "pickle", "file", "trainer"])
def test_a_copy_has_the_same_prediction(way, tmp_path):
    net = gm.Network(12, [gm.BatchNorm(), gm.Dense(30, init="orthogonal"), gm.LeakyReLU(0.3), gm.Dense(5)], seed=0)
    run = trainer(net)
    run.step(X[:40], Y[:40], np.ones(40))
    run.recording.save(tmp_path / "run")
    ways = {
        "copy": copy.copy,
        "deepcopy": copy.deepcopy,
        "pickle": lambda recording: pickle.loads(pickle.dumps(recording)),
        "file": lambda _: gm.load_recording(tmp_path / "run"),
        "trainer": lambda _: pickle.loads(pickle.dumps(run)).recording,
    }
    got, expected = ways[way](run.recording).prediction, run.recording.prediction
    assert np.array_equal(got.delta_norm, expected.delta_norm)
    assert np.array_equal(got.grad_norm, expected.grad_norm)
    assert got.spread[0] == expected.spread[0]


@pytest.mark.parametrize(
    "layer",
    [
        *(kind() for kind in _ACTIVATIONS.values()), gm.Softplus(2.0, 5.0), gm.GELU("tanh"), gm.Hardtanh(-2.0, 3.0),
        gm.Dense(7), gm.Dense(3, bias=False, init="orthogonal"), gm.BatchNorm(eps=1e-3, affine=False), gm.Dropout(0.2),
        gm.LayerNorm(eps=1e-3, affine=False), gm.Residual([gm.Residual([gm.Tanh()], 0.5), gm.Dense(4)], -2.0),
    ],
    ids=repr,
)  # fmt: skip
def test_every_layer_can_be_described_and_built_again(layer):
    assert _build(_describe(layer)) == layer


def test_where_theory_does_not_apply_the_reason_is_told():
    run = trainer(gm.Network(12, [gm.Dense(5), gm.ReLU(), gm.Tanh()], seed=0))
    run.step(X, Y)
    assert run.recording.prediction is None
    assert "Tanh() follows another activation" in run.recording.no_prediction_because
    run = trainer(allow_nonfinite=True)
    run.step(np.where(X > 1, np.nan, X), Y)
    assert run.recording.no_prediction_because == "the first batch holds NaN or infinite numbers"


@pytest.mark.parametrize(
    ("x", "y"), [(X * 1e300, Y[:, None] * np.ones(5)), (X, np.full((300, 5), np.nan)), (X, 1e300 * X[:, :5])]
)
def test_examples_beyond_float32_are_trained_on_without_a_warning_where_that_is_allowed(x, y):
    run = trainer(loss="mse", allow_nonfinite=True)
    run.step(x, y)
    assert len(run.recording) == 1
    assert run.recording.prediction is None
    assert run.recording.no_prediction_because == "the first batch holds NaN or infinite numbers"


def test_a_file_whose_start_is_damaged_says_so(tmp_path):
    run = trainer()
    run.step(X, Y)
    metadata, arrays = run.recording._state()
    del arrays["start_x"]
    recording_file.write(tmp_path / "run", metadata, arrays)
    with pytest.raises(ValueError, match="damaged: the first batch is missing"):
        gm.load_recording(tmp_path / "run")
