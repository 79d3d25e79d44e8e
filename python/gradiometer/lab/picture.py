"""The picture of the lab: the gradient of every layer, one panel for each network."""

from __future__ import annotations

import math
import os
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gradiometer.lab.training import Run
from gradiometer.wording import COLOURS

COLUMNS = 3


def draw(runs: list[Run], title: str, path: Path) -> None:
    """Draw ``delta_norm`` by layer, at the start and over the training; replace the picture in one go."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    rows = math.ceil(len(runs) / COLUMNS)
    figure = Figure(figsize=(11, 2.9 * rows + 1.1), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(rows, min(COLUMNS, len(runs)), sharex=True, sharey=True, squeeze=False)
    for panel in panels.flat[len(runs) :]:
        panel.set_visible(False)

    for panel, run in zip(panels.flat, runs, strict=False):
        layers = np.arange(1, len(run.start) + 1)
        for other in runs:
            panel.plot(layers, _positive(other.median), color="0.86", linewidth=1, zorder=1)
        panel.plot(layers, _positive(run.start), color="black", linewidth=1.2, linestyle=(0, (2, 2)))
        colour = COLOURS.get(run.diagnosis.verdict, "black")
        panel.plot(layers, _positive(run.median), color=colour, linewidth=2.4, marker="o", markersize=3.5)
        panel.set_yscale("log")
        panel.set_title(run.experiment.name, fontsize=11, fontweight="bold", loc="left", pad=20)
        panel.set_title(f"validation {100 * run.accuracy:.0f} %", fontsize=10, loc="right", pad=20)
        verdict = f"{run.diagnosis.verdict}, {run.slope:+.2f} decades a layer"
        panel.text(0, 1.03, verdict, transform=panel.transAxes, fontsize=10)
        panel.grid(axis="y", color="0.93")
        panel.spines[["top", "right"]].set_visible(False)
    for panel in panels[-1]:
        panel.set_xlabel("layer, from the input to the output")
    for row in panels:
        row[0].set_ylabel("‖dL/d(output of the layer)‖")

    keys = [
        Line2D([], [], color="black", linewidth=1.2, linestyle=(0, (2, 2)), label="at the start"),
        Line2D([], [], color="0.35", linewidth=2.4, marker="o", markersize=3.5, label="median over the training"),
        Line2D([], [], color="0.86", linewidth=1, label="the other networks"),
    ]
    figure.legend(handles=keys, loc="outside lower center", ncols=3, frameon=False)
    figure.suptitle(title, fontsize=13)

    path = path.absolute()
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.stem}-") as folder:
        finished = Path(folder) / path.name
        figure.savefig(finished, dpi=130)
        os.replace(finished, path)


def _positive(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Leave a gap where a log axis has no place."""
    return np.where(np.isfinite(values) & (values > 0), values, np.nan)
