"""Mean-field theory of signals in wide random networks: what to expect before anything is trained.

>>> import gradiometer as gm
>>> gm.theory.critical_sigma_w("relu")  # He initialisation
1.414213562373095
>>> round(gm.theory.batch_norm_growth("relu"), 4)  # π / (π - 1)
1.4669

`predict` does it for an actual network and batch, instead of a limit of depth.
"""

from gradiometer.theory.batch_norm import batch_norm_growth
from gradiometer.theory.correlation import DepthScales, correlation_map, depth_scales, fixed_correlation
from gradiometer.theory.critical import critical_sigma_w
from gradiometer.theory.phase import PhaseDiagram, phase_diagram
from gradiometer.theory.prediction import Prediction, predict
from gradiometer.theory.variance import chi, fixed_point, variance_map

__all__ = [
    "DepthScales",
    "PhaseDiagram",
    "Prediction",
    "batch_norm_growth",
    "chi",
    "correlation_map",
    "critical_sigma_w",
    "depth_scales",
    "fixed_correlation",
    "fixed_point",
    "phase_diagram",
    "predict",
    "variance_map",
]
