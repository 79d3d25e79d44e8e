"""The 20 configurations on which predicted and measured slopes are compared.

They were written down before any of them was measured, and the theory has no constant that could be fitted to them.
``python tests/theory_configurations.py`` prints the table of docs/theory.md.
"""

import math

import numpy as np
from sklearn.datasets import load_digits

import gradiometer as gm
from gradiometer.slopes import theil_sen

SEEDS = range(10)


def digits():
    """Return 128 handwritten digits, standardised, and their labels."""
    x, y = load_digits(return_X_y=True)
    return ((x - x.mean()) / x.std())[:128], y[:128]


def compare(arguments, x, y):
    """Return the measured slope of `delta_norm` (mean of the seeds), its standard error, and the predicted one."""
    measured, predicted = [], []
    for seed in SEEDS:
        net = gm.mlp(64, 10, seed=seed, **arguments)
        predicted.append(gm.theory.predict(net, x, y, "cross_entropy").slope)
        trainer = gm.Trainer(net, loss="cross_entropy", optimizer=gm.SGD(lr=0.0), seed=seed)
        trainer.step(x, y)
        measured.append(theil_sen(np.log10(trainer.recording.delta_norm))[0])
    return np.mean(measured), np.std(measured, ddof=1) / math.sqrt(len(measured)), np.mean(predicted)


def tolerance(measured, error):
    """Return the largest of 5 %, three standard errors of the seeds, and 0.01 decades per layer."""
    return max(0.05 * abs(measured), 3 * error, 0.01)


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


if __name__ == "__main__":
    print("| network | measured | standard error | predicted | difference | tolerance |")
    print("| --- | --- | --- | --- | --- | --- |")
    for label, arguments in CONFIGURATIONS.items():
        measured, error, predicted = compare(arguments, *digits())
        figures = (measured, error, predicted, abs(measured - predicted), tolerance(measured, error))
        print(f"| {label} | {' | '.join(f'{figure:.4f}' for figure in figures)} |")
