"""`theory.predict`: the slopes of 20 networks fixed in advance, and the contract of the function."""

import math
import pickle
import subprocess
import sys

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

import gradiometer as gm
import theory_configurations
from theory_configurations import CONFIGURATIONS, compare, tolerance

predict = gm.theory.predict


@pytest.fixture(autouse=True)
def one_thread():
    """Small matrices are slow with the threads of a BLAS that fight for busy processors."""
    with threadpool_limits(1):
        yield


@pytest.fixture(scope="module")
def digits():
    return theory_configurations.digits()


def one_step(net, x, y, seed, loss="cross_entropy"):
    trainer = gm.Trainer(net, loss=loss, optimizer=gm.SGD(lr=0.0), seed=seed)
    trainer.step(x, y)
    return trainer.recording


@pytest.mark.parametrize("label", CONFIGURATIONS)
def test_slopes_are_those_measured(label, digits):
    """Within the largest of 5 %, three standard errors of the seeds, and 0.01 decades per layer."""
    measured, error, predicted = compare(CONFIGURATIONS[label], *digits)
    assert abs(measured - predicted) < tolerance(measured, error)


def test_tanh_at_its_critical_point_still_loses_signal(digits):
    """χ₁ = 1 holds in the limit of q → 0 only; over 20 layers the data's own q gives about -0.02 decades per layer."""
    net = gm.mlp(64, 10, depth=20, width=64, activation="tanh", init="xavier_normal", seed=0)
    assert gm.theory.chi("tanh", 1.0) == 1
    assert predict(net, *digits, "cross_entropy").slope == pytest.approx(-0.0235, abs=0.003)


def test_the_spread_over_seeds_is_the_one_to_expect(digits):
    """Hanin 2018: it grows with the sum of 1 / width. ReLU, 30 layers: 0.15 decades at width 64, half of it at 256."""
    spreads = {}
    for width in (64, 256):
        measured = []
        for seed in range(24):
            net = gm.mlp(64, 10, depth=30, width=width, seed=seed)
            delta = one_step(net, *digits, seed).delta_norm[0]
            measured.append(math.log10(delta[0] / delta[-1]))
        spreads[width] = predict(net, *digits, "cross_entropy").spread
        # A standard deviation of 24 samples is known to 1 / √46 = 15 %, three of which are 0.45.
        assert np.std(measured, ddof=1) == pytest.approx(spreads[width][0], rel=0.45)
    assert spreads[64][0] / spreads[256][0] == pytest.approx(2, rel=0.1)
    assert np.all(np.diff(spreads[64]) < 0)
    assert spreads[64][-1] == 0


def test_orthogonal_weights_of_a_linear_network_leave_no_spread():
    x = np.random.default_rng(0).normal(size=(16, 64))
    net = gm.Network(64, [gm.Dense(64, init="orthogonal")] * 11, seed=1)
    got = predict(net, x)
    assert got.delta_norm == pytest.approx(np.ones(11), rel=1e-6)  # the weights are rounded to float32
    assert got.spread == pytest.approx(np.zeros(11))


def test_what_comes_back(digits):
    net = gm.mlp(64, 10, depth=3, width=32, batch_norm=True, dropout=0.2, seed=0)
    before = pickle.dumps(net)
    full, bare = predict(net, *digits, "cross_entropy"), predict(net, digits[0])
    assert pickle.dumps(net) == before
    assert full.layer_names == list(one_step(net, *digits, 0).layer_names)
    assert full.delta_norm.shape == full.grad_norm.shape == full.spread.shape == full.variance.shape == (4,)
    assert full.delta_norm[-1] == bare.delta_norm[-1] == 1
    assert bare.grad_norm is None
    # Without y the gradient at the output is random: the same slope up to the finite batch and the ten classes.
    assert bare.slope == pytest.approx(full.slope, abs=0.03)
    assert np.array_equal(bare.delta_norm, predict(net, digits[0]).delta_norm)


