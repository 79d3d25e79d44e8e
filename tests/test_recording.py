"""Recordings: what is kept, how it is read while it grows, how it is copied and turned into tables."""

import copy
import json
import pickle
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradiometer._core import Recorder
from gradiometer.recording import Nonfinite, Recording, load_recording

PER_STEP = ["loss", "total_norm", "clip_coefficient", "lr"]
NORMS = ["grad_norm", "delta_norm"]
FULL = [
    "grad_norm", "grad_max_abs", "grad_mean_abs", "grad_zero_fraction", "grad_subnormal_fraction",
    "grad_nonfinite", "delta_norm", "weight_norm", "update_norm", "activation_mean", "activation_std",
    "saturation", "dead_fraction",
]  # fmt: skip
META = {"layers": [{"name": "0.weight", "fan_in": 3}], "loss": "mse", "clip": None, "dtype": "float32"}


def columns_of(fields, steps, layers, seed=0):
    rng = np.random.default_rng(seed)
    columns = {name: rng.normal(size=(steps, layers)) for name in fields}
    columns |= {name: rng.normal(size=steps) for name in PER_STEP}
    if "grad_nonfinite" in columns:
        columns["grad_nonfinite"] = rng.integers(0, 9, size=(steps, layers)).astype(float)
    return columns


def make_recording(steps=5, layers=3, mode="full", fields=None, **changes):
    recorder = Recorder([f"{2 * layer}.weight" for layer in range(layers)], mode, 1)
    if mode:
        columns = columns_of(fields or (FULL if mode == "full" else NORMS), steps, layers)
        recorder.extend(np.arange(steps), columns | changes)
    return Recording(recorder, META)


def assert_same(one, other):
    assert one.layer_names == other.layer_names
    assert one.nonfinite == other.nonfinite
    assert one.meta == other.meta
    assert np.array_equal(one.steps, other.steps)
    assert one._recorder.fields() == other._recorder.fields()
    for name in one._recorder.fields():
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    np.testing.assert_array_equal(one.validation, other.validation)


# ---- what is kept ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("mode", "fields"), [("norms", NORMS), ("full", FULL)])
def test_every_field_comes_back_over_many_chunks(mode, fields):
    # A row of 40 layers is 0.7 to 4 KiB, a chunk about 1 MiB: several chunks, the last one part full.
    steps, layers = 4001, 40
    columns = columns_of(fields, steps, layers)
    recorder = Recorder([str(layer) for layer in range(layers)], mode, 1)
    for start, stop in [(0, 1), (1, 700), (700, 700), (700, 3999), (3999, 4001)]:
        recorder.extend(np.arange(start, stop), {name: values[start:stop] for name, values in columns.items()})
    recording = Recording(recorder, META)
    assert len(recording) == steps
    assert np.array_equal(recording.steps, np.arange(steps))
    for name, values in columns.items():
        read = getattr(recording, name)
        assert read.dtype == (np.int64 if name == "grad_nonfinite" else np.float64)
        assert read.shape == values.shape
        np.testing.assert_array_equal(read, values)


@settings(deadline=None, max_examples=30)
@given(
    layers=st.integers(0, 9),
    pieces=st.lists(st.integers(0, 5), max_size=5),
    mode=st.sampled_from(["norms", "full"]),
    seed=st.integers(0, 99),
)
def test_rows_in_pieces_are_the_rows_at_once(layers, pieces, mode, seed):
    columns = columns_of(FULL if mode == "full" else NORMS, sum(pieces), layers, seed)
    recorder = Recorder(["w"] * layers, mode, 1)
    row = 0
    for piece in pieces:
        part = slice(row, row + piece)
        recorder.extend(np.arange(part.start, part.stop), {name: values[part] for name, values in columns.items()})
        row += piece
    for name, values in columns.items():
        np.testing.assert_array_equal(recorder.field(name), values)


def test_a_row_larger_than_a_chunk():
    layers = 150_000
    recorder = Recorder(["w"] * layers, "norms", 1)
    values = np.arange(3.0 * layers).reshape(3, layers)
    recorder.extend([0, 1, 2], {"grad_norm": values})
    assert np.array_equal(recorder.field("grad_norm"), values)


def test_nonfinite_values_and_signed_zeros_are_kept_as_they_are():
    values = np.array([[np.nan, np.inf, -np.inf], [0.0, -0.0, 5e-324]])
    recording = make_recording(steps=2, grad_norm=values, loss=[np.nan, np.inf])
    assert recording.grad_norm.tobytes() == values.tobytes()
    np.testing.assert_array_equal(recording.loss, [np.nan, np.inf])


