"""The theory against networks of the engine, 1000 units wide, whose gradients the engine measures."""

import math

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

import gradiometer as gm
from gradiometer.activations import _ACTIVATIONS, activation_from_name

WIDTH = 1000
SEEDS = range(6)
# Six seeds: their mean is more than 5 standard errors off in 0.4 % of cases, and all seeds are fixed. The theory itself
# leaves out what is of the order 1 / WIDTH per layer.
STANDARD_ERRORS = 5

# Targets far beyond the outputs, so that the gradient at the output hardly depends on the last weights: that it does
# not at all is what the theory assumes (Schoenholz et al. 2017).
FAR = 100.0


@pytest.fixture(autouse=True)
def one_thread():
    """Small matrices are slow with the threads of a BLAS that fight for busy processors."""
    with threadpool_limits(1):
        yield


def deltas(net, x, y, seed):
    trainer = gm.Trainer(net, loss="mse", optimizer=gm.SGD(lr=0.0), seed=seed)
    trainer.step(x, y)
    return trainer.recording.delta_norm[0]


def agrees(samples, bias):
    samples = np.asarray(samples)
    error = samples.std(axis=0, ddof=1) / math.sqrt(len(samples))
    return np.all(np.abs(samples.mean(axis=0)) < STANDARD_ERRORS * error + bias)


@pytest.mark.parametrize("activation", _ACTIVATIONS)
def test_gradients_at_the_fixed_point_change_by_chi(activation):
    sigma_w, sigma_b = (0.8 if activation == "identity" else 1.2), 0.5
    q = gm.theory.fixed_point(activation, sigma_w, sigma_b)
    chi = gm.theory.chi(activation, sigma_w, sigma_b)
    init = gm.init.normal(std=sigma_w / math.sqrt(WIDTH))
    samples = []
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        layers = [gm.Dense(WIDTH, init=init), activation_from_name(activation), gm.Dense(WIDTH, init=init)]
        net = gm.Network(WIDTH, layers, seed=seed)
        net.load_state_dict({**net.state_dict(), "0.bias": rng.normal(0, sigma_b, WIDTH)})
        x = rng.normal(size=(32, WIDTH))
        x *= math.sqrt(WIDTH * (q - sigma_b**2)) / sigma_w / np.linalg.norm(x, axis=1, keepdims=True)
        first, last = deltas(net, x, FAR * rng.normal(size=(32, WIDTH)), seed)
        samples.append(math.log(first**2 / last**2 / chi))
    assert agrees(samples, bias=2e-3)


@pytest.mark.parametrize(
    ("batch_norm", "dropout"),
    [(False, 0.0), (True, 0.0), (False, 0.4), (True, 0.4)],
    ids=["plain", "bn", "drop", "both"],
)
@pytest.mark.parametrize("activation", _ACTIVATIONS)
def test_gradients_of_a_batch_change_as_predicted(activation, batch_norm, dropout):
    """Three layers, of rows of different length and correlation; every ratio of delta_norm, and every grad_norm."""
    rng = np.random.default_rng(0)
    x = (rng.normal(size=(64, 1)) * 0.3 + rng.normal(size=(64, 40))) * np.exp(0.3 * rng.normal(size=(64, 1)))
    y = FAR * rng.normal(size=(64, 40))
    samples = []
    for seed in SEEDS:
        arguments = {"activation": activation, "batch_norm": batch_norm, "dropout": dropout}
        net = gm.mlp(40, 40, depth=2, width=WIDTH, init="xavier_normal", seed=seed, **arguments)
        predicted = gm.theory.predict(net, x, y, "mse")
        trainer = gm.Trainer(net, loss="mse", optimizer=gm.SGD(lr=0.0), seed=seed)
        trainer.step(x, y)
        delta, grad = trainer.recording.delta_norm[0], trainer.recording.grad_norm[0]
        samples.append([*np.log(delta / delta[-1] / predicted.delta_norm)[:-1], *np.log(grad / predicted.grad_norm)])
    assert agrees(samples, bias=2e-3)
