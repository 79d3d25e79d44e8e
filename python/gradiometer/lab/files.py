"""Data from a file: a NumPy archive, or a table with a column of labels."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gradiometer.lab.data import DataError, Dataset, prepare

if TYPE_CHECKING:
    import pandas as pd

TARGET_NAMES = ("target", "label", "y")


def read(path: Path, target: str | None = None) -> Dataset:
    """Read a data set from a ``.npz``, ``.csv`` or ``.parquet`` file.

    Parameters
    ----------
    path : Path
        An archive with the arrays ``X`` and ``y`` (and, optionally, ``X_val`` and ``y_val``), or a table with
        one column of labels and otherwise columns of numbers.
    target : str, optional
        The column of labels of a table; by default ``target``, ``label`` or ``y`` if there is one, else the
        last.
    """
    readers = {".npz": None, ".csv": _read_csv, ".parquet": _read_parquet}
    suffix = path.suffix.lower()
    if suffix not in readers:
        raise DataError(f"{path} must be a .npz, .csv or .parquet file, not '{suffix}'")
    if not path.exists():
        raise DataError(f"{path} does not exist")
    if not path.is_file():
        raise DataError(f"{path} is not a file")
    try:
        table_reader = readers[suffix]
        if table_reader is None:
            if target is not None:
                raise DataError(f"{path}: --target names a column of a table; the labels of a .npz file are y")
            return prepare(path.name, **_read_npz(path))
        return _from_table(path.name, table_reader(path), target)
    except PermissionError as error:
        raise DataError(f"{path} may not be read: {error.strerror}") from error


def _read_npz(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            archive = np.load(file, allow_pickle=False)
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise DataError(f"{path} holds a single array, not an archive; write it with numpy.savez")
            missing = [name for name in ("X", "y") if name not in archive.files]
            if missing:
                found = ", ".join(archive.files) or "nothing"
                raise DataError(f"{path} must have the arrays X and y; {missing[0]} is missing, found: {found}")
            wanted = [name for name in ("X", "y", "X_val", "y_val") if name in archive.files]
            return {name.lower(): archive[name] for name in wanted}
    except DataError:
        raise
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        if "pickle" in str(error) and zipfile.is_zipfile(path):
            raise DataError(f"{path} holds Python objects; X must be numbers and y integers or strings") from error
        raise DataError(f"{path} is not a NumPy archive, or damaged: {error}") from error


def _read_csv(path: Path) -> pd.DataFrame:
    import pandas as pd

    try:
        table = pd.read_csv(path)
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not text in UTF-8: {error}") from error
    except (pd.errors.EmptyDataError, pd.errors.ParserError) as error:
        raise DataError(f"{path} is not a table of comma separated values: {error}") from error
    names = list(table.columns)
    if all(_is_number(name) for name in names) and names != [str(k) for k in range(len(names))]:
        raise DataError(f"{path}: the first line must name the columns, it has only numbers ({names[0]}, …)")
    return table


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _read_parquet(path: Path) -> pd.DataFrame:
    import pandas as pd
    import pyarrow as pa

    try:
        return pd.read_parquet(path)
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, PermissionError):
            raise
        raise DataError(f"{path} cannot be read as a Parquet file: {error}") from error


def _from_table(file: str, table: pd.DataFrame, target: str | None) -> Dataset:
    columns = [str(column) for column in table.columns]
    table = table.set_axis(columns, axis="columns")
    if target is None:
        last = columns[-1] if columns else ""
        target = next((name for name in TARGET_NAMES if name in columns), last)
    if target not in columns:
        raise DataError(f"{file} has no column '{target}' (--target); its columns are {', '.join(columns)}")
    if len(columns) < 2:
        raise DataError(f"{file} has the one column '{target}'; columns of numbers to learn from are needed too")
    if table.empty:
        raise DataError(f"{file} has no rows")
    features = table.drop(columns=target)
    _check_numbers(file, features, target)
    return prepare(file, features.to_numpy(np.float64, na_value=np.nan), _label_column(file, table[target]))


def _check_numbers(file: str, features: pd.DataFrame, target: str) -> None:
    """Refuse text and holes here, where the column still has a name."""
    from pandas.api.types import is_bool_dtype, is_numeric_dtype

    for column in features.columns:
        values = features[column]
        if not (is_numeric_dtype(values) or is_bool_dtype(values)) or values.dtype.kind == "c":
            example = next((value for value in values if not _is_number(str(value))), values.iloc[0])
            raise DataError(
                f"{file}: the column '{column}' must hold numbers, it has {example!r}; "
                f"the column of labels is '{target}', --target chooses another"
            )
        bad = np.flatnonzero(~np.isfinite(values.to_numpy(np.float64, na_value=np.nan)))
        if len(bad):
            value = values.to_numpy(np.float64, na_value=np.nan)[bad[0]]
            more = f", and {len(bad) - 1} more" if len(bad) > 1 else ""
            raise DataError(f"{file}: the column '{column}' has {value} at row {bad[0]}{more} (counted from 0)")


def _label_column(file: str, values: pd.Series[Any]) -> Any:
    from pandas.api.types import is_bool_dtype, is_integer_dtype

    empty = np.flatnonzero(values.isna())
    if len(empty):
        raise DataError(f"{file}: the label in column '{values.name}' is missing at row {empty[0]} (counted from 0)")
    if is_integer_dtype(values) or is_bool_dtype(values):
        return values.to_numpy(np.uint64 if values.dtype.kind == "u" else np.int64)
    if values.dtype.kind in "fcmM":
        raise DataError(
            f"{file}: the labels in column '{values.name}' must be integers or strings, not {values.dtype}; "
            "--target chooses another column"
        )
    return values.to_numpy(object)
