"""NaN and infinity: counted, kept, named where they first appeared, refused in data."""

import numpy as np
import pytest

import gradiometer as gm
from gradiometer.recording import Nonfinite
from strategies import ACTIVATIONS, built

BOTH = pytest.mark.parametrize("dtype", ["float32", "float64"])


def poisoned(dtype="float32", value=np.nan, **arguments):
    """A trainer and a batch in which one input of one row is not finite: one row of deltas is."""
    rng = np.random.default_rng(5)
    x, y = rng.normal(size=(12, 6)).astype(dtype), rng.integers(0, 3, 12)
    x[4, 2] = value
    net = gm.Network(6, [gm.Dense(8), gm.Tanh(), gm.Dense(3)], dtype=dtype, seed=6)
    trainer = gm.Trainer(
        net, loss="cross_entropy", optimizer=gm.SGD(lr=0.1), record="full", allow_nonfinite=True, **arguments
    )
    return trainer, x, y


@BOTH
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_counted_and_kept(value, dtype):
    trainer, x, y = poisoned(dtype, value)
    trainer.step(x, y)
    gradients, recording = trainer.net.gradients(), trainer.recording
    for number, key in enumerate(recording.layer_names):
        bad = int((~np.isfinite(gradients[key])).sum())
        assert recording.grad_nonfinite[0, number] == bad
        assert np.isfinite(recording.grad_norm[0, number]) == (bad == 0)
        np.testing.assert_equal(recording.grad_max_abs[0, number], np.abs(gradients[key]).max())
    assert recording.grad_nonfinite[0].sum() > 0


@BOTH
@pytest.mark.parametrize("activation", ACTIVATIONS, ids=str)
def test_no_activation_hides_a_nan(activation, dtype):
    """∞ - ∞ comes in: the value is a NaN too, and no slope of zero keeps the gradient from what caused it."""
    weight = np.finfo(dtype).max * np.array([[1.0], [-1.0]])
    layers = [gm.Dense(2, init=weight), gm.Dense(1, init=np.ones((1, 2))), built([gm], activation)]
    net = gm.Network(1, layers, dtype=dtype)
    assert np.isnan(net.forward(np.full((1, 1), 2.0, dtype), training=True))
    net.backward(np.ones((1, 1), dtype))
    assert net.gradients()["1.bias"][0] != 0


@BOTH
@pytest.mark.parametrize("activation", [gm.GELU(), gm.GELU(approximate="tanh")], ids=repr)
def test_the_slope_of_gelu_at_infinity_is_its_limit(activation, dtype):
    """It has a term z · density: infinity times zero."""
    net = gm.Network(1, [gm.Dense(2, init=np.finfo(dtype).max * np.array([[1.0], [-1.0]])), activation], dtype=dtype)
    net.forward(np.full((1, 1), 2.0, dtype), training=True)
    net.backward(np.ones((1, 2), dtype))
    assert net.gradients()["0.bias"].tolist() == [1.0, 0.0]


@BOTH
def test_a_dropped_unit_is_zero_even_where_its_value_is_infinite(dtype):
    """Infinity times a mask of zero would be a NaN, which spreads to the whole network."""
    weight = np.full((100, 1), np.finfo(dtype).max)
    net = gm.Network(1, [gm.Dense(100, init=weight), gm.Dropout(0.5)], dtype=dtype, seed=10)
    out = net.forward(np.full((1, 1), 2.0, dtype), training=True)
    assert set(out.ravel()) == {0.0, np.inf}


@BOTH
def test_the_first_value_that_is_not_finite_is_named(dtype):
    trainer, x, y = poisoned(dtype)
    clean = np.where(np.isfinite(x), x, 0).astype(dtype)
    trainer.step(clean, y)
    trainer.step(x, y)
    diagnosis = str(trainer.recording.diagnose())
    assert "step 1" in diagnosis
    assert "0.weight" in diagnosis
    assert "activation" in diagnosis


def dense(weight, out_features=1):
    """A layer without biases behind a single unit, all weights the same."""
    return gm.Dense(out_features, bias=False, init=np.full((out_features, 1), weight))


@BOTH
@pytest.mark.parametrize(
    "after",
    [[gm.ReLU(), gm.Tanh()], [gm.ReLU(), gm.Dropout(1.0)], [gm.Dropout(1.0)], [gm.SiLU(), gm.Sigmoid(), gm.Tanh()]],
    ids=repr,
)
def test_an_infinite_activation_is_named_where_what_follows_makes_it_finite_again(after, dtype):
    layers = [dense(1.0), dense(np.finfo(dtype).max, 3), *after, gm.Dense(2)]
    net = gm.Network(1, layers, dtype=dtype, seed=0)
    trainer = gm.Trainer(net, loss="mse", optimizer=gm.SGD(lr=0.1), record="full", seed=0)
    trainer.step(np.full((4, 1), 2.0), np.zeros((4, 2)))
    assert np.isinf(trainer.recording.activation_mean[0, 1])
    assert np.isfinite(trainer.recording.loss[0])
    assert trainer.recording.nonfinite == Nonfinite(0, "1.weight", "activation")


