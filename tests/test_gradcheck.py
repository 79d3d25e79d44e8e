"""Numerical gradients in float64: every layer and loss against central differences."""

import numpy as np
import pytest

import gradiometer as gm
from strategies import ACTIVATIONS, LOSSES, built

H = 1e-5  # the error of a central difference is about H² of the third derivative, plus 1e-16 / H of rounding
ROWS, INPUTS, OUTPUTS = 6, 5, 3

DENSE, NORM, DROP = ("Dense", {"out_features": 7}), ("BatchNorm", {}), ("Dropout", {"p": 0.4})
LAYERS = {
    **{f"{name} {arguments}": [DENSE, (name, arguments)] for name, arguments in ACTIVATIONS},
    "Dense": [DENSE],
    "Dense without bias": [("Dense", {"out_features": 7, "bias": False})],
    "BatchNorm": [DENSE, NORM],
    "BatchNorm, large eps": [DENSE, ("BatchNorm", {"eps": 0.5})],
    "BatchNorm without affine": [DENSE, ("BatchNorm", {"affine": False})],
    "Dropout": [DENSE, DROP],
    "LayerNorm": [DENSE, ("LayerNorm", {})],
    "LayerNorm, large eps": [DENSE, ("LayerNorm", {"eps": 0.5})],
    "LayerNorm without affine": [DENSE, ("LayerNorm", {"affine": False})],
    "LayerNorm first": [("LayerNorm", {}), DENSE],
    "Residual": [DENSE, ("Residual", {"layers": (("Tanh", {}), DENSE), "scale": 0.7})],
    "Residual first": [("Residual", {"layers": (DENSE, ("Tanh", {}), ("Dense", {"out_features": INPUTS}))}), DENSE],
    "Residual inside of another": [DENSE, ("Residual", {"layers": (NORM, ("Residual", {"layers": (DENSE, DROP)}))})],
    "all in a row": [NORM, DENSE, NORM, ("Tanh", {}), DROP, DENSE, DROP, NORM, ("GELU", {}), ("SiLU", {})],
}


def build(layers, state=None):
    """A new network each time, so that dropout draws the same mask in every first pass."""
    layers = [built([gm], layer) for layer in layers]
    net = gm.Network(INPUTS, [*layers, gm.Dense(OUTPUTS)], dtype="float64", seed=11)
    if state is not None:
        net.load_state_dict(state)
    return net


def random_state(net, seed):
    """Weights and biases away from the special values 0 and 1."""
    rng = np.random.default_rng(seed)
    return {
        key: rng.normal(0, 0.6, value.shape) if value.dtype == np.float64 and "running" not in key else value
        for key, value in net.state_dict().items()
    }


def central_differences(function, array):
    """d function / d array, entry by entry; the array is changed in place and restored."""
    derivative = np.empty(array.shape)
    for index in np.ndindex(array.shape):
        middle = array[index]
        array[index] = middle + H
        above = function()
        array[index] = middle - H
        below = function()
        array[index] = middle
        derivative[index] = (above - below) / (2 * H)
    return derivative


@pytest.mark.parametrize("name", LAYERS)
def test_backward_is_the_derivative_of_forward(name):
    layers = LAYERS[name]
    rng = np.random.default_rng(1)
    state = random_state(build(layers), seed=2)
    x, dy = rng.normal(size=(ROWS, INPUTS)), rng.normal(size=(ROWS, OUTPUTS))
    net = build(layers, state)
    net.forward(x, training=True)
    dx, gradients = net.backward(dy), net.gradients()

    def output():
        return (build(layers, state).forward(x, training=True) * dy).sum()

    np.testing.assert_allclose(dx, central_differences(output, x), rtol=1e-6, atol=1e-8)
    for key, gradient in gradients.items():
        difference = central_differences(output, state[key])
        np.testing.assert_allclose(gradient, difference, rtol=1e-6, atol=1e-8, err_msg=key)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("weighted", [False, True])
def test_the_gradient_of_each_loss(loss, weighted):
    layers = LAYERS["BatchNorm"]
    rng = np.random.default_rng(3)
    state = random_state(build(layers), seed=4)
    x, weights = rng.normal(size=(ROWS, INPUTS)), rng.uniform(0, 3, ROWS) if weighted else None
    y = rng.integers(0, OUTPUTS, ROWS) if loss == "cross_entropy" else rng.uniform(0, 1, (ROWS, OUTPUTS))

    def step():
        net = build(layers, state)
        return gm.Trainer(net, loss=loss, optimizer=gm.SGD(lr=0.0)).step(x, y, weights), net.gradients()

    for key, gradient in step()[1].items():
        difference = central_differences(lambda: step()[0], state[key])
        np.testing.assert_allclose(gradient, difference, rtol=1e-6, atol=1e-8, err_msg=key)
