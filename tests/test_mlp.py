"""`mlp` is a shorthand: to the bit the network of the list that it stands for."""

import numpy as np
import pytest

import gradiometer as gm

HIDDEN = gm.init.normal(std=0.3)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("shorthand", "layers"),
    [
        (
            {"depth": 20, "width": 64, "activation": "tanh", "init": "xavier_normal", "batch_norm": True}
            | {"dropout": 0.1},
            [gm.Dense(64, init="xavier_normal"), gm.BatchNorm(), gm.Tanh(), gm.Dropout(0.1)] * 20 + [gm.Dense(10)],
        ),
        ({"depth": 3, "width": 7}, [gm.Dense(7), gm.ReLU()] * 3 + [gm.Dense(10)]),
        (
            {"depth": 2, "width": 5, "activation": gm.ELU(2.0), "init": HIDDEN, "bias": False},
            [gm.Dense(5, bias=False, init=HIDDEN), gm.ELU(2.0)] * 2 + [gm.Dense(10, bias=False)],
        ),
        ({"depth": 0, "width": 1, "init": "zeros"}, [gm.Dense(10)]),
    ],
    ids=["everything", "defaults", "without biases", "no hidden layer"],
)
def test_it_is_the_network_of_the_list(shorthand, layers, dtype):
    net = gm.mlp(64, 10, **shorthand, dtype=dtype, seed=3)
    expected = gm.Network(64, layers, dtype=dtype, seed=3)
    assert net.layers == expected.layers
    assert net.dtype == expected.dtype
    state, expected_state = net.state_dict(), expected.state_dict()
    assert list(state) == list(expected_state)
    for key, value in expected_state.items():
        assert state[key].dtype == value.dtype
        assert np.array_equal(state[key], value), key
