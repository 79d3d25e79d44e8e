"""Wrong arguments of a trainer: what each error says, and that neither network nor trainer has changed."""

import re

import numpy as np
import pytest

import gradiometer as gm

X = np.random.default_rng(0).standard_normal((10, 4)).astype("f4")
Y = np.arange(10) % 3


def trainer(**settings):
    net = gm.Network(4, [gm.Dense(5), gm.BatchNorm(), gm.ReLU(), gm.Dropout(0.2), gm.Dense(3)], seed=0)
    return gm.Trainer(net, **({"loss": "cross_entropy", "optimizer": gm.Adam(), "seed": 0} | settings))


def with_nan():
    changed = X.copy()
    changed[3, 1] = np.nan
    return changed


def with_entry(t, name, value):
    """The trainer's state with one entry of the optimizer's replaced."""
    state = t.state_dict()
    return state | {"optimizer": state["optimizer"] | {name: value}}


def moments(size):
    return {"exp_avg": np.zeros(size), "exp_avg_sq": np.zeros(size)}


SETTINGS = [
    ({"loss": "l1"}, ValueError, "loss must be one of 'cross_entropy', 'bce_with_logits', 'mse', not 'l1'"),
    ({"optimizer": "sgd"}, TypeError, "optimizer must be an optimizer such as gm.SGD(lr=0.1), not 'sgd'"),
    ({"optimizer": gm.SGD}, TypeError, "optimizer must be an optimizer such as gm.SGD(lr=0.1), not <class"),
    ({"clip": 1.0}, TypeError, "clip must be a ClipNorm, a ClipValue, a ClipAdaptive or None, not 1.0"),
    ({"record": "all"}, ValueError, "record must be one of None, 'norms', 'full', not 'all'"),
    ({"record": True}, ValueError, "record must be one of None, 'norms', 'full', not True"),
    ({"record_every": 0}, ValueError, "record_every must be at least 1, not 0"),
    ({"record_every": 1.5}, TypeError, "record_every must be an integer, not 1.5"),
    (
        {"record_every": 10**30},
        ValueError,
        "record_every must be at most 9223372036854775807, not 1000000000000000000000",
    ),
    ({"loss": None}, ValueError, "loss must be one of 'cross_entropy', 'bce_with_logits', 'mse', not None"),
    ({"on_nonfinite": "ignore"}, ValueError, "on_nonfinite must be one of 'record', 'raise', 'stop', not 'ignore'"),
    ({"allow_nonfinite": "yes"}, TypeError, "allow_nonfinite must be a bool, not 'yes'"),
    ({"seed": -3}, ValueError, "seed must be at least 0, not -3"),
    ({"seed": 1.0}, TypeError, "seed must be an integer, not 1.0"),
    ({"seed": 2**64}, ValueError, "seed must be below 2**64, not 18446744073709551616"),
]

