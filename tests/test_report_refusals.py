"""Reports: what is refused, and how."""

import subprocess
import sys

import numpy as np
import pytest

import gradiometer as gm
from gradiometer import _files
from gradiometer._core import Recorder
from gradiometer.recording import Recording
from made_up_recordings import line, record


def empty(mode, layers=2):
    return Recording(Recorder([f"{layer}.weight" for layer in range(layers)], mode, 1), {})


@pytest.mark.parametrize(
    ("recordings", "names", "error", "message"),
    [
        ([], None, ValueError, "recordings is empty"),
        ([record(line(0))] * 25, None, ValueError, "recordings holds 25; a page can compare 24 at most"),
        (3, None, TypeError, "recordings must be a Recording or several of them, not 3"),
        ("run.npz", None, TypeError, "must be a Recording or several of them, not 'run.npz'"),
        ([record(line(0)), "b"], None, TypeError, r"recordings\[1\] must be a Recording, not 'b'"),
        (empty("norms"), None, ValueError, r"recordings\[0\] has no steps"),
        (empty(None), None, ValueError, r"record=None; use Trainer\(\.\.\., record=\"norms\"\)"),
        (record(np.ones((3, 0)), meta={}), None, ValueError, r"recordings\[0\] has no layers"),
        ([record(line(0))], ["a", "b"], ValueError, "there are 1 recordings but 2 names"),
        ([record(line(0))], "a", TypeError, "names must be a sequence of strings, not 'a'"),
        ([record(line(0))], [1], TypeError, "names must be a sequence of strings"),
        ([record(line(0))], 1, TypeError, "names must be a sequence of strings, not 1"),
        ([record(line(0))], {"a": 1}, TypeError, "names must be a sequence of strings, not {"),
    ],
)
def test_wrong_arguments(recordings, names, error, message, tmp_path):
    with pytest.raises(error, match=message):
        gm.report(recordings, tmp_path / "a.html", names=names)
    assert not list(tmp_path.iterdir())


def test_wrong_paths_and_titles(tmp_path):
    recording = record(line(0))
    with pytest.raises(TypeError, match=r"path must be a path .* not 3"):
        recording.report(3)
    with pytest.raises(ValueError, match="path must be a path without null characters"):
        recording.report(f"{tmp_path}/a\0.html")
    with pytest.raises(TypeError, match="title must be a str, not 3"):
        gm.report(recording, tmp_path / "a.html", title=3)
    assert not list(tmp_path.iterdir())


def test_places_that_cannot_be_written(tmp_path, monkeypatch):
    recording = record(line(0))
    with pytest.raises(IsADirectoryError, match=r"cannot write a report to .* it is a folder"):
        recording.report(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"no folder .*nowhere"):
        recording.report(tmp_path / "nowhere" / "a.html")

    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(_files, "open", refuse, raising=False)
    with pytest.raises(PermissionError, match=r"cannot write a report to '.*a\.html': Permission denied"):
        recording.report(tmp_path / "a.html")


@pytest.mark.parametrize("package", ["bokeh", "jinja2"])
def test_without_the_lab_extra(package, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(
        ImportError, match=rf"report needs {package} from the lab extra: pip install 'gradiometer\[lab\]'"
    ):
        record(line(0)).report(tmp_path / "a.html")


def test_nothing_of_it_is_imported_before_it_is_used():
    code = "import sys, gradiometer; assert not {'bokeh', 'jinja2', 'gradiometer.reports'} & sys.modules.keys()"
    subprocess.run([sys.executable, "-c", code], check=True)
