"""The engine against the plain NumPy network of reference.py, over everything hypothesis can think of.

The instruction set is chosen when the library is loaded; run this file under each value of GRADIOMETER_ISA.
"""

import numpy as np
import pytest
from hypothesis import event, given

from following import follow_in_float32, follow_in_float64
from reference import row_weights
from strategies import ACTIVATIONS, CLIPS, LOSSES, OPTIMIZERS, STEEP, Scenario, scenarios

pytestmark = pytest.mark.usefixtures("restore_threads")


@given(scenarios())
def test_float64_training_follows_the_reference(scenario):
    event(f"compared {follow_in_float64(scenario)} of {scenario.steps} steps")


@given(scenarios())
def test_every_float32_step_is_that_of_the_reference(scenario):
    event(f"compared {follow_in_float32(scenario)} of {scenario.steps} steps")


DENSE, NORM, DROP, TANH, RELU = (
    ("Dense", {"out_features": 13}), ("BatchNorm", {}), ("Dropout", {"p": 0.3}), ("Tanh", {}), ("ReLU", {}),
)  # fmt: skip
ROWS = ("LayerNorm", {})
BARE = ("Dense", {"out_features": 5, "bias": False})
PLAIN = ("BatchNorm", {"affine": False})


def skip(*layers, scale=1.0):
    return ("Residual", {"layers": layers, "scale": scale})


LISTS = {
    "a single dense layer": [DENSE],
    "activation first": [TANH, DENSE, RELU, DENSE],
    "batch norm first": [NORM, DENSE, TANH, DENSE],
    "dropout first": [DROP, DENSE, TANH, DENSE],
    "two activations in a row": [DENSE, TANH, ("SiLU", {}), DENSE],
    "the same activation twice": [DENSE, RELU, RELU, DENSE],
    "dropout before batch norm": [DENSE, DROP, NORM, TANH, DENSE],
    "batch norm after the activation": [DENSE, TANH, NORM, DENSE],
    "two batch norms": [DENSE, NORM, PLAIN, TANH, DENSE],
    "two dropouts": [DENSE, TANH, DROP, DROP, DENSE],
    "dropout between dense and activation": [DENSE, DROP, TANH, DENSE],
    "no activation between": [DENSE, BARE, DENSE],
    "batch norm without an activation": [DENSE, NORM, DENSE],
    "activation last": [DENSE, TANH, DENSE, ("Sigmoid", {})],
    "batch norm last": [DENSE, TANH, DENSE, NORM],
    "dropout last": [DENSE, TANH, DENSE, DROP],
    "no bias, no affine": [BARE, PLAIN, TANH, BARE],
    "layer norm": [DENSE, ROWS, TANH, DENSE],
    "layer norm first": [ROWS, DENSE, TANH, DENSE],
    "layer norm last": [DENSE, TANH, DENSE, ROWS],
    "layer norm after the activation": [DENSE, TANH, ROWS, DENSE],
    "layer norm and batch norm": [DENSE, ROWS, NORM, ROWS, TANH, NORM, ROWS, DENSE],
    "layer norm without an activation": [DENSE, ROWS, BARE],
    "layer norm of one feature": [("Dense", {"out_features": 1}), ROWS, TANH, DENSE],
    "layer norm without affine": [DENSE, ("LayerNorm", {"affine": False}), TANH, DENSE],
    "residual": [DENSE, skip(TANH, DENSE), DENSE],
    "residual first": [skip(("Dense", {"out_features": 7}), TANH), DENSE],
    "residual last": [DENSE, skip(TANH, DENSE)],
    "residual alone": [skip(("Dense", {"out_features": 7}))],
    "two residuals in a row": [DENSE, skip(TANH, DENSE), skip(DENSE, RELU), BARE],
    "activation on the sum": [DENSE, skip(DENSE, NORM, TANH, DENSE, NORM), RELU, BARE],
    "norms on the sum": [DENSE, skip(DENSE, TANH), NORM, RELU, skip(DENSE), ROWS, TANH, BARE],
    "residual around nothing but elementwise layers": [DENSE, skip(DROP, TANH, ("SiLU", {})), DENSE],
    "residual around batch norm": [DENSE, skip(NORM, RELU, DENSE), BARE],
    "residual around layer norm": [DENSE, skip(ROWS, DENSE, RELU, DENSE), BARE],
    "residual around a change of width": [DENSE, skip(BARE, RELU, DENSE), BARE],
    "residual with a scale": [DENSE, skip(TANH, DENSE, scale=-0.6), DENSE],
    "residuals that begin together": [
        DENSE,
        skip(skip(TANH, DENSE, scale=0.4), DENSE, TANH),
        BARE,
    ],
    "residuals that end together": [DENSE, skip(TANH, skip(DENSE, DROP), scale=0.4), RELU, BARE],
    "residuals that begin and end together": [
        skip(skip(ROWS, TANH, scale=0.4), scale=2.0),
        DENSE,
    ],
    "dropouts inside and behind": [DENSE, DROP, skip(DROP, DENSE, DROP), DROP, DENSE],
}


