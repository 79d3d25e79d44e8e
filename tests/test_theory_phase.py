"""The phase diagram against the functions that give one point at a time, and figure 1 of Poole et al. 2016."""

import math

import numpy as np
import pytest

import gradiometer as gm
from gradiometer.activations import _ACTIVATIONS

SIGMA_W, SIGMA_B = [0.31, 0.9, 1.37, 2.6], [0.0, 0.11, 0.7]


@pytest.mark.parametrize("activation", _ACTIVATIONS)
def test_it_is_what_chi_and_fixed_point_give(activation):
    got = gm.theory.phase_diagram(activation, SIGMA_W, SIGMA_B)
    for row, sigma_b in enumerate(SIGMA_B):
        for column, sigma_w in enumerate(SIGMA_W):
            expected = gm.theory.chi(activation, sigma_w, sigma_b)
            assert got.chi[row, column] == pytest.approx(expected, rel=1e-4), (sigma_w, sigma_b)
            assert got.slope[row, column] == pytest.approx(math.log10(expected) / 2, abs=1e-4)
            variance = gm.theory.fixed_point(activation, sigma_w, sigma_b)
            if 1e-9 < variance < 1e9:
                assert got.variance[row, column] == pytest.approx(variance, rel=1e-3), (sigma_w, sigma_b)


def test_tanh_is_ordered_below_the_critical_line_and_chaotic_above():
    """Poole et al. 2016, figure 1: the edge starts at σ_w = 1, σ_b = 0, and bends to larger σ_w."""
    sigma_b = np.array([0.0, 0.05, 0.2, 0.5])
    edges = [gm.theory.critical_sigma_w("tanh", b) for b in sigma_b]
    assert edges[0] == pytest.approx(1)
    assert np.all(np.diff(edges) > 0)
    for share, sign in ((0.97, -1), (1.03, 1)):
        chi = gm.theory.phase_diagram("tanh", share * np.array(edges), sigma_b).chi
        assert np.all(np.sign(np.diag(chi) - 1) == sign)


def test_he_initialisation_is_a_fixed_point_by_itself():
    got = gm.theory.phase_diagram("relu", [math.sqrt(2)], [0.0])
    assert (got.variance[0, 0], got.chi[0, 0]) == (1, pytest.approx(1))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("reluu", [1.0], [0.0]), ValueError, "no activation 'reluu'"),
        (("relu", 1.0, [0.0]), ValueError, r"sigma_w has shape \(\)"),
        (("relu", [1.0], [-0.1]), ValueError, "sigma_b must be finite and at least 0, not -0.1"),
        (("relu", [np.nan], [0.0]), ValueError, "sigma_w must be finite"),
        (("relu", ["a"], [0.0]), TypeError, "sigma_w must be an array of numbers"),
    ],
)
def test_wrong_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        gm.theory.phase_diagram(*arguments)


def test_the_variance_map_is_the_length_map():
    assert gm.theory.variance_map("relu", math.sqrt(2), q=3.0) == pytest.approx(3.0)
    assert gm.theory.variance_map(gm.LeakyReLU(0.5), 1.0, 0.5, 2.0) == pytest.approx(2 * (1 + 0.25) / 2 + 0.25)
    with pytest.raises(ValueError, match="q must be at least 0"):
        gm.theory.variance_map("relu", 1.0, q=-1.0)
