"""The checked-in type stub is that of the extension."""

import pytest

import stubs

pytest.importorskip("pybind11_stubgen")


def test_the_stub_is_up_to_date():
    assert stubs.STUB.read_text() == stubs.generate(), "run: python tests/stubs.py"