@pytest.mark.parametrize("follow", [follow_in_float64, follow_in_float32])
@pytest.mark.parametrize("name", LISTS)
def test_any_order_of_layers(name, follow):
    assert follow(Scenario(7, tuple(LISTS[name]), batch=19, seed=3)) > 0


def around(activation):
    return (("Dense", {"out_features": 37}), activation, ("Dense", {"out_features": 18}), activation, DENSE)


@pytest.mark.parametrize("follow", [follow_in_float64, follow_in_float32])
@pytest.mark.parametrize("activation", [*ACTIVATIONS, STEEP], ids=str)
def test_every_activation(activation, follow):
    assert follow(Scenario(17, around(activation), batch=21, seed=4, threads=2)) > 0


@pytest.mark.parametrize("follow", [follow_in_float64, follow_in_float32])
@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=str)
def test_every_optimizer(optimizer, follow):
    assert follow(Scenario(17, around(TANH), 21, "cross_entropy", optimizer, steps=6, seed=5)) > 0


@pytest.mark.parametrize("follow", [follow_in_float64, follow_in_float32])
@pytest.mark.parametrize("clip", CLIPS, ids=str)
def test_every_clipping(clip, follow):
    assert follow(clipped(clip)) > 0


def clipped(clip):
    layers = (DENSE, NORM, TANH, DROP, skip(DENSE, TANH), ROWS, BARE)
    return Scenario(17, layers, 21, "bce_with_logits", clip=clip, weighted=True, seed=6)


def test_the_clippings_above_really_clip():
    """They would prove nothing if no gradient were above its limit."""
    coefficients = {}
    for clip in CLIPS:
        truth = clipped(clip).reference_trainer(np.float64)
        truth.net.load_state_dict(clipped(clip).state())
        truth.step(*clipped(clip).data(0, np.float64))
        coefficients[str(clip)] = truth.fields["clip_coefficient"]
    assert coefficients.pop("None") == coefficients.pop(str(CLIPS[2])) == 1
    assert all(0 < value < 0.9 for value in coefficients.values()), coefficients


@pytest.mark.parametrize("follow", [follow_in_float64, follow_in_float32])
@pytest.mark.parametrize(("width", "batch"), [(257, 130), (60, 1001), (530, 37)])
def test_sizes_that_are_split_into_blocks_and_between_threads(width, batch, follow):
    wide = ("Dense", {"out_features": width})
    layers = (wide, NORM, TANH, DROP, wide, ("SiLU", {}), skip(ROWS, wide, TANH, scale=0.5), DENSE)
    follow(Scenario(130, layers, batch, "cross_entropy", ("Adam", {}), threads=2, steps=2, seed=7))


@pytest.mark.parametrize("follow", [follow_in_float64, follow_in_float32])
def test_a_learning_rate_that_depends_on_the_step(follow):
    optimizer = ("SGD", {"lr": lambda step: 0.1 / (1 + step), "momentum": 0.9})
    assert follow(Scenario(17, around(TANH), 21, optimizer=optimizer, steps=4, seed=8)) == 4


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("loss", LOSSES)
def test_evaluate(loss, weighted):
    """The loss in evaluation mode, and the share of rows (or of their weight) that are classified rightly."""
    layers = (DENSE, NORM, TANH, DROP, skip(ROWS, skip(DENSE, TANH)), DENSE)
    scenario = Scenario(17, layers, 203, loss, weighted=weighted, seed=9)
    net, truth = scenario.engine_network("float64"), scenario.reference_trainer(np.float64)
    net.load_state_dict(scenario.state())
    truth.net.load_state_dict(scenario.state())
    x, y, weights = scenario.data(0, np.float64)
    found = scenario.engine_trainer(net).evaluate(x, y, weights)
    out, shares = truth.net.forward(x), row_weights(len(x), weights, np.float64)
    assert found["loss"] == pytest.approx(truth.loss(out, y, shares)[0], rel=1e-12, abs=0)
    if loss == "cross_entropy":
        assert found["accuracy"] == pytest.approx(shares[out.argmax(axis=1) == y].sum(), rel=1e-12, abs=0)
