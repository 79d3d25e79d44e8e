"""The ends of the floating-point range, and the caller's floating-point mode."""

import subprocess
import sys

import numpy as np
import pytest

import gradiometer as gm

BOTH = pytest.mark.parametrize("dtype", ["float32", "float64"])


def one_backward_pass(dy_size, dtype="float32", rows=13, optimizer=None, **arguments):
    """A linear network that has seen one upstream gradient of the given size; (net, trainer, dy, x)."""
    rng = np.random.default_rng(0)
    x = rng.choice([-1.0, -0.5, 0.5, 1.0], (rows, 9)).astype(dtype)
    dy = (dy_size * rng.uniform(0.5, 1.0, (rows, 7))).astype(dtype)
    net = gm.Network(9, [gm.Dense(11), gm.Dense(7)], dtype=dtype, seed=1)
    trainer = gm.Trainer(net, loss="mse", optimizer=optimizer or gm.SGD(lr=0.0), **arguments)
    net.forward(x, training=True)
    net.backward(dy)
    trainer.apply_gradients()
    return net, trainer, dy, x


def exact_norm(arrays):
    """In the extended range of Python integers, far from any over- or underflow."""
    entries = np.concatenate([np.ravel(array) for array in arrays]).astype(np.float64)
    _, exponents = np.frexp(np.abs(entries).max())
    return float(np.ldexp(np.sqrt((np.ldexp(entries, -exponents) ** 2).sum()), exponents))


# ---- Norms and clipping over the whole range ------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("per_layer", [False, True])
@pytest.mark.parametrize("size", [1e20, 1e30])
def test_a_huge_gradient_is_clipped_to_max_norm(size, per_layer, dtype):
    """PyTorch clips a float32 gradient of 1e20 to zeros: the sum of its squares overflows."""
    rng = np.random.default_rng(2)
    net = gm.Network(9, [gm.Dense(11), gm.Dense(7)], dtype=dtype, seed=1)
    before = net.state_dict()
    clip = gm.ClipNorm(2.0, per_layer=per_layer)
    trainer = gm.Trainer(net, loss="mse", optimizer=gm.SGD(lr=1.0), clip=clip)
    net.load_state_dict({key: np.zeros_like(value) for key, value in before.items()})
    net.load_state_dict({**net.state_dict(), "1.weight": before["1.weight"]})
    net.forward(rng.normal(size=(13, 9)).astype(dtype), training=True)
    net.backward(np.full((13, 7), size, dtype))
    start, gradients = net.state_dict(), net.gradients()
    trainer.apply_gradients()
    assert trainer.recording.total_norm[0] == pytest.approx(exact_norm(gradients.values()), rel=1e-12, abs=0)
    rel = 0.9 if per_layer else 1e-12  # a layer has a smaller norm
    assert trainer.recording.clip_coefficient[0] == pytest.approx(2 / trainer.recording.total_norm[0], rel=rel, abs=0)
    change = {key: value - start[key] for key, value in net.state_dict().items()}
    groups = [("0.weight", "0.bias"), ("1.weight", "1.bias")] if per_layer else [tuple(change)]
    for group in groups:
        assert exact_norm([change[key] for key in group]) == pytest.approx(2.0, rel=1e-5, abs=0)


@pytest.mark.parametrize(
    "clip", [gm.ClipNorm(1e-6), gm.ClipAdaptive(clip_factor=1e-3, eps=1e-3)], ids=lambda clip: type(clip).__name__
)
def test_a_coefficient_below_the_smallest_normal_float_clips_to_the_limit(clip):
    """Of 1e-44, a float keeps three bits: the change would be off by some percent."""
    rng = np.random.default_rng(11)
    net = gm.Network(9, [gm.Dense(7, bias=False, init="zeros")])
    trainer = gm.Trainer(net, loss="mse", optimizer=gm.SGD(lr=1.0), clip=clip)
    net.forward(rng.uniform(0.5, 1.0, (13, 9)).astype(np.float32), training=True)
    net.backward(np.full((13, 7), 1e36, np.float32))
    trainer.apply_gradients()
    assert 0 < trainer.recording.clip_coefficient[0] < 1e-42
    change = net.state_dict()["0.weight"]
    for unit in change if isinstance(clip, gm.ClipAdaptive) else [change]:
        assert exact_norm(unit) == pytest.approx(1e-6, rel=1e-5, abs=0)


