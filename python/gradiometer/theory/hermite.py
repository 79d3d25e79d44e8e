"""Hermite coefficients of activations, which turn expectations over pairs into power series (Mehler's formula).

For jointly normal u₁, u₂ with variances q₁, q₂ and correlation c, E[φ(u₁) φ(u₂)] = Σ aₖ(q₁) aₖ(q₂) cᵏ, where
aₖ(q) = E[φ(√q z) heₖ(z)] with the normalised Hermite polynomials heₖ.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradiometer.activations import Activation
from gradiometer.gaussian import feature_size, kinks, normal_nodes, panel_edges
from gradiometer.theory.moments import moments, piecewise_linear, values

__all__ = ["TERMS", "Expansion", "expand", "mean_values"]

Array = NDArray[np.float64]

TERMS = 64
PER_OCTAVE = 4  # points of the table in log₂ q; six of them are interpolated, with an error below 1e-8
SMALLEST, LARGEST = 1e-290, 1e290
OFFSETS = np.arange(-2, 4)


class Expansion(NamedTuple):
    """Coefficients and moments of an activation, one row for each variance."""

    value: Array
    """aₖ of φ, (rows, TERMS)"""
    slope: Array
    """aₖ of φ′, (rows, TERMS)"""
    square: Array
    """E[φ²], (rows,)"""
    slope_square: Array
    """E[φ′²], (rows,)"""
    slope_fourth: Array
    """E[φ′⁴], (rows,)"""


def expand(activation: Activation, q: Array) -> Expansion:
    """Return the expansions at variances q, (rows,), from a table in log q that fills as it is used."""
    place = np.log2(np.clip(q, SMALLEST, LARGEST)) * PER_OCTAVE
    cell = np.floor(place).astype(np.intp)
    offset = (place - cell)[:, None]
    # Lagrange's polynomials through six neighbours.
    weights = np.ones((len(q), len(OFFSETS)))
    for column, point in enumerate(OFFSETS):
        for other in OFFSETS[point != OFFSETS]:
            weights[:, column : column + 1] *= (offset - other) / (point - other)
    points, where = np.unique(cell[:, None] + OFFSETS, return_inverse=True)
    table = np.stack([_row(activation, int(point)) for point in points])
    row = np.einsum("rp,rpk->rk", weights, table[where.reshape(weights.shape)])
    return Expansion(row[:, :TERMS], row[:, TERMS : 2 * TERMS], row[:, -3], row[:, -2], row[:, -1])


def mean_values(activation: Activation, q: Array) -> Array:
    """Return E[φ] at variances q, (rows,)."""
    lines = piecewise_linear(activation)
    if lines is not None:
        return np.asarray((lines[1] - lines[0]) * np.sqrt(q / (2 * np.pi)))
    return expand(activation, q).value[:, 0]


@lru_cache(maxsize=2048)
def _row(activation: Activation, point: int) -> Array:
    """Return coefficients and moments at one point of the table."""
    q = 2.0 ** (point / PER_OCTAVE)
    scale = q**0.5
    z, density = normal_nodes(panel_edges(kinks(activation), scale, feature_size(activation)))
    value, slope = values(activation, scale * z)
    row = np.empty(2 * TERMS + 3)
    polynomial, before = density.copy(), np.zeros_like(z)
    for k in range(TERMS):
        row[k], row[TERMS + k] = value @ polynomial, slope @ polynomial
        polynomial, before = (z * polynomial - k**0.5 * before) / (k + 1) ** 0.5, polynomial
    exact = moments(activation, q)
    row[-3:] = exact.square, exact.slope_square, exact.slope_fourth
    return row
