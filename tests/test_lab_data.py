"""The data of the lab: what is accepted, how it is prepared, and every way a file can be wrong."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from gradiometer.lab.data import DataError, digits, prepare
from gradiometer.lab.files import read

ROWS = 40


def good_arrays():
    """What `prepare` takes."""
    return {"x": np.random.default_rng(3).normal(2.0, 5.0, (ROWS, 3)), "y": np.arange(ROWS) % 2}


def good_file():
    """The same under the names that a file uses."""
    arrays = good_arrays()
    return {"X": arrays["x"], "y": arrays["y"]}


def good_table():
    arrays = good_arrays()
    return pd.DataFrame({"a": arrays["x"][:, 0], "b": arrays["x"][:, 1], "target": arrays["y"]})


def archive(tmp_path, **arrays):
    path = tmp_path / "data.npz"
    np.savez(path, **arrays)
    return path


def csv(tmp_path, table):
    path = tmp_path / "data.csv"
    table.to_csv(path, index=False)
    return path


# ---- what comes out ----


def test_digits_are_the_real_images_split_and_standardised():
    data = digits()
    assert len(data.train_x) + len(data.validation_x) == 1797
    assert 0.19 < len(data.validation_x) / 1797 < 0.21
    assert (data.features, data.classes) == (64, [str(k) for k in range(10)])
    assert data.train_x.dtype == np.float32
    np.testing.assert_allclose(data.train_x.mean(axis=0), 0, atol=1e-5)
    deviations = data.train_x.std(axis=0)
    np.testing.assert_allclose(deviations[deviations > 0], 1, atol=1e-4)
    shares = np.bincount(data.validation_y) / np.bincount(np.concatenate([data.train_y, data.validation_y]))
    assert np.all(np.abs(shares - 0.2) < 0.01)
    assert str(data) == "digits: 1438 rows to train, 359 to validate, 64 features, 10 classes"


def test_the_held_out_rows_are_always_the_same():
    np.testing.assert_array_equal(digits().validation_x, digits().validation_x)


def test_validation_is_scaled_by_the_training_rows():
    arrays = good_arrays()
    shifted = arrays["x"] + 100
    data = prepare("arrays", **arrays, x_val=shifted, y_val=arrays["y"])
    expected = (shifted - arrays["x"].mean(axis=0)) / arrays["x"].std(axis=0)
    np.testing.assert_allclose(data.validation_x, expected, rtol=1e-5)
    assert len(data.train_x) == ROWS


def test_a_constant_column_becomes_zero():
    arrays = good_arrays()
    arrays["x"][:, 1] = 0.1
    data = prepare("arrays", **arrays)
    assert np.all(data.train_x[:, 1] == 0)
    assert np.all(data.validation_x[:, 1] == 0)


@pytest.mark.parametrize("scale", [1e-300, 1e-30, 1e30, 1e300])
def test_any_scale_of_the_features_is_fine(scale):
    arrays = good_arrays()
    plain = prepare("arrays", **arrays)
    scaled = prepare("arrays", arrays["x"] * scale, arrays["y"])
    np.testing.assert_allclose(scaled.train_x, plain.train_x, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (["cat", "dog"], ["cat", "dog"]),
        ([7, -2], ["-2", "7"]),
        ([True, False], ["False", "True"]),
        (np.array([3, 5], dtype=np.uint8), ["3", "5"]),
    ],
)
def test_labels_are_encoded(labels, classes):
    arrays = good_arrays()
    y = np.asarray(labels)[arrays["y"]]
    data = prepare("arrays", arrays["x"], y, arrays["x"], y)
    assert data.classes == classes
    assert [data.classes[k] for k in data.train_y] == [str(label) for label in y]
    np.testing.assert_array_equal(data.validation_y, data.train_y)


def test_a_class_with_one_row_stays_in_training():
    arrays = good_arrays()
    arrays["y"][5] = 9
    data = prepare("arrays", **arrays)
    assert 2 in data.train_y
    assert 2 not in data.validation_y


@pytest.mark.parametrize("suffix", ["npz", "csv", "parquet"])
def test_every_format_gives_the_same_data(tmp_path, suffix):
    arrays = good_arrays()
    path = tmp_path / f"data.{suffix}"
    table = pd.DataFrame(arrays["x"], columns=list("abc")).assign(label=arrays["y"])
    if suffix == "npz":
        np.savez(path, **good_file())
    elif suffix == "csv":
        table.to_csv(path, index=False)
    else:
        table.to_parquet(path)
    data, expected = read(path), prepare("arrays", **arrays)
    np.testing.assert_allclose(data.train_x, expected.train_x, rtol=1e-6)
    np.testing.assert_array_equal(data.validation_y, expected.validation_y)
    assert data.name == f"data.{suffix}"


@pytest.mark.parametrize(("names", "target"), [("ab", None), ("ya", None), ("ab", "a")])
def test_the_column_of_labels(tmp_path, names, target):
    """The given one; else target, label or y, wherever it stands; else the last."""
    arrays = good_arrays()
    labels_first = target == "a" or names[0] == "y"
    columns = [arrays["y"], arrays["x"][:, 0]] if labels_first else [arrays["x"][:, 0], arrays["y"]]
    path = csv(tmp_path, pd.DataFrame(dict(zip(names, columns, strict=True))))
    assert read(path, target).classes == ["0", "1"]


@pytest.mark.parametrize("dtype", ["str", "category", "bool", "Int64"])
def test_the_kinds_of_a_label_column(tmp_path, dtype):
    table = good_table()
    table["target"] = table["target"].astype(dtype)
    path = tmp_path / "data.parquet"
    table.to_parquet(path)
    assert len(read(path).classes) == 2


def test_a_csv_whose_columns_are_numbered_is_fine(tmp_path):
    arrays = good_arrays()
    table = pd.DataFrame(np.column_stack([arrays["x"], arrays["y"]])).astype({3: int})
    assert read(csv(tmp_path, table)).features == 3


# ---- every way a file can be wrong ----


def test_missing_file(tmp_path):
    with pytest.raises(DataError, match=r"absent\.csv does not exist"):
        read(tmp_path / "absent.csv")


def test_a_folder(tmp_path):
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(DataError, match=r"folder\.csv is not a file"):
        read(tmp_path / "folder.csv")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(tmp_path):
    path = archive(tmp_path, **good_file())
    path.chmod(0)
    with pytest.raises(DataError, match="may not be read"):
        read(path)


@pytest.mark.parametrize("name", ["data.txt", "data"])
def test_unknown_suffix(name):
    with pytest.raises(DataError, match=r"must be a \.npz, \.csv or \.parquet file, not"):
        read(Path(name))


@pytest.mark.parametrize("suffix", ["npz", "parquet"])
@pytest.mark.parametrize("content", [b"", b"nonsense", b"PK\x03\x04nonsense", b"PAR1nonsense"])
def test_damaged_binary_file(tmp_path, suffix, content):
    path = tmp_path / f"data.{suffix}"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"or damaged|cannot be read as a Parquet file"):
        read(path)


def test_truncated_archive(tmp_path):
    path = archive(tmp_path, **good_file())
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(DataError, match="damaged"):
        read(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a table"),
        (b"a,b\n1,2\n1,2,3,4\n", "not a table"),
        (b"\xff\xfe\x00a,b\n1,2\n", "not text in UTF-8"),
        (b"1.5,2.5,0\n1,2,1\n", "first line must name the columns"),
    ],
)
def test_damaged_csv(tmp_path, content, message):
    path = tmp_path / "data.csv"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        read(path)


def test_an_npy_file_is_not_an_archive(tmp_path):
    path = tmp_path / "data.npz"
    with path.open("wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(DataError, match="a single array"):
        read(path)


@pytest.mark.parametrize("missing", ["X", "y"])
def test_missing_arrays(tmp_path, missing):
    arrays = good_file()
    arrays[missing.lower() + "1"] = arrays.pop(missing)
    with pytest.raises(DataError, match=f"arrays X and y; {missing} is missing, found: .*{missing.lower()}1"):
        read(archive(tmp_path, **arrays))


def test_python_objects_are_not_unpickled(tmp_path):
    arrays = good_file()
    with pytest.raises(DataError, match="holds Python objects"):
        read(archive(tmp_path, X=arrays["X"], y=arrays["y"].astype(object)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"X": np.zeros(ROWS)}, r"X must have two dimensions \(rows, features\), not the shape \(40,\)"),
        ({"X": np.zeros((ROWS, 2, 2))}, r"not the shape \(40, 2, 2\); flatten each image .*reshape"),
        ({"X": np.zeros((ROWS, 0))}, "X has no columns"),
        ({"X": np.zeros((ROWS, 2), dtype=complex)}, "X must hold real numbers, not complex128"),
        ({"X": np.full((ROWS, 2), "a")}, "X must hold real numbers, not <U1"),
        ({"y": np.zeros((ROWS, 2), dtype=int)}, r"y must have one dimension .*not the shape \(40, 2\)"),
        ({"y": np.arange(ROWS) / 2}, r"y must hold integers or strings .*not float64"),
        ({"y": np.arange(ROWS - 1) % 2}, "X has 40 rows but .*y has 39 labels"),
        ({"y": np.full(ROWS, 7)}, r"one class only \(7\)"),
        ({"X": np.zeros((5, 2)), "y": np.arange(5) % 2}, "5 rows are too few, 10 are needed"),
        ({"X": np.zeros((0, 2)), "y": np.arange(0)}, "0 rows are too few"),
        ({"y": np.arange(ROWS)}, "no class has the two rows"),
        ({"X_val": np.zeros((4, 3))}, "y_val is missing; give both or neither"),
        ({"y_val": np.zeros(4, dtype=int)}, "X_val is missing; give both or neither"),
        ({"X_val": np.zeros((4, 2)), "y_val": np.arange(4) % 2}, "X has 3 columns but X_val has 2"),
        ({"X_val": np.zeros((4, 3)), "y_val": np.arange(3) % 2}, "X_val has 4 rows but .*y_val has 3 labels"),
        ({"X_val": np.zeros((0, 3)), "y_val": np.arange(0)}, "X_val has no rows"),
        ({"X_val": np.zeros((4, 3)), "y_val": np.array([0, 1, 5, 0])}, "y_val has the label 5 at row 2"),
        ({"X_val": np.zeros((2, 3)), "y_val": np.array(["0", "1"])}, "y_val has the label '0' at row 0"),
    ],
)
def test_wrong_arrays(tmp_path, change, message):
    with pytest.raises(DataError, match=message):
        read(archive(tmp_path, **(good_file() | change)))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_number_that_is_not_finite_is_named_with_its_place(tmp_path, value):
    arrays = good_file()
    arrays["X"][12, 1] = value
    with pytest.raises(DataError, match=rf"X has {value} at row 12, column 1 \(counted from 0\)"):
        read(archive(tmp_path, **arrays))
    arrays["X"][20, 2] = value
    with pytest.raises(DataError, match="at row 12, column 1, and 1 more"):
        read(archive(tmp_path, **arrays))


def test_a_hole_in_a_table_is_named_with_its_place(tmp_path):
    table = good_table()
    table.loc[12, "b"] = np.nan
    with pytest.raises(DataError, match="column 'b' has nan at row 12 "):
        read(csv(tmp_path, table))


def test_a_column_of_text(tmp_path):
    table = good_table()
    table["b"] = table["b"].astype(str)
    table.loc[3, "b"] = "n/k"
    with pytest.raises(DataError, match=r"'b' must hold numbers, it has 'n/k'.*--target chooses another"):
        read(csv(tmp_path, table))


def test_missing_label_in_a_table(tmp_path):
    table = good_table().astype({"target": str})
    table.loc[7, "target"] = None
    with pytest.raises(DataError, match="label in column 'target' is missing at row 7"):
        read(csv(tmp_path, table))


def test_labels_that_are_measurements(tmp_path):
    with pytest.raises(DataError, match="'b' must be integers or strings, not float64; --target"):
        read(csv(tmp_path, good_table()), target="b")


def test_unknown_target(tmp_path):
    with pytest.raises(DataError, match=r"no column 'price' \(--target\); its columns are a, b, target"):
        read(csv(tmp_path, good_table()), target="price")


def test_target_of_an_archive(tmp_path):
    with pytest.raises(DataError, match="--target names a column of a table"):
        read(archive(tmp_path, **good_file()), target="y")


def test_a_table_of_labels_only(tmp_path):
    with pytest.raises(DataError, match="has the one column 'target'"):
        read(csv(tmp_path, good_table()[["target"]]))


def test_a_table_without_rows(tmp_path):
    with pytest.raises(DataError, match="has no rows"):
        read(csv(tmp_path, good_table()[:0]))


def test_repeated_column(tmp_path):
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    column = arrow.array(np.arange(ROWS) % 2)
    path = tmp_path / "data.parquet"
    parquet.write_table(arrow.Table.from_arrays([column] * 3, names=["a", "a", "target"]), path)
    with pytest.raises(DataError, match="cannot be read as a Parquet file"):
        read(path)
