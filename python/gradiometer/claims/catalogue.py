"""All claims, in the order of the page."""

from __future__ import annotations

from gradiometer.claims.cures import BATCH_NORM_STABILISES, DROPOUT_STABILISES, RELU_CURES
from gradiometer.claims.training import CLIPPING_CURES, EXPLODING_DIVERGES, VANISHING_IS_SLOW
from gradiometer.claims.vanishing import DEPTH_WORSENS, SIGMOID_VANISHES, ZERO_AT_ZERO
from gradiometer.claims.weights import INITIALISATION_CURES, LARGE_WEIGHTS, SMALL_WEIGHTS

CLAIMS = {
    claim.name: claim
    for claim in (
        SIGMOID_VANISHES,
        DEPTH_WORSENS,
        LARGE_WEIGHTS,
        SMALL_WEIGHTS,
        RELU_CURES,
        BATCH_NORM_STABILISES,
        DROPOUT_STABILISES,
        EXPLODING_DIVERGES,
        INITIALISATION_CURES,
        CLIPPING_CURES,
        VANISHING_IS_SLOW,
        ZERO_AT_ZERO,
    )
}
"""By their names."""
