"""A claim of the notes, and what is done to try it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gradiometer.claims.laboratory import Laboratory
from gradiometer.claims.outcome import Outcome


@dataclass(frozen=True)
class Claim:
    """What the notes say, and how it is tried. No part of the text says what comes out: the measurements do."""

    name: str
    statement: str
    """The claim, as the notes make it."""
    experiment: str
    """What is done, and what the claim needs."""
    theory: str
    """What mathematics says about it."""
    picture: str
    """What the lines of the picture are."""
    axes: tuple[str, str]
    """Labels of the x and the y axis of these lines."""
    measure: Callable[[Laboratory], Outcome]


SIGNAL_AXES = ("layers to go to the output", "delta_norm ÷ that of the last layer")
SIGNAL_PICTURE = (
    "`delta_norm` of every layer at the first step, as a multiple of the last layer's; the input is on the left, the "
    "output on the right."
)
LOSS_AXES = ("training step", "training loss")
