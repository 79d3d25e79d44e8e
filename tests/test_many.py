"""Many networks at once: the same bits as one after the other, and what happens when one of them fails."""

import contextlib
import os
import signal
import threading

import numpy as np
import pytest

import gradiometer as gm

pytestmark = pytest.mark.usefixtures("restore_threads", "default_ctrl_c")

RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((200, 12)).astype("f4"), RNG.integers(0, 4, 200)


def trainers(**settings):
    """Seven nets of different sizes, with all that draws random numbers."""
    nets = [
        gm.mlp(12, 4, depth=depth, width=10 * depth, batch_norm=depth % 2 == 0, dropout=0.2, seed=depth)
        for depth in range(1, 8)
    ]
    return [
        gm.Trainer(net, loss="cross_entropy", optimizer=gm.Adam(), clip=gm.ClipNorm(1.0), seed=5, **settings)
        for net in nets
    ]


def assert_same(found, expected):
    for one, other in zip(found, expected, strict=True):
        for key, value in one.net.state_dict().items():
            assert np.array_equal(value, other.net.state_dict()[key]), key
        assert np.array_equal(one.recording.grad_norm, other.recording.grad_norm)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_the_bits_are_those_of_one_after_the_other(threads):
    expected, found = trainers(), trainers()
    losses = [trainer.step(X, Y) for trainer in expected]
    for trainer in expected:
        trainer.fit(X, Y, epochs=3, batch_size=32, validation=(X, Y))
    gm.set_num_threads(threads)
    assert gm.step_many(found, X, Y) == losses
    recordings = gm.train_many(found, X, Y, epochs=3, batch_size=32, validation=(X, Y))
    assert recordings == [trainer.recording for trainer in found]
    assert [len(rec.validation) for rec in recordings] == [3] * 7
    assert_same(found, expected)


def alike(activation, clip, dtype="float32"):
    """Twins in layout, not in what they compute; they take turns in the same memory."""
    sums = [gm.Residual([gm.LayerNorm(), gm.Dense(12), activation]), gm.Dense(20), gm.BatchNorm(), gm.Dropout(0.3)]
    net = gm.Network(12, [*sums, activation, gm.Dense(4)], dtype=dtype, seed=3)
    return gm.Trainer(net, loss="cross_entropy", optimizer=gm.RMSprop(), clip=clip, record="full", seed=7)


@pytest.mark.parametrize("threads", [1, 2])
def test_nets_of_one_layout_do_not_disturb_each_other(threads):
    kinds = [(gm.Tanh(), None), (gm.Softplus(), gm.ClipAdaptive()), (gm.ReLU(), gm.ClipNorm(0.1))] * 2
    expected, found = ([alike(*kind) for kind in kinds] + [alike(*kinds[0], "float64")] for _ in range(2))
    gm.set_num_threads(threads)
    for rows in (200, 3, 90):  # the memory has to grow, and may be larger than what a batch needs
        losses = [trainer.step(X[:rows], Y[:rows]) for trainer in expected]
        assert gm.step_many(found, X[:rows], Y[:rows]) == losses
    assert_same(found, expected)
    for one, other in zip(found, expected, strict=True):
        for field in ("delta_norm", "update_norm", "activation_mean", "activation_std", "saturation", "dead_fraction"):
            assert np.array_equal(getattr(one.recording, field), getattr(other.recording, field)), field
        for key, gradient in other.net.gradients().items():
            assert np.array_equal(gradient, one.net.gradients()[key]), key


def test_a_pass_of_ones_own_outlives_steps_of_others():
    waiting, others = alike(gm.Tanh(), None), [alike(gm.SiLU(), None), alike(gm.ReLU(), None)]
    dy = RNG.standard_normal((200, 4)).astype("f4")
    waiting.net.forward(X, training=True)
    expected = waiting.net.backward(dy)
    same = alike(gm.Tanh(), None)
    same.net.forward(X, training=True)
    gm.step_many(others, X, Y)
    assert np.array_equal(same.net.backward(dy), expected)
    gm.step_many(others, X, Y)
    same.apply_gradients()
    waiting.apply_gradients()
    assert_same([same], [waiting])


def test_a_failing_net_does_not_stop_the_others():
    found = trainers(on_nonfinite="raise")
    found[2].net.load_state_dict({key: value * np.float32(1e30) for key, value in found[2].net.state_dict().items()})
    with pytest.raises(gm.NonFiniteError, match="not finite") as caught:
        gm.train_many(found, X, Y, epochs=2, batch_size=50)
    assert caught.value.__notes__ == ["(of trainers[2])"]
    assert [len(trainer.recording) for trainer in found if trainer is not found[2]] == [8] * 6