def test_biases_and_their_size_matter():
    """Biases of standard deviation 2 saturate tanh: its pre-activations have a variance of about 4 more."""
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(40, 30)), 100 * rng.normal(size=(40, 30))
    ratios = []
    for seed in range(4):
        net = gm.mlp(30, 30, depth=3, width=500, activation="tanh", init="xavier_normal", seed=seed)
        state = net.state_dict()
        biases = {key: rng.normal(0, 2, len(value)) for key, value in state.items() if key.endswith("bias")}
        net.load_state_dict({**state, **biases})
        got = predict(net, x, y, "mse")
        assert (got.variance > 3.5).all()
        ratios.append(one_step(net, x, y, seed, "mse").delta_norm[0] / got.delta_norm)
    ratio = np.mean(ratios, axis=0)
    assert ratio / ratio[-1] == pytest.approx(1, abs=0.05)  # sums over 500 units, and four seeds
    assert got.delta_norm[0] < 0.2


@pytest.mark.parametrize("loss", ["cross_entropy", "bce_with_logits", "mse"])
def test_the_last_weight_gradient_is_exact_up_to_the_width(loss):
    """The gradient at the output is the actual one; what the last weights see of the hidden layer is predicted."""
    rng = np.random.default_rng(3)
    x, width = rng.normal(size=(50, 30)), 4000
    y = {
        "cross_entropy": rng.integers(0, 5, 50),
        "bce_with_logits": rng.random((50, 5)),
        "mse": rng.normal(size=(50, 5)),
    }
    net = gm.mlp(30, 5, depth=1, width=width, activation="tanh", seed=0)
    got = predict(net, x, y[loss], loss)
    # Sums over 4000 units fluctuate by about 1 / √4000 = 1.6 %.
    assert got.grad_norm == pytest.approx(one_step(net, x, y[loss], 0, loss).grad_norm[0], rel=0.05)


@pytest.mark.parametrize("layers", [
    [gm.BatchNorm(), gm.Dense(500), gm.Tanh(), gm.Dense(10)],
    [gm.Dropout(0.3), gm.Dense(500), gm.Tanh(), gm.Dense(10)],
    [gm.Tanh(), gm.Dense(500), gm.ReLU(), gm.Dropout(0.0), gm.Dense(10), gm.Tanh()],
    [gm.Dense(500, bias=False), gm.Dense(500), gm.Identity(), gm.SELU(), gm.Dense(10)],
    [gm.Dense(500), gm.BatchNorm(affine=False), gm.SiLU(), gm.Dense(10), gm.BatchNorm()],
], ids=str)  # fmt: skip
def test_layers_in_other_places(layers):
    rng = np.random.default_rng(1)
    # Targets far beyond the outputs, so that the gradient at the output does not depend on the last weights.
    x, y = 2 * rng.normal(size=(60, 40)) + 0.5, 100 * rng.normal(size=(60, 10))
    ratios = []
    for seed in range(4):
        net = gm.Network(40, layers, seed=seed)
        recording, got = one_step(net, x, y, seed, "mse"), predict(net, x, y, "mse")
        delta = recording.delta_norm[0]
        ratios.append([delta / delta[-1] / got.delta_norm, recording.grad_norm[0] / got.grad_norm])
    # Ten outputs and 500 units: some 3 % over four seeds, and dropout draws its masks twice.
    assert np.mean(ratios, axis=0) == pytest.approx(1, abs=0.1)


def test_signals_beyond_the_range_of_a_float64_have_a_slope(digits):
    net = gm.mlp(64, 10, depth=300, width=16, activation="sigmoid", init="xavier_normal", dtype="float64", seed=0)
    got = predict(net, digits[0][:8])
    assert got.slope == pytest.approx(-0.62, abs=0.03)
    assert got.delta_norm[0] < 1e-150
    assert np.isfinite(got.spread).all()


@pytest.mark.parametrize("size", [1e200, 1e-200])
def test_gradients_whose_squares_are_beyond_a_float64_at_the_output(size, digits):
    net = gm.mlp(64, 10, depth=2, width=16, bias=False, dtype="float64", seed=0)
    x, y = digits[0][:8], np.random.default_rng(0).normal(size=(8, 10))
    last = np.zeros((10, 16))  # so that the outputs are zero, and all of the gradient is that of the targets
    net.load_state_dict({**net.state_dict(), "4.weight": last + 1e-200})
    one, other = predict(net, x, y, "mse"), predict(net, x, size * y, "mse")
    assert other.grad_norm[-1] == pytest.approx(one.grad_norm[-1] * size, rel=1e-9)


