"""The configurations of a sweep: from a grid of values, or listed one by one."""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from gradiometer._checks import check_integer
from gradiometer._layer import Layer
from gradiometer.init import Initializer
from gradiometer.optim import Clip, Optimizer

Parameters: TypeAlias = dict[str, Any]
"""Names and values of one configuration."""
Grid: TypeAlias = Mapping[str, Iterable[Any]] | Sequence[Mapping[str, Any]]

OWN = (Layer, Initializer, Optimizer, Clip)
"""Immutable objects of the library, whose text says all about them."""
OBJECT = "object"
"""In JSON, such an object is ``{"object": its text}``."""


def configurations(grid: Grid, taken: Iterable[str]) -> list[Parameters]:
    """Return every configuration: the product of the values of a dict, the last name changing fastest, or the list.

    Parameters
    ----------
    taken : iterable of str
        Names that the tables use for something else.
    """
    if isinstance(grid, Mapping):
        values = {_check_name(name, taken): _values(name, grid[name]) for name in grid}
        chosen = [dict(zip(values, each, strict=True)) for each in itertools.product(*values.values())]
    elif isinstance(grid, Sequence) and not isinstance(grid, (str, bytes)):
        chosen = [_configuration(i, each, taken) for i, each in enumerate(grid)]
        if not chosen:
            raise ValueError("grid must hold at least one configuration, but it is empty")
    else:
        raise TypeError(f"grid must be a dict of lists of values, or a list of dicts, not {grid!r}")
    seen: set[str] = set()
    for parameters in chosen:
        text = identity(parameters)
        if text in seen:
            raise ValueError(f"grid holds the configuration {describe(parameters)} twice")
        seen.add(text)
    return chosen


def _values(name: str, values: Iterable[Any]) -> list[Any]:
    if isinstance(values, (str, bytes, Mapping)) or not isinstance(values, Iterable):
        raise TypeError(f"grid[{name!r}] must be a list of values, not {values!r}")
    chosen = [plain(f"grid[{name!r}][{i}]", value) for i, value in enumerate(values)]
    if not chosen:
        raise ValueError(f"grid[{name!r}] must hold at least one value, but it is empty")
    return chosen


def _configuration(i: int, given: Any, taken: Iterable[str]) -> Parameters:
    if not isinstance(given, Mapping):
        raise TypeError(f"grid[{i}] must be a dict of names and values, not {given!r}")
    return {_check_name(name, taken): plain(f"grid[{i}][{name!r}]", value) for name, value in given.items()}


def _check_name(name: Any, taken: Iterable[str]) -> str:
    if not isinstance(name, str) or not name.isidentifier():
        raise TypeError(f"grid must have names of parameters, such as 'depth', not {name!r}")
    if name in taken:
        hint = "; the seeds are in seeds=" if name == "seed" else ""
        raise ValueError(f"grid has the name {name!r}, which the table of results uses itself{hint}")
    return name


def plain(where: str, value: Any) -> Any:
    """Return a value that can be told from others by its text, a NumPy scalar as Python's own.

    Raises
    ------
    TypeError
        If it is no such value; the message calls it ``where``.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (list, tuple)):
        return tuple(plain(f"{where}[{i}]", each) for i, each in enumerate(value))
    if isinstance(value, OWN) and dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            plain(f"{where}.{field.name}", getattr(value, field.name))
        return value
    what = f"an array of shape {value.shape}" if isinstance(value, np.ndarray) else repr(value)
    raise TypeError(
        f"{where} must be a number, a string, a truth value, None, a layer, an initializer, an optimizer, a clipping "
        f"or a list of these, not {what}; give it a name, and let build make it from the name"
    )


def to_json(parameters: Mapping[str, Any]) -> str:
    """Return a configuration as JSON text, in its own order."""
    return json.dumps(parameters, default=_as_object)


def identity(parameters: Mapping[str, Any]) -> str:
    """Return the text by which a configuration is told from others, whatever its order."""
    return json.dumps(parameters, default=_as_object, sort_keys=True)


def from_json(text: str) -> Parameters:
    """Read `to_json`; an object of the library comes back as its text."""
    return {name: _from_json(value) for name, value in json.loads(text).items()}


def _as_object(value: Any) -> dict[str, str]:
    return {OBJECT: repr(value)}


def _from_json(value: Any) -> Any:
    if isinstance(value, dict):
        return value[OBJECT]
    return tuple(map(_from_json, value)) if isinstance(value, list) else value


def describe(parameters: Mapping[str, Any]) -> str:
    """Return a configuration in words."""
    return ", ".join(f"{name}={value!r}" for name, value in parameters.items()) or "without parameters"


def check_seeds(seeds: int | Iterable[int]) -> list[int]:
    """Return the seeds: those listed, or 0 to n - 1."""
    if isinstance(seeds, (str, bytes)):
        raise TypeError(f"seeds must be a number or a list of integers, not {seeds!r}")
    if not isinstance(seeds, Iterable):
        return list(range(check_integer("seeds", seeds, minimum=1)))
    chosen = [check_integer(f"seeds[{i}]", seed, minimum=0) for i, seed in enumerate(seeds)]
    if not chosen:
        raise ValueError("seeds must hold at least one seed, but it is empty")
    seed, times = Counter(chosen).most_common(1)[0]
    if times > 1:
        raise ValueError(f"seeds must be different ones, but {seed} is there {times} times")
    return chosen