def test_stopping_at_a_nan_ends_that_net_only():
    found = trainers(on_nonfinite="stop")
    found[0].net.load_state_dict({key: value * np.float32(1e30) for key, value in found[0].net.state_dict().items()})
    recordings = gm.train_many(found, X, Y, epochs=2, batch_size=50)
    assert [len(rec) for rec in recordings] == [1] + [8] * 6


def test_wrong_arguments():
    found = trainers()
    with pytest.raises(TypeError, match=r"trainers\[1\] must be a Trainer, not 'a'"):
        gm.step_many([found[0], "a"], X, Y)
    with pytest.raises(ValueError, match="must be different ones"):
        gm.step_many([found[0], found[0]], X, Y)
    sharing = [gm.Trainer(found[0].net, loss="cross_entropy", optimizer=gm.SGD(0.1)) for _ in range(2)]
    with pytest.raises(ValueError, match="must have different networks, but two of them share one"):
        gm.step_many(sharing, X, Y)
    with pytest.raises(TypeError, match="trainers must be a list of trainers, not Trainer"):
        gm.train_many(found[0], X, Y, epochs=1, batch_size=3)
    with pytest.raises(ValueError, match="y has 3 rows"):
        gm.step_many(found, X, Y[:3])
    with pytest.raises(TypeError, match="x must be an array of numbers, not list"):
        gm.step_many(found, [[1.0], [1.0, 2.0]], Y)
    with pytest.raises(ValueError, match="epochs must be at least 0"):
        gm.train_many(found, X, Y, epochs=-1, batch_size=3)
    assert gm.step_many([], X, Y) == []
    assert all(len(trainer.recording) == 0 for trainer in found)


@contextlib.contextmanager
def interrupted_after(*awaited):
    """Press Ctrl-C in what runs inside, two networks at a time, when each (trainer, steps) has taken its steps."""

    def press():
        while not all(len(trainer.recording) >= steps for trainer, steps in awaited):
            threading.Event().wait(0.005)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=press)
    thread.start()
    gm.set_num_threads(2)
    with pytest.raises(KeyboardInterrupt):
        yield
    thread.join()


def test_ctrl_c_ends_all_of_them_after_whole_steps():
    found = trainers()
    with interrupted_after((found[-2], 4), (found[-1], 4)):
        gm.train_many(found, X, Y, epochs=10**6, batch_size=50)
    assert threading.active_count() < 5
    assert np.isfinite(gm.step_many(found, X, Y)).all()


def test_ctrl_c_reaches_a_thread_that_has_run_out_of_networks():
    found = trainers(on_nonfinite="stop")[-2:]
    largest = found[1]  # which this thread takes, and is done with at once
    largest.net.load_state_dict({key: value * np.float32(1e30) for key, value in largest.net.state_dict().items()})
    with interrupted_after((found[0], 4), (largest, 1)):
        gm.train_many(found, X, Y, epochs=10**6, batch_size=50)
    steps = len(found[0].recording)
    assert found[0].state_dict()["step"] == steps >= 4
    assert len(largest.recording) == 1


@pytest.mark.parametrize("threads", [1, 2])
def test_learning_rates_in_python(threads):
    def failing(step):
        return 0.1 if step < 3 else "a lot"

    rates = [lambda step: 0.1 / (1 + step), failing, lambda step: 0.05 * step]
    expected, found = (
        [
            gm.Trainer(gm.mlp(12, 4, depth=2, width=9, seed=0), loss="cross_entropy", optimizer=gm.SGD(rate), seed=1)
            for rate in rates
        ]
        for _ in range(2)
    )
    for i in (0, 2):
        expected[i].fit(X, Y, epochs=2, batch_size=50)
    gm.set_num_threads(threads)
    with pytest.raises(TypeError, match=r"lr\(3\) must be a number, not 'a lot'") as caught:
        gm.train_many(found, X, Y, epochs=2, batch_size=50)
    assert caught.value.__notes__ == ["(of trainers[1])"]
    assert len(found[1].recording) == 3
    assert_same(found[::2], expected[::2])


def test_a_signal_handler_may_not_train_what_is_being_trained():
    found, errors = trainers(), []

    def handler(*_):
        for trainer in found:
            try:
                trainer.step(X, Y)
            except RuntimeError as error:
                errors.append(str(error))
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, handler)
    with interrupted_after((found[-1], 4)):
        gm.train_many(found, X, Y, epochs=10**6, batch_size=50)
    assert len(errors) == len(found)
    assert all("by a signal handler in the midst of work on the same network" in error for error in errors)