def test_what_was_not_measured_is_nan_or_minus_one():
    recorder = Recorder(["w"], "full", 1)
    recorder.extend([7], {"grad_norm": [[1.0]]})
    recording = Recording(recorder, {})
    assert np.isnan(recording.saturation).all()
    assert np.isnan(recording.loss).all()
    assert recording.grad_nonfinite.tolist() == [[-1]]


def test_the_first_nonfinite_event_is_the_one_kept():
    recording = make_recording()
    assert recording.nonfinite is None
    recording._recorder.note_nonfinite(3, "4.weight", "gradient")
    recording._recorder.note_nonfinite(4, "", "loss")
    assert recording.nonfinite == Nonfinite(step=3, layer="4.weight", tensor="gradient")
    assert recording.nonfinite.tensor == "gradient"


def test_validation_is_a_record_array():
    recording = make_recording()
    assert len(recording.validation) == 0
    recording._recorder.append_validation(9, 0.5, 0.25)
    recording._recorder.append_validation(19, 0.25, np.nan)
    validation = recording.validation
    assert validation["step"].dtype == np.int64
    assert validation.step.tolist() == [9, 19]
    assert validation.loss.tolist() == validation["loss"].tolist() == [0.5, 0.25]
    assert validation.accuracy[0] == 0.25
    assert validation[-1].step == 19


# ---- what was not recorded ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("mode", "name"), [("norms", "saturation"), (None, "saturation"), (None, "loss")])
def test_a_field_that_was_not_recorded_says_how_to_record_it(mode, name):
    recording = make_recording(mode=mode)
    with pytest.raises(AttributeError, match=f"{name} was not recorded: .*record=.*use Trainer.*record=") as caught:
        getattr(recording, name)
    assert ('record="norms"' if mode else "record=None") in str(caught.value)
    assert not hasattr(recording, name)


def test_dir_lists_the_recorded_fields_only():
    names = dir(make_recording(mode="norms"))
    assert {"grad_norm", "loss", "diagnose"} <= set(names)
    assert not {"saturation", "weight_norm"} & set(names)
    assert "saturation" in dir(make_recording(mode="full"))


def test_fields_are_documented_and_cannot_be_set():
    for name in FULL + PER_STEP:
        assert getattr(Recording, name).__doc__.startswith("(steps,")
    with pytest.raises(AttributeError, match="loss is measured"):
        make_recording().loss = 3


def test_nothing_recorded():
    recording = make_recording(mode=None)
    assert len(recording) == 0
    assert recording.steps.tolist() == []
    assert recording.steps.dtype == np.int64
    assert "record=None" in repr(recording)


def test_repr_tells_the_size_the_loss_and_the_trouble():
    recording = make_recording(steps=3, mode="norms", loss=[2.0, 1.0, 0.5])
    recording._recorder.append_validation(2, 0.75, 0.875)
    recording._recorder.note_nonfinite(1, "4.weight", "gradient")
    text = repr(recording)
    for part in ["3 steps", "3 dense layers", '"norms"', "2 → 0.5", "0.875", "step 1: gradient of 4.weight"]:
        assert part in text


# ---- wrong input to the recorder ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda r: r.extend([0], {"loss": [1.0, 2.0]}), ValueError, r"loss has shape \(2,\).*\(1,\)"),
        (
            lambda r: r.extend([0], {"grad_norm": [[1.0]]}),
            ValueError,
            r"grad_norm has shape \(1, 1\).*\(1, 3\)",
        ),
        (lambda r: r.extend([0], {"grad_norm": [1.0, 2.0, 3.0]}), ValueError, r"shape \(3,\).*\(1, 3\)"),
        (lambda r: r.extend([0], {"grad_norm": "much"}), TypeError, "grad_norm is 'much'.*array"),
        (lambda r: r.extend([[0]], {}), ValueError, r"steps has shape \(1, 1\)"),
        (lambda r: r.extend([0], {"saturation": [[1.0] * 3]}), KeyError, "not recorded with record='norms'"),
        (lambda r: r.field("saturation"), KeyError, "saturation is not recorded with record='norms'"),
        (lambda r: r.field("gradnorm"), KeyError, "'gradnorm' is not a field"),
        (lambda _: Recorder(["w"], "all", 1), ValueError, "'all'.*'norms', 'full' or None"),
        (lambda _: Recorder(["w"], "full", 0), ValueError, "every is 0; it must be at least 1"),
    ],
)
def test_wrong_input_is_refused_and_changes_nothing(call, error, message):
    recorder = make_recording(mode="norms")._recorder
    before = recorder.field("grad_norm")
    with pytest.raises(error, match=message):
        call(recorder)
    assert np.array_equal(recorder.field("grad_norm"), before)


# ---- reading while it grows --------------------------------------------------------------------------------


