"""The file of the command ``gradiometer sweep``: what it may hold, and what is wrong with it."""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gradiometer._checks import check_positive_integer, check_type
from gradiometer.sweeps.grid import Grid, check_seeds
from gradiometer.sweeps.names import NETWORK_NAMES, OPTIMIZER_NAMES, SIGMA_W, TRAINER_NAMES
from gradiometer.sweeps.plan import BATCH_SIZE

SECTIONS = ("data", "network", "train", "grid", "output")
DATA = ("file", "target")
NETWORK = (*NETWORK_NAMES, SIGMA_W)
RUNS = ("steps", "seeds", BATCH_SIZE, "shuffle")
"""Keys of ``[train]`` that are arguments of `gradiometer.sweep`, and not of a trainer or an optimizer."""
TRAIN = (
    *RUNS,
    *(name for name in TRAINER_NAMES if name != "loss"),  # the data are classes: it is cross entropy
    "optimizer",
    *sorted({name for names in OPTIMIZER_NAMES.values() for name in names}),
)
OUTPUT = ("store", "table")
TABLES = (".csv", ".parquet")


@dataclass(frozen=True)
class SweepFile:
    """A file that has been read. Paths in it are relative to its own folder."""

    data: Path | None
    """None: scikit-learn's digits."""
    target: str | None
    build: dict[str, Any]
    """Names and values that all runs share."""
    grid: Grid
    steps: int
    seeds: list[int]
    batch_size: int
    shuffle: bool
    store: Path
    table: Path | None


def read_sweep_file(path: Path) -> SweepFile:
    """Read and check a file.

    Raises
    ------
    FileNotFoundError, IsADirectoryError, PermissionError
        It cannot be read.
    ValueError, TypeError
        It is no TOML, or something in it is unknown, missing or of the wrong type; the message says where.
    """
    content = _load(path)
    _check_keys(f"{path}", content, SECTIONS, "section")
    data = _section(path, content, "data", DATA)
    network = _section(path, content, "network", NETWORK)
    train = _section(path, content, "train", TRAIN)
    output = _section(path, content, "output", OUTPUT)
    if "steps" not in train:
        raise ValueError(f"{path}: [train] must say how many steps: steps = 200")
    for section, name in ((data, "file"), (data, "target"), (output, "store"), (output, "table")):
        if name in section:
            check_type(f"{path}: {name}", section[name], str)
    if "target" in data and "file" not in data:
        raise ValueError(f"{path}: [data] target names a column of the table in file; there is no file")
    seeds = train.get("seeds", 1)
    try:
        numbers = check_seeds(seeds)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{path}: [train] {error}") from None
    folder = path.parent
    return SweepFile(
        data=folder / data["file"] if "file" in data else None,
        target=data.get("target"),
        build={**network, **{name: value for name, value in train.items() if name not in RUNS}},
        grid=_grid(path, content),
        steps=check_positive_integer(f"{path}: [train] steps", train["steps"]),
        seeds=numbers,
        batch_size=check_positive_integer(f"{path}: [train] batch_size", train.get(BATCH_SIZE, 128)),
        shuffle=check_type(f"{path}: [train] shuffle", train.get("shuffle", True), bool),
        store=folder / output.get("store", f"{path.stem}.sqlite"),
        table=check_table(folder / output["table"]) if "table" in output else None,
    )


def check_table(path: Path) -> Path:
    """Return the path of a table that can be written; raise an error if not, before the work and not after it."""
    if path.suffix.lower() not in TABLES:
        raise ValueError(f"the table {path} must end with {' or '.join(TABLES)}, not '{path.suffix}'")
    if path.is_dir():
        raise IsADirectoryError(f"the table {path} is a folder")
    if not path.absolute().parent.is_dir():
        raise FileNotFoundError(f"the table {path} cannot be written: there is no folder {path.parent}")
    return path


def _load(path: Path) -> dict[str, Any]:
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist")
    if not path.is_file():
        raise IsADirectoryError(f"{path} is not a file")
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except PermissionError as error:
        raise PermissionError(f"{path} may not be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not text in UTF-8: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{path} is not a TOML file: {error}") from error


def _section(path: Path, content: Mapping[str, Any], name: str, known: Collection[str]) -> dict[str, Any]:
    section = content.get(name, {})
    if not isinstance(section, dict):
        raise TypeError(f"{path}: [{name}] must be a section of keys and values, not {section!r}")
    _check_keys(f"{path}: [{name}]", section, known, "key")
    return section


def _grid(path: Path, content: Mapping[str, Any]) -> Grid:
    """Return ``[grid]``, lists of values; or ``[[grid]]``, configurations."""
    grid = content.get("grid", {})
    tables = grid if isinstance(grid, list) else [grid]
    known = {*NETWORK, *TRAIN} - {"steps", "seeds", "shuffle"}
    for table in tables:
        if not isinstance(table, dict):
            raise TypeError(f"{path}: [grid] must be a section of lists of values, not {grid!r}")
        _check_keys(f"{path}: [grid]", table, known, "key")
    return grid  # type: ignore[no-any-return]


def _check_keys(where: str, found: Mapping[str, Any], known: Collection[str], what: str) -> None:
    for name in found:
        if name not in known:
            raise ValueError(f"{where} has the unknown {what} '{name}'; known: {', '.join(sorted(known))}")
