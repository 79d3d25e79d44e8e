"""The worked example of the lecture notes, computed by the library: two scalar weights, y = w2 · w1 · x.

With the upstream gradient g = dL/dy the chain rule gives dL/dw2 = w1·x·g and dL/dw1 = w2·x·g.
The notes contain two slips:

1. They set w1 = w2 = 10 and say that dL/dw2 = 10 and dL/dw1 = 100. With w1 = w2 the two gradients are equal
   by symmetry. Their numbers are those of w1 = 1, x = 1, g = 10.
2. With w2 = 0.1 they print dL/dw1 = 10; it is 0.1 · 10 = 1. The gradient shrinks tenfold on its way back.
"""

import numpy as np
import pytest

import gradiometer as gm


def gradients(w1, w2, x=1.0, g=10.0, dtype="float64"):
    """(dL/dw1, dL/dw2) of y = w2 · w1 · x."""
    net = gm.Network(1, [gm.Dense(1, bias=False, init=np.array([[w]])) for w in (w1, w2)], dtype=dtype)
    assert net.forward(np.array([[x]]), training=True) == w2 * w1 * x
    assert net.backward(np.array([[g]])) == w1 * w2 * g
    found = net.gradients()
    return found["0.weight"].item(), found["1.weight"].item()


def test_a_large_weight_makes_the_gradient_explode():
    assert gradients(w1=1.0, w2=10.0) == (100.0, 10.0)


def test_with_two_equal_weights_the_gradients_are_equal():
    """The first slip: w1 = w2 = 10 cannot give 100 and 10."""
    assert gradients(w1=10.0, w2=10.0) == (100.0, 100.0)


def test_a_small_weight_makes_the_gradient_vanish():
    """The second slip: the notes print 10."""
    dw1, dw2 = gradients(w1=1.0, w2=0.1)
    assert (dw1, dw2) == (pytest.approx(1.0, rel=1e-15), 10.0)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_effect_multiplies_with_depth(dtype):
    """Each weight of 0.1 (or 10) takes (or gives) one decade; the recording says so layer by layer."""
    for w, sign in [(0.1, 1), (10.0, -1)]:
        layers = [gm.Dense(1, bias=False, init=np.array([[w]])) for _ in range(20)]
        net = gm.Network(1, layers, dtype=dtype)
        trainer = gm.Trainer(net, loss="mse", optimizer=gm.SGD(lr=0.0))
        net.forward(np.array([[1.0]]), training=True)
        net.backward(np.array([[1.0]]))
        trainer.apply_gradients()
        decades = np.log10(trainer.recording.delta_norm[0])
        np.testing.assert_allclose(np.diff(decades), sign, rtol=1e-5)
        assert decades[0] == pytest.approx(-19 * sign, rel=1e-6)
