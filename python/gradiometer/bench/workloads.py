"""What is benchmarked: networks, batches, and the operations that one step of them needs."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

import gradiometer as gm
from gradiometer._layer import Layer, leaves_of
from gradiometer.activations import activation_from_name

MAX_NORM = 1.0
RATES = {"sgd": 1e-3, "adam": 1e-4}
"""Small, so that hundreds of steps stay where they began."""


@dataclass(frozen=True)
class Workload:
    """One training step: forward, cross entropy, backward, a gradient norm for each layer, clip to 1, update."""

    name: str
    depth: int
    """Hidden layers."""
    width: int
    batch: int
    activation: str = "relu"
    batch_norm: bool = False
    layer_norm: bool = False
    residual: bool = False
    """Whether each hidden layer but the first is added to what goes into it."""
    optimizer: str = "sgd"
    inputs: int = 64
    classes: int = 10
    copies: int = 1
    """Networks that are trained side by side, from seeds 0, 1, …: more than one is a sweep."""

    @property
    def sizes(self) -> list[tuple[int, int]]:
        """(fan_in, fan_out) of every dense layer."""
        widths = [self.inputs, *[self.width] * self.depth, self.classes]
        return list(itertools.pairwise(widths))

    @property
    def flops(self) -> float:
        """Operations of the matrix products of one step: forward, dW, and dX of all layers but the first."""
        products = sum(fan_in * fan_out for fan_in, fan_out in self.sizes)
        first = self.sizes[0][0] * self.sizes[0][1]
        return 2.0 * self.batch * (3 * products - first) * self.copies

    @property
    def rate(self) -> float:
        """Learning rate."""
        return RATES[self.optimizer]

    def network(self, seed: int = 0) -> gm.Network:
        """Return the network, at its start."""
        init = "xavier_normal" if self.activation != "relu" else None
        hidden: list[Layer] = [gm.Dense(self.width, init=init)]
        if self.batch_norm:
            hidden.append(gm.BatchNorm())
        if self.layer_norm:
            hidden.append(gm.LayerNorm())
        hidden.append(activation_from_name(self.activation))
        others = [gm.Residual(hidden)] if self.residual else hidden
        layers = [*hidden, *others * (self.depth - 1), gm.Dense(self.classes, init=init)]
        return gm.Network(self.inputs, layers, seed=seed)

    def data(self) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Return a batch: standard normal inputs, random labels."""
        rng = np.random.default_rng(0)
        x = rng.standard_normal((self.batch, self.inputs)).astype(np.float32)
        return x, rng.integers(0, self.classes, self.batch)


@dataclass(frozen=True)
class State:
    """A network as plain arrays: what every peer starts from."""

    weights: list[NDArray[Any]]
    """Of the dense layers, each (fan_out, fan_in)."""
    biases: list[NDArray[Any]]
    norms: list[tuple[NDArray[Any], NDArray[Any]]]
    """gamma and beta of the batch norms or layer norms."""

    @classmethod
    def of(cls, net: gm.Network) -> State:
        """Take the parameters out of a network."""
        state = net.state_dict()
        dense: list[tuple[NDArray[Any], NDArray[Any]]] = []
        norms: list[tuple[NDArray[Any], NDArray[Any]]] = []
        for leaf in leaves_of(net.layers):
            if isinstance(leaf.layer, (gm.Dense, gm.BatchNorm, gm.LayerNorm)):
                group = dense if isinstance(leaf.layer, gm.Dense) else norms
                group.append((state[f"{leaf.name}.weight"], state[f"{leaf.name}.bias"]))
        return cls([weight for weight, _ in dense], [bias for _, bias in dense], norms)


WORKLOADS = {
    workload.name: workload
    for workload in [
        Workload("tiny", depth=3, width=32, batch=32, activation="sigmoid"),
        Workload("deep-narrow", depth=50, width=64, batch=128, activation="tanh"),
        Workload("classic", depth=20, width=256, batch=128, batch_norm=True, optimizer="adam"),
        Workload("layer-norm", depth=20, width=256, batch=128, layer_norm=True, optimizer="adam"),
        Workload("residual", depth=20, width=256, batch=128, layer_norm=True, residual=True, optimizer="adam"),
        Workload("classic-plain", depth=20, width=256, batch=128),
        Workload("wide", depth=4, width=2048, batch=512),
        Workload("very-deep", depth=500, width=64, batch=64),
        Workload("sweep", depth=20, width=64, batch=128, activation="tanh", copies=32),
    ]
}
FIVE = ("tiny", "deep-narrow", "classic", "wide", "very-deep")
"""What the command runs unless told otherwise."""


def grid() -> list[Workload]:
    """Return the odd sizes: widths and batches that fit no vector, inputs of 784, depths from 1 to 200."""
    sizes = [(width, batch) for width in (1, 7, 33, 100, 257, 1000) for batch in (1, 5, 77, 1000)]
    shapes = [(4, width, batch, 64) for width, batch in sizes]
    shapes += [(1, 100, 77, 784), (4, 257, 128, 784), (1, 64, 128, 64), (200, 33, 77, 64), (200, 100, 128, 64)]
    return [
        Workload(f"{depth}x{width} b{batch} in{inputs}", depth, width, batch, "tanh", inputs=inputs)
        for depth, width, batch, inputs in shapes
    ]
