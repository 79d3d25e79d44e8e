"""Fixed points, the edge of chaos and depth scales, against published figures and limits worked out by hand."""

import math

import numpy as np
import pytest

import gradiometer as gm
from gradiometer.activations import _ACTIVATIONS
from gradiometer.theory.moments import moments
from gradiometer.theory.variance import variance_map

theory = gm.theory
NAMES = list(_ACTIVATIONS)


def test_relu_is_critical_at_he_initialisation():
    """He et al. 2015: σ_w² = 2 keeps the variance; then χ₁ = 1 as well."""
    assert theory.critical_sigma_w("relu") == pytest.approx(math.sqrt(2), rel=1e-15)
    assert theory.chi("relu", math.sqrt(2)) == pytest.approx(1, rel=1e-15)
    assert theory.fixed_point("relu", math.sqrt(2)) == 1  # as every variance is


@pytest.mark.parametrize("sigma_w", [1e-150, 0.577, 1.8, 1e150])
def test_chi_of_relu_off_criticality_is_the_limit(sigma_w):
    assert theory.fixed_point("relu", sigma_w) == (0 if sigma_w < math.sqrt(2) else math.inf)
    assert theory.chi("relu", sigma_w) == pytest.approx(sigma_w**2 / 2, rel=1e-14)


def test_relu_with_biases_settles_at_the_sum_of_the_geometric_series():
    assert theory.fixed_point("relu", 1.0, 0.5) == pytest.approx(0.25 / (1 - 0.5), rel=1e-14)
    assert theory.fixed_point("relu", math.sqrt(2), 0.5) == math.inf
    assert theory.fixed_point("relu", 1e-150, 1e-150) == pytest.approx(1e-300, rel=1e-14)


def test_selu_has_mean_0_and_variance_1_as_fixed_point():
    """Klambauer et al. 2017: with σ_w = 1 (LeCun), and 1.0716 = E[φ′²] there."""
    mean, square, *_ = moments(gm.SELU(), 1.0)
    assert (mean, square) == (pytest.approx(0, abs=1e-14), pytest.approx(1, abs=1e-14))
    assert theory.fixed_point("selu", 1.0) == pytest.approx(1, rel=1e-14)
    # It attracts: the derivative of the variance map is 0.78 for SELU, below 1.
    assert moments(gm.SELU(), 1.0).square_rate == pytest.approx(0.783, abs=1e-3)
    assert theory.chi("selu", 1.0) == pytest.approx(1.0716, abs=5e-5)


@pytest.mark.parametrize("activation", ["tanh", "hardtanh", "softsign", "elu", "identity"])
def test_slope_one_at_zero_is_critical_at_one(activation):
    """Poole et al. 2016, for tanh: without biases q* = 0 up to σ_w = 1, and chaos from there on."""
    assert theory.critical_sigma_w(activation) == pytest.approx(1, rel=1e-14)
    if activation != "identity":
        assert theory.fixed_point(activation, 1.0) == 0
        assert theory.chi(activation, 1.0) == pytest.approx(1, rel=1e-14)
        assert theory.chi(activation, 0.9) == pytest.approx(0.81, rel=1e-14)  # the limit at q* = 0
        assert theory.fixed_point(activation, 1.1) > 0
    # χ₁ of elu and softsign leaves 1 slowly: their V(q) / q falls with √q, and E[φ′²] with it.
    assert theory.chi(activation, 1.1) > 1 + 1e-3


def test_tanh_just_above_criticality_follows_the_expansion():
    """q = σ_w² (q - 2 q² + 17/3 q³): q* = (σ_w² - 1) / 2 to first order."""
    assert theory.fixed_point("tanh", math.sqrt(1 + 1e-6)) == pytest.approx(5e-7, rel=1e-5)


@pytest.mark.parametrize("activation", NAMES)
@pytest.mark.parametrize(("sigma_w", "sigma_b"), [(0.7, 0.3), (1.2, 0.5), (1.3, 1e-3)])
def test_a_finite_fixed_point_is_one_and_the_iteration_from_1_gets_there(activation, sigma_w, sigma_b):
    layer = gm.theory.variance.activation_from_name(activation)
    q = theory.fixed_point(activation, sigma_w, sigma_b)
    if q == math.inf:
        assert activation == "identity"
        return
    assert variance_map(layer, sigma_w, sigma_b, q) == pytest.approx(q, rel=1e-13)
    reached = 1.0
    for _ in range(4000):
        reached = variance_map(layer, sigma_w, sigma_b, reached)
    assert reached == pytest.approx(q, rel=1e-6)  # slowly, where the map is nearly the identity


@pytest.mark.parametrize("activation", NAMES)
@pytest.mark.parametrize("sigma_b", [0.0, 0.1, 1.0])
def test_chi_crosses_1_at_the_critical_scale(activation, sigma_b):
    if activation in ("gelu", "silu", "mish", "hardswish") and sigma_b < 1:
        with pytest.raises(ValueError, match="leaps from"):
            theory.critical_sigma_w(activation, sigma_b)
        return
    edge = theory.critical_sigma_w(activation, sigma_b)
    below, above = (theory.chi(activation, edge * factor, sigma_b) for factor in (0.98, 1.02))
    assert below < 1
    assert above > 1 or activation == "elu"
    assert theory.chi(activation, edge * (1 - 1e-9), sigma_b) == pytest.approx(1, abs=2e-3)