CALLS = [
    (lambda t: t.step(X[:, :3], Y), ValueError, "x has shape (10, 3); it must be (rows, 4)"),
    (lambda t: t.step(X, Y[:9]), ValueError, "y has 9 rows (shape (9,)), but x has 10"),
    (lambda t: t.step(X[:0], Y[:0]), ValueError, "x has shape (0, 4); it must have at least one row"),
    (lambda t: t.step(with_nan(), Y), ValueError, "x must be finite, but x[3, 1] is NaN"),
    (lambda t: t.step(X, np.where(Y == 2, 3, Y)), ValueError, "y[2] is 3; labels must be from 0 to 2, as the network has 3"),
    (lambda t: t.step(X, Y - 1), ValueError, "y[0] is -1; labels must be from 0 to 2"),
    (lambda t: t.step(X, np.full(10, 2**64 - 1, "u8")), ValueError, "y[0] is 18446744073709551615; labels must be from 0"),
    (lambda t: t.step(X, 1), ValueError, "y has shape (); it must be (10,), one label for each row of x"),
    (lambda t: t.step(X, Y.astype(object)), TypeError, "y must hold integer class labels for cross_entropy, not dtype obj"),
    (lambda t: t.step(None, Y), TypeError, "x must hold integers or floats of at most 64 bits, not NoneType"),
    (lambda t: t.step(X.astype(complex), Y), TypeError, "x must hold integers or floats of at most 64 bits, not dtype comp"),
    (lambda t: t.step(X.astype("f8") * 1e300, Y), ValueError, "x must be finite, but x[0, 0] is inf as float32"),
    (lambda t: t.step(X, Y.astype(float)), TypeError, "y must hold integer class labels for cross_entropy, not dtype float64"),
    (lambda t: t.step(X, np.eye(3)[Y]), TypeError, "y must hold integer class labels for cross_entropy, not dtype float64"),
    (lambda t: t.step(X, Y[:, None]), ValueError, "y has shape (10, 1); it must be (10,), one label for each row of x"),
    (lambda t: t.step(X, ["a"] * 10), TypeError, "y must hold integer class labels for cross_entropy, not dtype <U1"),
    (lambda t: t.step(X, None), TypeError, "y must hold integer class labels for cross_entropy, not dtype object"),
    (lambda t: t.step(X[:1], Y[:1]), ValueError, "batch norm needs more than one row in training: the batch has 1"),
    (lambda t: t.step(X, Y, -np.ones(10)), ValueError, "sample_weight[0] is -1.0; weights must not be negative"),
    (lambda t: t.step(X, Y, np.full(10, -1e-9)), ValueError, "sample_weight[0] is -1e-09; weights must not be negative"),
    (lambda t: t.step(X, Y, np.full(10, 1e308)), ValueError, "sample_weight must have a finite sum, but it is too large"),
    (lambda t: t.step(X, Y, 1.0), ValueError, "sample_weight has shape (); it must be (10,), one weight for each row of x"),
    (lambda t: t.step(X, Y, ["a"] * 10), TypeError, "sample_weight must hold integers or floats of at most 64 bits"),
    (lambda t: t.step(X, Y, np.zeros(10)), ValueError, "sample_weight must have a positive sum, but all its weights are zero"),
    (lambda t: t.step(X, Y, np.full(10, np.nan)), ValueError, "sample_weight must be finite, but sample_weight[0] is NaN"),
    (lambda t: t.step(X, Y, np.ones(9)), ValueError, "sample_weight has 9 rows (shape (9,)), but x has 10"),
    (lambda t: t.step(X, Y, np.ones((10, 1))), ValueError, "sample_weight has shape (10, 1); it must be (10,)"),
    (lambda t: t.fit(X, Y, epochs=-1, batch_size=5), ValueError, "epochs must be at least 0, not -1"),
    (lambda t: t.fit(X, Y, epochs=1.5, batch_size=5), TypeError, "epochs must be an integer, not 1.5"),
    (lambda t: t.fit(X, Y, epochs=True, batch_size=5), TypeError, "epochs must be an integer, not True"),
    (lambda t: t.fit(X, Y, epochs=10**30, batch_size=5), ValueError, "epochs must be at most 9223372036854775807, not 1000"),
    (lambda t: t.fit(X, Y, epochs=1, batch_size=10**30), ValueError, "batch_size must be at most 9223372036854775807"),
    (lambda t: t.fit(X, Y, epochs=1, batch_size=True), TypeError, "batch_size must be an integer, not True"),
    (lambda t: t.fit(X, Y, epochs=1, batch_size=0), ValueError, "batch_size must be at least 1, not 0"),
    (lambda t: t.fit(X, Y, epochs=1, batch_size=2.0), TypeError, "batch_size must be an integer, not 2.0"),
    (lambda t: t.fit(X, Y, epochs=1, batch_size=1), ValueError, "batch norm needs more than one row in every batch"),
    (lambda t: t.fit(X, Y, epochs=1, batch_size=5, shuffle="no"), TypeError, "shuffle must be a bool, not 'no'"),
    (lambda t: t.fit(X, Y, epochs=1, batch_size=5, progress=2), TypeError, "progress must be a bool, not 2"),
    (lambda t: t.fit(X, Y, epochs=1, batch_size=5, validation=X), TypeError, "validation must be a pair (X, y), not ndarray"),
    (lambda t: t.fit(X, Y, epochs=1, batch_size=5, validation=(X,)), ValueError,
     "validation must be (X, y) or (X, y, sample_weight), but it has length 1"),
    (lambda t: t.fit(X, Y, epochs=1, batch_size=5, validation=(X, Y, None, None)), ValueError, "but it has length 4"),
    (lambda t: t.fit(X, Y, epochs=1, batch_size=5, validation=(X, Y, -np.ones(10))), ValueError, "validation[2][0] is -1.0;"),
    (lambda t: t.fit(X[:1], Y[:1], epochs=1, batch_size=5), ValueError, "batch_size is 5, X has 1 rows"),
    (lambda t: t.fit(X, Y[:3], epochs=1, batch_size=5), ValueError, "y has 3 rows (shape (3,)), but X has 10"),
    (lambda t: t.fit(X, Y, epochs=1, batch_size=5, validation=(X[:, :2], Y)), ValueError, "validation[0] has shape (10, 2)"),
    (lambda t: t.fit(X, Y, epochs=1, batch_size=5, validation=(X, Y + 1)), ValueError, "validation[1][2] is 3; labels must"),
    (lambda t: t.fit(X, Y, epochs=1, batch_size=5, validation=(X, Y[:3])), ValueError,
     "validation[1] has 3 rows (shape (3,)), but validation[0] has 10"),
    (lambda t: t.fit(with_nan(), Y, epochs=1, batch_size=5), ValueError, "X must be finite, but X[3, 1] is NaN"),
    (lambda t: t.fit(X, Y, epochs=1, batch_size=5, sample_weight=np.ones(3)), ValueError, "sample_weight has 3 rows"),
    (lambda t: t.evaluate(X, Y[:3]), ValueError, "y has 3 rows (shape (3,)), but X has 10"),
    (lambda t: t.evaluate(X, Y + 1), ValueError, "y[2] is 3; labels must be from 0 to 2"),
    (lambda t: t.evaluate(X[:, 1:], Y), ValueError, "X has shape (10, 3); it must be (rows, 4)"),
    (lambda t: t.evaluate(X[:0], Y[:0]), ValueError, "X has shape (0, 4); it must have at least one row"),
    (lambda t: t.apply_gradients(), RuntimeError, "apply_gradients needs a backward(dy) of the network since its last update"),
    (lambda t: t.apply_gradients("x"), TypeError, "loss must be a number, not 'x'"),
    (lambda t: t.apply_gradients(10**400), ValueError, "loss must be a number that fits a float"),
    (lambda t: t.load_state_dict({}), ValueError, "the trainer's state dict has no 'step', 'epoch', 'update', 'seed', 'opt"),
    (lambda t: t.load_state_dict(3), TypeError, "state must be a dict, as state_dict() gives it, not int"),
    (lambda t: t.load_state_dict(t.state_dict() | {"step": -1}), ValueError, "step must be at least 0, not -1"),
    (lambda t: t.load_state_dict(t.state_dict() | {"optimizer": {}, "update": 2}), ValueError,
     "the state dict has no optimizer['0.weight']['exp_avg']"),
    (lambda t: t.load_state_dict(t.state_dict() | {"step": 10**30}), ValueError, "step must be at most 4611686018427387904"),
    (lambda t: t.load_state_dict(t.state_dict() | {"epoch": 2**32}), ValueError, "epoch must be at most 4294967295"),
    (lambda t: t.load_state_dict(t.state_dict() | {"update": 3}), ValueError, "update must be at most step, 2, not 3"),
    (lambda t: t.load_state_dict(t.state_dict() | {"steps": 3}), ValueError, "a trainer's state dict has no 'steps'"),
    (lambda t: t.load_state_dict(with_entry(t, "4.bias", {k: v - 2 for k, v in moments(3).items()})), ValueError,
     "optimizer['4.bias']['exp_avg_sq'] has negative entries; means of squares must not be negative"),
    (lambda t: t.step(np.ma.masked_greater(X, 0), Y), ValueError, "x is a masked array with masked entries"),
    (lambda t: t.step(X, np.ma.masked_equal(Y, 1)), ValueError, "y is a masked array with masked entries"),
    (lambda t: t.load_state_dict(t.state_dict() | {"seed": "a"}), TypeError, "seed must be an integer, not 'a'"),
    (lambda t: t.load_state_dict(t.state_dict() | {"optimizer": None}), TypeError, "state['optimizer'] must be a dict, not NoneType"),
    (lambda t: t.load_state_dict(with_entry(t, "0.weight", 3)), TypeError, "optimizer['0.weight'] must be a dict of arrays, not 3"),
    (lambda t: t.load_state_dict(with_entry(t, "9.weight", {})), ValueError, "the network has no parameter '9.weight'"),
    (lambda t: t.load_state_dict(with_entry(t, "4.bias", moments(3) | {"momentum_buffer": np.ones(3)})), ValueError,
     "this trainer's optimizer has no optimizer['4.bias']['momentum_buffer']"),
    (lambda t: t.load_state_dict(with_entry(t, "4.bias", moments(2))), ValueError,
     "optimizer['4.bias']['exp_avg'] has shape (2,); it must be (3,)"),
]  # fmt: skip

