"""Child processes, several Python threads, and reading while training goes on."""

import multiprocessing
import os
import select
import signal
import threading
import warnings

import numpy as np
import pytest

import gradiometer as gm

PATIENCE = 120
"""Seconds that a child may take: it needs one, and many where it hardly gets a processor."""
RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((600, 20)).astype("f4"), RNG.integers(0, 5, 600)


def train(seed, epochs=2):
    """The weights of a net large enough for the pool, as one array."""
    net = gm.mlp(20, 5, depth=4, width=120, activation="tanh", dropout=0.1, seed=seed)
    gm.Trainer(net, loss="cross_entropy", optimizer=gm.Adam(), seed=seed).fit(X, Y, epochs=epochs, batch_size=200)
    return np.concatenate([value.ravel() for value in net.state_dict().values()])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_training_works_after_a_fork():
    """The pool's threads do not exist in the child, which must not wait for them."""
    expected = train(1)  # the pool is running now
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Python warns of any fork beside threads, and JAX of any
        child = os.fork()
    if child == 0:
        try:
            os.write(writer, b"y" if np.array_equal(train(1), expected) else b"n")
        finally:
            os._exit(0)
    os.close(writer)
    answered, _, _ = select.select([reader], [], [], PATIENCE)
    answer = os.read(reader, 1) if answered else None
    os.kill(child, signal.SIGKILL)  # a child that answered has nothing left to do
    os.waitpid(child, 0)
    os.close(reader)
    assert answered, f"the child has not trained within {PATIENCE} s: it hangs"
    assert answer == b"y"
    assert np.array_equal(train(1), expected)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.usefixtures("restore_threads")
def test_a_child_takes_many_networks_on_though_others_were_in_the_midst_of_it():
    """The networks of step_many share memory under a lock, which nobody in the child could give back."""
    gm.set_num_threads(2)
    x, y, done = np.ones((500, 2), "f4"), np.ones((500, 1), "f4"), threading.Event()

    def trainers():
        nets = [gm.Network(2, [gm.Dense(1)], seed=seed) for seed in range(2)]
        return [gm.Trainer(net, loss="mse", optimizer=gm.SGD(0.1), record=None) for net in nets]

    def work():
        while not done.is_set():
            gm.train_many(trainers(), x, y, epochs=1, batch_size=1)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(40):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                child = os.fork()
            if child == 0:
                signal.alarm(PATIENCE)
                gm.set_num_threads(1)
                gm.step_many(trainers(), x, y)
                os._exit(0)
            assert os.waitpid(child, 0)[1] == 0, f"the child has not made its step within {PATIENCE} s: it hangs"
    finally:
        done.set()
        for thread in threads:
            thread.join()


@pytest.mark.parametrize("method", ["spawn", "fork"])
def test_worker_processes_give_the_same_bits(method):
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"there is no {method} here")
    expected = [train(seed) for seed in range(3)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with multiprocessing.get_context(method).Pool(2) as pool:
            found = pool.map_async(train, range(3)).get(timeout=PATIENCE)
    for one, other in zip(expected, found, strict=True):
        assert np.array_equal(one, other)


def test_python_threads_that_train_their_own_nets_give_the_same_bits():
    expected = [train(seed) for seed in range(4)]
    found = [None] * 4

    def work(seed):
        found[seed] = train(seed)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one, other in zip(expected, found, strict=True):
        assert np.array_equal(one, other)


def test_threads_that_share_a_trainer_take_turns():
    net = gm.mlp(20, 5, depth=2, width=30, seed=0)
    trainer = gm.Trainer(net, loss="cross_entropy", optimizer=gm.SGD(0.1), seed=0)
    errors = []

    def work():
        try:
            for _ in range(50):
                assert np.isfinite(trainer.step(X, Y))
                net.predict(X[:10])
                net.state_dict()
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert trainer.recording.steps.tolist() == list(range(200))


def test_a_recording_can_be_read_and_diagnosed_while_fit_goes_on():
    net = gm.mlp(20, 5, depth=5, width=40, activation="sigmoid", init="xavier_normal", seed=0)
    trainer = gm.Trainer(net, loss="cross_entropy", optimizer=gm.SGD(0.1), record="full", seed=0)
    worker = threading.Thread(target=lambda: trainer.fit(X, Y, epochs=300, batch_size=60))
    worker.start()
    reads = 0
    while worker.is_alive() or not reads:
        rec = trainer.recording
        norms, steps = rec.grad_norm, rec.steps
        assert norms.shape[1] == 6
        assert np.isfinite(norms).all()
        assert np.array_equal(steps, np.arange(len(steps)))
        assert len(rec.to_dataframe()) % 6 == 0
        if len(rec):
            assert rec.diagnose().verdict in ("vanishing", "healthy")
        reads += 1
    worker.join()
    assert len(trainer.recording) == 3000
