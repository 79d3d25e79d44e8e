"""Whether the diagnosis says rightly that a run started as theory predicts."""

import pickle

import numpy as np
import pytest

import gradiometer as gm
from made_up_recordings import line, record

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(100, 30)), RNG.integers(0, 5, 100)


def run(state=None, allow_nonfinite=False, **arguments):
    net = gm.mlp(30, 5, depth=15, width=60, seed=0, **arguments)
    if state:
        net.load_state_dict(state(net.state_dict()))
    trainer = gm.Trainer(net, loss="cross_entropy", optimizer=gm.SGD(lr=0.01), seed=0, allow_nonfinite=allow_nonfinite)
    for _ in range(3):
        trainer.step(X, Y)
    return trainer.recording


@pytest.mark.parametrize(
    "arguments",
    [{"activation": "tanh"}, {"activation": "sigmoid"}, {"batch_norm": True, "dropout": 0.2}, {"init": "lecun_normal"}],
    ids=str,
)
def test_random_networks_follow_theory(arguments):
    recording = run(**arguments)
    found = recording.diagnose()
    assert found.theory.follows
    assert found.theory.step == 0
    assert found.theory.predicted_slope == recording.prediction.slope
    assert found.theory.measured_slope == pytest.approx(gm.slopes.theil_sen(np.log10(recording.delta_norm[:1]))[0])
    assert str(found).startswith(found.summary)
    assert str(found).endswith(f"{found.theory.predicted_slope:+.3f} predicted (±{found.theory.tolerance:.3f}).")
    assert "it follows mean-field theory" in str(found)
    assert "it follows mean-field theory" in repr(found)


def test_weights_of_another_mean_depart_from_it():
    """All weights positive: their mean adds up over the units, and the signal grows."""
    recording = run(lambda state: {key: np.abs(value) for key, value in state.items()}, activation="tanh")
    found = recording.diagnose()
    assert not found.theory.follows
    assert "it departs from mean-field theory" in str(found)


def test_the_tolerance_is_the_largest_of_three():
    narrow = run(init="kaiming_normal").diagnose().theory
    prediction = run(init="kaiming_normal").prediction
    assert narrow.tolerance == pytest.approx(3 * prediction.spread[0] / 15)
    steep = run(activation="sigmoid", init=gm.init.normal(std=0.02)).diagnose().theory
    assert steep.tolerance == pytest.approx(0.05 * abs(steep.predicted_slope))
    level = run(activation="identity", init="orthogonal").diagnose().theory
    assert level.tolerance == 0.01


def test_without_a_prediction_or_a_slope_nothing_is_said():
    assert record(line(-0.3)).diagnose().theory is None
    assert "mean-field" not in str(record(line(-0.3)).diagnose())
    single = gm.Trainer(gm.mlp(30, 5, depth=0, width=1, seed=0), loss="cross_entropy", optimizer=gm.SGD(lr=0.1), seed=0)
    single.step(X, Y)
    assert single.recording.prediction is not None
    assert single.recording.diagnose().theory is None
    broken = run(lambda state: {key: value * np.float32(1e30) for key, value in state.items()}, allow_nonfinite=True)
    assert broken.diagnose().verdict == "non-finite"
    assert broken.diagnose().theory is None


def test_a_diagnosis_can_be_pickled_and_costs_no_theory_until_it_is_asked_for(monkeypatch):
    found = run().diagnose()
    copy = pickle.loads(pickle.dumps(found))
    assert copy == found
    assert copy.theory == found.theory
    monkeypatch.setattr("gradiometer.theory.prediction.predict_start", None)
    assert run().diagnose().verdict == "healthy"