TARGETS = [
    ("mse", np.ones((10, 2)), ValueError, "y has shape (10, 2); it must be (10, 3), like the network's output"),
    ("mse", np.ones(10), ValueError, "y has shape (10,); it must be (10, 3), like the network's output"),
    ("mse", np.full((10, 3), np.nan), ValueError, "y must be finite, but y[0, 0] is NaN"),
    ("mse", np.full((10, 3), "a"), TypeError, "y must hold integers or floats of at most 64 bits, not dtype <U1"),
    ("bce_with_logits", np.full((10, 3), 1.5), ValueError, "y[0, 0] is 1.5; targets of bce_with_logits must be from 0 to"),
    ("bce_with_logits", np.full((10, 3), -(2.0**-30)), ValueError, "y[0, 0] is -9.313225746154785e-10; targets of bce"),
    ("bce_with_logits", Y, ValueError, "y has shape (10,); it must be (10, 3), like the network's output"),
]  # fmt: skip

RATES = [
    (lambda _: float("nan"), ValueError, "lr(2) must be finite, not nan"),
    (lambda _: -1.0, ValueError, "lr(2) must be from 0 to 3.40282e+38, not -1"),
    (lambda _: "a", TypeError, "lr(2) must be a number, not 'a'"),
    (lambda _: None, TypeError, "lr(2) must be a number, not None"),
    (lambda _: True, TypeError, "lr(2) must be a number, not True"),
    (lambda _: np.array([0.1, 0.2]), TypeError, "lr(2) must be a number, not array([0.1, 0.2])"),
    (lambda _: 1 / 0, ZeroDivisionError, "division by zero"),
]


