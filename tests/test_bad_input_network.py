"""Wrong arguments of networks, layers, optimizers and clippings: what each error says."""

import re

import numpy as np
import pytest

import gradiometer as gm

X = np.random.default_rng(0).standard_normal((10, 4)).astype("f4")
LAYERS = [gm.Dense(5), gm.BatchNorm(), gm.ReLU(), gm.Dense(3)]


def net():
    return gm.Network(4, LAYERS, seed=0)


def with_entry(value):
    changed = X.copy()
    changed[3, 1] = value
    return changed


class Untouchable:
    """Cannot become an array, like a tensor that requires a gradient."""

    def __array__(self, dtype=None, copy=None):
        raise RuntimeError("use detach() first")


class Derived(gm.ReLU):
    """Of which the engine knows nothing."""


def load(entries):
    model = net()
    model.load_state_dict(model.state_dict() | entries)


CONSTRUCTORS = [
    (lambda: gm.Network(0, LAYERS), ValueError, "in_features must be at least 1, not 0"),
    (lambda: gm.Network(2.5, LAYERS), TypeError, "in_features must be an integer, not 2.5"),
    (lambda: gm.Network(True, LAYERS), TypeError, "in_features must be an integer, not True"),
    (lambda: gm.Network(2, []), ValueError, "layers must hold at least one layer, but it is empty"),
    (lambda: gm.Network(2, gm.Dense(2)), TypeError, "layers must be a list of layers, not Dense("),
    (lambda: gm.Network(2, "relu"), TypeError, "layers must be a list of layers, not 'relu'"),
    (lambda: gm.Network(2, [gm.ReLU]), TypeError, "layers[0] must be a layer (an instance, not the class), not <class"),
    (lambda: gm.Network(2, [gm.Dense(1), "relu"]), TypeError, "layers[1] must be a layer, not 'relu'"),
    (lambda: gm.Network(2, LAYERS, dtype="float16"), ValueError, 'dtype must be "float32" or "float64", not \'float16\''),
    (lambda: gm.Network(2, LAYERS, dtype="quux"), TypeError, 'dtype must be "float32" or "float64", not \'quux\''),
    (lambda: gm.Network(2, LAYERS, dtype=None), TypeError, 'dtype must be "float32" or "float64", not None'),
    (lambda: gm.Network(10**30, LAYERS), ValueError, "in_features must be at most 2147483647, not 1000000000000000000000000"),
    (lambda: gm.Network(2**31 - 1, [gm.Dense(2**31 - 1)]), ValueError,
     "layers[0] has a weight of shape (2147483647, 2147483647), which no memory can hold"),
    (lambda: gm.Network(2, LAYERS, seed=-1), ValueError, "seed must be at least 0, not -1"),
    (lambda: gm.Network(2, LAYERS, seed=2**64), ValueError, "seed must be below 2**64, not 18446744073709551616"),
    (lambda: gm.Network(2, LAYERS, seed="a"), TypeError, "seed must be an integer, not 'a'"),
    (lambda: gm.Network(2, LAYERS, seed=True), TypeError, "seed must be an integer, not True"),
    (lambda: gm.Dense(0), ValueError, "out_features must be at least 1, not 0"),
    (lambda: gm.Dense(2**31), ValueError, "out_features must be at most 2147483647, not 2147483648"),
    (lambda: gm.Dense("3"), TypeError, "out_features must be an integer, not '3'"),
    (lambda: gm.Dense(3, bias=1), TypeError, "bias must be a bool, not 1"),
    (lambda: gm.Dense(3, init=Untouchable()), TypeError, "(use detach() first)"),
    (lambda: gm.Dense(3, init="foo"), ValueError, "there is no initialisation 'foo'; known: uniform, normal, "),
    (lambda: gm.Dense(3, init="constant"), ValueError, 'init="constant" lacks its value: use gradiometer.init.constant'),
    (lambda: gm.Dense(3, init=gm.init.normal), TypeError, "call normal(…) to get one"),
    (lambda: gm.Dense(3, init=np.full((3, 2), np.nan)), ValueError, "init must be finite, but init[0, 0] is nan"),
    (lambda: gm.Dense(3, init=np.ones(3)), ValueError, "init has shape (3,); it must be (out_features, in_features)"),
    (lambda: gm.Dense(3, init=np.ones((3, 2), complex)), TypeError, "init must be a name, an initializer, an array of num"),
    (lambda: gm.Network(4, [gm.Dense(3, init=np.ones((4, 3)))]), ValueError,
     "layers[0]: init has shape (4, 3); it must be (3, 4), (out_features, in_features)"),
    (lambda: gm.BatchNorm(eps=-1), ValueError, "eps must be at least 0, not -1"),
    (lambda: gm.BatchNorm(momentum=1.5), ValueError, "momentum must be from 0 to 1, not 1.5"),
    (lambda: gm.BatchNorm(momentum=float("nan")), ValueError, "momentum must be finite, not nan"),
    (lambda: gm.BatchNorm(affine="yes"), TypeError, "affine must be a bool, not 'yes'"),
    (lambda: gm.LayerNorm(eps=-1), ValueError, "eps must be at least 0, not -1"),
    (lambda: gm.LayerNorm(affine="yes"), TypeError, "affine must be a bool, not 'yes'"),
    (lambda: gm.LayerNorm(1e-3), TypeError, "positional argument"),
    (lambda: gm.Residual([]), ValueError, "layers must hold at least one layer, but it is empty"),
    (lambda: gm.Residual(gm.ReLU()), TypeError, "layers must be a list of layers, not ReLU()"),
    (lambda: gm.Residual([gm.ReLU(), gm.Tanh]), TypeError, "layers[1] must be a layer (an instance, not the class)"),
    (lambda: gm.Residual([gm.ReLU()], scale="1"), TypeError, "scale must be a number, not '1'"),
    (lambda: gm.Residual([gm.ReLU()], scale=float("nan")), ValueError, "scale must be finite, not nan"),
    (lambda: gm.Network(4, [gm.Dense(6), gm.Residual([gm.ReLU(), gm.Dense(5)])]), ValueError,
     "layers[1] is a Residual whose layers take 6 columns and give 5; they must keep the width"),
    (lambda: gm.Network(4, [gm.Residual([gm.Dense(6), gm.Residual([gm.Dense(4)])])]), ValueError,
     "layers[0].layers[1] is a Residual whose layers take 6 columns and give 4; they must keep the width"),
    (lambda: gm.Network(2**20, [gm.Residual([gm.Dense(2**25)])]), ValueError,
     "layers[0].layers[0] has a weight of shape (33554432, 1048576), which no memory can hold"),
    (lambda: gm.Network(4, [gm.Residual([gm.Dense(4, init=np.ones((3, 3)))])]), ValueError,
     "layers[0].layers[0]: init has shape (3, 3); it must be (4, 4), (out_features, in_features)"),
    (lambda: gm.Dropout(1.5), ValueError, "p must be from 0 to 1, not 1.5"),
    (lambda: gm.Dropout("a"), TypeError, "p must be a number, not 'a'"),
    (lambda: gm.Dropout(np.True_), TypeError, "p must be a number, not np.True_"),
    (lambda: gm.Dropout(np.array([0.5, 0.5])), TypeError, "p must be a number, not array([0.5, 0.5])"),
    (lambda: gm.ELU(10**400), ValueError, "alpha must be a number that fits a float, not an integer beyond 1e308"),
    (lambda: gm.LeakyReLU("a"), TypeError, "negative_slope must be a number, not 'a'"),
    (lambda: gm.ELU(float("nan")), ValueError, "alpha must be finite, not nan"),
    (lambda: gm.GELU("fast"), ValueError, 'approximate must be "none" or "tanh", not \'fast\''),
    (lambda: gm.Softplus(beta=0), ValueError, "beta must be above 0, not 0"),
    (lambda: gm.Softplus(threshold=float("inf")), ValueError, "threshold must be finite, not inf"),
    (lambda: gm.Hardtanh(1, -1), ValueError, "min_val must be below max_val, but they are 1.0 and -1.0"),
    (lambda: gm.mlp(4, 3, depth=-1, width=3), ValueError, "depth must be at least 0, not -1"),
    (lambda: gm.mlp(4, 3, depth=2, width=0), ValueError, "width must be at least 1, not 0"),
    (lambda: gm.mlp(4, 0, depth=2, width=3), ValueError, "out_features must be at least 1, not 0"),
    (lambda: gm.mlp(4, 3, depth=2, width=3, activation="foo"), ValueError, "there is no activation 'foo'; known: relu, "),
    (lambda: gm.mlp(4, 3, depth=2, width=3, activation=gm.ReLU), TypeError, "activation must be a name or an activation"),
    (lambda: gm.mlp(4, 3, depth=2, width=3, dropout=2), ValueError, "dropout must be from 0 to 1, not 2"),
    (lambda: gm.mlp(4, 3, depth=1, width=3, batch_norm=1), TypeError, "batch_norm must be a bool, not 1"),
    (lambda: gm.init.gain("foo"), ValueError, "there is no activation 'foo'"),
    (lambda: gm.init.normal(std=-1), ValueError, "std must be at least 0, not -1"),
    (lambda: gm.init.uniform(2, 1), ValueError, "a must not be above b, but they are 2.0 and 1.0"),
    (lambda: gm.init.kaiming_normal(mode="x"), ValueError, 'mode must be "fan_in" or "fan_out", not \'x\''),
    (lambda: gm.init.orthogonal(gain=-1), ValueError, "gain must be at least 0, not -1"),
    (lambda: gm.Network(2, [gm.Dense(9, init=gm.init.uniform(-1e308, 1e308))], dtype="float64"), ValueError,
     "layers[0]: uniform(a=-1e+308, b=1e+308) gives weights that are too large for a float"),
    (lambda: gm.Network(2, [gm.Dense(9, init=gm.init.constant(1e39))]), ValueError,
     "0.weight[0, 0] is 1e+39, which is too large for float32"),
    (lambda: gm.init.constant("a"), TypeError, "val must be a number, not 'a'"),
    (lambda: gm.SGD(lr=-1), ValueError, "lr must be at least 0, not -1"),
    (lambda: gm.SGD(lr=float("nan")), ValueError, "lr must be finite, not nan"),
    (lambda: gm.SGD(lr="a"), TypeError, "lr must be a number, not 'a'"),
    (lambda: gm.SGD(0.1, momentum=-1), ValueError, "momentum must be at least 0, not -1"),
    (lambda: gm.SGD(0.1, nesterov=True), ValueError, "nesterov needs a momentum above 0 and no dampening, not 0 and 0"),
    (lambda: gm.SGD(0.1, weight_decay=-1), ValueError, "weight_decay must be at least 0, not -1"),
    (lambda: gm.Adam(betas=(1, 0.9)), ValueError, "betas[0] must be below 1, not 1"),
    (lambda: gm.Adam(betas=0.9), TypeError, "betas must be a pair of numbers, not 0.9"),
    (lambda: gm.Adam(betas=(0.9, 0.99, 0.999)), TypeError, "betas must be a pair of numbers, not (0.9, 0.99, 0.999)"),
    (lambda: gm.SGD(10**400), ValueError, "lr must be a number that fits a float"),
    (lambda: gm.SGD(lr=True), TypeError, "lr must be a number, not True"),
    (lambda: gm.Adam(eps=-1), ValueError, "eps must be at least 0, not -1"),
    (lambda: gm.RMSprop(alpha=1), ValueError, "alpha must be below 1, not 1"),
    (lambda: gm.ClipNorm(0), ValueError, "max_norm must be above 0, not 0"),
    (lambda: gm.ClipNorm(-1), ValueError, "max_norm must be above 0, not -1"),
    (lambda: gm.ClipNorm(float("nan")), ValueError, "max_norm must be a number, not nan"),
    (lambda: gm.SGD(np.complex128(0.1)), TypeError, "lr must be a number, not "),
    (lambda: gm.SGD(np.array(True)), TypeError, "lr must be a number, not array(True)"),
    (lambda: gm.SGD(np.timedelta64(1)), TypeError, "lr must be a number, not "),
    (lambda: gm.SGD(bytearray(b"0.1")), TypeError, "lr must be a number, not bytearray"),
    (lambda: gm.Dense(np.True_), TypeError, "out_features must be an integer, not "),
    (lambda: gm.Network(2, [Derived()]), TypeError, "layers[0] must be one of gradiometer's own layers, not of a class"),
    (lambda: gm.theory.chi(Derived(), 1.0), TypeError, "activation must be a name or an activation layer, not Derived"),
    (lambda: gm.Network(2, [gm.Dense(3), gm.LeakyReLU(1e39)]), ValueError,
     "layers[1].negative_slope must be from -3.40282e+38 to 3.40282e+38, not 1e+39"),
    (lambda: gm.Network(2, [gm.Dense(3), gm.Residual([gm.Dense(3), gm.ELU(1e39)])]), ValueError, "layers[1].layers[1].alpha must"),
    (lambda: gm.Network(2, [gm.Dense(3), gm.Residual([gm.Dense(3)], scale=1e39)]), ValueError, "layers[1].scale must be"),
    (lambda: gm.ClipNorm("1"), TypeError, "max_norm must be a number, not '1'"),
    (lambda: gm.ClipNorm(True), TypeError, "max_norm must be a number, not True"),
    (lambda: gm.ClipNorm(1, norm_type=0), ValueError, "norm_type must be above 0, not 0"),
    (lambda: gm.ClipNorm(1, per_layer=1), TypeError, "per_layer must be a bool, not 1"),
    (lambda: gm.ClipValue(0), ValueError, "clip_value must be above 0, not 0"),
    (lambda: gm.ClipAdaptive(0), ValueError, "clip_factor must be above 0, not 0"),
    (lambda: gm.ClipAdaptive(eps=0.0), ValueError, "eps must be above 0, not 0"),
    (lambda: gm.ClipAdaptive(-0.1), ValueError, "clip_factor must be above 0, not -0.1"),
    (lambda: gm.ClipAdaptive(float("inf")), ValueError, "clip_factor must be finite, not inf"),
    (lambda: gm.ClipAdaptive(eps="x"), TypeError, "eps must be a number, not 'x'"),
    (lambda: gm.set_num_threads(0), ValueError, "n must be at least 1, not 0"),
    (lambda: gm.set_num_threads(5000), ValueError, "n must be at most 1024, not 5000"),
    (lambda: gm.set_num_threads(True), TypeError, "n must be an integer, not True"),
    (lambda: gm.set_num_threads(1.5), TypeError, "n must be an integer, not 1.5"),
    (lambda: gm.load_recording(3), TypeError, "path must be a path (a str or an os.PathLike), not 3"),
]  # fmt: skip