def test_a_batch_whose_squares_are_beyond_a_float64_is_refused(digits):
    net = gm.mlp(64, 10, depth=2, width=16, dtype="float64", seed=0)
    with pytest.raises(ValueError, match=r"variance of the outputs of layers\[0\] is beyond what a float64 can hold"):
        predict(net, 1e200 * digits[0][:8])


def test_zero_weights_predict_zero_gradients(digits):
    hidden = [gm.Dense(16, init="zeros"), gm.ReLU()]
    net = gm.Network(64, hidden * 3 + [gm.Dense(10, init="zeros")], seed=0)
    got = predict(net, *digits, "cross_entropy")
    assert list(got.delta_norm) == [0, 0, 0, 1]
    assert list(got.grad_norm) == [0, 0, 0, 0]
    assert math.isnan(got.slope)


def test_a_batch_of_512_rows_has_a_prediction():
    x = np.random.default_rng(0).normal(size=(512, 64))
    net = gm.mlp(64, 10, depth=12, width=64, activation="gelu", batch_norm=True, seed=0)
    got = predict(net, x)
    # The growth of the limit, within what the width of 64 and the ten outputs do.
    assert got.slope == pytest.approx(math.log10(gm.theory.batch_norm_growth("gelu")) / 2, abs=0.01)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda net, x, y: predict("net", x), TypeError, "net must be a Network"),
        (lambda net, x, y: predict(net, x, y), ValueError, "y and loss belong together"),
        (lambda net, x, y: predict(net, x, loss="mse"), ValueError, "y and loss belong together"),
        (lambda net, x, y: predict(net, x, y, "l2"), ValueError, "loss must be one of 'cross_entropy'"),
        (lambda net, x, y: predict(net, x, y[:5], "cross_entropy"), ValueError, "y has shape"),
        (lambda net, x, y: predict(net, x, y + 0.5, "cross_entropy"), TypeError, "integer class labels"),
        (
            lambda net, x, y: predict(net, x, y + 7, "cross_entropy"),
            ValueError,
            r"y\[3\] is 10; labels must",
        ),
        (lambda net, x, y: predict(net, x, y, "mse"), ValueError, "y has shape"),
        (lambda net, x, y: predict(net, x, y, 3), ValueError, "loss must be one of .*, not 3"),
        (
            lambda net, x, y: predict(net, x, x[:, :10] * np.nan, "mse"),
            ValueError,
            r"y must be finite, but y\[0, 0\]",
        ),
        (
            lambda net, x, y: predict(net, x, np.full((128, 10), 1.5), "bce_with_logits"),
            ValueError,
            r"targets of bce_with_logits must be from 0 to 1, but y\[0, 0\] is 1.5",
        ),
        (lambda net, x, y: predict(net, x, [["a"] * 10] * 128, "mse"), TypeError, "y must hold numbers"),
        (lambda net, x, y: predict(net, x[:, :5]), ValueError, "64"),
        (lambda net, x, y: predict(gm.Network(64, [gm.Tanh()]), x), ValueError, "at least one dense layer"),
        (
            lambda net, x, y: predict(gm.Network(64, [gm.Dense(9), gm.ReLU(), gm.Tanh()]), x),
            ValueError,
            r"layers\[2\] = Tanh\(\) follows another activation",
        ),
        (
            lambda net, x, y: predict(gm.Network(64, [gm.Dense(9), gm.Dropout(1.0), gm.Dense(9)]), x),
            ValueError,
            r"layers\[1\] drops every unit",
        ),
    ],
)
def test_wrong_arguments_are_refused_with_the_reason(call, error, message, digits):
    with pytest.raises(error, match=message):
        call(gm.mlp(64, 10, depth=2, width=16, seed=0), *digits)


def test_theory_is_imported_when_it_is_used():
    program = (
        "import sys, gradiometer as gm; before = 'gradiometer.theory' in sys.modules; gm.theory.chi('relu', 1.0); "
        "print(before, 'gradiometer.theory' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]
    with pytest.raises(AttributeError, match="no attribute 'theories'"):
        gm.theories  # noqa: B018
