"""Single kernels, in one thread: the share of each in what the processor or its caches allow."""

from __future__ import annotations

import functools
from dataclasses import dataclass

from gradiometer import _core

SIZES = ((128, 64), (128, 256), (512, 2048))
"""(rows of a batch, units of a layer): of the workloads deep-narrow, classic and wide."""


@dataclass(frozen=True)
class KernelShare:
    """One kernel at one size."""

    name: str
    rows: int
    columns: int
    seconds: float
    """Of a call; the median."""
    operations: float
    """Multiplications and additions of a matrix product; 0 for the other kernels, whose data take the time."""
    bytes: float
    """What must be read or written at least."""
    floor: float
    """Seconds that a call takes at the peak of the multiply-adds, or at the speed of copying as many bytes in arrays of
    this size, whichever is longer. A copy also reads what it overwrites, which is not counted: so kernels that work in
    place, or only read, can be below the floor."""

    @property
    def limit(self) -> str:
        """What sets the floor."""
        return "multiply-adds" if self.operations else "copying"

    @property
    def share(self) -> float:
        """Floor ÷ time."""
        return self.floor / self.seconds


def measure(sizes: tuple[tuple[int, int], ...] = SIZES, seconds: float = 0.03) -> list[KernelShare]:
    """Time every float32 kernel at every size, for so long each."""
    peak = _core.measure_peak(1)
    bandwidth = functools.cache(lambda size: _core.measure_bandwidth(1, max(size, 4096)))
    shares = []
    for rows, columns in sizes:
        for kernel in _core.time_kernels(rows, columns, seconds):
            floor = kernel.operations / peak if kernel.operations else kernel.bytes / bandwidth(int(kernel.bytes))
            shares.append(
                KernelShare(kernel.name, rows, columns, kernel.seconds, kernel.operations, kernel.bytes, floor)
            )
    return shares
