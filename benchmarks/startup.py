"""Import, the smallest step, and a whole process of 100 deep-narrow steps, beside NumPy's."""

import subprocess
import sys
import time

import numpy as np
from common import Table, arguments

import gradiometer as gm
from gradiometer.bench.timing import alternate

DEEP_NARROW = """
from gradiometer.bench import peers
from gradiometer.bench.workloads import WORKLOADS
peers.make({peer!r}, WORKLOADS["deep-narrow"]).steps(100)
"""


def main() -> None:
    """Measure and print."""
    options = arguments(__doc__)
    table = Table("what", "time")
    imports = alternate(
        {name: lambda count, name=name: run(f"import {name}", count) for name in ("numpy", "gradiometer")},
        rounds=options.rounds,
        seconds=0.0,
    )
    extra = np.median(imports["gradiometer"] - imports["numpy"])
    table.add("import gradiometer, beyond import numpy", f"{extra * 1e3:.1f} ms")
    for peer in ("gradiometer", "numpy"):
        seconds = [timed(DEEP_NARROW.format(peer=peer)) for _ in range(options.rounds)]
        table.add(f"100 deep-narrow steps of {peer}, a whole process", f"{np.median(seconds) * 1e3:.0f} ms")
    net = gm.mlp(1, 1, depth=0, width=1, seed=0)
    trainer = gm.Trainer(net, loss="mse", optimizer=gm.SGD(0.01))
    x = np.ones((1, 1), np.float32)

    def steps(count: int) -> None:
        for _ in range(count):
            trainer.step(x, x)

    smallest = alternate({"": steps}, rounds=options.rounds, seconds=options.seconds)[""]
    table.add("Trainer.step of a 1 × 1 network", f"{np.median(smallest) * 1e6:.2f} µs")
    table.show()


def run(code: str, count: int) -> None:
    """Run a program in so many processes, one after the other."""
    for _ in range(count):
        timed(code)


def timed(code: str) -> float:
    """Return the seconds of a process that runs a program."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
