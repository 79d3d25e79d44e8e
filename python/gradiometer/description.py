"""What a recording keeps of the network and the settings of its trainer: facts for the diagnosis."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from gradiometer import _core
from gradiometer._layer import Layer, leaves_of
from gradiometer.activations import Activation, activation_name
from gradiometer.layers import BatchNorm, Dense, Dropout, LayerNorm, following_layers
from gradiometer.network import Network


def describe(net: Network, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return each dense layer with its sizes, its σ_w and what follows it, and how the network is trained."""
    leaves = leaves_of(net.layers)
    layers = []
    fan_in = net.in_features
    for number, leaf in enumerate(leaves):
        if not isinstance(leaf.layer, Dense):
            continue
        deviation, _ = net._core.parameter_size(f"{leaf.name}.weight")
        layers.append(
            {
                "name": f"{leaf.name}.weight",
                "fan_in": fan_in,
                "fan_out": leaf.layer.out_features,
                "sigma_w": deviation * math.sqrt(fan_in),
                "residual": "." in leaf.name,
                **_describe_followers(following_layers(leaves, number)),
            }
        )
        fan_in = leaf.layer.out_features
    return {
        "layers": layers,
        "loss": settings["loss"],
        "optimizer": repr(settings["optimizer"]),
        "clip": None if settings["clip"] is None else repr(settings["clip"]),
        "dtype": net.dtype.name,
        "version": _core.__version__,
    }


def _describe_followers(layers: list[Layer]) -> dict[str, Any]:
    """Return what stands between one dense layer and the next."""
    activation = next((layer for layer in layers if isinstance(layer, Activation)), None)
    return {
        "activation": "identity" if activation is None else activation_name(activation),
        "batch_norm": any(isinstance(layer, BatchNorm) for layer in layers),
        "layer_norm": any(isinstance(layer, LayerNorm) for layer in layers),
        "dropout": max((layer.p for layer in layers if isinstance(layer, Dropout)), default=0.0),
    }
