"""What it does that gradients go back through the same weights that the batch norm has seen on the way forward.

Mean-field theory takes the weights on the way back as if drawn anew (Schoenholz et al. 2017). Batch norm makes that
wrong to first order in 1 / width. A unit k of a dense layer receives z = Σ wᵢ hᵢ from the units i in front, and batch
norm divides its gradient by the variance v = wᵀ C w, where Cᵢⱼ is the covariance over the rows of the units in front.
Back through this unit come squared gradients in proportion to wᵀ M w / v, where M collects all that the layers in front
do. A large w makes both large: by E[wᵢ wⱼ F(w)] = δᵢⱼ E[F] / n + E[∂ᵢ ∂ⱼ F] / n², a normal w has

    E[wᵀ M w / v] = E[wᵀ M w] E[1 / v] (1 − 2 τ / n + …),    τ = n tr(M C) / (tr M tr C).

M is made of the layers in front. It has τ = 1 in front of the nearest layer of units, where M is diagonal; and from one
layer to the next, Mᵢⱼ is φ′ᵢ φ′ⱼ wᵢᵀ M w_j and Cᵢⱼ is, to first order, E[φ′]² wᵢᵀ C w_j, so that τ becomes 1 + r τ     r = E[φ′]⁴ / (Var[φ] E[φ′²]),

which is 1 for the identity and 0.37 for ReLU. F is not 1 / v alone: a row of it has φ′(z / √v)² too, which depends on
what w receives in this row besides v. With g = d ln E[φ′(√q x)²] / d ln q at q = 1, this makes of 2 τ / n

    2 (1 + g) τ / n − 2 g R / n,    R = E[φ′² (φ − E φ)²] / (E[φ′²] Var[φ]).

(R is that of the nearest layer. What layers farther in front add to the second term is the response to the size of a
whole row. That is small where φ saturates; elsewhere sizes of rows are far from the first order, and it is left out.)

For ReLU, 64 wide, all this takes 0.010 decades per layer from the slope. tests/test_theory_sharing.py finds the same
difference between networks that go back through the same weights and through fresh ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["SharedWeights", "Sharing", "overlap"]

Array = NDArray[np.float64]


def overlap(units: Array) -> float:
    """Return tr C² / (tr C)² of the covariance over the rows of units, (rows, units): 1 / n if no two are alike."""
    centred = units - units.mean(axis=0)
    covariance = centred @ centred.T
    total = float(np.trace(covariance)) ** 2
    return float((covariance * covariance).sum()) / total if total else 0.0


@dataclass(frozen=True)
class SharedWeights:
    """Of a dense layer that a batch norm follows: the numbers of the formula, as drawn units have them."""

    gain: float
    """g"""
    carried: float
    """r, less what saturates: see `of`."""
    row_excess: float
    """R"""

    @classmethod
    def of(cls, normalized: Array, slopes: Array, values: Array, before: float) -> SharedWeights | None:
        """Take the numbers from drawn units; None where nothing varies.

        In first order, the overlap of the units' weights is that of what they receive. In layers that are narrow for
        the number of rows, or receive rows that are much alike, less of it comes over, as no correlation exceeds 1. The
        share is taken from the drawn units themselves.

        Parameters
        ----------
        normalized, slopes, values : arrays, (rows, units)
            x̂, the derivative of what comes next with respect to it, and what goes into the next dense layer. The masks
            of dropout are in the last two.
        before : float
            `overlap` of the units in front of the dense layer.
        """
        width = normalized.shape[1]
        squares = slopes * slopes
        slope_square = float(squares.mean())
        centred = values - values.mean(axis=0)
        variance = float((centred * centred).mean())
        if not (slope_square > 0 and variance > 0 and before > 0 and width > 1):
            return None
        scale = variance * slope_square
        between = (overlap(normalized) * width - 1.0) / (width - 1)  # of different units
        return cls(
            gain=float((squares * (normalized * normalized - 1.0)).mean()) / (2.0 * slope_square),
            carried=float(slopes.mean()) ** 4 / scale * min(between / before, 1.0),
            row_excess=float((squares * centred * centred).mean()) / scale,
        )


class Sharing:
    """How the logarithm of a squared gradient changes, collected on the way back: 2 g R / n − 2 (1 + g) τ / n."""

    def __init__(self) -> None:
        self._alike = 0.0  # what the batch norms so far add to the term of τ at the next layer

    def through(self, shared: SharedWeights | None, fan_in: int) -> float:
        """Take one dense layer on the way back; return what to add. Without a batch norm after it, all starts anew."""
        if shared is None:
            self._alike = 0.0
            return 0.0
        self._alike = self._alike * shared.carried + 2.0 * (1.0 + shared.gain) / fan_in
        return 2.0 * shared.gain * shared.row_excess / fan_in - self._alike
