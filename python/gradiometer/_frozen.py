"""What cannot be changed once it is made."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from typing import NoReturn

__all__ = ["Frozen"]


class Frozen:
    """Base of frozen dataclasses, whose subclasses are frozen too.

    Those that add no fields need no decorator, which takes half a millisecond at every start of a program.
    """

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise FrozenInstanceError(f"cannot assign to field {name!r}")

    def __delattr__(self, name: str) -> NoReturn:
        raise FrozenInstanceError(f"cannot delete field {name!r}")
