"""Train deep networks on a CPU at the speed of the hardware, and measure how gradients vanish, explode or flow.

>>> import gradiometer as gm
>>> net = gm.mlp(64, 10, depth=20, width=64, activation="sigmoid", init="xavier_normal", seed=0)
>>> trainer = gm.Trainer(net, loss="cross_entropy", optimizer=gm.SGD(lr=0.1), seed=0)
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from gradiometer import init
from gradiometer._core import NonFiniteError, __version__
from gradiometer.activations import (
    ELU,
    GELU,
    SELU,
    Hardswish,
    Hardtanh,
    Identity,
    LeakyReLU,
    Mish,
    ReLU,
    Sigmoid,
    SiLU,
    Softplus,
    Softsign,
    Tanh,
)
from gradiometer.layers import BatchNorm, Dense, Dropout, LayerNorm, Residual
from gradiometer.machine import get_num_threads, info, set_num_threads
from gradiometer.many import step_many, train_many
from gradiometer.network import Network, mlp
from gradiometer.optim import SGD, Adam, AdamW, ClipAdaptive, ClipNorm, ClipValue, RMSprop
from gradiometer.recording import Recording, load_recording
from gradiometer.train import Trainer

if TYPE_CHECKING:
    from gradiometer import theory
    from gradiometer.reports import report
    from gradiometer.sweeps import load_sweep, sweep

__all__ = [
    "ELU",
    "GELU",
    "SELU",
    "SGD",
    "Adam",
    "AdamW",
    "BatchNorm",
    "ClipAdaptive",
    "ClipNorm",
    "ClipValue",
    "Dense",
    "Dropout",
    "Hardswish",
    "Hardtanh",
    "Identity",
    "LayerNorm",
    "LeakyReLU",
    "Mish",
    "Network",
    "NonFiniteError",
    "RMSprop",
    "ReLU",
    "Recording",
    "Residual",
    "SiLU",
    "Sigmoid",
    "Softplus",
    "Softsign",
    "Tanh",
    "Trainer",
    "__version__",
    "get_num_threads",
    "info",
    "init",
    "load_recording",
    "load_sweep",
    "mlp",
    "report",
    "set_num_threads",
    "step_many",
    "sweep",
    "theory",
    "train_many",
]


def __getattr__(name: str) -> Any:
    """Import `theory`, `report` and the sweeps when they are first used: most programs never do."""
    if name == "theory":
        return importlib.import_module("gradiometer.theory")
    if name == "report":
        return importlib.import_module("gradiometer.reports").report
    if name in ("load_sweep", "sweep"):
        return getattr(importlib.import_module("gradiometer.sweeps"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """List what users are meant to find, also what is imported later."""
    return sorted(__all__)