def test_leaky_relu_and_softplus_and_sigmoid_are_critical_where_they_must_be():
    for slope in (0.01, 0.2, -1.0):
        expected = math.sqrt(2 / (1 + slope**2))  # He et al. 2015
        assert theory.critical_sigma_w(gm.LeakyReLU(slope)) == pytest.approx(expected, rel=1e-15)
    # Half of the line at large arguments, which softplus reaches as q* → ∞.
    assert theory.critical_sigma_w("softplus") == pytest.approx(math.sqrt(2), rel=1e-15)
    # σ(x) = (1 + tanh(x / 2)) / 2 has a quarter of the slope of tanh; its mean of 1/2 delays chaos further.
    assert theory.critical_sigma_w("sigmoid") == pytest.approx(10.149264, abs=1e-6)


def test_gelu_is_half_stable_where_published():
    """Roberts, Yaida and Hanin 2022: C_W = 1.98305826 and C_b = 0.17292239 make both rates 1 at K*."""
    sigma_w, sigma_b = math.sqrt(1.98305826), math.sqrt(0.17292239)
    variances = np.linspace(3.2, 3.7, 501)
    gap = [variance_map(gm.GELU(), sigma_w, sigma_b, q) - q for q in variances]
    star = variances[int(np.argmin(np.abs(gap)))]
    assert min(np.abs(gap)) < 1e-5
    got = moments(gm.GELU(), star)
    # The grid is 1e-3 wide, and the rates change by less than 0.1 per unit of q.
    assert sigma_w**2 * got.square_rate == pytest.approx(1, abs=1e-3)
    assert sigma_w**2 * got.slope_square == pytest.approx(1, abs=1e-3)


def test_the_correlation_map_knows_order_and_chaos():
    """Poole et al. 2016: c* = 1 in the ordered phase, below 1 in chaos; 0 for odd activations without biases."""
    assert theory.fixed_correlation("tanh", 0.9, 0.3) == 1
    assert theory.fixed_correlation("tanh", 2.0) == 0
    star = theory.fixed_correlation("tanh", 2.5, 0.3)
    assert 0 < star < 1
    assert theory.correlation_map("tanh", 2.5, 0.3, star) == pytest.approx(star, abs=1e-12)
    assert theory.correlation_map("tanh", 2.5, 0.3, 1.0) == pytest.approx(1, abs=1e-12)
    with pytest.raises(ValueError, match=r"q\* is inf"):
        theory.correlation_map("relu", 2.0, 0.0, 0.5)


@pytest.mark.parametrize(("sigma_w", "sigma_b"), [(1.3, 0.05), (2.5, 0.3), (4.0, 0.05)])
def test_depth_scales_are_the_decay_of_the_maps(sigma_w, sigma_b):
    """Schoenholz et al. 2017: |q - q*| ~ exp(-l / ξ_q) and |c - c*| ~ exp(-l / ξ_c), measured by iterating the maps."""
    scales = theory.depth_scales("tanh", sigma_w, sigma_b)
    q, c = theory.fixed_point("tanh", sigma_w, sigma_b), theory.fixed_correlation("tanh", sigma_w, sigma_b)
    step = 1e-5
    rate_q = (variance_map(gm.Tanh(), sigma_w, sigma_b, q * (1 + step)) - q) / (q * step)
    rate_c = (theory.correlation_map("tanh", sigma_w, sigma_b, c + step) - c) / step
    # Forward differences are off by the step times a curvature of order 1.
    assert scales.xi_q == pytest.approx(1 / abs(math.log(rate_q)), rel=1e-3)
    assert scales.xi_c == pytest.approx(1 / abs(math.log(rate_c)), rel=1e-3)
    assert scales.xi_grad == pytest.approx(1 / abs(math.log(theory.chi("tanh", sigma_w, sigma_b))), rel=1e-12)


@pytest.mark.parametrize("sigma_b", [0.0, 0.2, 1.0])
def test_depth_scales_diverge_at_the_edge_of_chaos(sigma_b):
    """Schoenholz et al. 2017: ξ_c diverges at the transition, from both sides; ξ_q stays finite with biases."""
    edge = theory.critical_sigma_w("tanh", sigma_b)
    at = theory.depth_scales("tanh", edge, sigma_b)
    assert at.xi_c == at.xi_grad == math.inf
    near = [theory.depth_scales("tanh", edge * factor, sigma_b) for factor in (0.9, 0.97, 0.99)]
    assert near[0].xi_c < near[1].xi_c < near[2].xi_c
    assert near[0].xi_grad < near[1].xi_grad < near[2].xi_grad
    beyond = [theory.depth_scales("tanh", edge * factor, sigma_b).xi_c for factor in (1.3, 1.1, 1.03)]
    assert beyond[0] < beyond[1] < beyond[2]
    if sigma_b:
        assert at.xi_q < 20


