"""Settings shared by all tests: hypothesis profiles and the number of threads."""

import gc
import os
import signal

import pytest
from hypothesis import HealthCheck, settings

pytest.register_assert_rewrite("following")  # so that its assertions show their values, as those of a test do

QUIET = [HealthCheck.too_slow, HealthCheck.data_too_large]
settings.register_profile("ci", deadline=None, derandomize=True, max_examples=60, suppress_health_check=QUIET)
settings.register_profile("thorough", deadline=None, max_examples=2000, suppress_health_check=QUIET)
# GRADIOMETER_HYPOTHESIS=thorough draws many more examples, and other ones on every run.
settings.load_profile(os.environ.get("GRADIOMETER_HYPOTHESIS", "ci"))


@pytest.fixture
def restore_threads():
    """Give the library back the number of threads it had."""
    import gradiometer as gm

    before = gm.get_num_threads()
    yield
    gm.set_num_threads(before)


@pytest.fixture
def default_ctrl_c():
    """Let SIGINT raise KeyboardInterrupt, also where the tests run in the background, whose SIGINT is ignored.

    Garbage is not collected meanwhile: hypothesis has a callback there, and an exception in such a one is lost.
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    gc.disable()
    yield
    gc.enable()
    signal.signal(signal.SIGINT, before)
