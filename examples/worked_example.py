"""The worked example of the lecture notes: y = w2 · w1 · x, two scalar weights, no activation."""

import numpy as np

import gradiometer as gm


def gradients(w1: float, w2: float, x: float = 1.0, g: float = 10.0) -> tuple[float, float]:
    """Return (dL/dw1, dL/dw2) for the upstream gradient g = dL/dy."""
    layers = [gm.Dense(1, bias=False, init=np.array([[weight]])) for weight in (w1, w2)]
    net = gm.Network(1, layers, dtype="float64")
    net.forward(np.array([[x]]), training=True)
    net.backward(np.array([[g]]))
    found = net.gradients()
    return found["0.weight"].item(), found["1.weight"].item()


for w1, w2 in [(1.0, 10.0), (10.0, 10.0), (1.0, 0.1)]:
    dw1, dw2 = gradients(w1, w2)
    print(f"w1 = {w1:<4}  w2 = {w2:<4}   dL/dw1 = {dw1:<5.4g}  dL/dw2 = {dw2:.4g}")
