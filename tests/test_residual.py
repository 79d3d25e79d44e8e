"""Residual connections, layer norm and adaptive clipping: what a user sees of them, beside the numbers themselves."""

import math
import subprocess
import sys

import numpy as np
import pytest

import gradiometer as gm
from reference_philox import keep_mask

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(30, 6)), RNG.integers(0, 3, 30)
NESTED = [
    gm.Dense(8),
    gm.Residual([gm.LayerNorm(), gm.ReLU(), gm.Residual([gm.Dense(5, bias=False), gm.Tanh(), gm.Dense(8)], scale=0.5)]),
    gm.BatchNorm(),
    gm.Dense(3),
]


def test_keys_are_those_of_nested_modules_in_order():
    net = gm.Network(6, NESTED, seed=0)
    assert list(net.state_dict()) == [
        "0.weight", "0.bias", "1.0.weight", "1.0.bias", "1.2.0.weight", "1.2.2.weight", "1.2.2.bias",
        "2.weight", "2.bias", "2.running_mean", "2.running_var", "2.num_batches_tracked", "3.weight", "3.bias",
    ]  # fmt: skip
    assert net.num_parameters == 6 * 8 + 8 + 16 + 40 + 40 + 8 + 16 + 24 + 3
    assert list(net.gradients()) == [key for key in net.state_dict() if "running" not in key and "num" not in key]
    assert (net.out_features, net.layers) == (3, NESTED)


def test_the_table_shows_what_is_inside_of_what():
    lines = repr(gm.Network(6, NESTED, seed=0)).splitlines()
    assert lines[3].split() == ["1", "Residual(scale=1.0)", "8", "104"]
    assert lines[3].startswith("1      Residual(scale=1.0)")
    assert lines[4].startswith("1.0      LayerNorm(eps=1e-05, affine=True)")
    assert lines[6].startswith("1.2      Residual(scale=0.5)")
    assert lines[7].startswith("1.2.0      Dense(out_features=5, ")
    assert [line.split()[0] for line in lines[2:]] == [
        "0",
        "1",
        "1.0",
        "1.1",
        "1.2",
        "1.2.0",
        "1.2.1",
        "1.2.2",
        "2",
        "3",
    ]
    assert lines[7].split()[-2:] == ["5", "40"]
    assert eval(repr(NESTED[1]), vars(gm)) == NESTED[1]


def test_recorded_layers_are_all_dense_layers_under_their_keys():
    net = gm.Network(6, NESTED, seed=0)
    trainer = gm.Trainer(net, loss="cross_entropy", optimizer=gm.SGD(0.1), record="full", seed=0)
    recording = trainer.fit(X, Y, epochs=1, batch_size=10)
    assert recording.layer_names == ["0.weight", "1.2.0.weight", "1.2.2.weight", "3.weight"]
    for name in ("grad_norm", "delta_norm", "update_norm", "activation_std", "saturation", "dead_fraction"):
        values = getattr(recording, name)
        assert values.shape == (3, 4)
        assert np.isfinite(values).all(), name
    assert recording.meta["layers"][0]["activation"] == "relu"  # inside of the connection that follows
    assert [layer["activation"] for layer in recording.meta["layers"]] == ["relu", "tanh", "identity", "identity"]
    assert [layer["batch_norm"] for layer in recording.meta["layers"]] == [False, False, False, False]


def test_activation_statistics_stop_where_a_sum_begins():
    """ReLU acts on x + f(x): what is recorded of the last dense layer inside is its own output."""
    layers = [gm.Dense(8), gm.Residual([gm.Tanh(), gm.Dense(8)]), gm.ReLU(), gm.Dense(3)]
    net = gm.Network(6, layers, dtype="float64", seed=0)
    trainer = gm.Trainer(net, loss="cross_entropy", optimizer=gm.SGD(0.0), record="full")
    trainer.step(X, Y)
    state, recording = net.state_dict(), trainer.recording
    first = X @ state["0.weight"].T
    inside = np.tanh(first) @ state["1.1.weight"].T
    for number, std in enumerate([np.tanh(first).std(), inside.std()]):
        assert recording.activation_std[0, number] == pytest.approx(std, rel=1e-12)
    # delta_norm of the first layer: around the body and through it.
    summed = first + inside
    out = np.maximum(summed, 0) @ state["3.weight"].T
    probability = np.exp(out) / np.exp(out).sum(axis=1, keepdims=True)
    delta = (probability - np.eye(3)[Y]) / len(Y) @ state["3.weight"] * (summed > 0)
    assert recording.delta_norm[0, 1] == pytest.approx(np.linalg.norm(delta), rel=1e-12)
    delta = delta + delta @ state["1.1.weight"] * (1 - np.tanh(first) ** 2)
    assert recording.delta_norm[0, 0] == pytest.approx(np.linalg.norm(delta), rel=1e-12)


