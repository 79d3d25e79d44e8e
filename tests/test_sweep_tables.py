"""The tables of a sweep: data frames and the xarray dataset hold what the runs recorded."""

import numpy as np
import pytest

import gradiometer as gm
from sweep_builds import VALIDATION, X, Y, build

NAMED = {"width": 8, "lr": 0.1, "loss": "cross_entropy"}


@pytest.fixture(scope="module")
def result():
    """Networks of different depths; one configuration fails."""
    grid = {"depth": [1, 3], "activation": ["relu", gm.Tanh(), "tan"], "batch_norm": [False, True]}
    return gm.sweep(NAMED, grid, X, Y, seeds=[4, 2], steps=3, batch_size=40, validation=VALIDATION)


def test_one_row_for_each_run(result):
    frame = result.to_dataframe()
    assert list(frame.columns[:5]) == ["depth", "activation", "batch_norm", "seed", "steps"]
    assert len(frame) == len(result) == 24
    assert list(frame["activation"].unique()) == ["relu", "Tanh()", "tan"]
    assert frame["batch_norm"].dtype == bool
    for (_, row), run in zip(frame.iterrows(), result, strict=True):
        assert (row["depth"], row["seed"]) == (run.parameters["depth"], run.seed)
        if run.kind == "failed":
            assert row["error"].startswith("ValueError: there is no activation 'tan'")
            assert np.isnan(row["final_loss"])
        else:
            assert row["final_loss"] == run.recording.loss[-1]
            assert row["verdict"] == run.recording.diagnose().verdict
            assert row["seconds"] > 0
            assert (row["version"], row["isa"]) == (gm.__version__, gm.info()["isa"])


def test_one_row_for_each_step_and_layer(result):
    frame = result.to_dataframe(per="layer")
    good = [run for run in result if run.kind != "failed"]
    assert len(frame) == sum(run.recording.delta_norm.size for run in good)
    assert list(frame.columns[:7]) == ["depth", "activation", "batch_norm", "seed", "step", "layer", "layer_name"]
    for run in good:
        mine = frame[
            (frame["depth"] == run.parameters["depth"])
            & (frame["activation"] == str(run.parameters["activation"]))
            & (frame["batch_norm"] == run.parameters["batch_norm"])
            & (frame["seed"] == run.seed)
        ]
        assert np.array_equal(mine["delta_norm"], run.recording.delta_norm.ravel())
        assert np.array_equal(mine["loss"], np.repeat(run.recording.loss, len(run.recording.layer_names)))


def test_the_dataset_has_an_axis_for_each_parameter(result):
    dataset = result.to_xarray()
    assert dict(dataset.sizes) == {"depth": 2, "activation": 3, "batch_norm": 2, "seed": 2, "step": 3, "layer": 4}
    assert list(dataset["activation"].values) == ["relu", "Tanh()", "tan"]
    assert list(dataset["seed"].values) == [4, 2]
    assert dataset["batch_norm"].dtype == bool
    for run in result:
        one = dataset.sel(
            depth=run.parameters["depth"],
            activation=str(run.parameters["activation"]),
            batch_norm=run.parameters["batch_norm"],
            seed=run.seed,
        )
        assert one["error"].item() == (run.outcome.error or "")
        if run.kind == "failed":
            assert np.isnan(one["delta_norm"]).all()
            continue
        layers = len(run.recording.layer_names)
        assert np.array_equal(one["delta_norm"][:, :layers], run.recording.delta_norm)
        assert np.isnan(one["delta_norm"][:, layers:]).all()
        assert np.array_equal(one["loss"], run.recording.loss)
        assert one["validation_loss"].item() == run.outcome.validation_loss
        assert one["verdict"].item() == run.outcome.verdict


def test_only_some_fields(result):
    dataset = result.to_xarray(["delta_norm"])
    assert "delta_norm" in dataset
    assert "grad_norm" not in dataset
    assert dict(result.to_xarray([]).sizes) == {"depth": 2, "activation": 3, "batch_norm": 2, "seed": 2}
    with pytest.raises(AttributeError, match=r'saturation was not recorded: .* use Trainer\(..., record="full"\)'):
        result.to_xarray(["saturation"])
    with pytest.raises(AttributeError, match="no attribute 'delta'"):
        result.to_xarray(["delta"])
    with pytest.raises(ValueError, match="per must be one of 'run', 'layer', not 'step'"):
        result.to_dataframe(per="step")


def test_a_parameter_keeps_its_name():
    result = gm.sweep({"width": 8, "depth": 1}, {"lr": [0.1, 0.2]}, X, Y, steps=2)
    dataset = result.to_xarray()
    assert list(dataset["lr"].values) == [0.1, 0.2]
    assert np.array_equal(dataset["recorded_lr"].sel(lr=0.2).squeeze(), [0.2, 0.2])
    frame = result.to_dataframe(per="layer")
    assert np.array_equal(frame["lr"], frame["recorded_lr"])
    assert list(dataset["layer_name"].values) == ["0.weight", "2.weight"]


def test_configurations_that_fill_no_grid():
    grid = [{"depth": 1}, {"depth": 2, "dropout": 0.5}, {"depth": 2, "dropout": 0.25}]
    dataset = gm.sweep(build, grid, X, Y, seeds=2, steps=2).to_xarray(["delta_norm"])
    assert dict(dataset.sizes) == {"configuration": 3, "seed": 2, "step": 2, "layer": 3}
    assert list(dataset["depth"].values) == [1, 2, 2]
    assert list(dataset["dropout"].values) == ["None", "0.5", "0.25"]


def test_runs_that_record_other_steps():
    result = gm.sweep({**NAMED, "depth": 1}, {"record_every": [2, 3]}, X, Y, steps=7)
    dataset = result.to_xarray(["loss"])
    assert list(dataset["step"].values) == [0, 2, 3, 4, 6]
    recorded = ~np.isnan(dataset["loss"].squeeze().values)
    assert recorded.tolist() == [[True, True, False, True, True], [True, False, True, False, True]]


def test_full_recordings():
    result = gm.sweep({**NAMED, "record": "full"}, {"depth": [1, 2], "batch_norm": [True]}, X, Y, steps=2)
    dataset = result.to_xarray()
    assert set(result[0].recording._recorder.fields()) <= set(dataset.data_vars)
    assert dataset["grad_nonfinite"].sel(depth=2).max() == 0


def test_nothing_ran():
    result = gm.sweep(NAMED, {"depth": [-1]}, X, Y, steps=2)
    assert len(result.to_dataframe()) == 1
    assert len(result.to_dataframe(per="layer")) == 0
    assert result.to_xarray()["error"].item().startswith("ValueError: depth must be at least 0")
