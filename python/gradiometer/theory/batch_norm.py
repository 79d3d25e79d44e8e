"""How much gradients grow per layer in a deep network with batch norm (Yang et al. 2019)."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from gradiometer._checks import check_integer, check_number
from gradiometer.activations import Activation, activation_from_name, activation_name
from gradiometer.gaussian import feature_size, gauss_legendre, kinks, panel_edges
from gradiometer.theory.moments import moments, values

__all__ = ["batch_norm_growth"]

Array = NDArray[np.float64]

SMALLEST_BATCH = 4  # with three rows, the expectation of 1 / variance is infinite


def batch_norm_growth(activation: str | Activation, dropout: float = 0.0, batch_size: int | None = None) -> float:
    """Return the factor on squared gradients per layer of Dense, BatchNorm, activation and Dropout, toward the input.

    It does not depend on the scale of the weights, and without dropout it is never below 1, by the Gaussian Poincaré
    inequality: E[φ′²] / Var[φ] under N(0, 1) in a large batch (Yang et al. 2019).
    That is π / (π − 1) for ReLU. Dropout with probability p makes it (E[φ′²] / (1 − p)) / (E[φ²] / (1 − p) − E[φ]²).

    In a batch of B rows, the normalised rows of a unit are uniform on the sphere of radius √B orthogonal to (1, …,
    1), once all pairs of rows have become equally similar, as they do with depth. The expectations are over that
    sphere; with d and o those of φ(x₁)² / (1 − p) and φ(x₁) φ(x₂) for two rows, the growth is::

        B / ((d − o) (B − 3)) · (E[φ′₁² (1 − (1 + x₁²) / B)] / (1 − p) + E[φ′₁ φ′₂ (1 + x₁ x₂)] / B)

    which is (B − 2) / (B − 3) for the identity.

    Parameters
    ----------
    activation : str or Activation
        A layer, or its lower-case name.
    dropout : float
        Probability p that a unit is dropped, from 0 to below 1.
    batch_size : int or None
        Rows in the batch, at least 4; None for the limit of many.

    Raises
    ------
    ValueError
        If an argument is out of range, or the activation is constant on nearly all of N(0, 1).
    TypeError
        If an argument is of a wrong type.
    """
    layer = activation_from_name(activation)
    kept = 1.0 - check_number("dropout", dropout, minimum=0.0, maximum=1.0)
    if kept == 0:
        raise ValueError("dropout must be below 1, not 1: nothing is left")
    if batch_size is None:
        mean, square, slope_square, *_ = moments(layer, 1.0)
        return slope_square / kept / _spread(layer, square / kept, mean * mean)
    rows = check_integer("batch_size", batch_size, minimum=1)
    if rows < SMALLEST_BATCH:
        raise ValueError(f"batch_size must be at least {SMALLEST_BATCH}, not {rows}: the growth is infinite below")
    one, density, two, density_of_two = _sphere(layer, rows)
    value, slope = values(layer, one)
    other_value, other_slope = values(layer, two)
    together = (density * value) @ (other_value * density_of_two).sum(axis=(1, 2))
    spread = _spread(layer, float(density @ (value * value)) / kept, float(together))
    same = float(density @ (slope * slope * (1.0 - (1.0 + one * one) / rows)))
    inner = (other_slope * density_of_two * (1.0 + one[:, None, None] * two)).sum(axis=(1, 2))
    across = float((density * slope) @ inner)
    return rows / (spread * (rows - 3)) * (same / kept + across / rows)


def _spread(layer: Activation, square: float, together: float) -> float:
    if not square - together > 1e-12 * square:
        raise ValueError(f"{activation_name(layer)} is constant for nearly all of N(0, 1): batch norm divides by zero")
    return square - together


def _sphere(layer: Activation, rows: int) -> tuple[Array, Array, Array, Array]:
    """Return nodes and weights for one coordinate x₁, and for x₂ given each of these.

    On the sphere, x₁ = √(B−1) sin θ with a density ∝ cosᴮ⁻³ θ; x₂ has correlation −1 / (B−1) with it, and the rest of
    it is √(B−1) cos θ sin ψ with a density ∝ cosᴮ⁻⁴ ψ.
    """
    radius, correlation = math.sqrt(rows - 1), -1.0 / (rows - 1)
    rest = math.sqrt(1.0 - correlation * correlation)
    edges = panel_edges(kinks(layer), 1.0, feature_size(layer))
    # Where a kink of x₂ leaves the sphere, the inner expectation has one.
    kink = np.arcsin(np.clip(np.array(kinks(layer)) / radius, -1, 1))
    turned = np.concatenate([kink + side * math.acos(correlation) for side in (-1, 1)])
    bounds = np.arcsin(np.clip(edges / radius, -1, 1))
    theta, weight = _panels(np.unique(np.concatenate([bounds, turned[np.abs(turned) < bounds[-1]]]))[None, :])
    theta, weight = theta.ravel(), weight.ravel()
    sine, cosine = np.sin(theta), np.cos(theta)
    density = weight * cosine ** (rows - 3)
    inner_edges = (edges[None, :] / radius - correlation * sine[:, None]) / (rest * cosine[:, None])
    psi, inner_weight = _panels(np.arcsin(np.clip(inner_edges, -1, 1)))
    inner_density = inner_weight * np.cos(psi) ** (rows - 4)
    second = radius * (correlation * sine[:, None, None] + rest * cosine[:, None, None] * np.sin(psi))
    return (
        radius * sine,
        density / density.sum(),
        second,
        inner_density / inner_density.sum(axis=(1, 2), keepdims=True),
    )


def _panels(bounds: Array) -> tuple[Array, Array]:
    """Return nodes and weights, (rows, panels, nodes), between the bounds of each row."""
    nodes, weights = gauss_legendre()
    half = np.diff(bounds, axis=1)[:, :, None] / 2
    return bounds[:, :-1, None] + half + half * nodes, half * weights
