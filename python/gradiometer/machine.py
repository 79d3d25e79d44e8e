"""What the process computes with: instruction set and threads."""

from __future__ import annotations

from typing import Any

from gradiometer import _core
from gradiometer._checks import check_positive_integer

__all__ = ["get_num_threads", "info", "set_num_threads"]


def info() -> dict[str, Any]:
    """Return ``version``, ``isa`` (in use), ``available_isas`` (the slowest first) and ``threads``."""
    return {
        "version": _core.__version__,
        "isa": _core.isa(),
        "available_isas": _core.available_isas(),
        "threads": _core.num_threads(),
    }


def get_num_threads() -> int:
    """Return how many threads a pass through a network may use.

    At first ``GRADIOMETER_NUM_THREADS`` or, where that is not set, the processors that the process may run on.
    """
    return _core.num_threads()


def set_num_threads(n: int) -> None:
    """Set how many threads a pass through a network may use, from 1 to 1024. Results do not depend on it.

    Raises
    ------
    TypeError, ValueError
        If n is not an integer or out of range.
    """
    _core.set_num_threads(check_positive_integer("n", n, maximum=1024))
