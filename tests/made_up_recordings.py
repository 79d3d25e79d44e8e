"""Recordings of made-up norms, where the truth is known."""

import numpy as np

from gradiometer._core import Recorder
from gradiometer.recording import Recording

DEPTH = 20
PER_STEP = {"loss": 1.0, "total_norm": 1.0, "clip_coefficient": 1.0, "lr": 0.1}
NOT_MEASURED = np.nan


def line(slope, layers=DEPTH + 1, steps=30, noise=0.0, seed=0):
    """Norms that change by `slope` decades per layer toward the input."""
    logs = slope * np.arange(layers)[::-1] + noise * np.random.default_rng(seed).normal(size=(steps, layers))
    return 10.0**logs


def meta_of(layers, activation="relu", sigma_w=1.4, **changes):
    hidden = {"activation": activation, "sigma_w": sigma_w, "fan_in": 64, "fan_out": 64, "batch_norm": False}
    described = [{"name": f"{2 * i}.weight", **hidden, **changes} for i in range(layers)]
    described[-1] |= {"activation": "identity", "fan_out": 10}
    return {"layers": described, "loss": "cross_entropy", "optimizer": "SGD(lr=0.1)", "clip": None}


def record(delta_norm, grad_norm=None, *, steps=None, meta=None, names=None, nonfinite=None, **fields):
    """A recording of these norms; with other fields too, one of record="full"."""
    delta_norm = np.asarray(delta_norm, float)
    grad_norm = delta_norm if grad_norm is None else np.asarray(grad_norm, float)
    rows, layers = delta_norm.shape
    recorder = Recorder(names or [f"{2 * i}.weight" for i in range(layers)], "full" if fields else "norms", 1)
    columns = {"delta_norm": delta_norm, "grad_norm": grad_norm, **fields}
    for name in recorder.fields():
        shape = (rows,) if name in PER_STEP else (rows, layers)
        value = columns.get(name, PER_STEP.get(name, NOT_MEASURED))
        columns[name] = np.broadcast_to(np.asarray(value, float), shape).copy()
    columns = {name: columns[name] for name in recorder.fields()}
    recorder.extend(np.arange(rows) if steps is None else np.asarray(steps), columns)
    if nonfinite:
        recorder.note_nonfinite(*nonfinite)
    return Recording(recorder, meta_of(layers) if meta is None else meta)
