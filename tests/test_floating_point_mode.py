"""A program that flushes subnormal numbers to zero: the engine keeps them, and leaves the program's mode alone."""

import ctypes
import platform
import sys
from contextlib import contextmanager

import numpy as np
import pytest

import gradiometer as gm

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() != "x86_64", reason="the mode is set as glibc has it for x86-64"
)

MXCSR = 28  # its place in glibc's fenv_t
FLUSH = 0x8040  # results to zero, operands to zero


def set_flushing(on):
    libm, mode = ctypes.CDLL("libm.so.6"), ctypes.create_string_buffer(32)
    libm.fegetenv(mode)
    flags = int.from_bytes(mode.raw[MXCSR : MXCSR + 4], "little")
    flags = flags | FLUSH if on else flags & ~FLUSH
    mode[MXCSR : MXCSR + 4] = flags.to_bytes(4, "little")
    libm.fesetenv(mode)


@contextmanager
def flushing():
    set_flushing(True)
    try:
        yield
    finally:
        set_flushing(False)


def flushes():
    return float(np.float32(1e-38) * np.float32(0.1)) == 0


def vanishing_run():
    """A step whose gradients are subnormal in the first layers; the rows are enough for two threads."""
    net = gm.mlp(64, 10, depth=66, width=64, activation="sigmoid", init="xavier_normal", seed=0)
    trainer = gm.Trainer(net, loss="cross_entropy", optimizer=gm.SGD(0.1), record="full", seed=0)
    rng = np.random.default_rng(0)
    trainer.step(rng.standard_normal((256, 64)) * 1e-20, rng.integers(0, 10, 256))
    rec = trainer.recording
    assert rec.grad_subnormal_fraction.max() > 0.1
    return rec.delta_norm, rec.grad_zero_fraction, *net.gradients().values(), *net.state_dict().values()


@pytest.mark.parametrize("threads", [1, 2])
def test_subnormal_numbers_are_kept_whatever_the_program_has_set(threads):
    gm.set_num_threads(threads)
    expected = vanishing_run()
    with flushing():
        assert flushes()
        found = vanishing_run()
        assert flushes()  # as it was
    assert not flushes()
    for a, b in zip(found, expected, strict=True):
        assert a.tobytes() == b.tobytes()


def test_float64_input_is_rounded_to_subnormal_float32():
    net = gm.Network(1, [gm.Dense(1, bias=False, init=np.ones((1, 1)))])
    with flushing():
        found = net.forward(np.array([[1e-40]]))
    assert found.view(np.int32)[0, 0] == np.float32(1e-40).view(np.int32)


@pytest.mark.parametrize("threads", [1, 2])
def test_a_schedule_finds_the_mode_of_the_program_and_may_change_it(threads):
    gm.set_num_threads(threads)
    modes = []

    def lr(step):
        modes.append(flushes())
        set_flushing(step == 1)
        return 0.0

    net = gm.mlp(64, 10, depth=66, width=64, activation="sigmoid", init="xavier_normal", seed=0)
    trainer = gm.Trainer(net, loss="cross_entropy", optimizer=gm.SGD(lr), record="full", seed=0)
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((256, 64)) * 1e-20, rng.integers(0, 10, 256)
    with flushing():
        trainer.fit(x, y, epochs=4, batch_size=256, shuffle=False)
        assert not flushes()
    assert modes == [True, False, True, False]
    share = trainer.recording.grad_subnormal_fraction
    assert share[0].max() > 0.1
    assert np.array_equal(share, np.tile(share[0], (4, 1)))