@BOTH
@pytest.mark.parametrize("size", [1e-44, 1e-38, 1e-30, 1e-25, 1e-12, 1.0, 1e12, 1e25, 1e36])
def test_norms_are_right_over_the_whole_range(size, dtype):
    """Entries of 1e-25 have the norm 0.0 in NumPy and PyTorch in float32: their squares underflow."""
    net, trainer, dy, x = one_backward_pass(size, dtype, record="full")
    recording, gradients = trainer.recording, net.gradients()
    for number, key in enumerate(["0.weight", "1.weight"]):
        assert recording.grad_norm[0, number] == pytest.approx(exact_norm([gradients[key]]), rel=1e-12, abs=0)
        largest = np.abs(gradients[key]).max()
        assert recording.grad_max_abs[0, number] == largest > 0
        mean = np.abs(gradients[key].astype(np.float64)).mean()
        assert recording.grad_mean_abs[0, number] == pytest.approx(mean, rel=1e-12, abs=0)
    assert recording.delta_norm[0, 1] == pytest.approx(exact_norm([dy]), rel=1e-12, abs=0)
    assert recording.total_norm[0] == pytest.approx(exact_norm(gradients.values()), rel=1e-12, abs=0)
    # Against the same pass in float64.
    wide = gm.Network(9, net.layers, dtype="float64")
    wide.load_state_dict(net.state_dict())
    wide.forward(x.astype(np.float64), training=True)
    wide.backward(dy.astype(np.float64))
    for number, key in enumerate(["0.weight", "1.weight"]):
        expected = exact_norm([wide.gradients()[key]])
        grain = 1e-45 / size  # of a subnormal
        assert recording.grad_norm[0, number] == pytest.approx(expected, rel=1e-5 + 100 * grain, abs=0)


@pytest.mark.parametrize("size", [1e-300, 1e-170, 1e-150, 4.5e-145, 4.5e144, 1e150, 1e170, 1e300])
def test_float64_norms_beyond_the_range_of_squares(size):
    """Entries around 2^±480 are summed in two of the three sums of squares."""
    net, trainer, dy, _ = one_backward_pass(size, "float64")
    for number, key in enumerate(["0.weight", "1.weight"]):
        expected = exact_norm([net.gradients()[key]])
        assert trainer.recording.grad_norm[0, number] == pytest.approx(expected, rel=1e-12, abs=0)
    assert trainer.recording.delta_norm[0, 1] == pytest.approx(exact_norm([dy]), rel=1e-12, abs=0)
    assert trainer.recording.total_norm[0] == pytest.approx(exact_norm(net.gradients().values()), rel=1e-12, abs=0)


@BOTH
def test_subnormal_entries_are_counted_apart_from_zeros(dtype):
    """1e-40 is subnormal in float32, and nothing special in float64. A third of the inputs are zero."""
    x = np.tile([1.0, 0.0, 2.0], (1, 5)).astype(dtype)
    net = gm.Network(15, [gm.Dense(4)], dtype=dtype)
    trainer = gm.Trainer(net, loss="mse", optimizer=gm.SGD(lr=0.0), record="full")
    net.forward(x, training=True)
    net.backward(np.full((1, 4), 1e-40, dtype))
    trainer.apply_gradients()
    recording = trainer.recording
    assert recording.grad_zero_fraction[0, 0] == pytest.approx(1 / 3)
    assert recording.grad_subnormal_fraction[0, 0] == pytest.approx(2 / 3 if dtype == "float32" else 0)
    expected = exact_norm([np.outer(np.full(4, 1e-40, dtype), x[0])])
    assert recording.grad_norm[0, 0] == pytest.approx(expected, rel=1e-4, abs=0)


