"""A batch, or a team of threads, for which there is not enough memory: the network goes on."""

import subprocess
import sys

import pytest

LARGE_BATCH = """
import resource
import numpy as np
import gradiometer as gm

alone = {alone}
gm.set_num_threads(1)
nets = [gm.mlp(10, 3, depth=3, width=300, seed=0) for _ in range(2)]
trainers = [gm.Trainer(net, loss="mse", optimizer=gm.SGD(0.1), seed=0) for net in nets]
x, y = np.ones((40, 10), "f4"), np.ones((40, 3), "f4")
rows = 1500 if alone else 100_000  # 12 MB, which step_many's networks borrow, or 800
large_x, large_y = np.ones((rows, 10), "f4"), np.ones((rows, 3), "f4")
step = (lambda x, y: gm.step_many(trainers, x, y)) if alone else trainers[0].step
step(x, y)
pages = int(open("/proc/self/statm").read().split()[0])
limit = pages * resource.getpagesize() + ((8 if alone else 100) << 20)
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
for work in (lambda: step(large_x, large_y), lambda: nets[0].forward(large_x, training=True)):
    try:
        work()
    except MemoryError:
        print("no memory", end=", ")
    step(x, y)
    nets[0].backward(0 * nets[0].forward(x, training=True))
print("went on")
"""

MANY_THREADS = """
import resource
import numpy as np
import gradiometer as gm

rng = np.random.default_rng(0)
x, y = rng.standard_normal((2000, 64)), rng.standard_normal((2000, 8))

def losses(threads):
    gm.set_num_threads(threads)
    net = gm.mlp(64, 8, depth=4, width=128, dtype="float64", seed=0)
    trainer = gm.Trainer(net, loss="mse", optimizer=gm.SGD(0.1), seed=0)
    return [trainer.step(x, y) for _ in range(3)]

expected = losses(1)
pages = int(open("/proc/self/statm").read().split()[0])
limit = pages * resource.getpagesize() + (120 << 20)  # too little for the stacks of 200 threads
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
print(losses(200) == expected)
"""

MANY_TRAINERS = """
import resource
import numpy as np
import gradiometer as gm

nets = [gm.Network(100, [gm.Dense(1)], seed=seed) for seed in range(40)]
trainers = [gm.Trainer(net, loss="mse", optimizer=gm.SGD(0.1), record=None) for net in nets]
x, y = np.ones((20_000, 100)), np.ones((20_000, 1))  # of 8 MB, in float64; the networks read float32
gm.train_many(trainers, x[:100], y[:100], epochs=1, batch_size=100)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
gm.train_many(trainers, x, y, epochs=1, batch_size=10_000)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024, "MB")
"""

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="the limit is set and read as Linux has it")


def run(scenario):
    return subprocess.run([sys.executable, "-c", scenario], capture_output=True, text=True, timeout=120)


@linux_only
@pytest.mark.parametrize("alone", [False, True])
def test_a_batch_that_is_too_large_for_the_memory_leaves_a_network_that_works(alone):
    done = run(LARGE_BATCH.format(alone=alone))
    assert done.stdout.strip() == "no memory, no memory, went on", (done.returncode, done.stderr)


@linux_only
def test_threads_that_the_system_does_not_give_are_done_without():
    done = run(MANY_THREADS)
    assert done.stdout.strip() == "True", (done.returncode, done.stderr)


@linux_only
def test_trainers_that_read_the_same_data_convert_them_once():
    done = run(MANY_TRAINERS)
    assert int(done.stdout.split()[0]) < 80, (done.stdout, done.stderr)  # MB; 40 times 8 without
