"""What all layers have in common."""

from gradiometer import _core

__all__ = ["Layer"]


class Layer:
    """Base class of all layers: immutable descriptions without weights, so that one may stand in a list many times."""

    def _spec(self) -> _core.LayerSpec:
        raise NotImplementedError
