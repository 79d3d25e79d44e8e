"""Threads never change a bit: many steps, so that a missing meeting shows, and more than processors."""

import numpy as np
import pytest

import gradiometer as gm

pytestmark = pytest.mark.usefixtures("restore_threads")

NORMED = [
    gm.Dense(67), gm.BatchNorm(), gm.Tanh(), gm.Dropout(0.3),
    gm.Dense(64), gm.ReLU(), gm.BatchNorm(affine=False), gm.Dense(9),
]  # fmt: skip
PLAIN = [gm.Dense(120), gm.GELU(), gm.Dropout(0.2), gm.Dense(75), gm.Sigmoid(), gm.Dense(9)]
SUMS = [
    gm.Residual([gm.LayerNorm(), gm.Dense(90), gm.Tanh(), gm.Dense(37)]), gm.LayerNorm(affine=False), gm.Dense(64),
    gm.Residual([gm.BatchNorm(), gm.Residual([gm.ReLU(), gm.Dropout(0.2)], 0.5), gm.Dense(64)]), gm.SiLU(), gm.Dense(9),
]  # fmt: skip
# Weights of 2 MB and more: with few rows, the threads share the products.
LARGE = [
    gm.Dense(800), gm.GELU(), gm.Dropout(0.2), gm.Residual([gm.LayerNorm(), gm.Dense(800), gm.Tanh()]), gm.Dense(9),
]  # fmt: skip
VANISHING = [*[gm.Dense(64, init=gm.init.normal(std=0.02)), gm.Tanh()] * 40, gm.Dense(9)]
UNEVEN = [gm.Dense(31), gm.Tanh(), gm.Dense(150), gm.ReLU(), gm.Dense(16), gm.Sigmoid(), gm.Dense(80), gm.Dense(9)]
SKIPS = [gm.Dense(64), gm.Tanh(), gm.Residual([gm.Dense(64), gm.Tanh()] * 3), gm.ReLU(), gm.Dense(9)]
NORM_LAST = [gm.BatchNorm(), gm.Dense(80), gm.SiLU(), gm.Dense(9), gm.BatchNorm()]


def train(layers, threads, dtype, steps=60, clip=None, rows=301):
    """Weights, gradients of the last step and recorded fields after some steps."""
    gm.set_num_threads(threads)
    rng = np.random.default_rng(0)
    net = gm.Network(37, layers, dtype=dtype, seed=1)
    trainer = gm.Trainer(net, loss="mse", optimizer=gm.Adam(), clip=clip or gm.ClipNorm(0.5), record="full", seed=2)
    x, y = rng.normal(size=(2, rows, 37)).astype(dtype), rng.normal(size=(2, rows, 9)).astype(dtype)
    for step in range(steps):
        trainer.step(x[step % 2], y[step % 2])
    recording = trainer.recording
    fields = {"delta_norm": recording.delta_norm, "activation_std": recording.activation_std}
    return net.state_dict() | fields | {f"gradient {k}": g for k, g in net.gradients().items()}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "layers",
    [NORMED, PLAIN, NORM_LAST, SUMS, VANISHING],
    ids=["normed", "plain", "norm last", "sums", "vanishing"],
)
def test_any_number_of_threads_gives_the_same_bits(layers, dtype):
    expected = train(layers, 1, dtype)
    for threads in (2, 3, 5, 2):
        found = train(layers, threads, dtype)
        for key, value in expected.items():
            assert np.array_equal(value, found[key]), f"{key} with {threads} threads"


@pytest.mark.parametrize("clip", [gm.ClipNorm(0.5), gm.ClipAdaptive(0.01)], ids=["norm", "adaptive"])
@pytest.mark.parametrize(
    "layers",
    [UNEVEN, VANISHING, [gm.Dense(9)], PLAIN, SKIPS, SUMS, NORMED],
    ids=["uneven", "vanishing", "one layer", "plain", "skips", "sums", "normed"],
)
def test_gradients_right_behind_the_deltas_have_the_same_bits(layers, clip):
    """As one thread computes them where all rows go through the network together; deltas may take turns then."""
    expected = train(layers, 1, "float32", clip=clip, rows=90)
    for threads in (2, 3):
        found = train(layers, threads, "float32", clip=clip, rows=90)
        for key, value in expected.items():
            assert np.array_equal(value, found[key]), f"{key} with {threads} threads"


@pytest.mark.parametrize(("rows", "threads"), [(64, 2), (128, 2), (96, 3), (128, 4), (20, 2)])
def test_batch_norm_gives_the_same_bits_where_threads_have_whole_groups_of_rows(rows, threads):
    expected, found = (train(NORMED * 3, count, "float32", rows=rows) for count in (1, threads))
    for key, value in expected.items():
        assert np.array_equal(value, found[key]), key


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("rows", [1, 5, 8, 9])
def test_a_few_rows_through_large_layers_give_the_same_bits(rows, dtype):
    expected = train(LARGE, 1, dtype, 15, rows=rows)
    for threads in (2, 3, 7):
        found = train(LARGE, threads, dtype, 15, rows=rows)
        for key, value in expected.items():
            assert np.array_equal(value, found[key]), f"{key} with {threads} threads"


@pytest.mark.parametrize("layers", [PLAIN, NORMED * 8], ids=["plain", "normed"])
def test_short_steps_that_try_how_many_threads_pay_give_the_same_bits(layers):
    expected = train(layers, 1, "float32", 150, rows=40)
    for threads in (2, 3, 5):
        found = train(layers, threads, "float32", 150, rows=40)
        for key, value in expected.items():
            assert np.array_equal(value, found[key]), f"{key} with {threads} threads"


def test_adaptive_clipping_does_not_depend_on_threads():
    expected = train(SUMS, 1, "float32", 20, gm.ClipAdaptive())
    found = train(SUMS, 2, "float32", 20, gm.ClipAdaptive())
    for key, value in expected.items():
        assert np.array_equal(value, found[key]), key


@pytest.mark.parametrize(("forward", "backward"), [(1, 2), (2, 1), (2, 3)])
def test_the_number_of_threads_may_change_between_forward_and_backward(forward, backward):
    rng = np.random.default_rng(3)
    x, dy = rng.normal(size=(301, 37)), rng.normal(size=(301, 9))
    results = []
    for first, second in [(1, 1), (forward, backward)]:
        net = gm.Network(37, NORMED, dtype="float64", seed=1)
        gm.set_num_threads(first)
        net.forward(x, training=True)
        gm.set_num_threads(second)
        results.append({"dx": net.backward(dy)} | net.gradients())
    for key, value in results[0].items():
        assert np.array_equal(value, results[1][key]), key


def test_a_backward_pass_of_ones_own_does_not_mind_the_step_before():
    """A step of one thread leaves deltas at two places by turns; this pass needs all of them."""
    gm.set_num_threads(1)
    rng = np.random.default_rng(0)
    x, dy = rng.normal(size=(16, 7)).astype("f4"), rng.normal(size=(16, 3)).astype("f4")
    net = gm.Network(7, [*[gm.Dense(20), gm.Tanh()] * 3, gm.Dense(3)], seed=0)
    trainer = gm.Trainer(net, loss="mse", optimizer=gm.SGD(lr=0.0))

    def gradients():
        net.forward(x, training=True)
        return net.backward(dy), net.gradients()

    (dx, expected), _ = gradients(), trainer.step(x, dy)
    again, found = gradients()
    assert np.array_equal(again, dx)
    for key, value in expected.items():
        assert np.array_equal(value, found[key]), key
