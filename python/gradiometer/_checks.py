"""Checks of plain arguments. Each error names the argument, what it was and what it must be."""

from __future__ import annotations

import math
import operator
import os
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

Value = TypeVar("Value")

LARGEST_INTEGER = 2**63 - 1
"""What the engine counts with."""


def check_type(name: str, value: object, kind: type[Value]) -> Value:
    """Return the value if it is of this type; raise a TypeError if not."""
    if not isinstance(value, kind):
        raise TypeError(f"{name} must be a {kind.__name__}, not {value!r}")
    return value


def check_number(
    name: str,
    value: float,
    *,
    minimum: float = -math.inf,
    maximum: float = math.inf,
    above_zero: bool = False,
    finite: bool = True,
    nan: bool = False,
) -> float:
    """Return the value as a float between the bounds, or raise a TypeError or ValueError."""
    if not _may_be_real(value):
        raise TypeError(f"{name} must be a number, not {value!r}")
    try:
        number = float(value)
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(f"{name} must be a number, not {value!r}") from None
    except OverflowError:
        raise ValueError(f"{name} must be a number that fits a float, not an integer beyond 1e308") from None
    if math.isnan(number) and nan:
        return number
    if math.isnan(number) or (finite and math.isinf(number)):
        raise ValueError(f"{name} must be {'finite' if finite else 'a number'}, not {number}")
    if above_zero and number <= 0:
        raise ValueError(f"{name} must be above 0, not {number:g}")
    if number < minimum or number > maximum:
        if maximum == math.inf:
            raise ValueError(f"{name} must be at least {minimum:g}, not {number:g}")
        raise ValueError(f"{name} must be from {minimum:g} to {maximum:g}, not {number:g}")
    return number


def _may_be_real(value: object) -> bool:
    """Whether `float` may be asked: it also takes truth values, texts, and the real part of NumPy's complex numbers."""
    if isinstance(value, (bool, complex, str, bytes, bytearray)):
        return False
    dtype = getattr(value, "dtype", None)  # of NumPy's scalars and arrays, or of another library's tensor
    if dtype is None:
        return True
    kind = getattr(dtype, "kind", None)
    return kind not in "bcmMSU" if kind else "bool" not in str(dtype) and "complex" not in str(dtype)


def check_fits(owner: object, dtype: np.dtype[Any], place: str = "") -> None:
    """Raise a ValueError if a number of a layer or an optimizer is too large for what it is to be used in."""
    largest = float(np.finfo(dtype).max)
    for name, value in vars(owner).items():
        if isinstance(value, float) and math.isfinite(value):
            check_number(place + name, value, minimum=-largest, maximum=largest)


def check_integer(name: str, value: int, *, minimum: int, maximum: int | None = LARGEST_INTEGER) -> int:
    """Return the value as an int between the bounds, or raise a TypeError or ValueError."""
    if isinstance(value, bool) or "bool" in str(getattr(value, "dtype", "")):
        raise TypeError(f"{name} must be an integer, not {value!r}")
    try:
        number = operator.index(value)
    except (TypeError, RuntimeError):
        raise TypeError(f"{name} must be an integer, not {value!r}") from None
    if number < minimum:
        raise ValueError(f"{name} must be at least {minimum}, not {number}")
    if maximum is not None and number > maximum:
        raise ValueError(f"{name} must be at most {maximum}, not {number}")
    return number


def check_path(name: str, value: str | os.PathLike[str]) -> str | os.PathLike[str]:
    """Return the value if it can name a file; raise a TypeError or ValueError if not."""
    if not isinstance(value, (str, os.PathLike)):
        raise TypeError(f"{name} must be a path (a str or an os.PathLike), not {value!r}")
    if "\0" in os.fsdecode(value):
        raise ValueError(f"{name} must be a path without null characters, not {value!r}")
    return value


def check_array(name: str, value: ArrayLike) -> NDArray[Any]:
    """Return the value as an array, of whatever numbers it holds; raise a TypeError that says why it cannot be one."""
    try:
        return np.asarray(value)
    except Exception as error:
        kind = type(value).__name__
        raise TypeError(f"{name} must be an array of numbers, not {kind} ({error})") from error


def check_positive_integer(name: str, value: int, *, maximum: int = LARGEST_INTEGER) -> int:
    """Return the value as an int above zero, or raise a TypeError or ValueError."""
    return check_integer(name, value, minimum=1, maximum=maximum)


def check_width(name: str, value: int) -> int:
    """Return the value as a number of features, or raise a TypeError or ValueError."""
    return check_positive_integer(name, value, maximum=2**31 - 1)


def check_seed(seed: int | None) -> int:
    """Return a seed from 0 to 2⁶⁴ - 1: the one given, or one from the operating system."""
    if seed is None:
        return int.from_bytes(os.urandom(8), "little") >> 1  # what secrets.randbits does, without its slow import
    number = check_integer("seed", seed, minimum=0, maximum=None)
    if number >= 2**64:
        raise ValueError(f"seed must be below 2**64, not {number if number < 2**200 else 'a far larger number'}")
    return number