def test_reading_while_another_thread_writes():
    layers, batch, batches = 20, 50, 300
    recorder = Recorder(["w"] * layers, "norms", 1)
    recording = Recording(recorder, {})

    def write():
        for start in range(0, batch * batches, batch):
            steps = np.arange(start, start + batch)
            rows = np.repeat(steps[:, None].astype(float), layers, axis=1)
            recorder.extend(steps, {"grad_norm": rows, "delta_norm": -rows, "loss": steps})

    writer = threading.Thread(target=write)
    writer.start()
    while writer.is_alive():
        norms = recording.grad_norm
        assert np.array_equal(norms, np.repeat(np.arange(len(norms))[:, None], layers, axis=1))
        moment = copy.copy(recording)
        assert len(moment.loss) == len(moment.delta_norm) == len(moment.steps) == len(moment)
    writer.join()
    assert len(recording) == batch * batches


def test_what_was_read_does_not_change_and_does_not_change_the_record():
    recording = make_recording(mode="norms")
    norms = recording.grad_norm
    norms[:] = 7
    assert not (recording.grad_norm == 7).any()
    recording._recorder.extend([5], {})
    assert norms.shape == (5, 3)
    assert recording.grad_norm.shape == (6, 3)


# ---- copies, pickles, files --------------------------------------------------------------------------------


def save_and_load(recording, folder):
    recording.save(folder / "run.recording")
    return load_recording(folder / "run.recording")


@pytest.mark.parametrize("mode", [None, "norms", "full"])
@pytest.mark.parametrize("way", ["copy", "deepcopy", "pickle", "file"])
def test_a_copy_is_equal_and_independent(way, mode, tmp_path):
    recording = make_recording(mode=mode)
    if mode:
        recording._recorder.extend([5], {"grad_norm": [[np.nan, np.inf, 0.0]]})
    recording._recorder.append_validation(4, 0.5, 0.75)
    recording._recorder.note_nonfinite(2, "", "loss")
    ways = {
        "copy": copy.copy,
        "deepcopy": copy.deepcopy,
        "pickle": lambda original: pickle.loads(pickle.dumps(original)),
        "file": lambda original: save_and_load(original, tmp_path),
    }
    twin = ways[way](recording)
    assert_same(twin, recording)
    assert isinstance(twin.nonfinite, Nonfinite)
    rows = len(recording)
    recording._recorder.extend([6], {})
    recording._recorder.append_validation(6, 0.5, 0.75)
    recording.meta["layers"][0]["fan_in"] = 99
    assert len(twin) == rows
    assert len(twin.validation) == 1
    assert twin.meta["layers"][0]["fan_in"] == 3
    recording.meta["layers"][0]["fan_in"] = 3


# ---- tables ------------------------------------------------------------------------------------------------


def test_dataframe_has_a_row_for_each_step_and_layer():
    recording = make_recording(steps=4, layers=3)
    frame = recording.to_dataframe()
    assert len(frame) == 12
    assert list(frame.columns) == ["step", "layer", "layer_name", *FULL, *PER_STEP]
    row = frame[(frame.step == 2) & (frame.layer == 1)].iloc[0]
    assert row.layer_name == "2.weight"
    assert row.delta_norm == recording.delta_norm[2, 1]
    assert row.loss == recording.loss[2]
    assert frame.grad_nonfinite.dtype == np.int64


def test_dataframe_of_nothing_recorded():
    frame = make_recording(mode=None).to_dataframe()
    assert list(frame.columns) == ["step", "layer", "layer_name"]
    assert len(frame) == 0


def test_dataset_has_the_dimensions_and_what_was_trained():
    recording = make_recording(steps=4, layers=3, mode="norms")
    dataset = recording.to_xarray()
    assert set(dataset.data_vars) == {*NORMS, *PER_STEP}
    assert dataset.delta_norm.dims == ("step", "layer")
    assert dataset.loss.dims == ("step",)
    assert dataset.step.values.tolist() == [0, 1, 2, 3]
    assert dataset.layer_name.values.tolist() == recording.layer_names
    assert dataset.delta_norm.sel(step=2).values.tolist() == recording.delta_norm[2].tolist()
    assert dataset.attrs["loss"] == "mse"
    assert json.loads(dataset.attrs["layers"]) == META["layers"]


@pytest.mark.parametrize(("method", "package"), [("to_dataframe", "pandas"), ("to_xarray", "xarray")])
def test_a_table_without_its_package_says_what_to_install(method, package, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, package, None)
    with pytest.raises(ImportError, match=f"{package} from the lab extra: pip install 'gradiometer\\[lab\\]'"):
        getattr(make_recording(), method)()
