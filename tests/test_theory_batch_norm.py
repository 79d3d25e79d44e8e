"""The growth of gradients with batch norm, against published figures and a simulation of the sphere."""

import math

import numpy as np
import pytest

import gradiometer as gm
from gradiometer.activations import _ACTIVATIONS
from gradiometer.theory.forward import forward

growth = gm.theory.batch_norm_growth


def test_relu_grows_by_pi_over_pi_minus_1():
    """Yang et al. 2019: π / (π - 1) = 1.467 in a large batch."""
    assert growth("relu") == pytest.approx(math.pi / (math.pi - 1), rel=1e-14)


def test_dropout_of_one_half_reduces_it_to_1_189():
    """(E[φ′²] / (1 - p)) / (E[φ²] / (1 - p) - E[φ]²) = 1 / (1 - 1 / (2 π)) for ReLU and p = 0.5."""
    assert growth("relu", dropout=0.5) == pytest.approx(1 / (1 - 1 / (2 * math.pi)), rel=1e-14)
    assert growth("relu", dropout=0.5) == pytest.approx(1.189, abs=5e-4)
    assert growth("identity", dropout=0.5) == pytest.approx(1, rel=1e-14)


@pytest.mark.parametrize("activation", _ACTIVATIONS)
def test_it_is_never_below_1(activation):
    """Gaussian Poincaré inequality: Var[φ] ≤ E[φ′²], with equality for straight lines only."""
    assert growth(activation) >= 1 - 1e-14
    assert (growth(activation) > 1 + 1e-4) == (activation != "identity")


@pytest.mark.parametrize("rows", [4, 5, 8, 64, 1000, 10**6])
def test_the_identity_grows_by_the_finite_batch_alone(rows):
    assert growth("identity", batch_size=rows) == pytest.approx((rows - 2) / (rows - 3), rel=1e-10)


@pytest.mark.parametrize("activation", _ACTIVATIONS)
def test_a_large_batch_has_the_growth_of_the_limit(activation):
    # The correction is a few times 1 / B.
    assert growth(activation, 0.3, batch_size=10**7) == pytest.approx(growth(activation, 0.3), rel=1e-5)


@pytest.mark.parametrize("rows", [5, 16])
@pytest.mark.parametrize(("activation", "dropout"), [("relu", 0.0), ("hardtanh", 0.2), ("tanh", 0.0)])
def test_small_batches_agree_with_a_simulation(activation, dropout, rows):
    """Normalised rows, and batch norm's own backward pass, for 200,000 units at the fixed point."""
    rng = np.random.default_rng(rows)
    layer, units = _ACTIVATIONS[activation](), 200_000
    z = rng.normal(size=(units, rows))
    z -= z.mean(axis=1, keepdims=True)
    x = z / np.sqrt((z * z).mean(axis=1, keepdims=True))
    value, slope = gm.theory.moments.values(layer, x)
    square = (value**2).mean() / (1 - dropout)
    together = ((value.sum(axis=1) ** 2 - (value**2).sum(axis=1)) / (rows * (rows - 1))).mean()
    back = rng.normal(size=x.shape)
    back -= back.mean(axis=1, keepdims=True)
    dx = slope * back * (rng.random(x.shape) >= dropout) / (1 - dropout)
    dz = dx - dx.mean(axis=1, keepdims=True) - x * (x * dx).mean(axis=1, keepdims=True)
    # Per unit, with E[1 / v] for a variance of square - together of normal numbers.
    samples = rows / ((square - together) * (rows - 3)) * (dz**2).sum(axis=1) / (rows - 1)
    error = 4 * samples.std() / math.sqrt(units)  # four standard errors; those of square and together are smaller
    assert growth(activation, dropout, rows) == pytest.approx(samples.mean(), abs=error)


@pytest.mark.parametrize("activation", ["identity", "relu", "tanh"])
def test_wide_layers_of_a_batch_settle_at_the_growth(activation):
    rows, width = 256, 4000
    layers = [*[gm.Dense(width, bias=False), gm.BatchNorm(eps=0.0), _ACTIVATIONS[activation]()] * 2, gm.Dense(1)]
    sizes = {"0.weight": 1.0, "3.weight": 1.0, "6.weight": 1.0}
    way = next(forward(layers, sizes, np.eye(rows), keep_inputs=False)).stages
    gradient = np.eye(rows) - 1 / rows
    for stage in reversed(way[len(way) // 2 : -1]):
        gradient = stage.backward(gradient)
    ratio = np.trace(gradient) / (rows - 1)
    # Drawn units fluctuate by a few 1 / √(rows · width) = 0.1 %; normalised rows are not normal by 1 / B.
    assert ratio == pytest.approx(growth(activation, batch_size=rows), rel=1 / rows)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("relu", 1.0), "dropout must be below 1"),
        (("relu", 1.5), "dropout must be from 0 to 1"),
        (("relu", 0.0, 3), "batch_size must be at least 4, not 3: the growth is infinite"),
        ((gm.Hardtanh(100, 101),), "hardtanh is constant for nearly all"),
        (("relux",), "no activation 'relux'"),
    ],
)
def test_wrong_arguments_are_refused_with_the_reason(arguments, message):
    with pytest.raises(ValueError, match=message):
        growth(*arguments)
