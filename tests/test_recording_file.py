"""The file of a recording: written whole or not at all, and every way it can be wrong is told."""

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradiometer import recording_file
from gradiometer._core import Recorder
from gradiometer.recording import Recording, load_recording


def make_recording(steps=5):
    recorder = Recorder(["0.weight", "2.weight"], "norms", 1)
    rng = np.random.default_rng(steps)
    columns = {name: rng.normal(size=(steps, 2)) for name in ["grad_norm", "delta_norm"]}
    columns |= {name: rng.normal(size=steps) for name in ["loss", "total_norm", "clip_coefficient", "lr"]}
    recorder.extend(np.arange(steps), columns)
    return Recording(recorder, {"loss": "mse", "clip": None})


def test_saving_writes_exactly_the_path_and_nothing_else(tmp_path):
    recording = make_recording()
    recording.save(str(tmp_path / "run"))
    recording.save(tmp_path / "run")
    assert os.listdir(tmp_path) == ["run"]
    plain = tmp_path / "plain"
    plain.write_text("")
    assert (tmp_path / "run").stat().st_mode == plain.stat().st_mode


def test_saving_through_a_link_keeps_the_link(tmp_path):
    (tmp_path / "there").mkdir()
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "there" / "run")
    make_recording().save(link)
    assert link.is_symlink()
    assert len(load_recording(tmp_path / "there" / "run")) == 5


def test_a_full_disk_leaves_the_old_file_and_no_rest(tmp_path, monkeypatch):
    path = tmp_path / "run.npz"
    old = make_recording(steps=3)
    old.save(path)

    def full_disk(file, **_):
        file.write(b"PK half of it")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(recording_file.np, "savez", full_disk)
    with pytest.raises(OSError, match="No space left"):
        make_recording(steps=9).save(path)
    assert os.listdir(tmp_path) == ["run.npz"]
    assert np.array_equal(load_recording(path).grad_norm, old.grad_norm)


def test_saving_where_it_cannot_be(tmp_path):
    with pytest.raises(TypeError, match=r"path must be a path .*, not None"):
        make_recording().save(None)
    with pytest.raises(IsADirectoryError, match="is a folder"):
        make_recording().save(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"no folder .*nowhere"):
        make_recording().save(tmp_path / "nowhere" / "run.npz")
    recording = make_recording()
    recording.meta["clip"] = object()
    with pytest.raises(TypeError, match="meta must hold JSON values"):
        recording.save(tmp_path / "run.npz")
    assert os.listdir(tmp_path) == []


def test_loading_what_is_not_a_recording(tmp_path):
    path = tmp_path / "file.npz"
    with pytest.raises(FileNotFoundError, match=r"file\.npz"):
        load_recording(path)
    path.write_bytes(b"")
    with pytest.raises(ValueError, match=r"file\.npz' is not a recording: it is empty"):
        load_recording(path)
    path.write_text("step,loss\n1,2\n")
    with pytest.raises(ValueError, match=r"no \.npz archive"):
        load_recording(path)
    np.savez(path, grad_norm=np.ones(3))
    with pytest.raises(ValueError, match="archive of something else"):
        load_recording(path)
    np.savez(path, metadata=np.array(["a"], dtype=object))  # would need pickle, which can run code
    with pytest.raises(ValueError, match="damaged"):
        load_recording(path)


def test_loading_a_newer_format(tmp_path, monkeypatch):
    path = tmp_path / "run.npz"
    monkeypatch.setattr(recording_file, "VERSION", 2)
    make_recording().save(path)
    monkeypatch.undo()
    with pytest.raises(ValueError, match=r"newer gradiometer: its format is version 2.*up to version 1"):
        load_recording(path)


def test_loading_arrays_that_do_not_fit(tmp_path):
    path = tmp_path / "run.npz"
    metadata, arrays = make_recording()._state()
    arrays["loss"] = np.ones(99)
    recording_file.write(path, metadata, arrays)
    with pytest.raises(ValueError, match=r"damaged: loss has shape \(99,\)"):
        load_recording(path)
    del arrays["loss"]
    recording_file.write(path, metadata, arrays)
    with pytest.raises(ValueError, match=r"damaged.*loss"):
        load_recording(path)


@settings(deadline=None, max_examples=40)
@given(data=st.data())
def test_a_file_cut_short_anywhere_or_with_a_wrong_byte_is_noticed(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("cut")
    make_recording(steps=40).save(folder / "run.npz")
    whole = (folder / "run.npz").read_bytes()
    (folder / "cut.npz").write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1), label="length")])
    with pytest.raises(ValueError, match=r"cut\.npz' is (cut short|damaged|not a recording)"):
        load_recording(folder / "cut.npz")

    name = "grad_norm.npy"
    start = whole.index(name.encode()) + 200  # within the numbers of that field
    place = start + data.draw(st.integers(0, 200), label="place")
    (folder / "bad.npz").write_bytes(whole[:place] + bytes([whole[place] ^ 0x10]) + whole[place + 1 :])
    with pytest.raises(ValueError, match=r"bad\.npz' is damaged"):
        load_recording(folder / "bad.npz")


def test_importing_the_package_leaves_file_formats_for_later():
    # They were a quarter of the time that an import takes beyond NumPy's own.
    code = (
        "import sys, numpy; before = set(sys.modules)\n"
        "import gradiometer; found = {'json', 'pathlib', 'zipfile'} & (set(sys.modules) - before)\n"
        "assert not found, found\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
