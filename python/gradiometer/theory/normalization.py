"""Batch norm in terms of covariance matrices over the rows of a batch, forward and backward.

The rows of one unit, z, are normal with a covariance Q; centred, z has the eigenvalues λₖ of P Q P, P = 1 − 1/B.
Expectations of what is divided by its own variance v = |P z|² / B are integrals over one variable, as 1 / v = B ∫
exp(−t |P z|²) dt.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Normalization"]

Array = NDArray[np.float64]

LOG_STEP = 0.125  # of the trapezoidal rule in ln t, whose error falls exponentially with 1 / step
LOG_FIRST, LOG_LAST = -30.0, 90.0


def centred(matrix: Array) -> Array:
    """Return P M P for a symmetric M."""
    means = matrix.mean(axis=0)
    return np.asarray(matrix - means[:, None] - means + means.mean())


@dataclass(frozen=True)
class Normalization:
    """Batch norm of normal rows: what comes out, and how gradients come back.

    Attributes
    ----------
    covariance : array
        E[x̂ x̂ᵀ] of the normalised rows x̂, before gamma and beta; its trace is B (less by eps).
    inverse_variance : float
        E[1 / (v + eps)].
    """

    covariance: Array
    inverse_variance: float

    @classmethod
    def of(cls, covariance: Array, eps: float) -> Normalization:
        """Normalise rows of this covariance."""
        rows = len(covariance)
        eigenvalues, vectors = np.linalg.eigh(centred(covariance))
        eigenvalues = np.maximum(eigenvalues, 0.0)
        trace = float(eigenvalues.sum())
        if trace <= 0.0:
            return cls(np.zeros_like(covariance), 1.0 / eps if eps else np.inf)
        shares = eigenvalues / trace
        t = np.exp(np.arange(LOG_FIRST, LOG_LAST, LOG_STEP))
        present = shares > 1e-14
        spread = 1.0 + 2.0 * np.multiply.outer(t, shares[present])
        with np.errstate(over="ignore"):
            weights = LOG_STEP * t * np.exp(-0.5 * np.log(spread).sum(axis=1) - eps * rows / trace * t)
        kept = np.zeros(rows)
        kept[present] = rows * shares[present] * ((1.0 / spread).T @ weights)
        return cls((vectors * kept) @ vectors.T, rows / trace * float(weights.sum()))

    def backward(self, gradient: Array) -> Array:
        """Return the covariance over rows of dL/dz from that of dL/dx̂: E[A G A] E[1 / v] with A = P − x̂ x̂ᵀ / B.

        The fourth moments of x̂ are those of normal rows, scaled to |x̂|² = B. What is neglected, the dependence of v
        on the direction of z, is of order 1 / B, and zero where all pairs of rows are equally similar.
        """
        rows, own = len(gradient), self.covariance
        inner = centred(gradient)
        across = own @ inner
        trace = float(np.trace(own))
        fourth = trace**2 / (trace**2 + 2.0 * float((own * own).sum())) if trace else 0.0
        projected = fourth * (own * float((own * gradient).sum()) + 2.0 * own @ gradient @ own) / rows**2
        return np.asarray(self.inverse_variance * (inner - (across + across.T) / rows + projected))
