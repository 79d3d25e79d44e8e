"""Expectations of activations under normal distributions, against 30-digit arithmetic and closed forms."""

import math

import mpmath as mp
import numpy as np
import pytest

import gradiometer as gm
from gradiometer.theory.correlation import pair_moments
from gradiometer.theory.kernels import pair_kernels
from gradiometer.theory.moments import moments

SCALE, ALPHA = mp.mpf("1.0507009873554804934193349852946"), mp.mpf("1.6732632423543772848170429916717")


def sigmoid(x):
    return 1 / (1 + mp.exp(-x))


def softplus(x):
    return mp.log1p(mp.exp(x))


def elu(x, alpha=1):
    return x if x > 0 else alpha * mp.expm1(x)


def gelu_tanh(x):
    return x * (1 + mp.tanh(mp.sqrt(2 / mp.pi) * (x + mp.mpf("0.044715") * x**3))) / 2


def step(x):
    return mp.mpf(x > 0)


# Each activation as φ, φ′ and the points where φ′ jumps, written out again, in mpmath.
EXACT = {
    gm.ReLU(): (lambda x: x * step(x), step, [0]),
    gm.LeakyReLU(0.2): (lambda x: x if x > 0 else x * mp.mpf(0.2), lambda x: 1 if x > 0 else mp.mpf(0.2), [0]),
    gm.ELU(): (elu, lambda x: 1 if x > 0 else mp.exp(x), [0]),
    gm.ELU(2.5): (lambda x: elu(x, 2.5), lambda x: 1 if x > 0 else 2.5 * mp.exp(x), [0]),
    gm.SELU(): (lambda x: SCALE * elu(x, ALPHA), lambda x: SCALE * (1 if x > 0 else ALPHA * mp.exp(x)), [0]),
    gm.GELU(): (lambda x: x * mp.ncdf(x), lambda x: mp.ncdf(x) + x * mp.npdf(x), []),
    gm.GELU("tanh"): (gelu_tanh, lambda x: mp.diff(gelu_tanh, x), []),
    gm.SiLU(): (lambda x: x * sigmoid(x), lambda x: sigmoid(x) * (1 + x * sigmoid(-x)), []),
    gm.Mish(): (
        lambda x: x * mp.tanh(softplus(x)),
        lambda x: mp.tanh(softplus(x)) + x * mp.sech(softplus(x)) ** 2 * sigmoid(x),
        [],
    ),
    gm.Softplus(): (lambda x: x if x > 20 else softplus(x), lambda x: 1 if x > 20 else sigmoid(x), [20]),
    gm.Softplus(50.0): (
        lambda x: x if x > 0.4 else softplus(50 * x) / 50,
        lambda x: 1 if x > 0.4 else sigmoid(50 * x),
        [-0.4, -0.1, 0.1, 0.4],
    ),
    gm.Softsign(): (lambda x: x / (1 + abs(x)), lambda x: 1 / (1 + abs(x)) ** 2, [0]),
    gm.Sigmoid(): (sigmoid, lambda x: sigmoid(x) * sigmoid(-x), []),
    gm.Tanh(): (mp.tanh, lambda x: mp.sech(x) ** 2, []),
    gm.Hardtanh(): (lambda x: min(max(x, -1), 1), lambda x: mp.mpf(-1 < x < 1), [-1, 1]),
    # Kinks that are no multiples of anything.
    gm.Hardtanh(0.37, 1.83): (
        lambda x: min(max(x, mp.mpf(0.37)), mp.mpf(1.83)),
        lambda x: mp.mpf(0.37 < x < 1.83),
        [0.37, 1.83],
    ),
    gm.Hardswish(): (
        lambda x: x * min(max(x + 3, 0), 6) / 6,
        lambda x: 0 if x <= -3 else (x / 3 + mp.mpf(0.5) if x < 3 else 1),
        [-3, 3],
    ),
    gm.Identity(): (lambda x: x, lambda x: mp.mpf(1), []),
}


def exact(function, kinks, scale):
    """E[function(scale z)], split at the kinks and densely where the activations bend."""
    bends = [0, *(side * x / scale for side in (-1, 1) for x in (0.5, 2, 5, 12)), *(k / scale for k in kinks)]
    edges = sorted({-12, -6, -3, -1, 1, 3, 6, 12, *(float(b) for b in bends if abs(b) < 12)})
    return mp.quad(lambda z: function(scale * z) * mp.npdf(z), edges, method="gauss-legendre", maxdegree=4)


@pytest.mark.parametrize("activation", EXACT, ids=repr)
@pytest.mark.parametrize("q", [0.01, 1.0, 64.0])
def test_moments_are_exact_to_ten_digits(activation, q):
    value, slope, kinks = EXACT[activation]
    scale = math.sqrt(q)
    got = moments(activation, q)
    for name, function in [
        ("mean", value),
        ("square", lambda x: value(x) ** 2),
        ("slope_square", lambda x: slope(x) ** 2),
    ]:
        want = exact(function, kinks, scale)
        # Relative to the largest value that is averaged: the mean of an odd function is 0.
        unit = max(abs(want), 1e-3 * scale if name == "mean" else 0)
        assert abs(getattr(got, name) - want) < 1e-10 * unit, name