def apply_upstream(layers, upstream, dtype="float64"):
    """The network and the recording after a step from a dL/d(output), all of it the same, for a single 1 as input."""
    net = gm.Network(1, layers, dtype=dtype, seed=0)
    trainer = gm.Trainer(net, loss="mse", optimizer=gm.SGD(lr=0.0))
    net.forward(np.ones((1, 1)), training=True)
    net.backward(np.full((1, net.out_features), upstream, dtype))
    trainer.apply_gradients()
    return net, trainer.recording


@BOTH
def test_the_first_gradient_that_is_not_finite_is_named(dtype):
    net, recording = apply_upstream([dense(4.0), dense(4.0)], 0.9 * np.finfo(dtype).max, dtype)
    assert not any(np.isfinite(gradient).any() for gradient in net.gradients().values())
    assert recording.nonfinite == Nonfinite(0, "1.weight", "gradient")


@pytest.mark.parametrize(
    ("layers", "upstream", "field"),
    [
        ([dense(0.1), dense(0.1, 4)], 1e308, "delta_norm"),
        ([dense(4.0), dense(0.1, 4)], 4e307, "grad_norm"),
        ([dense(1.0), dense(1.0)], 1.4e308, "total_norm"),
    ],
    ids=["delta_norm", "grad_norm", "total_norm"],
)
def test_finite_gradients_whose_norm_is_beyond_a_float64_are_named(layers, upstream, field):
    """A float64 ends at 1.8e308; the norm of four entries is twice as large as an entry, and of two layers √2 times."""
    net, recording = apply_upstream(layers, upstream)
    assert all(np.isfinite(gradient).all() for gradient in net.gradients().values())
    fields = ("delta_norm", "grad_norm", "total_norm")
    assert next(name for name in fields if np.isinf(getattr(recording, name)).any()) == field
    assert recording.nonfinite == Nonfinite(0, "1.weight", "gradient")


def test_raise_and_stop_leave_the_network_as_it_was():
    trainer, x, y = poisoned(on_nonfinite="raise")
    before = trainer.net.state_dict()
    with pytest.raises(gm.NonFiniteError):
        trainer.step(x, y)
    for key, value in trainer.net.state_dict().items():
        assert np.array_equal(value, before[key]), key
    trainer, x, y = poisoned(on_nonfinite="stop")
    clean = np.where(np.isfinite(x), x, 0).astype(np.float32)
    data = np.concatenate([clean, x, clean])
    before = trainer.net.state_dict()
    recording = trainer.fit(data, np.tile(y, 3), epochs=4, batch_size=12, shuffle=False)
    assert list(recording.steps) in ([0], [0, 1]), "the run ends at step 1 of 12"
    after = trainer.net.state_dict()
    assert all(np.isfinite(value).all() for value in after.values())
    assert not np.array_equal(after["0.weight"], before["0.weight"])


def test_a_clipping_that_must_be_finite():
    trainer, x, y = poisoned(clip=gm.ClipNorm(1.0, error_if_nonfinite=True))
    before = trainer.net.state_dict()
    with pytest.raises(gm.NonFiniteError):
        trainer.step(x, y)
    assert np.array_equal(trainer.net.state_dict()["0.weight"], before["0.weight"])


@BOTH
@pytest.mark.parametrize(
    "clip", [gm.ClipNorm(1.0), gm.ClipNorm(1.0, per_layer=True), gm.ClipValue(1.0), gm.ClipAdaptive()], ids=repr
)
def test_no_clipping_hides_a_nan(clip, dtype):
    trainer, x, y = poisoned(dtype, clip=clip)
    trainer.step(x, y)
    assert np.isnan(trainer.recording.clip_coefficient[0])


@BOTH
def test_nan_in_the_data_is_refused_with_its_position(dtype):
    trainer, x, y = poisoned(dtype)
    strict = gm.Trainer(trainer.net, loss="cross_entropy", optimizer=gm.SGD(lr=0.1))
    for act in (lambda: strict.step(x, y), lambda: strict.fit(x, y, epochs=1, batch_size=4)):
        with pytest.raises(ValueError, match=r"(?i)x\[4, 2\] is nan"):
            act()
    with pytest.raises(ValueError, match=r"(?i)x\[4, 2\] is nan"):
        trainer.net.forward(x)
