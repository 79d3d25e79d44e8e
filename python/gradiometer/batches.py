"""The batches into which `Trainer.fit` splits the rows of an epoch."""

from __future__ import annotations

from gradiometer import _core
from gradiometer._layer import leaves_of
from gradiometer.layers import BatchNorm
from gradiometer.network import Network

__all__ = ["batch_ends"]


def batch_ends(net: Network, rows: int, batch_size: int) -> list[int]:
    """Return where each batch of an epoch ends; with batch norm a last single row joins the batch before it."""
    has_norm = any(isinstance(leaf.layer, BatchNorm) for leaf in leaves_of(net.layers))
    return _core.batch_ends(rows, batch_size, has_norm)
