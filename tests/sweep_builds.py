"""Small data and builds that the tests of sweeps share; a module of its own, so that other processes can import it."""

import numpy as np

import gradiometer as gm

RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((97, 6)).astype("f4"), RNG.integers(0, 3, 97)
VALIDATION = (RNG.standard_normal((40, 6)).astype("f4"), RNG.integers(0, 3, 40))


def build(*, depth, activation="tanh", batch_norm=False, dropout=0.1, seed):
    net = gm.mlp(6, 3, depth=depth, width=8, activation=activation, batch_norm=batch_norm, dropout=dropout, seed=seed)
    return gm.Trainer(net, loss="cross_entropy", optimizer=gm.Adam(lr=0.01), clip=gm.ClipNorm(1.0), seed=seed + 1)


def without_seconds(result):
    """The table of a sweep without the one column that is another one each time."""
    return result.to_dataframe().drop(columns="seconds")


def assert_same_bits(one, other):
    """Every figure and every recorded number is the same to the bit."""
    assert without_seconds(one).equals(without_seconds(other))
    assert one.to_xarray().drop_vars("seconds").identical(other.to_xarray().drop_vars("seconds"))