PASSES = [
    (lambda: net().forward(X[:, :3]), ValueError, "x has shape (10, 3); it must be (rows, 4)"),
    (lambda: net().forward(X[0]), ValueError, "x has shape (4,); it must be (rows, 4)"),
    (lambda: net().forward(X[None]), ValueError, "x has shape (1, 10, 4); it must be (rows, 4)"),
    (lambda: net().forward(X[:0]), ValueError, "x has shape (0, 4); it must have at least one row"),
    (lambda: net().forward(with_entry(np.nan)), ValueError, "x must be finite, but x[3, 1] is NaN"),
    (lambda: net().forward(with_entry(-np.inf)), ValueError, "x must be finite, but x[3, 1] is -inf"),
    (lambda: net().forward(X.astype("f8") * 1e300), ValueError, "x must be finite, but x[0, 0] is inf as float32"),
    (lambda: net().forward([["a"] * 4]), TypeError, "x must hold integers or floats of at most 64 bits, not dtype <U1"),
    (lambda: net().forward(np.array([[None] * 4])), TypeError, "x must hold integers or floats of at most 64 bits, not"),
    (lambda: net().forward(X.astype(complex)), TypeError, "x must hold integers or floats of at most 64 bits, not dtype c"),
    (lambda: net().forward(None), TypeError, "not NoneType of Python objects"),
    (lambda: net().forward([[1, 2, 3, 4], [1, 2]]), TypeError, "x must be an array of numbers, not list"),
    (lambda: net().forward(Untouchable()), TypeError, "x must be an array of numbers, not Untouchable (use detach() first)"),
    (lambda: net().forward(X[:1], training=True), ValueError, "batch norm needs more than one row in training: x has 1"),
    (lambda: net().forward(X, training="no"), TypeError, "training must be a bool, not 'no'"),
    (lambda: net().forward(X, training=None), TypeError, "training must be a bool, not None"),
    (lambda: net().backward(np.ones((10, 3))), RuntimeError, "backward needs a forward(x, training=True) before it"),
    (lambda: net().predict(X, batch_size=0), ValueError, "batch_size must be at least 1, not 0"),
    (lambda: net().predict(X[0], batch_size=5), ValueError, "x has shape (4,); it must be (rows, 4)"),
    (lambda: net().predict(with_entry(np.nan), batch_size=2), ValueError, "x must be finite, but x[3, 1] is NaN"),
    (lambda: net().predict(X[:, :3], batch_size=3), ValueError, "x has shape (10, 3); it must be (rows, 4)"),
    (lambda: net().predict(X[:0], batch_size=3), ValueError, "x has shape (0, 4); it must have at least one row"),
    (lambda: net().predict(Untouchable(), batch_size=3), TypeError, "x must be an array of numbers, not Untouchable (use"),
    (lambda: net().predict([[1, 2, 3, 4], [1]], batch_size=3), TypeError, "x must be an array of numbers, not list"),
    (lambda: net().load_state_dict({}), ValueError, "missing keys ['0.weight', '0.bias', '1.weight', "),
    (lambda: net().load_state_dict(3), TypeError, "state must be a dict of arrays, not int"),
    (lambda: load({"9.weight": 1}), ValueError, "missing keys [], unexpected keys ['9.weight']"),
    (lambda: load({"0.weight": np.ones((4, 5))}), ValueError, "'0.weight' has shape (4, 5); it must be (5, 4)"),
    (lambda: load({"0.weight": np.full((5, 4), "a")}), TypeError, "0.weight must hold integers or floats"),
    (lambda: load({"1.running_var": -np.ones(5)}), ValueError, "'1.running_var'[0] is -1.0; a variance must not"),
    (lambda: load({"1.running_var": np.full(5, -(2.0**-30))}), ValueError, "'1.running_var'[0] is -9.313225746154785e-10;"),
    (lambda: load({"1.num_batches_tracked": 1.5}), ValueError, "'1.num_batches_tracked' is 1.5; it must be a whole number"),
    (lambda: load({"1.num_batches_tracked": -1}), ValueError, "'1.num_batches_tracked' is -1.0; it must be a whole number"),
    (lambda: load({"1.num_batches_tracked": np.nan}), ValueError, "'1.num_batches_tracked' is nan; it must be a whole"),
    (lambda: load({"0.bias": [1, 2, 3, 1e300, 5]}), ValueError, "0.bias[3] is 1e+300, which is too large for float32"),
    (lambda: load({"0.weight": [[1, 2], [3]]}), TypeError, "0.weight must be an array of numbers, not list"),
    (lambda: load({3: np.ones(1)}), ValueError, "missing keys [], unexpected keys [3]"),
    (lambda: load({"1.num_batches_tracked": np.ones(2)}), ValueError, "'1.num_batches_tracked' has shape (2,); it must"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("call", "error", "message"), CONSTRUCTORS + PASSES, ids=lambda value: "" if callable(value) else None
)
def test_a_wrong_argument_is_refused_by_name(call, error, message):
    with pytest.raises(error, match=re.escape(message)) as caught:
        call()
    assert type(caught.value) is error


def test_a_gradient_of_another_shape_is_refused_and_the_right_one_still_works():
    model = net()
    model.forward(X, training=True)
    with pytest.raises(ValueError, match=r"dy has shape \(10, 4\); it must be \(rows, 3\)"):
        model.backward(np.ones((10, 4)))
    with pytest.raises(ValueError, match=r"dy has 9 rows, the last forward\(training=True\) had 10"):
        model.backward(np.ones((9, 3)))
    assert model.backward(np.ones((10, 3))).shape == (10, 4)


def test_a_state_dict_that_does_not_fit_changes_nothing():
    model = net()
    before = model.state_dict()
    bad = {key: value + 1 for key, value in before.items()} | {"3.bias": np.ones(4)}  # the last one is wrong
    with pytest.raises(ValueError, match=r"3\.bias"):
        model.load_state_dict(bad)
    for key, value in model.state_dict().items():
        assert np.array_equal(value, before[key]), key


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_arrays_of_any_layout_and_number_type_are_read_right(dtype):
    model = gm.Network(4, LAYERS, dtype=dtype, seed=0)
    values = np.random.default_rng(1).integers(-3, 4, (10, 4))
    expected = model.forward(values.astype(dtype))
    assert expected.dtype == dtype
    read_only = values.astype(dtype)
    read_only.flags.writeable = False
    wide = np.zeros((20, 9), dtype)
    wide[::2, 1::2] = values
    for x in [
        values.tolist(), values.astype("i1"), values.astype("f2"), values.astype("f4"), values.astype("f8"),
        values.astype(">f8"), values.astype(">f4"), np.asfortranarray(values.astype(dtype)), wide[::2, 1::2], read_only,
        values[::-1].astype(dtype)[::-1],
    ]:  # fmt: skip
        assert np.array_equal(model.forward(x), expected)
    assert np.array_equal(model.forward(values > 0), model.forward((values > 0).astype(dtype)))


def test_a_float64_network_computes_in_float64():
    """Two inputs that are the same in float32 give different outputs."""
    model = gm.Network(1, [gm.Dense(1, init=np.ones((1, 1)))], dtype="float64")
    assert model.forward([[1.0]]) != model.forward([[1.0 + 1e-12]])


def test_a_small_difference_survives_backward_and_loading_in_float64():
    model = gm.Network(1, [gm.Dense(1, init=np.ones((1, 1)))], dtype="float64")
    model.forward([[1.0]], training=True)
    assert model.backward([[1.0 + 1e-12]]) == 1.0 + 1e-12
    model.load_state_dict({"0.weight": [[1.0 + 1e-12]], "0.bias": [0.0]})
    assert model.state_dict()["0.weight"] == 1.0 + 1e-12


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_a_network_is_of_the_machines_byte_order(dtype, order):
    model = gm.Network(4, LAYERS, dtype=order + dtype, seed=0)
    assert model.dtype == np.dtype(dtype)
    assert model.dtype.isnative
    assert model.predict(X, batch_size=3).dtype.isnative
    assert np.array_equal(model.predict(X, batch_size=3), model.predict(X))


@pytest.mark.parametrize(
    "call",
    [
        lambda m: m.forward(with_entry(np.nan), training=True),
        lambda m: m.forward(X[:, :2], training=True),
        lambda m: m.forward(X[:1], training=True),
        lambda m: m.forward(X, training="yes"),
        lambda m: m.load_state_dict(m.state_dict() | {"0.weight": [[1, 2], [3]]}),
        lambda m: m.load_state_dict({key: value + 1 for key, value in m.state_dict().items() if key != "3.bias"}),
        lambda m: m.load_state_dict({key: value - 5 for key, value in m.state_dict().items()}),  # variances below 0
    ],
)
def test_a_refused_call_leaves_the_pass_before_it_usable(call):
    """State, gradients, and the batch that `backward` is to go back through."""
    model, same = net(), net()
    for each in (model, same):
        each.forward(X, training=True)
    before = model.state_dict()
    with pytest.raises((TypeError, ValueError)):
        call(model)
    for key, value in model.state_dict().items():
        assert np.array_equal(value, before[key]), key
    assert np.array_equal(model.backward(np.ones((10, 3))), same.backward(np.ones((10, 3))))
    for key, value in model.gradients().items():
        assert np.array_equal(value, same.gradients()[key]), key


def test_returned_arrays_are_copies_and_inputs_stay_as_they_are():
    model = net()
    x, dy = X.copy(), np.ones((10, 3), "f4")
    y = model.forward(x, training=True)
    model.backward(dy)
    expected = model.state_dict(), model.gradients()
    assert np.array_equal(x, X)
    assert (dy == 1).all()
    y[:] = 7
    x[:] = 7  # `backward` has its own copy
    for found in (model.state_dict(), model.gradients()):
        for value in found.values():
            value[...] = 7
    model.backward(dy)
    for before, after in zip(expected, (model.state_dict(), model.gradients()), strict=True):
        for key, value in after.items():
            assert np.array_equal(value, before[key]), key


def test_infinite_weights_are_loaded_as_they_are():
    """A checkpoint of a run that diverged: only a finite number that would become infinite is refused."""
    model = net()
    state = model.state_dict() | {"0.weight": np.full((5, 4), np.inf), "0.bias": np.full(5, np.nan)}
    model.load_state_dict(state)
    assert np.isinf(model.state_dict()["0.weight"]).all()
    assert np.isnan(model.state_dict()["0.bias"]).all()