@pytest.mark.parametrize(
    ("activation", "std"),
    [("tanh", 0.018), ("sigmoid", 0.06), ("gelu", 0.05), ("elu", 0.018), ("selu", 0.02), ("leaky_relu", 0.035),
     ("softplus", 0.04)],
)  # fmt: skip
def test_gradients_that_vanish_into_subnormals_keep_what_float32_can_hold(activation, std):
    """The same network in float64, where 1e-45 is nothing special, has the gradients that float32 rounds."""
    rng = np.random.default_rng(6)
    x, y = rng.standard_normal((40, 24)).astype(np.float32), rng.standard_normal((40, 5)).astype(np.float32)
    gradients, updated, before = [], [], []
    for dtype in ("float32", "float64"):
        net = gm.mlp(
            24, 5, depth=45, width=24, activation=activation, init=gm.init.normal(std=std), dtype=dtype, seed=1
        )
        net.load_state_dict({key: value.astype(np.float32) for key, value in net.state_dict().items()})
        before.append(net.state_dict())
        gm.Trainer(net, loss="mse", optimizer=gm.SGD(lr=0.1), clip=gm.ClipNorm(0.5)).step(
            x.astype(dtype), y.astype(dtype)
        )
        gradients.append(net.gradients())
        updated.append(net.state_dict())
    smallest = np.finfo(np.float32).smallest_subnormal
    subnormal = 0
    for key, exact in gradients[1].items():
        found = gradients[0][key]
        subnormal += np.count_nonzero((found != 0) & (np.abs(found) < np.finfo(np.float32).tiny))
        # Rounding of 45 layers, relative to the largest entry: there is cancellation. And each of the 40 deltas that
        # are summed, times an input of up to 3, is a multiple of the smallest number; so is the sum.
        tolerance = 1e-4 * np.abs(exact).max() + 20 * smallest
        np.testing.assert_allclose(found.astype(np.float64), exact, rtol=0, atol=tolerance, err_msg=key)
    assert subnormal > 100, "too easy"
    for key in before[0]:
        if key.endswith("bias"):  # zero before: nothing of an update is lost in a larger number
            tolerance = 1e-4 * np.abs(updated[1][key]).max() + 2 * smallest
            np.testing.assert_allclose(updated[0][key], updated[1][key], rtol=0, atol=tolerance, err_msg=key)


@pytest.mark.parametrize("activation", ["sigmoid", "silu", "gelu", "elu", "softplus", "relu", "tanh"])
def test_rows_of_subnormal_deltas_are_kept_beside_larger_ones(activation):
    """Each row of dL/dx is that of float64, to float32's rounding of its own largest entry, or to its grain."""
    rng = np.random.default_rng(8)
    x, dy = rng.standard_normal((64, 30)).astype(np.float32), rng.standard_normal((64, 5)).astype(np.float32)
    dy[1::3] *= np.float32(1e-41)
    results = []
    for dtype in ("float32", "float64"):
        net = gm.mlp(30, 5, depth=2, width=40, activation=activation, init="xavier_normal", dtype=dtype, seed=2)
        net.load_state_dict({key: value.astype(np.float32) for key, value in net.state_dict().items()})
        net.forward(x.astype(dtype), training=True)
        results.append((net.backward(dy.astype(dtype)), net.gradients()))
    (found, gradients), (exact, exact_gradients) = results
    largest = np.abs(exact).max(axis=1, keepdims=True)
    assert (largest[1::3] < np.finfo(np.float32).tiny).all(), "too easy"
    # Three layers of sums of 40 numbers, each of which a delta of one grain makes wrong by a grain.
    tolerance = 3e-6 * largest + 40 * np.finfo(np.float32).smallest_subnormal
    assert (np.abs(found - exact) <= tolerance).all()
    for key, value in exact_gradients.items():
        np.testing.assert_allclose(gradients[key], value, rtol=0, atol=3e-6 * np.abs(value).max(), err_msg=key)


def test_three_hundred_sigmoid_layers_in_float64_have_no_norm_of_zero():
    rng = np.random.default_rng(3)
    net = gm.mlp(16, 4, depth=300, width=16, activation="sigmoid", init="xavier_normal", dtype="float64", seed=4)
    trainer = gm.Trainer(net, loss="mse", optimizer=gm.SGD(lr=0.1), record="full")
    for _ in range(2):
        trainer.step(rng.normal(size=(20, 16)), rng.normal(size=(20, 4)))
    recording = trainer.recording
    assert recording.grad_norm.shape == (2, 301)
    assert (recording.grad_norm > 0).all()
    assert (recording.delta_norm > 0).all()
    assert recording.delta_norm.min() < 1e-162, "too easy: the squares do not underflow"
    for number, key in enumerate(recording.layer_names):
        expected = exact_norm([net.gradients()[key]])
        assert recording.grad_norm[-1, number] == pytest.approx(expected, rel=1e-12, abs=0)
    slopes = np.diff(np.log10(recording.delta_norm[0]))
    assert ((slopes > 0.1) & (slopes < 1.5)).all(), "the signal decays steadily, layer by layer"