@pytest.mark.parametrize("activation", EXACT, ids=repr)
def test_the_rate_of_the_variance_map_is_its_derivative(activation):
    q, h = 1.3, 1e-4
    difference = (moments(activation, q + h).square - moments(activation, q - h).square) / (2 * h)
    # The central difference is off by h² / 6 times a third derivative of order 1, or a few for beta = 50.
    assert moments(activation, q).square_rate == pytest.approx(difference, rel=1e-6)


@pytest.mark.parametrize("activation", EXACT, ids=repr)
@pytest.mark.parametrize("scale", [1e-150, 1e-30, 1e30, 1e150])
def test_extreme_variances_have_the_moments_of_the_limit(activation, scale):
    """Far from zero an activation is two straight lines or two constants, and near zero it is its tangents."""
    q = scale * scale
    got, limit = moments(activation, q), moments(activation, 0.0 if scale < 1 else math.inf)
    assert np.isfinite(got).all()
    # At 1e±30, what separates an activation from its limit is 1e-30 of it.
    assert got.slope_square == pytest.approx(limit.slope_square, rel=1e-12, abs=1e-25)
    grows = scale > 1 and limit.slope_square > 0
    flat = scale < 1 and limit.square == 0
    assert got.square == pytest.approx(limit.slope_square * q if grows or flat else limit.square, rel=1e-12)


@pytest.mark.parametrize("c", [-0.99999, -0.5, 0.0, 0.3, 0.97, 0.999999, 1.0])
def test_pairs_of_relu_have_the_arc_cosine_kernel(c):
    """Cho and Saul 2009, degrees 1 and 0; ELU with a negligible alpha takes the quadrature to the same values."""
    angle = math.acos(c)
    value = (math.sin(angle) + (math.pi - angle) * c) / (2 * math.pi)
    slope = (math.pi - angle) / (2 * math.pi)
    for activation in (gm.ReLU(), gm.ELU(1e-300)):
        # acos of a number near 1 has half of its digits.
        assert pair_moments(activation, 3.0, c) == pytest.approx((3 * value, slope), abs=1e-10)


def test_pairs_of_a_steep_hardtanh_have_the_arc_sine_law():
    """E[sign sign] = (2 / π) arcsin c (Sheppard 1899), up to the ramp of width 1e-6."""
    for c in (-0.9, 0.1, 0.7):
        assert pair_moments(gm.Hardtanh(), 1e12, c)[0] == pytest.approx(2 / math.pi * math.asin(c), abs=2e-6)


@pytest.mark.parametrize("activation", EXACT, ids=repr)
def test_kernels_of_a_batch_agree_with_the_quadrature(activation):
    q, c = np.array([0.7, 0.7]), 0.6
    covariance = np.array([[q[0], c * 0.7], [c * 0.7, q[1]]])
    kernels = pair_kernels(activation, covariance)
    value, slope = pair_moments(activation, 0.7, c)
    # The series has 64 terms: 0.6^64 is 6e-15; what remains is the interpolation in log q.
    assert kernels.value[0, 1] == pytest.approx(value, rel=1e-6, abs=1e-7)
    assert kernels.slope[0, 1] == pytest.approx(slope, rel=1e-5, abs=1e-6)
    assert np.allclose(np.diag(kernels.value), moments(activation, 0.7).square, rtol=1e-6)


@pytest.mark.parametrize("activation", [gm.SELU(), gm.Hardswish(), gm.Hardtanh(), gm.Tanh()], ids=repr)
@pytest.mark.parametrize("c", [0.95, 0.99, 0.999])
def test_the_tail_of_the_series_is_filled_in_near_correlation_one(activation, c):
    kernels = pair_kernels(activation, np.array([[1.0, c], [c, 1.0]]))
    value, slope = pair_moments(activation, 1.0, c)
    assert kernels.value[0, 1] == pytest.approx(value, rel=1e-3)  # as the docstring of pair_kernels says
    assert kernels.slope[0, 1] == pytest.approx(slope, rel=2.5e-3)


def test_rows_without_variance_and_of_different_variances_have_their_kernels():
    covariance = np.diag([0.0, 1.0, 100.0])
    kernels = pair_kernels(gm.Sigmoid(), covariance)
    assert kernels.value[0] == pytest.approx([0.25, 0.25, 0.25], abs=1e-9)  # φ(0) times the mean, which is 0.5
    assert kernels.slope[0, 0] == pytest.approx(1 / 16, rel=1e-9)
    assert kernels.value[1, 2] == pytest.approx(0.25, abs=1e-9)
