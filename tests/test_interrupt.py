"""Ctrl-C and exceptions inside `fit`: the network is as after its last whole step, the recording ends there."""

import os
import signal
import threading

import numpy as np
import pytest

import gradiometer as gm

pytestmark = pytest.mark.usefixtures("default_ctrl_c")

RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((512, 64)).astype("f4"), RNG.integers(0, 10, 512)
TOO_MANY = 10**7  # epochs that no test waits for


def trainer(width=256, depth=6, batch_norm=True):
    net = gm.mlp(64, 10, depth=depth, width=width, activation="tanh", batch_norm=batch_norm, dropout=0.1, seed=0)
    return gm.Trainer(net, loss="cross_entropy", optimizer=gm.Adam(), clip=gm.ClipNorm(1.0), seed=0)


def press_ctrl_c_when(ready):
    """Send SIGINT to this process as soon as ready() is true."""

    def wait():
        while not ready():
            threading.Event().wait(0.005)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    return thread


def repeat(work, started):
    """Call work until it is interrupted."""
    started.set()
    for _ in range(10000):
        work()


def assert_as_after_whole_steps(run, same):
    """`same` is an equal trainer that has not been trained yet."""
    steps = len(run.recording)
    for number in range(steps):
        same.step(X[:128], Y[:128])
        assert run.recording.steps[number] == number
    for key, value in same.net.state_dict().items():
        assert np.array_equal(value, run.net.state_dict()[key]), key
    assert np.array_equal(run.recording.grad_norm, same.recording.grad_norm)
    assert run.state_dict()["step"] == steps


@pytest.mark.parametrize("batch_norm", [True, False])
def test_ctrl_c_ends_fit_after_a_whole_step_and_all_goes_on(batch_norm):
    run = trainer(batch_norm=batch_norm)
    thread = press_ctrl_c_when(lambda: len(run.recording) >= 5)
    with pytest.raises(KeyboardInterrupt):
        run.fit(X[:128], Y[:128], epochs=TOO_MANY, batch_size=128, shuffle=False)
    thread.join()
    same = trainer(batch_norm=batch_norm)
    assert_as_after_whole_steps(run, same)
    assert run.step(X[:128], Y[:128]) == same.step(X[:128], Y[:128])
    assert run.recording.diagnose().verdict


@pytest.mark.parametrize("rows", [len(X), 8], ids=["own rows", "shared products"])
def test_ctrl_c_breaks_off_a_long_step(rows):
    """A step that takes far longer than it should take to answer: the update must not have happened."""
    run = trainer(width=3000, depth=5, batch_norm=False)
    run.step(X[:8], Y[:8])  # the first one looks at all weights before it begins
    before = run.net.state_dict()
    started = threading.Event()
    thread = press_ctrl_c_when(started.is_set)
    with pytest.raises(KeyboardInterrupt):
        repeat(lambda: run.step(X[:rows], Y[:rows]), started)
    thread.join()
    if len(run.recording) == 1:
        for key, value in run.net.state_dict().items():
            assert np.array_equal(value, before[key]), key
    assert np.isfinite(run.step(X[:8], Y[:8]))


@pytest.mark.parametrize("what", ["predict", "evaluate", "forward"])
def test_ctrl_c_ends_other_long_work(what):
    run = trainer(width=1000)
    many, labels = np.tile(X, (100, 1)), np.tile(Y, 100)
    work = {
        "predict": lambda: run.net.predict(many),
        "evaluate": lambda: run.evaluate(many, labels),
        "forward": lambda: run.net.forward(X, training=True),
    }[what]
    started = threading.Event()
    thread = press_ctrl_c_when(started.is_set)
    with pytest.raises(KeyboardInterrupt):
        repeat(work, started)
    thread.join()
    assert np.isfinite(run.step(X, Y))


def test_an_exception_of_the_learning_rate_ends_fit_after_a_whole_step():
    def rate(step):
        if step == 7:
            raise RuntimeError("enough")
        return 0.01

    def make(lr):
        net = gm.mlp(64, 10, depth=3, width=40, batch_norm=True, seed=0)
        return gm.Trainer(net, loss="cross_entropy", optimizer=gm.SGD(lr), seed=0)

    run = make(rate)
    with pytest.raises(RuntimeError, match="enough"):
        run.fit(X[:128], Y[:128], epochs=100, batch_size=128, shuffle=False)
    assert len(run.recording) == 7
    assert_as_after_whole_steps(run, make(0.01))


def test_a_signal_handler_of_the_program_is_called():
    """Without an exception from it, training goes on."""
    calls = []
    before = signal.signal(signal.SIGINT, lambda *_: calls.append(1))
    try:
        run = trainer(width=64)
        thread = press_ctrl_c_when(lambda: len(run.recording) >= 2)
        run.fit(X, Y, epochs=100, batch_size=128)
        thread.join()
    finally:
        signal.signal(signal.SIGINT, before)
    assert len(run.recording) == 400
    assert calls == [1]


def test_gradients_of_a_backward_pass_that_was_broken_off_are_not_applied():
    run = trainer(width=1000)
    for _ in range(20):  # Ctrl-C may come between two passes, too
        dy = np.ones_like(run.net.forward(X, training=True))
        run.net.backward(dy)
        started = threading.Event()
        thread = press_ctrl_c_when(started.is_set)
        with pytest.raises(KeyboardInterrupt):
            repeat(lambda: run.net.backward(dy), started)  # noqa: B023
        thread.join()
        try:
            run.apply_gradients()
        except RuntimeError:  # there was no backward pass since the last update
            break
    else:
        pytest.fail("no pass was broken off")
    run.net.backward(dy)
    run.apply_gradients()
