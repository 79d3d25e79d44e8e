"""The runs of a sweep as a data frame, and as an xarray dataset."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from gradiometer.recording import Recording
from gradiometer.recording_tables import lab_error
from gradiometer.sweeps.grid import identity
from gradiometer.sweeps.store import OUTCOME

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from gradiometer.sweeps.result import Run

CONFIGURATION = "configuration"


def run_table(runs: Sequence[Run]) -> pd.DataFrame:
    """Return one row for each run."""
    try:
        import pandas as pd
    except ImportError as error:
        raise lab_error("to_dataframe", "pandas") from error
    names = _parameter_names(runs)
    columns: dict[str, Any] = {name: [_shown(run.parameters.get(name)) for run in runs] for name in names}
    columns["seed"] = [run.seed for run in runs]
    for name in OUTCOME:
        columns[name] = [getattr(run.outcome, name) for run in runs]
    return pd.DataFrame(columns)


def layer_table(runs: Sequence[Run]) -> pd.DataFrame:
    """Return one row for each run, recorded step and layer."""
    try:
        import pandas as pd
    except ImportError as error:
        raise lab_error("to_dataframe", "pandas") from error
    names = _parameter_names(runs)
    parts = []
    for run in runs:
        recording = run.recording
        if recording is None:
            continue
        part = recording.to_dataframe()
        part = part.rename(columns={name: f"recorded_{name}" for name in names if name in part.columns})
        for place, name in enumerate([*names, "seed"]):
            value = run.seed if name == "seed" else _shown(run.parameters.get(name))
            part.insert(place, name, pd.Series([value] * len(part), index=part.index))
        parts.append(part)
    if not parts:
        return pd.DataFrame(columns=[*names, "seed", "step", "layer", "layer_name"])
    return pd.concat(parts, ignore_index=True)


def dataset(runs: Sequence[Run], fields: list[str] | None) -> xr.Dataset:
    """Return all runs over parameters, seed, step and layer."""
    try:
        import xarray as xr
    except ImportError as error:
        raise lab_error("to_xarray", "xarray") from error
    axes, coordinates, places = _axes(runs)
    shape = tuple(axes.values())
    variables: dict[str, tuple[tuple[str, ...], Any]] = {}
    for name in OUTCOME:
        values = [getattr(run.outcome, name) for run in runs]
        text = any(isinstance(value, str) for value in values) or name == "error"
        array = np.full(shape, "" if text else math.nan, dtype=object if text else np.float64)
        for place, value in zip(places, values, strict=True):
            if value is not None:
                array[place] = value
        variables[name] = (tuple(axes), array.astype(str) if text else array)
    if fields != []:
        parameters = set(_parameter_names(runs))
        for name, (own, array) in _recorded(runs, fields, shape, places, coordinates).items():
            variables[f"recorded_{name}" if name in parameters else name] = ((*axes, *own), array)
    return xr.Dataset(variables, coords=coordinates)


def _axes(runs: Sequence[Run]) -> tuple[dict[str, int], dict[str, Any], list[tuple[int, ...]]]:
    """Return the axes with their lengths, the coordinates, and the place of each run."""
    names = _parameter_names(runs)
    seeds = list(dict.fromkeys(run.seed for run in runs))
    values = {name: list(dict.fromkeys(_text(run.parameters.get(name)) for run in runs)) for name in names}
    configurations = list(dict.fromkeys(identity(run.parameters) for run in runs))
    full = set(itertools.product(*values.values())) == {
        tuple(_text(run.parameters.get(name)) for name in names) for run in runs
    }
    axes: dict[str, int] = {}
    coordinates: dict[str, Any] = {}
    if full:
        for name in names:
            of_text = {_text(run.parameters.get(name)): run.parameters.get(name) for run in runs}
            axes[name] = len(values[name])
            coordinates[name] = _coordinate([of_text[text] for text in values[name]])
    else:
        of_identity = {identity(run.parameters): run.parameters for run in runs}
        axes[CONFIGURATION] = len(configurations)
        for name in names:
            column = [of_identity[text].get(name) for text in configurations]
            coordinates[name] = (CONFIGURATION, _coordinate(column))
    axes["seed"] = len(seeds)
    coordinates["seed"] = np.array(seeds, dtype=np.int64)
    places = []
    for run in runs:
        if full:
            place = [values[name].index(_text(run.parameters.get(name))) for name in names]
        else:
            place = [configurations.index(identity(run.parameters))]
        places.append((*place, seeds.index(run.seed)))
    return axes, coordinates, places


def _recorded(
    runs: Sequence[Run],
    fields: list[str] | None,
    shape: tuple[int, ...],
    places: list[tuple[int, ...]],
    coordinates: dict[str, Any],
) -> dict[str, tuple[tuple[str, ...], Any]]:
    """Return arrays over the runs' axes, step and layer; add the coordinates of these two."""
    found: dict[str, list[tuple[tuple[int, ...], Any, Any]]] = {}
    steps: set[int] = set()
    names: list[str] = []
    same_names = True
    for run, place in zip(runs, places, strict=True):
        recording = run.recording
        if recording is None:
            continue
        own = recording.steps
        steps.update(own.tolist())
        layers = recording.layer_names
        same_names &= not names or names == layers
        names = max(names, layers, key=len)
        for name in _chosen(recording, fields):
            found.setdefault(name, []).append((place, own, getattr(recording, name)))
    number_of = {step: i for i, step in enumerate(sorted(steps))}
    coordinates["step"] = np.array(sorted(steps), dtype=np.int64)
    coordinates["layer"] = np.arange(len(names))
    if same_names and names:
        coordinates["layer_name"] = ("layer", names)
    arrays: dict[str, tuple[tuple[str, ...], Any]] = {}
    for name, pieces in found.items():
        per_layer = pieces[0][2].ndim == 2
        array = np.full((*shape, len(steps), *([len(names)] if per_layer else [])), math.nan)
        for place, own, values in pieces:
            rows = [number_of[step] for step in own.tolist()]
            if per_layer:
                array[place][rows, : values.shape[1]] = values
            else:
                array[place][rows] = values
        arrays[name] = (("step", "layer") if per_layer else ("step",), array)
    return arrays


def _chosen(recording: Recording, fields: list[str] | None) -> list[str]:
    recorded = recording._recorder.fields()
    if fields is None:
        return list(recorded)
    for name in fields:
        if not hasattr(Recording, name) or name not in recorded:
            getattr(recording, name)  # says that it does not exist, or how to record it
    return fields


def _parameter_names(runs: Iterable[Run]) -> list[str]:
    return list(dict.fromkeys(name for run in runs for name in run.parameters))


def _shown(value: Any) -> Any:
    """Return what a cell of a table holds: a plain value, or the text of an object."""
    if dataclasses.is_dataclass(value) or isinstance(value, tuple):
        return str(value)
    return value


def _text(value: Any) -> str:
    return identity({"": value})


def _coordinate(values: list[Any]) -> Any:
    """Return numbers or truth values as they are, anything else as text."""
    if all(isinstance(value, bool) for value in values):
        return np.array(values, dtype=np.bool_)
    if all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values):
        return np.array(values)
    return np.array([str(value) for value in values])
