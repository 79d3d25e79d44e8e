"""The drift of the variance in narrow layers: against differences, limits, and the spread of actual networks."""

import math

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

import gradiometer as gm
import theory_configurations
from gradiometer.activations import _ACTIVATIONS, activation_from_name
from gradiometer.start import parameter_sizes
from gradiometer.theory.drift import Drift, Response, Sensitivity, response
from gradiometer.theory.forward import forward
from gradiometer.theory.moments import moments
from gradiometer.theory.stages import ActivationStage


@pytest.mark.parametrize("q", [0.01, 0.5, 4.0, 200.0])
@pytest.mark.parametrize("activation", _ACTIVATIONS)
def test_responses_are_the_derivatives_of_the_moments(activation, q):
    layer, step = activation_from_name(activation), 1e-4
    got = response(layer, q)
    near = [moments(layer, q * math.exp(sign * step)) for sign in (1, -1)]
    # Central differences are off by step² times a third derivative.
    assert got.carry == pytest.approx(math.log(near[0].square / near[1].square) / (2 * step), abs=1e-6)
    assert got.gain == pytest.approx(math.log(near[0].slope_square / near[1].slope_square) / (2 * step), abs=1e-6)


def test_excesses_are_those_of_samples():
    z = np.random.default_rng(0).standard_normal(400_000)
    for layer in (gm.Tanh(), gm.SiLU()):
        value, slope = (array**2 for array in gm._core.activate(layer._spec(), 1.5 * z))
        got = response(layer, 2.25)
        # Fourth moments of 400,000 samples are known to about 0.5 %.
        assert got.square_excess == pytest.approx((value**2).mean() / value.mean() ** 2 - 1, abs=0.03)
        assert got.cross_excess == pytest.approx((value * slope).mean() / value.mean() / slope.mean() - 1, abs=0.03)


def test_a_straight_line_carries_everything_and_changes_no_gain():
    assert response(gm.Identity(), 3.0) == pytest.approx((1.0, 0.0, 2.0, 0.0), abs=1e-12)
    assert response(gm.ReLU(), 3.0) == pytest.approx((1.0, 0.0, 5.0, 1.0), abs=1e-12)


def test_where_nothing_comes_through_there_is_no_response():
    assert response(gm.Hardtanh(1.0, 2.0), 1e-12) is None  # its slope at 0 is 0


def test_the_way_back_collects_what_every_layer_adds():
    """Two layers by hand: ln q goes on with factor a and noise ε, the gains are b times it."""
    a, b, noise = 0.5, -0.4, 0.01
    first = Drift(Response(a, b, 0.0, 0.0), 0.0, noise, 0.0)
    second = Drift(Response(a, b, 0.0, 0.0), first.variance_after, noise, 0.0)
    assert second.variance == pytest.approx(noise)
    sensitivity = Sensitivity()
    sensitivity.through(second)
    assert sensitivity.variance == pytest.approx(b * b * noise)
    sensitivity.scaled(0.9)
    sensitivity.through(first)
    assert sensitivity.variance == pytest.approx((0.9 * b) ** 2 * noise)  # q of the first layer is that of the data


@pytest.mark.parametrize(
    "arguments",
    [
        {"activation": "tanh", "depth": 40, "init": theory_configurations.scaled(1.3)},
        {"activation": "selu", "depth": 30, "init": "lecun_normal"},
    ],
    ids=["tanh", "selu"],
)
def test_the_spread_of_networks_that_are_not_made_of_lines(arguments):
    """Without the drift it would be 0.53 and 0.55 of what is measured."""
    x, y = theory_configurations.digits()
    measured = []
    with threadpool_limits(1):
        for seed in range(24):
            net = gm.mlp(64, 10, width=64, seed=seed, **arguments)
            trainer = gm.Trainer(net, loss="cross_entropy", optimizer=gm.SGD(lr=0.0), seed=seed)
            trainer.step(x, y)
            delta = trainer.recording.delta_norm[0]
            measured.append(math.log10(delta[0] / delta[-1]))
        spread = trainer.recording.prediction.spread[0]
    # A standard deviation of 24 samples is known to 1 / √46 = 15 %, two of which are 0.3.
    assert np.std(measured, ddof=1) == pytest.approx(spread, rel=0.3)


def test_behind_a_layer_norm_the_drift_starts_anew():
    x = np.random.default_rng(0).normal(size=(20, 30))
    dense, tanh = gm.Dense(30, init=theory_configurations.scaled(1.5)), gm.Tanh()
    ways = [[dense, tanh, dense, tanh, dense], [dense, tanh, dense, gm.LayerNorm(), tanh, dense]]
    for layers, drifting in zip(ways, ([False, True], [False, False]), strict=True):
        stages = next(forward(layers, parameter_sizes(gm.Network(30, layers, seed=0)), x, False)).stages
        drifts = [stage.drift for stage in stages if isinstance(stage, ActivationStage)]
        assert [drift.variance > 0 for drift in drifts] == drifting
