"""A sweep over depth and weight scale: what docs/sweeps.md quotes. Run it again, and it repeats nothing."""

import numpy as np
from sklearn.datasets import load_digits

import gradiometer as gm

X, y = load_digits(return_X_y=True)
X = X / 16


def build(depth, sigma_w, seed):
    """Return the trainer of one run."""
    init = gm.init.kaiming_normal(gain=sigma_w)
    net = gm.mlp(64, 10, depth=depth, width=64, activation="tanh", init=init, seed=seed)
    return gm.Trainer(net, loss="cross_entropy", optimizer=gm.SGD(lr=0.05, momentum=0.9), seed=seed)


result = gm.sweep(
    build,
    {"depth": [5, 10, 20], "sigma_w": np.linspace(0.7, 2.0, 5)},
    X[:1400],
    y[:1400],
    seeds=3,
    steps=50,
    validation=(X[1400:], y[1400:]),
    store="runs.sqlite",
    progress=True,
)
print(result)
