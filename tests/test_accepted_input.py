"""Arrays of any layout, number type and library are read right by a trainer, and are left as they are."""

import numpy as np
import pytest

import gradiometer as gm

X = np.random.default_rng(0).standard_normal((10, 4)).astype("f4")
Y = np.arange(10) % 3


def trainer(**settings):
    net = gm.Network(4, [gm.Dense(5), gm.BatchNorm(), gm.ReLU(), gm.Dropout(0.2), gm.Dense(3)], seed=0)
    return gm.Trainer(net, **({"loss": "cross_entropy", "optimizer": gm.Adam(), "seed": 0} | settings))


def test_tables_of_other_libraries_are_read():
    pandas = pytest.importorskip("pandas")
    frame, labels = pandas.DataFrame(X), pandas.Series(Y)
    expected, found = trainer(), trainer()
    assert found.step(frame, labels) == expected.step(X, Y)
    rec = found.fit(frame, labels, epochs=1, batch_size=5, validation=(frame, labels))
    assert len(rec.validation) == 1


def spread(array):
    """The same values, not contiguous."""
    wide = np.zeros((2 * len(array), *array.shape[1:]), array.dtype)
    wide[::2] = array
    return wide[::2]


LABELS = [
    Y.tolist(), tuple(Y), Y.astype("i1"), Y.astype("u1"), Y.astype("u8"), Y.astype(">i4"), spread(Y),
    Y[::-1].copy()[::-1],
]  # fmt: skip


@pytest.mark.parametrize("labels", LABELS, ids=lambda y: getattr(y, "dtype", type(y).__name__))
def test_labels_of_any_integer_type_and_layout_are_read_right(labels):
    assert trainer().step(X, labels) == trainer().step(X, Y)
    assert trainer().evaluate(X, labels) == trainer().evaluate(X, Y)


def test_labels_may_be_truth_values():
    assert trainer().step(X, Y > 0) == trainer().step(X, (Y > 0).astype(int))


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("change", [np.asfortranarray, spread, lambda a: a.astype(">f8"), np.ndarray.tolist])
def test_inputs_targets_and_weights_of_any_layout_train_alike(change, shuffle):
    rng = np.random.default_rng(3)
    x, y, weights = X.astype("f8"), rng.random((10, 3)), rng.random(10)
    expected, found = trainer(loss="mse"), trainer(loss="mse")
    expected.fit(x, y, epochs=2, batch_size=4, sample_weight=weights, shuffle=shuffle, validation=(x, y, weights))
    x, y, weights = change(x), change(y), change(weights)
    found.fit(x, y, epochs=2, batch_size=4, sample_weight=weights, shuffle=shuffle, validation=(x, y, weights))
    for key, value in found.net.state_dict().items():
        assert np.array_equal(value, expected.net.state_dict()[key]), key
    for name in ("loss", "step"):
        assert np.array_equal(found.recording.validation[name], expected.recording.validation[name]), name


def test_training_does_not_write_into_what_it_was_given():
    x, y, weights = X.copy(), Y.copy(), np.ones(10)
    for array in (x, y, weights):
        array.flags.writeable = False
    trainer().fit(x, y, epochs=2, batch_size=5, sample_weight=weights, validation=(x, y))
    assert np.array_equal(x, X)
    assert np.array_equal(y, Y)


def test_a_float64_trainer_computes_in_float64():
    """A difference that float32 does not know moves the loss."""
    net = gm.Network(1, [gm.Dense(1, init=np.zeros((1, 1)))], dtype="float64")
    t = gm.Trainer(net, loss="mse", optimizer=gm.SGD(0.0))
    assert t.evaluate([[1.0]], [[1.0 + 1e-12]])["loss"] == (1.0 + 1e-12) ** 2


@pytest.mark.parametrize("how", ["step", "fit"])
def test_tiny_and_huge_sample_weights_mean_what_they_are_relative_to_each_other(how):
    """The weighted mean does not depend on the scale of the weights: 2^±900 moves no mantissa, 1e308 each overflows."""
    weights = np.arange(1.0, 11.0)
    losses = []
    for scale in (1.0, 2.0**-900, 2.0**900):
        t = trainer()
        if how == "step":
            losses.append(t.step(X, Y, weights * scale))
        else:
            losses.append(t.fit(X, Y, epochs=1, batch_size=10, sample_weight=weights * scale).loss[0])
    assert losses[0] == losses[1] == losses[2]


@pytest.mark.parametrize("shuffle", [False, True])
def test_a_batch_without_weight_takes_no_step(shuffle):
    weights = np.zeros(len(X))
    weights[1] = 2.0  # one batch of five has a weight
    t = trainer()
    rec = t.fit(X, Y, epochs=3, batch_size=len(X) // 5, sample_weight=weights, shuffle=shuffle)
    assert len(rec) == 3
    assert np.isfinite(rec.loss).all()
    assert len(rec._start.x) == len(X) // 5  # the start of the run is that of the batch that took the first step
    assert rec._start.sample_weight.any()


@pytest.mark.parametrize("scale", [5e-324, 8e307])
def test_evaluate_knows_weights_by_their_relation_too(scale):
    t = trainer()
    weights = np.zeros(len(X))
    weights[:2] = 1.0
    expected = t.evaluate(X, Y, sample_weight=weights)
    assert t.evaluate(X, Y, sample_weight=weights * scale) == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize("rows", [1, 6, 9, 10, 1000])
def test_an_accuracy_is_a_share_of_rows(rows):
    net = gm.Network(2, [gm.Dense(2, bias=False, init=np.eye(2))])
    t = gm.Trainer(net, loss="cross_entropy", optimizer=gm.SGD(0.1))
    x = np.tile([1.0, 0.0], (rows, 1))
    assert t.evaluate(x, np.zeros(rows, int))["accuracy"] == 1
    labels = (np.arange(rows) < rows // 4).astype(int)
    assert t.evaluate(x, labels)["accuracy"] == (rows - rows // 4) / rows