@BOTH
@pytest.mark.parametrize("classes", [3, 16, 21])
@pytest.mark.parametrize("shift", [-1000.0, 1000.0])
def test_cross_entropy_does_not_depend_on_a_shift_of_all_logits(shift, classes, dtype):
    """Eighths are exact beside 1000: the powers are the same bits, though exp(±1000) is out of range."""
    rng = np.random.default_rng(12)
    logits, labels = rng.integers(-40, 40, (9, classes)) / 8, rng.integers(0, classes, 9)
    results = []
    for x in (logits, logits + shift):
        net = gm.Network(classes, [gm.Dense(classes, init=np.eye(classes))], dtype=dtype)
        loss = gm.Trainer(net, loss="cross_entropy", optimizer=gm.SGD(lr=0.0)).step(x.astype(dtype), labels)
        results.append((loss, net.gradients()["0.bias"]))
    assert results[1][0] == pytest.approx(results[0][0], rel=1e-12, abs=0)
    np.testing.assert_array_equal(results[1][1], results[0][1])


# ---- The caller's floating-point mode -------------------------------------------------------------------

MODE = """
import sys
import numpy as np
def subnormals_work():
    tiny = np.array([1e-40], np.float32)
    return (tiny * np.float32(0.5))[0] > 0 and (np.array([1e-30], np.float32) * np.float32(1e-10))[0] > 0
assert subnormals_work()
import gradiometer as gm
assert subnormals_work(), "import changed the mode"
net = gm.mlp(8, 3, depth=3, width=32, batch_norm=True, dropout=0.1, seed=0)
trainer = gm.Trainer(net, loss="cross_entropy", optimizer=gm.Adam(), clip=gm.ClipNorm(1.0), record="full")
x, y = np.random.default_rng(0).normal(size=(256, 8)).astype(np.float32), np.arange(256) % 3
for threads in (1, 2):
    gm.set_num_threads(threads)
    trainer.fit(x, y, epochs=2, batch_size=64)
assert subnormals_work(), "training changed the mode"
with np.errstate(divide="raise"):
    try:
        np.ones(1) / np.zeros(1)
    except FloatingPointError:
        print("unchanged")
"""


def test_the_floating_point_mode_of_the_caller_is_left_alone():
    done = subprocess.run([sys.executable, "-c", MODE], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "unchanged", done.stderr


def test_the_gradient_of_mse_overflows_no_earlier_than_itself():
    net = gm.Network(1, [gm.Dense(1, init=np.eye(1))])
    trainer = gm.Trainer(net, loss="mse", optimizer=gm.SGD(0.0))
    x = np.zeros((100, 1), "f4")
    x[0] = 2e38
    trainer.step(x, np.zeros((100, 1)))
    assert net.gradients()["0.bias"][0] == pytest.approx(2 * 2e38 / 100, rel=1e-6)


@pytest.mark.parametrize("size", [5e-324, 1e-300, 1e-170, 1e-150, 1e150, 1e152, 1e154, 1e160, 1e307])
def test_moments_of_float64_activations_are_right_over_the_whole_range(size):
    """Beside rows of the usual size, tiny ones are nothing, and huge ones everything."""
    shape = np.random.default_rng(0).normal(size=(32, 4))
    shape = shape if size > 1e-323 else np.round(shape * 50)  # whole numbers of the smallest
    for rows in (slice(None), slice(8)):
        x = np.random.default_rng(1).normal(size=(32, 4))
        x[rows] = shape[rows] * size
        net = gm.Network(4, [gm.Dense(4, init=np.eye(4)), gm.Dense(2, init="zeros")], dtype="float64")
        trainer = gm.Trainer(net, loss="cross_entropy", optimizer=gm.SGD(0.0), record="full")
        trainer.step(x, np.zeros(32, int))
        wide = x.astype(np.longdouble)  # whose exponent has a bit more than enough
        assert trainer.recording.activation_std[0, 0] == pytest.approx(float(wide.std()), rel=1e-12, abs=5e-324)
        assert trainer.recording.activation_mean[0, 0] == pytest.approx(
            float(wide.mean()), rel=1e-12, abs=max(1e-13 * float(wide.std()), 5e-324)
        )
