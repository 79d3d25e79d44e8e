"""Which networks the lab trains: the one under study, each cure, all together, and one that explodes."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import gradiometer as gm
from gradiometer._layer import Layer
from gradiometer.activations import activation_from_name

CURE_DROPOUT = 0.02
"""Share of units dropped by the cure: every layer adds its noise, so 20 layers bear far less than two."""
CURE_CLIP = 5.0
"""Largest norm of all gradients together that the cure lets through."""
TOO_LARGE = 2 * math.sqrt(2)
"""σ_w of the network that explodes: twice what keeps a signal's size through ReLU, so 2²⁰ after 20 layers."""


@dataclass(frozen=True)
class Architecture:
    """A network of equal hidden layers, and how its gradients are treated."""

    depth: int = 20
    width: int = 64
    activation: str = "sigmoid"
    init: str | float = "xavier_normal"
    """Of all dense layers, the last one too: a name of `gradiometer.init`, or σ_w, for weights from a normal
    distribution of deviation σ_w / √fan_in."""
    batch_norm: bool = False
    dropout: float = 0.0
    clip: float | None = None

    def network(self, features: int, classes: int, seed: int) -> gm.Network:
        """Build it: depth × (Dense, BatchNorm?, activation, Dropout?), and a last Dense."""
        layers: list[Layer] = []
        fan_in = features
        for _ in range(self.depth):
            layers.append(self._dense(fan_in, self.width))
            if self.batch_norm:
                layers.append(gm.BatchNorm())
            layers.append(activation_from_name(self.activation))
            if self.dropout:
                layers.append(gm.Dropout(self.dropout))
            fan_in = self.width
        layers.append(self._dense(fan_in, classes))
        return gm.Network(features, layers, seed=seed)

    def _dense(self, fan_in: int, out_features: int) -> gm.Dense:
        init = self.init if isinstance(self.init, str) else gm.init.normal(std=self.init / math.sqrt(fan_in))
        return gm.Dense(out_features, init=init)

    def __str__(self) -> str:
        init = self.init if isinstance(self.init, str) else f"σ_w = {self.init:.3g}"
        parts = [f"{self.depth} × {self.width} {self.activation}", init]
        if self.batch_norm:
            parts.append("batch norm")
        if self.dropout:
            parts.append(f"dropout {self.dropout:g}")
        if self.clip is not None:
            parts.append(f"clip {self.clip:g}")
        return ", ".join(parts)


@dataclass(frozen=True)
class Experiment:
    """A network with a name."""

    name: str
    architecture: Architecture


def experiments(sick: Architecture, balanced: float) -> list[Experiment]:
    """Return the networks to train, the one under study first.

    Parameters
    ----------
    sick : Architecture
        The network under study. A cure that it already has is not tried again.
    balanced : float
        The σ_w with which its gradients neither vanish nor explode at the start (`balance.balanced_scale`).
    """
    fitting = replace(sick, activation="relu", init="kaiming_normal")
    dropout, clip = sick.dropout or CURE_DROPOUT, sick.clip or CURE_CLIP
    too_large = replace(fitting, init=TOO_LARGE)
    candidates = [
        Experiment("sick", sick),
        Experiment("ReLU, fitting init", fitting),
        Experiment("better init alone", replace(sick, init=balanced)),
        Experiment("batch norm", replace(sick, batch_norm=True)),
        Experiment("dropout", replace(sick, dropout=dropout)),
        Experiment("clipping", replace(sick, clip=clip)),
        Experiment("all together", replace(fitting, batch_norm=True, dropout=dropout, clip=clip)),
        Experiment("weights too large", too_large),
        Experiment("too large, clipped", replace(too_large, clip=clip)),
    ]
    chosen: list[Experiment] = []
    for candidate in candidates:
        if all(candidate.architecture != other.architecture for other in chosen):
            chosen.append(candidate)
    return chosen
