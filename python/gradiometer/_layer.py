"""What all layers have in common, and how a list of them with residual connections is read as one sequence."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from gradiometer import _core
from gradiometer._frozen import Frozen

__all__ = ["Layer", "Leaf", "check_layers", "leaves_of"]


class Layer(Frozen):
    """Base class of all layers: immutable descriptions without weights, so that one may stand in a list many times."""

    def _spec(self) -> _core.LayerSpec:
        raise NotImplementedError

    def _body(self) -> tuple[Layer, ...]:
        """Return the layers inside of this one: none, unless it is a residual connection."""
        return ()


class Leaf(NamedTuple):
    """A layer that holds no others, and where it stands. Leaves are numbered over the whole network, in order."""

    name: str
    """What keys of the state dict begin with: ``"4"``, or ``"4.1"`` inside of a residual connection."""
    layer: Layer
    ends_body: bool
    """Whether what comes next acts on the sum of a residual connection, not on this layer's output."""

    @property
    def place(self) -> str:
        """The layer in the user's words, ``layers[4].layers[1]``."""
        return ".".join(f"layers[{number}]" for number in self.name.split("."))


def check_layers(name: str, layers: Iterable[Layer]) -> tuple[Layer, ...]:
    """Return the layers as a tuple, or raise a TypeError or ValueError."""
    if isinstance(layers, (Layer, str)) or not isinstance(layers, Iterable):
        raise TypeError(f"{name} must be a list of layers, not {layers!r}")
    listed = tuple(layers)
    for i, layer in enumerate(listed):
        if not isinstance(layer, Layer):
            hint = " (an instance, not the class)" if isinstance(layer, type) else ""
            raise TypeError(f"{name}[{i}] must be a layer{hint}, not {layer!r}")
        if not type(layer).__module__.startswith("gradiometer."):
            raise TypeError(f"{name}[{i}] must be one of gradiometer's own layers, not of a class derived from one")
    if not listed:
        raise ValueError(f"{name} must hold at least one layer, but it is empty")
    return listed


def leaves_of(layers: Sequence[Layer], prefix: str = "") -> list[Leaf]:
    """Return all layers in the order in which a batch meets them, those inside of residual connections too."""
    leaves: list[Leaf] = []
    for i, layer in enumerate(layers):
        inner = leaves_of(layer._body(), f"{prefix}{i}.")
        leaves += [*inner[:-1], inner[-1]._replace(ends_body=True)] if inner else [Leaf(f"{prefix}{i}", layer, False)]
    return leaves