def snapshot(t):
    """Everything that a refused call must leave as it was."""
    state = t.state_dict()
    optimizer = {
        f"{key} {name}": array for key, arrays in state.pop("optimizer").items() for name, array in arrays.items()
    }
    return t.net.state_dict() | optimizer | {"counters": np.array(list(state.values())), "norms": t.recording.grad_norm}


def assert_unchanged(t, before):
    after = snapshot(t)
    assert after.keys() == before.keys()
    for key, value in before.items():
        assert np.array_equal(after[key], value), key
    assert np.isfinite(t.step(X, Y))


@pytest.mark.parametrize(("settings", "error", "message"), SETTINGS)
def test_a_wrong_setting_is_refused_by_name(settings, error, message):
    with pytest.raises(error, match=re.escape(message)):
        trainer(**settings)


def test_a_trainer_needs_a_network():
    with pytest.raises(TypeError, match="net must be a Network, not 'net'"):
        gm.Trainer("net", loss="mse", optimizer=gm.SGD(0.1))


@pytest.mark.parametrize(("call", "error", "message"), CALLS, ids=lambda value: "" if callable(value) else None)
def test_a_refused_call_changes_nothing(call, error, message):
    t = trainer()
    t.fit(X, Y, epochs=1, batch_size=5)
    before = snapshot(t)
    with pytest.raises(error, match=re.escape(message)):
        call(t)
    assert_unchanged(t, before)


@pytest.mark.parametrize(("loss", "y", "error", "message"), TARGETS)
@pytest.mark.parametrize("way", ["step", "fit", "evaluate"])
def test_wrong_targets_are_refused_and_change_nothing(loss, y, error, message, way):
    t = trainer(loss=loss)
    before = snapshot(t)
    with pytest.raises(error, match=re.escape(message)):
        {"step": t.step, "evaluate": t.evaluate, "fit": lambda x, y: t.fit(x, y, epochs=1, batch_size=5)}[way](X, y)
    for key, value in snapshot(t).items():
        assert np.array_equal(value, before[key]), key
    assert np.isfinite(t.step(X, np.full((10, 3), 0.5)))


@pytest.mark.parametrize("way", ["step", "fit"])
@pytest.mark.parametrize(("rate", "error", "message"), RATES, ids=lambda value: "" if callable(value) else None)
def test_a_callable_learning_rate_is_checked_at_every_step(rate, error, message, way):
    """Two good steps, then the bad one: the good ones stay."""
    bad = [True]
    t = trainer(optimizer=gm.SGD(lr=lambda step: rate(step) if step == 2 and bad[0] else 0.1))
    t.step(X, Y)
    t.step(X, Y)
    before = snapshot(t)
    with pytest.raises(error, match=re.escape(message)):
        t.step(X, Y) if way == "step" else t.fit(X, Y, epochs=1, batch_size=5)
    bad[0] = False
    after = snapshot(t)
    epoch = 1 if way == "fit" else 0  # an epoch that was begun is counted
    before["counters"][1] += epoch
    for key, value in before.items():
        assert np.array_equal(after[key], value), key
    assert np.isfinite(t.step(X, Y))


def test_epochs_may_be_zero_and_batches_larger_than_the_data():
    t = trainer()
    before = snapshot(t)
    assert len(t.fit(X, Y, epochs=0, batch_size=5)) == 0
    assert_unchanged(t, before)
    assert len(trainer().fit(X, Y, epochs=2, batch_size=2**62)) == 2
