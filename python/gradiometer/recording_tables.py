"""A recording as a data frame, and as an xarray dataset."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from gradiometer.recording import Recording

__all__ = ["dataframe", "dataset", "lab_error"]


def dataframe(recording: Recording) -> pd.DataFrame:
    """Return `Recording.to_dataframe` of a recording that does not grow."""
    try:
        import pandas as pd
    except ImportError as error:
        raise lab_error("to_dataframe", "pandas") from error
    steps, names = recording.steps, recording.layer_names
    columns: dict[str, Any] = {
        "step": np.repeat(steps, len(names)),
        "layer": np.tile(np.arange(len(names)), len(steps)),
        "layer_name": np.tile(np.array(names, dtype=object), len(steps)),
    }
    for name in recording._recorder.fields():
        values = getattr(recording, name)
        columns[name] = values.ravel() if values.ndim == 2 else np.repeat(values, len(names))
    return pd.DataFrame(columns)


def dataset(recording: Recording) -> xr.Dataset:
    """Return `Recording.to_xarray` of a recording that does not grow."""
    try:
        import xarray as xr
    except ImportError as error:
        raise lab_error("to_xarray", "xarray") from error
    variables = {}
    for name in recording._recorder.fields():
        values = getattr(recording, name)
        variables[name] = (("step", "layer")[: values.ndim], values)
    plain = (str, int, float)
    attributes = {
        key: value if isinstance(value, plain) and not isinstance(value, bool) else json.dumps(value)
        for key, value in recording.meta.items()
    }
    coordinates = {"step": recording.steps, "layer_name": ("layer", recording.layer_names)}
    return xr.Dataset(variables, coords=coordinates, attrs=attributes)


def lab_error(what: str, package: str) -> ImportError:
    """Return the error of a function that needs a package which is not there."""
    return ImportError(f"{what} needs {package} from the lab extra: pip install 'gradiometer[lab]'")