def test_default_initialisation_looks_into_the_body_and_not_beyond_its_end():
    relu, tanh = math.sqrt(2.0), 5.0 / 3.0
    cases = [
        ([gm.Dense(400), gm.Residual([gm.LayerNorm(), gm.ReLU(), gm.Dense(400)]), gm.Tanh()], [relu, 1.0]),
        ([gm.Dense(400), gm.Residual([gm.Dropout(0.1)]), gm.Tanh()], [1.0]),
        ([gm.Dense(400), gm.Residual([gm.Residual([gm.Tanh()]), gm.ReLU()])], [tanh]),
        ([gm.Residual([gm.Dense(400), gm.Tanh()]), gm.ReLU()], [tanh]),
    ]
    for layers, gains in cases:
        net = gm.Network(400, layers, seed=1)
        weights = [value for value in net.state_dict().values() if value.ndim == 2]
        found = [float(weight.std() * math.sqrt(400)) for weight in weights]
        assert found == pytest.approx(gains, rel=0.02)  # 160 000 entries: 0.2 % is the standard error


def test_leaves_are_numbered_through_so_that_dropouts_and_weights_have_their_own_draws():
    layers = [gm.Residual([gm.Dropout(0.5)], scale=1.0), gm.Dropout(0.5)]
    net = gm.Network(50, layers, dtype="float64", seed=7)
    out = net.forward(np.ones((20, 50)), training=True)
    inside, behind = (keep_mask((20, 50), 0.5, 7, 0, number) for number in (0, 1))
    np.testing.assert_array_equal(out, (1 + 2 * inside) * 2 * behind)
    flat = gm.Network(9, [gm.Dense(9), gm.Tanh(), gm.Dense(9)], seed=3).state_dict()
    nested = gm.Network(9, [gm.Dense(9), gm.Residual([gm.Tanh(), gm.Dense(9)])], seed=3).state_dict()
    assert np.array_equal(flat["0.weight"], nested["0.weight"])
    assert not np.array_equal(nested["0.weight"], nested["1.1.weight"])


BEFORE_A_WALL = """
import ctypes, mmap
import numpy as np
import gradiometer as gm

memory = mmap.mmap(-1, 2 * mmap.PAGESIZE)
second = ctypes.addressof(ctypes.c_char.from_buffer(memory)) + mmap.PAGESIZE
assert ctypes.CDLL(None).mprotect(ctypes.c_void_p(second), mmap.PAGESIZE, 0) == 0
x = np.frombuffer(memory, "f4", 5 * 7, mmap.PAGESIZE - 5 * 7 * 4).reshape(5, 7)
net = gm.Network(7, [gm.Residual([gm.Dense(7)]), gm.LayerNorm(), gm.Dense(3)], seed=0)
gm.Trainer(net, loss="cross_entropy", optimizer=gm.SGD(0.1)).step(x, np.zeros(5, int))
net.forward(x)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs mprotect")
def test_a_sum_with_the_input_reads_nothing_beyond_it():
    """A product reads single numbers, a sum whole vectors: the batch lies at the end of a page that can be read."""
    done = subprocess.run([sys.executable, "-c", BEFORE_A_WALL], capture_output=True, text=True)
    assert done.returncode == 0, (done.returncode, done.stderr)


def test_a_residual_of_scale_zero_is_the_identity():
    net = gm.Network(6, [gm.Residual([gm.Dense(9), gm.ReLU(), gm.Dense(6)], scale=0)], dtype="float64", seed=0)
    assert np.array_equal(net.forward(X), X)
    assert np.array_equal(net.forward(X, training=True), X)
    dy = RNG.normal(size=X.shape)
    assert np.array_equal(net.backward(dy), dy)
    assert not any(gradient.any() for gradient in net.gradients().values())


def test_backward_again_gives_the_same():
    net = gm.Network(6, NESTED, dtype="float64", seed=0)
    net.forward(X, training=True)
    dy = RNG.normal(size=(30, 3))
    once, gradients = net.backward(dy), net.gradients()
    assert np.array_equal(net.backward(dy), once)
    for key, gradient in net.gradients().items():
        assert np.array_equal(gradient, gradients[key]), key


def test_layer_norm_needs_no_second_row_and_is_the_same_in_training_and_evaluation():
    net = gm.Network(6, [gm.LayerNorm()], dtype="float64")
    out = net.forward(X[:1], training=True)
    assert np.array_equal(out, net.forward(X[:1]))
    assert (out.mean(), out.std()) == pytest.approx((0.0, 1.0), abs=1e-4)  # eps makes it a little less
    net = gm.Network(6, [gm.Dense(8), gm.LayerNorm(), gm.Dense(3)], seed=0)
    trainer = gm.Trainer(net, loss="cross_entropy", optimizer=gm.SGD(0.1))
    assert len(trainer.fit(X[:7], Y[:7], epochs=1, batch_size=3)) == 3


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_layer_norm_of_a_small_spread_on_a_large_mean_and_of_huge_numbers(dtype):
    """E[x²] − E[x]² would be rounding alone, and squares in float32 infinite."""
    net = gm.Network(64, [gm.LayerNorm(eps=0.0, affine=False)], dtype=dtype)
    z = np.random.default_rng(1).normal(size=(5, 64))
    for x in ((1e3 + z).astype(dtype), (1e25 * z).astype(dtype), (1e-30 * z).astype(dtype)):
        exact = x.astype(np.float64)
        exact = (exact - exact.mean(axis=1, keepdims=True)) / exact.std(axis=1, keepdims=True)
        # The mean is rounded to the dtype: half a unit in the last place of 1000, against a spread of 1.
        tolerance = 1e3 * np.finfo(dtype).eps if x.mean() > 1 and x.mean() < 1e4 else 4 * np.finfo(dtype).eps
        np.testing.assert_allclose(net.forward(x), exact, rtol=0, atol=2 * tolerance)


def adaptive(net, clip, dy_size):
    """The gradients and the change of one update of SGD with a rate of 1, through a backward pass of one's own."""
    trainer = gm.Trainer(net, loss="mse", optimizer=gm.SGD(lr=1.0), clip=clip)
    net.forward(X, training=True)
    net.backward(dy_size * RNG.normal(size=(30, 3)))
    gradients, before = net.gradients(), net.state_dict()
    trainer.apply_gradients()
    return gradients, {key: before[key] - value for key, value in net.state_dict().items()}, trainer.recording


