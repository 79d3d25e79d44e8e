"""Diagnoses of real networks that learn real images."""

import numpy as np
import pytest

import gradiometer as gm
from gradiometer.diagnosis import diagnose
from made_up_recordings import DEPTH


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


@pytest.mark.parametrize(
    ("hidden", "verdict", "cause"),
    [
        ([gm.Residual([gm.ReLU(), gm.Dense(64, init="kaiming_normal")])], "exploding", "residual connections"),
        ([gm.Residual([gm.ReLU(), gm.Dense(64)], scale=0.15)], "healthy", ""),
        # Weights of any size, which a norm makes up for.
        ([gm.Residual([gm.LayerNorm(), gm.ReLU(), gm.Dense(64, init=scaled(5.0))])], "healthy", ""),
        ([gm.LayerNorm(), gm.Tanh(), gm.Dense(64, init=scaled(0.1))], "healthy", ""),
        ([gm.LayerNorm(), gm.Tanh(), gm.Dense(64, init=scaled(0.1))] * 2, "exploding", "layer norm and depth"),
    ],
)
def test_residual_connections_and_layer_norm_at_the_start(digits, hidden, verdict, cause):
    net = gm.Network(64, [gm.Dense(64), *hidden * 40, gm.Dense(10)], seed=0)
    trainer = gm.Trainer(net, loss="cross_entropy", optimizer=gm.SGD(lr=0.0), record="full", seed=0)
    found = trainer.fit(*digits, epochs=1, batch_size=128).diagnose()
    assert found.verdict == verdict, str(found)
    assert cause in found.cause


def test_units_pushed_below_zero_are_dead(digits):
    net = gm.mlp(64, 10, depth=4, width=64, seed=0)
    state = net.state_dict()
    state["4.bias"] -= 1e3
    state["6.bias"] += 0.1  # or it would be dead too: ReLU has no slope at zero, which is all it gets
    net.load_state_dict(state)
    trainer = gm.Trainer(net, loss="cross_entropy", optimizer=gm.SGD(lr=0.01), record="full", seed=0)
    found = trainer.fit(*digits, epochs=1, batch_size=128).diagnose()
    assert (found.verdict, found.layer, found.dead_layers) == ("dead", "4.weight", ("4.weight",))
