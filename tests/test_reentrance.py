"""What functions of the caller and other threads do in the midst of a call: no crash, and no state half of each."""

import gc
import threading
import weakref

import numpy as np
import pytest

import gradiometer as gm

RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((96, 8)).astype("f4"), RNG.integers(0, 4, 96)


def trainer(lr=0.05, seed=0, **kwargs):
    net = gm.mlp(8, 4, depth=2, width=16, seed=seed)
    return gm.Trainer(net, loss="cross_entropy", optimizer=gm.Adam(lr), seed=0, **kwargs)


@pytest.mark.parametrize("wrong", [10**9, 4, -1])
def test_labels_that_change_while_they_are_read_are_refused(wrong):
    labels = Y.copy()

    def lr(step):
        if step == 3:
            labels[:] = wrong
        return 0.05

    run = trainer(lr)
    with pytest.raises(ValueError, match=f"labels were changed .* is {wrong}; it must be from 0 to 3"):
        run.fit(X, labels, epochs=2, batch_size=32)
    assert len(run.recording) == 3
    assert np.isfinite(run.step(X, Y))


def test_a_schedule_may_refer_to_its_trainer_and_both_go_when_nobody_needs_them():
    def make():
        run = trainer(lambda step: 0.1 / (1 + min(step, len(run.recording))))
        return run

    run = make()
    run.fit(X, Y, epochs=2, batch_size=48)
    assert run.recording.lr.tolist() == [0.1, 0.05, 0.1 / 3, 0.025]
    gone = weakref.ref(run.net)
    del run
    gc.collect()
    assert gone() is None


def test_threads_that_share_a_trainer_get_the_learning_rates_of_their_own_steps():
    run = trainer(lambda step: 1e-6 * (step + 1))
    threads = [threading.Thread(target=lambda: [run.step(X, Y) for _ in range(50)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert run.recording.steps.tolist() == list(range(200))
    assert np.array_equal(run.recording.lr, 1e-6 * np.arange(1, 201))


def test_a_schedule_may_wait_for_a_thread_that_reads_the_network():
    lock, rate, read = threading.Lock(), [0.05], []

    def lr(step):
        with lock:
            return rate[0] / (1 + step)

    run = trainer(lr)
    stop = threading.Event()

    def monitor():
        while not stop.is_set():
            with lock:
                read.append(run.net.state_dict())

    thread = threading.Thread(target=monitor)
    thread.start()
    run.fit(X, Y, epochs=50, batch_size=32)
    stop.set()
    thread.join()
    assert len(run.recording) == 150
    assert read


def test_schedules_of_many_trainers_may_look_at_all_of_them():
    found = []

    def lr(step):
        return 0.05 / (1 + step + sum(each.evaluate(X, Y)["loss"] > 1 for each in found))

    found += [trainer(lr, seed) for seed in range(3)]
    gm.set_num_threads(2)
    gm.train_many(found, X, Y, epochs=20, batch_size=32)
    assert [len(each.recording) for each in found] == [60] * 3


def test_a_schedule_that_takes_a_step_is_asked_for_the_next_one():
    steps = [lambda: run.step(X, Y)]

    def lr(step):
        if step == 2 and steps:
            steps.pop()()
        return 0.01 * (step + 1)

    run = trainer(lr)
    run.fit(X, Y, epochs=2, batch_size=32)
    assert run.recording.lr.tolist() == [0.01 * (step + 1) for step in range(7)]


def test_a_state_that_is_loaded_in_the_midst_of_a_fit_counts_from_the_next_step():
    run = trainer()
    run.step(X, Y)
    state = run.state_dict()
    states = [state]

    def lr(step):
        if step == 4 and states:
            other.load_state_dict(states.pop())
        return 0.05

    other = trainer(lr)
    other.fit(X, Y, epochs=3, batch_size=32)
    found = other.state_dict()
    assert found["step"] == found["update"] == 1 + (9 - 4)
    assert set(found["optimizer"]) == set(other.net.gradients())


def test_an_interrupt_while_a_state_is_loaded_changes_nothing():
    class Interrupting:
        def __array__(self, dtype=None, copy=None):
            raise KeyboardInterrupt

    run = trainer()
    run.step(X, Y)
    before = run.state_dict()
    moments = {key: {name: value + 1 for name, value in each.items()} for key, each in before["optimizer"].items()}
    moments["4.bias"]["exp_avg_sq"] = Interrupting()  # the last one
    with pytest.raises(KeyboardInterrupt):
        run.load_state_dict(before | {"step": 9, "seed": 5, "optimizer": moments})
    after = run.state_dict()
    assert {key: after[key] for key in ("step", "seed")} == {"step": 1, "seed": 0}
    for name, arrays in before["optimizer"].items():
        for key, value in arrays.items():
            assert np.array_equal(after["optimizer"][name][key], value)


def test_ctrl_c_inside_of_a_learning_rate_ends_all_trainers():
    def lr(step):
        if step == 5:
            raise KeyboardInterrupt
        return 0.05

    found = [trainer(lr if seed == 1 else 0.05, seed) for seed in range(4)]
    gm.set_num_threads(2)
    with pytest.raises(KeyboardInterrupt) as caught:
        gm.train_many(found, X, Y, epochs=10**7, batch_size=32)
    assert caught.value.__notes__ == ["(of trainers[1])"]
    assert np.isfinite(gm.step_many(found[2:], X, Y)).all()
