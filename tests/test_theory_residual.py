"""Theory of residual connections and layer norm, against networks of the engine."""

import math

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

import gradiometer as gm
from test_theory_monte_carlo import FAR, SEEDS, WIDTH, agrees

predict = gm.theory.predict


def dense(width=WIDTH):
    return gm.Dense(width, init="xavier_normal")


def skip(*layers, scale=1.0):
    return gm.Residual(layers, scale)


# Units in which two rows differ, sums of terms with and without a mean, and everything inside and outside of a body.
NETWORKS = {
    "activation first": [dense(), skip(gm.ReLU(), dense()), skip(gm.Tanh(), dense(), gm.GELU(), dense(), scale=0.5)],
    "layer norm first": [
        dense(), skip(gm.LayerNorm(), gm.ReLU(), dense()), skip(gm.LayerNorm(), gm.SiLU(), dense()), gm.LayerNorm(),
    ],
    "batch norm first": [
        dense(), skip(gm.BatchNorm(), gm.ReLU(), dense()), skip(gm.BatchNorm(), gm.Tanh(), dense(), scale=0.7),
    ],
    "activation last": [dense(), gm.ReLU(), skip(dense(), gm.ReLU()), skip(dense(), gm.Sigmoid(), scale=0.5)],
    "activation of a sum": [dense(), skip(gm.Tanh(), dense()), gm.ReLU(), dense(), gm.LayerNorm(), gm.ReLU()],
    "layer norm of activations": [dense(), gm.ReLU(), gm.LayerNorm(), dense(), gm.GELU(), gm.LayerNorm()],
    "layer norm of a sum": [dense(), gm.ReLU(), skip(dense(), gm.Sigmoid()), gm.LayerNorm(affine=False), dense()],
    "dropout": [
        dense(), skip(gm.ReLU(), gm.Dropout(0.4), dense()), skip(gm.Tanh(), dense(), gm.Dropout(0.3), scale=-0.8),
    ],
    "nested": [dense(), skip(gm.ReLU(), dense(), skip(gm.LayerNorm(), gm.Tanh(), dense(), scale=0.5))],
    "around the input": [skip(gm.LayerNorm(), gm.Tanh()), skip(dense(), gm.ReLU(), dense(40)), gm.LayerNorm(), dense()],
}  # fmt: skip


@pytest.mark.parametrize("name", NETWORKS)
def test_gradients_change_as_predicted(name):
    rng = np.random.default_rng(0)
    x = (rng.normal(size=(64, 1)) * 0.3 + rng.normal(size=(64, 40))) * np.exp(0.3 * rng.normal(size=(64, 1)))
    y = FAR * rng.normal(size=(64, 40))
    samples = []
    with threadpool_limits(1):
        for seed in SEEDS:
            net = gm.Network(40, [*NETWORKS[name], gm.Dense(40)], seed=seed)
            predicted = predict(net, x, y, "mse")
            trainer = gm.Trainer(net, loss="mse", optimizer=gm.SGD(lr=0.0), seed=seed)
            trainer.step(x, y)
            assert predicted.layer_names == trainer.recording.layer_names
            delta, grad = trainer.recording.delta_norm[0], trainer.recording.grad_norm[0]
            ratios = np.log(delta / delta[-1] / predicted.delta_norm)[:-1]
            samples.append([*ratios, *np.log(grad / predicted.grad_norm)])
    # At this width the limit is off by some 1 / WIDTH per layer, with batch norm by some 1 / rows.
    assert agrees(samples, bias=0.02 if "batch norm" in name else 8e-3)


@pytest.mark.parametrize("scale", [1.0, 0.3])
@pytest.mark.parametrize(("activation", "knows_spread"), [(gm.Tanh(), True), (gm.Identity(), True), (gm.ReLU(), False)])
def test_deep_narrow_residual_networks(activation, knows_spread, scale):
    """Twenty blocks of f = W φ(x). The spread of ReLU is larger than predicted, as the docstring says."""
    rng = np.random.default_rng(1)
    # Signals grow by up to 2¹⁰: targets that are FAR from those too.
    x, y = rng.normal(size=(64, 32)), 1e3 * FAR * rng.normal(size=(64, 10))
    measured, predicted = [], []
    for seed in range(24):
        net = gm.Network(32, [gm.Dense(48), *[skip(activation, dense(48), scale=scale)] * 20, gm.Dense(10)], seed=seed)
        trainer = gm.Trainer(net, loss="mse", optimizer=gm.SGD(lr=0.0))
        trainer.step(x, y)
        delta = trainer.recording.delta_norm[0]
        measured.append(math.log10(delta[0] / delta[-1]))
        got = predict(net, x, y, "mse")
        predicted.append((math.log10(got.delta_norm[0]), got.spread[0]))
    growth, spread = np.mean(predicted, axis=0)
    error = np.std(measured, ddof=1) / math.sqrt(24)
    assert np.mean(measured) == pytest.approx(growth, abs=3 * error + 0.02)
    if isinstance(activation, gm.Identity):  # each block multiplies the mean square by 1 + scale²
        assert growth == pytest.approx(10 * math.log10(1 + scale**2), abs=0.05)
    if knows_spread:
        # A standard deviation of 24 samples is known to 15 %, three of which are 0.45.
        assert np.std(measured, ddof=1) == pytest.approx(spread, rel=0.45)
    else:
        assert spread < np.std(measured, ddof=1) < 3 * spread


def test_layer_norm_takes_the_scale_of_the_weights_out():
    """The weights of the layer in front may be of any size: what the norm takes away from δ, they give back."""
    rng = np.random.default_rng(2)
    x = rng.normal(size=(32, 20))
    slopes = []
    for std in (0.01, 1.0, 100.0):
        layers = [gm.Dense(64, init=gm.init.normal(std=std)), gm.LayerNorm(eps=0.0), gm.Tanh()] * 6
        net = gm.Network(20, [*layers, gm.Dense(10)], seed=0)
        slopes.append(np.diff(np.log10(predict(net, x).delta_norm[1:-1])).mean())
    assert slopes == pytest.approx([slopes[0]] * 3, abs=1e-6)


def test_a_scale_of_zero_sends_nothing_into_the_body():
    net = gm.Network(8, [gm.Dense(16), skip(gm.ReLU(), gm.Dense(16), scale=0.0), gm.Dense(4)], seed=0)
    x = np.random.default_rng(3).normal(size=(10, 8))
    got = predict(net, x, np.zeros((10, 4)), "mse")
    assert got.delta_norm[1] == 0
    assert got.grad_norm[1] == 0


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([skip(gm.Tanh())], r"layers\[1\] is a Residual without a dense layer inside"),
        ([skip(gm.Dense(9), skip(gm.Tanh()))], r"layers\[1\].layers\[1\] is a Residual without a dense layer inside"),
        ([skip(gm.ReLU(), gm.Tanh(), gm.Dense(9))], r"layers\[1\].layers\[1\] = Tanh\(\) follows another activation"),
        (
            [gm.ReLU(), skip(gm.Dense(9)), gm.Tanh()],
            r"layers\[3\] = Tanh\(\) follows another activation, a dropout or a",
        ),
        ([skip(gm.Dense(9), gm.Dropout(1.0))], r"layers\[1\].layers\[1\] drops every unit"),
    ],
)
def test_what_theory_does_not_know_is_refused_with_the_place(layers, message):
    net = gm.Network(5, [gm.Dense(9), *layers, gm.Dense(3)], seed=0)
    with pytest.raises(ValueError, match=message):
        predict(net, np.random.default_rng(0).normal(size=(12, 5)))
