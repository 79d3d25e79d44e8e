"""Pictures of a recording, with matplotlib: one file for each kind."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gradiometer._checks import check_type
from gradiometer.plots.flow import flow
from gradiometer.plots.heatmap import heatmap
from gradiometer.plots.phase import phase
from gradiometer.plots.style import axes_for
from gradiometer.plots.time import time

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from gradiometer.recording import Recording

__all__ = ["draw"]

KINDS = {"flow": flow, "heatmap": heatmap, "time": time, "phase": phase}


def draw(recording: Recording, kind: str = "flow", ax: Axes | None = None, theory: bool = False) -> Axes:
    """Draw a picture of the given kind; see ``Recording.plot``."""
    if not isinstance(kind, str):
        raise TypeError(f"kind must be one of {', '.join(map(repr, KINDS))}, not {kind!r}")
    if kind not in KINDS:
        raise ValueError(f"kind is {kind!r}; it must be one of {', '.join(map(repr, KINDS))}")
    check_type("theory", theory, bool)
    if not len(recording):
        raise ValueError("there is nothing to plot: the recording has no steps (was it made with record=None?)")
    if not recording.layer_names:
        raise ValueError("there is nothing to plot: the recording has no dense layers")
    if theory and kind != "flow":
        raise ValueError(f"theory=True goes with kind='flow', not with {kind!r}")
    if theory and recording.prediction is None:
        raise ValueError(f"there is no prediction to draw: {recording.no_prediction_because}")
    ax = axes_for(ax)
    if theory:
        return flow(recording, ax, recording.prediction)
    return KINDS[kind](recording, ax)
