"""Weights that batch norm has seen, on the way back: the formula against networks with the same and fresh weights."""

import math

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

import gradiometer as gm
from gradiometer.theory.forward import forward
from gradiometer.theory.moments import values
from gradiometer.theory.sharing import SharedWeights, Sharing, overlap
from gradiometer.theory.stages import DenseStage

DEPTH, WIDTH, ROWS = 12, 64, 128


def shared_of(activation, kept=1.0):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(500, 4000))
    value, slope = values(activation, x)
    mask = (rng.random(x.shape) < kept) / kept
    return SharedWeights.of(x, slope * mask, value * mask, 1e-9, norm_first=True)


def test_numbers_of_straight_lines():
    """Two million samples: three digits."""
    linear, relu = shared_of(gm.Identity()), shared_of(gm.ReLU())
    assert (linear.alike, linear.carried, linear.in_row) == pytest.approx((1, 1, 0), abs=1e-2)
    assert relu.alike == pytest.approx(1, abs=0.01)
    assert relu.carried == pytest.approx(0.25 * 0.25 / (0.5 - 0.5 / math.pi) / 0.5, rel=0.01)
    assert relu.in_row == pytest.approx(0, abs=0.01)


def test_dropout_makes_units_less_alike():
    """E[φ²] and E[φ′²] are 1 / kept of what they are without: r = ¼² / ((½ / kept − 1 / (2 π)) ½ / kept)."""
    assert shared_of(gm.ReLU(), 0.5).carried == pytest.approx(0.0625 / (1 - 0.5 / math.pi), rel=0.02)


def test_a_saturating_activation_answers_to_its_row():
    tanh = shared_of(gm.Tanh())
    up, down = (gm.theory.moments.moments(gm.Tanh(), q).slope_square for q in (1.01, 0.99))
    assert tanh.alike == pytest.approx(1 + math.log(up / down) / math.log(1.01 / 0.99), abs=0.01)
    assert -0.2 < tanh.in_row < -0.1


def test_nothing_is_shared_where_nothing_varies():
    zeros, ones = np.zeros((4, 3)), np.ones((4, 3))
    assert SharedWeights.of(zeros, ones, ones, 0.5, norm_first=True) is None
    assert overlap(ones) == 0


def test_what_is_shared_adds_up_from_layer_to_layer():
    sharing, shared = Sharing(), SharedWeights(alike=0.8, carried=0.5, in_row=-0.1)
    assert sharing.through(shared, 10) == pytest.approx(-0.02 - 0.16)
    assert sharing.through(shared, 20) == pytest.approx(-0.01 - (0.08 + 0.08))
    assert sharing.through(None, 20) == 0
    assert sharing.through(shared, 10) == pytest.approx(-0.02 - 0.16)


def gradients(activation, norm_first, fresh, x, rng):
    """Return ln |δ|² at each layer of a network without biases that goes back through the same or fresh weights."""
    h, back = x, []
    for _ in range(DEPTH):
        weight = rng.normal(size=(h.shape[1], WIDTH)) / math.sqrt(h.shape[1])
        z = h @ weight
        if not norm_first:
            z, slope = values(activation, z)
        deviation = z.std(axis=0)
        h = normalized = (z - z.mean(axis=0)) / deviation
        if norm_first:
            h, slope = values(activation, h)
        back.append((weight, normalized, deviation, slope))
    delta, logs = rng.normal(size=(len(x), WIDTH)), []
    for weight, normalized, deviation, slope in reversed(back):
        if norm_first:
            delta = delta * slope
        delta = (delta - delta.mean(axis=0) - normalized * (normalized * delta).mean(axis=0)) / deviation
        if not norm_first:
            delta = delta * slope
        logs.append(math.log(np.square(delta).sum()))
        delta = delta @ (rng.normal(size=weight.shape) / math.sqrt(len(weight)) if fresh else weight).T
    return logs


@pytest.mark.parametrize(
    ("activation", "norm_first"),
    [(gm.ReLU(), True), (gm.Tanh(), True), (gm.SELU(), True), (gm.ReLU(), False)],
    ids=["relu", "tanh", "selu", "relu in front"],
)
def test_networks_with_the_same_and_with_fresh_weights(activation, norm_first):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(ROWS, WIDTH))
    block = [gm.BatchNorm(eps=0.0), activation] if norm_first else [activation, gm.BatchNorm(eps=0.0)]
    layers = [*[gm.Dense(WIDTH, bias=False), *block] * DEPTH, gm.Dense(1)]
    with threadpool_limits(1):
        same, fresh = (
            np.diff([gradients(activation, norm_first, new, x, rng) for _ in range(50)], axis=1)
            for new in (False, True)
        )
        predicted = []
        for way in forward(layers, {f"{3 * n}.weight": 0.125 for n in range(DEPTH + 1)}, x, keep_inputs=False):
            sharing = Sharing()
            dense = [stage for stage in reversed(way.stages) if isinstance(stage, DenseStage)][1:-1]
            predicted.append([sharing.through(stage.shared, WIDTH) for stage in dense])
    measured = same.mean() - fresh.mean()
    error = math.hypot(same.mean(axis=1).std(), fresh.mean(axis=1).std()) / math.sqrt(50)
    # Three standard errors, and a tenth for what is of second order in 1 / 64.
    assert np.mean(predicted) == pytest.approx(measured, abs=3 * error + 0.1 * abs(measured))
    assert measured < -10 * error
