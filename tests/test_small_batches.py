"""Batches too small for batch norm."""

import numpy as np
import pytest

import gradiometer as gm


def norm_trainer(batch_norm=True):
    net = gm.mlp(3, 2, depth=1, width=5, batch_norm=batch_norm, seed=7)
    return gm.Trainer(net, loss="cross_entropy", optimizer=gm.SGD(lr=0.1), seed=8)


def test_batch_norm_over_one_row_is_an_error_in_training_only():
    trainer = norm_trainer()
    before = trainer.net.state_dict()
    x, y = np.ones((1, 3), np.float32), np.array([1])
    with pytest.raises(ValueError, match="batch"):
        trainer.step(x, y)
    with pytest.raises(ValueError, match="batch"):
        trainer.net.forward(x, training=True)
    assert trainer.net.forward(x).shape == (1, 2)
    for key, value in trainer.net.state_dict().items():
        assert np.array_equal(value, before[key]), key


@pytest.mark.parametrize(
    ("rows", "batch_size", "batch_norm", "steps"),
    [(9, 4, True, 2), (9, 4, False, 3), (10, 4, True, 3), (8, 4, True, 2), (5, 8, True, 1), (4, 3, True, 1)],
)
def test_a_last_batch_of_one_row_joins_the_one_before(rows, batch_size, batch_norm, steps):
    trainer = norm_trainer(batch_norm)
    x = np.random.default_rng(9).normal(size=(rows, 3)).astype(np.float32)
    recording = trainer.fit(x, np.arange(rows) % 2, epochs=1, batch_size=batch_size, shuffle=False)
    assert len(recording.steps) == steps
    if (rows, batch_norm) == (9, True):  # the second step saw rows 4 to 8
        twin = norm_trainer()
        twin.step(x[:4], np.arange(4) % 2)
        assert twin.step(x[4:], np.arange(4, 9) % 2) == recording.loss[1]
