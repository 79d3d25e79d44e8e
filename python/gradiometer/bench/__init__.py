"""Benchmarks against NumPy, PyTorch and JAX: the same training step, from the same weights, side by side in one run.

`workloads` says what is trained, each module of `peers` how one library does it, `worker` runs one of them in a process
of its own, `harness` lets them take turns and checks that they compute the same, `report` shows the result. The
command is ``gradiometer bench``.
"""
