"""Benchmarks against NumPy, PyTorch and JAX: the same training step, from the same weights, side by side in one run.

`workloads` says what is trained, each module of `peers` how one library does it, `worker` runs one of them in a process
of its own, `timing` times it, `harness` lets them take turns and checks that they compute the same, `kernels` times our
kernels one by one, `report` shows the result. The command is ``gradiometer bench``.

Every peer has a process of its own, because the threads of NumPy's BLAS, of OpenMP, of XLA and of our pool go on
spinning for a while when their work is done, and would take the processors from the next one. A worker that is not
timed waits at a pipe; before each turn there is a pause in which the threads of the last one fall asleep.
"""