def test_the_critical_point_at_a_small_bias_solves_both_equations():
    """Fixed point and χ₁ = 1 (Poole et al. 2016), by Gauss–Hermite quadrature, exact for so small a variance."""
    z, weight = np.polynomial.hermite_e.hermegauss(60)
    weight = weight / weight.sum()
    square, bias = theory.critical_sigma_w("tanh", math.sqrt(2.01e-5)) ** 2, 2.01e-5
    q = theory.fixed_point("tanh", math.sqrt(square), math.sqrt(bias))
    value = np.tanh(math.sqrt(q) * z)
    assert square * (value**2 @ weight) + bias == pytest.approx(q, rel=1e-9)
    assert square * ((1 - value**2) ** 2 @ weight) == pytest.approx(1, abs=1e-9)
    assert square == pytest.approx(1.05, abs=5e-4)


@pytest.mark.parametrize("variance", [1.2, 1.761, 3.0])
def test_gradients_of_deep_networks_follow_their_depth_scale(variance):
    """Schoenholz et al. 2017: squared gradients change as exp(-l / ξ_∇); σ_b² = 0.05, in both phases and between."""
    depth, width, sigma_w, sigma_b = 40, 400, math.sqrt(variance), math.sqrt(0.05)
    net = gm.mlp(64, 64, depth=depth, width=width, activation="tanh", init=gm.init.normal(std=sigma_w / 20), seed=0)
    rng = np.random.default_rng(0)
    state = net.state_dict()
    biases = {key: rng.normal(0, sigma_b, len(value)) for key, value in state.items() if key.endswith("bias")}
    net.load_state_dict({**state, **biases})
    trainer = gm.Trainer(net, loss="mse", optimizer=gm.SGD(lr=0.0), seed=0)
    trainer.step(rng.normal(size=(16, 64)), 100 * rng.normal(size=(16, 64)))
    hidden = np.log10(trainer.recording.delta_norm[0, 10:35])  # where q has settled
    rate = -2 * math.log(10) * np.polyfit(np.arange(25), hidden, 1)[0]  # of squares, toward the input
    sign = 1 if theory.chi("tanh", sigma_w, sigma_b) > 1 else -1
    # Over 25 layers a sum of fluctuations of √(some / width) each: 0.02 per layer at most.
    assert rate == pytest.approx(sign / theory.depth_scales("tanh", sigma_w, sigma_b).xi_grad, abs=0.02)


def test_in_the_ordered_phase_correlations_and_gradients_share_their_depth_scale():
    """Schoenholz et al. 2017: ξ_c = ξ_∇ where c* = 1."""
    scales = theory.depth_scales("tanh", 0.8, 0.3)
    assert scales.xi_c == scales.xi_grad < math.inf
    assert theory.depth_scales("relu", math.sqrt(2)) == theory.DepthScales(math.inf, math.inf, math.inf)
    assert theory.depth_scales("relu", 1.0).xi_grad == pytest.approx(1 / math.log(2), rel=1e-12)
    assert theory.depth_scales("relu", 2.0).xi_c == math.inf  # the arc-cosine map has slope 1 at c = 1


@pytest.mark.parametrize("sigma", [1e-150, 1e150])
@pytest.mark.parametrize("activation", NAMES)
def test_extreme_weights_do_not_overflow(activation, sigma):
    q, growth = theory.fixed_point(activation, sigma), theory.chi(activation, sigma)
    assert q >= 0
    assert 0 < growth < math.inf
    assert (q < 1e-290) if sigma < 1 else (q > 1e290)


def test_hardtanh_with_large_weights_has_the_saturated_limit():
    """q* → σ_w², and χ₁ → σ_w² P(|z| < 1 / σ_w) = σ_w √(2 / π)."""
    assert theory.fixed_point("hardtanh", 1e150) == pytest.approx(1e300, rel=1e-14)
    assert theory.chi("hardtanh", 1e150) == pytest.approx(1e150 * math.sqrt(2 / math.pi), rel=1e-12)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: theory.chi("rel", 1.0), ValueError, "no activation 'rel'"),
        (lambda: theory.chi(3, 1.0), TypeError, "a name or an activation layer"),
        (lambda: theory.chi("relu", -1.0), ValueError, "sigma_w must be at least 0"),
        (lambda: theory.fixed_point("relu", math.nan), ValueError, "sigma_w must be finite"),
        (lambda: theory.fixed_point("relu", 1.0, -0.1), ValueError, "sigma_b must be at least 0"),
        (lambda: theory.depth_scales("relu", math.inf), ValueError, "sigma_w must be finite"),
        (lambda: theory.critical_sigma_w("gelu"), ValueError, "leaps from 0 to inf, and χ₁ from 0.588 to 1.07"),
        (lambda: theory.correlation_map("tanh", 1.5, 0.1, 1.5), ValueError, "c must be from -1 to 1"),
    ],
)
def test_wrong_arguments_are_refused_with_the_reason(call, error, message):
    with pytest.raises(error, match=message.replace("(", r"\(")):
        call()
