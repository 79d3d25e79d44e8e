"""Networks, trainers and their parts survive pickle and deepcopy; training goes on bit for bit."""

import copy
import pickle
import subprocess
import sys

import numpy as np
import pytest

import gradiometer as gm

RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((50, 6)).astype("f4"), RNG.integers(0, 4, 50)

LAYERS = [
    gm.Dense(9, init=gm.init.normal(std=0.3)), gm.BatchNorm(), gm.GELU("tanh"), gm.Dropout(0.3),
    gm.Residual([gm.LayerNorm(), gm.Dense(9), gm.Residual([gm.Tanh(), gm.Dropout(0.1)])], scale=0.5), gm.Dense(4),
]  # fmt: skip
PARTS = [
    *LAYERS, gm.Dense(3, bias=False, init="orthogonal"), gm.Dense(2, init=np.eye(2)), gm.LeakyReLU(0.2),
    gm.Softplus(2.0, 5.0), gm.SGD(0.1, momentum=0.9, nesterov=True), gm.Adam(betas=(0.8, 0.9)), gm.AdamW(),
    gm.RMSprop(momentum=0.5), gm.ClipNorm(1.0, norm_type=float("inf")), gm.ClipValue(0.5),
    gm.ClipAdaptive(0.02, eps=0.1), gm.LayerNorm(eps=1e-3), gm.Residual([gm.Dense(3), gm.Residual([gm.ReLU()], 0.5)]),
]  # fmt: skip

WAYS = {
    **{
        f"pickle {protocol}": lambda thing, p=protocol: pickle.loads(pickle.dumps(thing, p)) for protocol in range(2, 6)
    },
    "deepcopy": copy.deepcopy,
}


def decay(step):
    """A learning rate that can be pickled: a function of a module."""
    return 0.1 / (1 + step)


def trainer(optimizer, dtype="float32"):
    net = gm.Network(6, LAYERS, dtype=dtype, seed=1)
    return gm.Trainer(net, loss="cross_entropy", optimizer=optimizer, clip=gm.ClipNorm(0.5), record="full", seed=2)


def assert_same_run(one, other):
    for key, value in one.net.state_dict().items():
        assert np.array_equal(value, other.net.state_dict()[key]), key
    for name in ("grad_norm", "loss", "dead_fraction", "steps", "update_norm"):
        assert np.array_equal(getattr(one.recording, name), getattr(other.recording, name)), name
    assert str(one.recording.diagnose()) == str(other.recording.diagnose())


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("part", PARTS, ids=repr)
def test_layers_optimizers_and_clippings_are_equal_after_it(part, way):
    assert WAYS[way](part) == part


@pytest.mark.parametrize("way", WAYS)
def test_a_network_is_the_same_after_it_and_independent(way):
    net = gm.Network(6, LAYERS, dtype="float64", seed=3)
    net.forward(X, training=True)  # moves running statistics and the dropout stream
    other = WAYS[way](net)
    assert other.layers == net.layers
    assert other.seed == net.seed
    assert other.dtype == net.dtype
    assert np.array_equal(other.forward(X), net.forward(X))
    assert np.array_equal(other.forward(X, training=True), net.forward(X, training=True))
    other.load_state_dict({key: value + 1 for key, value in other.state_dict().items()})
    assert not np.array_equal(other.forward(X), net.forward(X))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "optimizer",
    [gm.SGD(decay, momentum=0.9), gm.Adam(1e-2), gm.RMSprop(1e-2, momentum=0.5)],
    ids=["sgd", "adam", "rmsprop"],
)
def test_training_goes_on_bit_for_bit(optimizer, way):
    """In the middle of a run with shuffling, dropout and an optimizer that remembers."""
    going_on = trainer(optimizer)
    going_on.fit(X, Y, epochs=2, batch_size=16)
    taken_up = WAYS[way](going_on)
    assert_same_run(going_on, taken_up)
    for run in (going_on, taken_up):
        run.fit(X, Y, epochs=2, batch_size=16)
        run.step(X, Y)
    assert_same_run(going_on, taken_up)
    assert len(taken_up.recording) == 17


def test_state_dicts_take_up_a_run_in_a_new_trainer():
    first = trainer(gm.AdamW(1e-2))
    first.fit(X, Y, epochs=2, batch_size=16)
    second = trainer(gm.AdamW(1e-2))
    second.net.load_state_dict(first.net.state_dict())
    second.load_state_dict(first.state_dict())
    for run in (first, second):
        run.fit(X, Y, epochs=1, batch_size=16)
    for key, value in first.net.state_dict().items():
        assert np.array_equal(value, second.net.state_dict()[key]), key
    assert second.state_dict()["step"] == 12


def test_another_process_takes_up_a_run(tmp_path):
    run = trainer(gm.Adam(1e-2))
    run.fit(X, Y, epochs=1, batch_size=16)
    (tmp_path / "trainer").write_bytes(pickle.dumps(run))
    np.savez(tmp_path / "data.npz", X=X, Y=Y)
    script = (
        "import pickle, numpy as np\n"
        "run = pickle.load(open('trainer', 'rb')); data = np.load('data.npz')\n"
        "run.fit(data['X'], data['Y'], epochs=1, batch_size=16)\n"
        "pickle.dump(run, open('result', 'wb'))\n"
    )
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True, timeout=120)
    run.fit(X, Y, epochs=1, batch_size=16)
    assert_same_run(run, pickle.loads((tmp_path / "result").read_bytes()))


def test_a_copied_trainer_trains_its_own_network():
    run = trainer(gm.SGD(0.1))
    other = copy.deepcopy(run)
    before = run.net.state_dict()
    other.step(X, Y)
    assert other.net is not run.net
    assert len(run.recording) == 0
    for key, value in run.net.state_dict().items():
        assert np.array_equal(value, before[key]), key


def test_a_learning_rate_that_cannot_be_pickled_says_so():
    with pytest.raises((pickle.PicklingError, AttributeError), match="lambda"):
        pickle.dumps(trainer(gm.SGD(lambda step: 0.1)))  # noqa: ARG005
