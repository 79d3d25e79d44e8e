"""The 20 configurations on which predicted and measured slopes are compared.

They were written down before any of them was measured, and the theory has no constant that could be fitted to them.
"""

import math

import gradiometer as gm


def scaled(sigma_w, fan_in=64):
    return gm.init.normal(std=sigma_w / math.sqrt(fan_in))


def configuration(activation, depth, width, init=None, batch_norm=False, dropout=0.0):
    name = activation if isinstance(activation, str) else type(activation).__name__.lower()
    label = f"{name}, {depth} x {width}, {init}" + ", batch norm" * batch_norm + f", dropout {dropout}" * (dropout > 0)
    arguments = {"activation": activation, "depth": depth, "width": width, "init": init}
    return label, {**arguments, "batch_norm": batch_norm, "dropout": dropout}


CONFIGURATIONS = dict(
    [
        configuration("relu", 20, 64),
        configuration("relu", 30, 64, scaled(0.577)),
        configuration("relu", 30, 64, scaled(1.8)),
        configuration("tanh", 20, 64, "xavier_normal"),
        configuration("tanh", 20, 128),
        configuration("tanh", 40, 64, scaled(1.3)),
        configuration("sigmoid", 10, 64, "xavier_normal"),
        configuration("sigmoid", 10, 64, scaled(4.0)),
        configuration("selu", 30, 128, "lecun_normal"),
        configuration("gelu", 20, 128),
        configuration("silu", 15, 96, "torch_default"),
        configuration("leaky_relu", 50, 200, "kaiming_uniform"),
        configuration("elu", 20, 64, "orthogonal"),
        configuration("relu", 20, 64, batch_norm=True),
        configuration("tanh", 20, 64, "xavier_uniform", batch_norm=True),
        configuration("relu", 20, 128, batch_norm=True, dropout=0.5),
        configuration("tanh", 20, 64, "xavier_normal", dropout=0.3),
        configuration("mish", 25, 64, gm.init.orthogonal(gain=1.5)),
        configuration("hardswish", 12, 256, batch_norm=True),
        configuration("hardtanh", 30, 64, scaled(1.5)),
    ]
)