def test_adaptive_clipping_holds_each_unit_by_itself():
    net = gm.Network(6, [gm.Dense(3)], dtype="float64", seed=0)
    start = net.state_dict()
    start["0.weight"][1] *= 1e-9  # counts as eps
    net.load_state_dict(start)
    clip = gm.ClipAdaptive(clip_factor=0.02, eps=0.01)
    gradients, change, recording = adaptive(net, clip, 10.0)
    sizes = np.linalg.norm(gradients["0.weight"], axis=1)
    limits = 0.02 * np.maximum(np.linalg.norm(start["0.weight"], axis=1), 0.01)
    assert (sizes > limits).all()
    np.testing.assert_allclose(np.linalg.norm(change["0.weight"], axis=1), limits, rtol=1e-12)
    np.testing.assert_allclose(change["0.weight"] / limits[:, None], gradients["0.weight"] / sizes[:, None], rtol=1e-9)
    assert np.linalg.norm(change["0.bias"]) == pytest.approx(0.02 * 0.01, rel=1e-12)  # a bias of zeros, as a whole
    assert recording.total_norm[0] == pytest.approx(math.hypot(*sizes, *gradients["0.bias"]), rel=1e-12)
    smallest = min(*(limits / sizes), 0.02 * 0.01 / np.linalg.norm(gradients["0.bias"]))
    assert recording.clip_coefficient[0] == pytest.approx(smallest, rel=1e-12)


def test_adaptive_clipping_leaves_small_gradients_alone():
    net = gm.Network(6, [gm.Dense(3)], dtype="float64", seed=0)
    gradients, change, recording = adaptive(net, gm.ClipAdaptive(), 1e-9)
    assert recording.clip_coefficient[0] == 1
    for key, gradient in gradients.items():
        np.testing.assert_allclose(change[key], gradient, rtol=0, atol=1e-15)


@pytest.mark.parametrize("size", [1e20, 1e37])
def test_adaptive_clipping_of_huge_gradients_in_float32(size):
    net = gm.Network(6, [gm.Dense(3)], seed=0)
    gradients, change, recording = adaptive(net, gm.ClipAdaptive(1e-3), size)
    weight = gm.Network(6, [gm.Dense(3)], seed=0).state_dict()["0.weight"]
    limits = 1e-3 * np.linalg.norm(weight.astype(np.float64), axis=1)
    found = np.linalg.norm(change["0.weight"].astype(np.float64), axis=1)
    np.testing.assert_allclose(found, limits, rtol=2e-4)  # weights of size 1 are subtracted: 6e-8 of 1e-3
    smallest = 1e-6 / np.linalg.norm(gradients["0.bias"].astype(np.float64))
    assert recording.clip_coefficient[0] == pytest.approx(smallest, rel=1e-6)


@pytest.mark.parametrize("where", [0, 2])
def test_adaptive_clipping_of_a_gradient_that_is_not_finite_says_so(where):
    """In one unit, whatever the units before and after it are."""
    net = gm.Network(6, [gm.Dense(3, bias=False)], seed=0)
    dy_size = np.ones(3)
    dy_size[where] = np.nan
    _, change, recording = adaptive(net, gm.ClipAdaptive(), dy_size)
    assert np.isnan(recording.clip_coefficient[0])
    assert recording.nonfinite is not None
    assert np.isnan(change["0.weight"]).all(axis=1).tolist() == [unit == where for unit in range(3)]
