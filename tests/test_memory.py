"""A batch for which there is not enough memory: an error, and a network that goes on."""

import subprocess
import sys

import pytest

SCENARIO = """
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


@pytest.mark.skipif(sys.platform != "linux", reason="the limit is set and read as Linux has it")
@pytest.mark.parametrize("alone", [False, True])
def test_a_batch_that_is_too_large_for_the_memory_leaves_a_network_that_works(alone):
    command = [sys.executable, "-c", SCENARIO.format(alone=alone)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "no memory, no memory, went on", (done.returncode, done.stderr)
