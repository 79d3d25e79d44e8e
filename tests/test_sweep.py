"""`gm.sweep`: the bits of training one by one, builds from functions and from names, seeds, failing runs."""

import subprocess
import sys

import numpy as np
import pytest

import gradiometer as gm
from gradiometer import _core
from sweep_builds import VALIDATION, X, Y, assert_same_bits, build

pytestmark = pytest.mark.usefixtures("restore_threads")

GRID = {"depth": [1, 4], "batch_norm": [False, True]}


def by_hand(trainer, *, steps, batch_size, shuffle=True):
    """Take the steps that `fit` takes, one by one; a last single row joins the batch before it under batch norm."""
    rows, joins = len(X), any(isinstance(layer, gm.BatchNorm) for layer in trainer.net.layers)
    epoch, begin = -1, rows
    for _ in range(steps):
        if begin >= rows:
            epoch, begin = epoch + 1, 0
            order = _core.draw_permutation(trainer.state_dict()["seed"], epoch, rows) if shuffle else np.arange(rows)
        end = min(begin + batch_size, rows)
        end = rows if joins and end == rows - 1 else end
        trainer.step(X[order[begin:end]], Y[order[begin:end]])
        begin = end
    return trainer


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize(
    ("steps", "batch_size", "shuffle"),
    [
        (1, 32, True),
        (7, 32, True),  # 97 rows: the last batch has one, which joins the one before it where there is batch norm
        (8, 32, True),
        (10, 20, False),
        (3, 97, True),
        (5, 500, True),
    ],
)
def test_the_bits_are_those_of_step_after_step(threads, steps, batch_size, shuffle):
    gm.set_num_threads(threads)
    result = gm.sweep(
        build, GRID, X, Y, seeds=2, steps=steps, batch_size=batch_size, shuffle=shuffle, validation=VALIDATION
    )
    assert len(result) == 8
    for run in result:
        expected = by_hand(build(**run.parameters, seed=run.seed), steps=steps, batch_size=batch_size, shuffle=shuffle)
        for field in ("grad_norm", "delta_norm", "loss", "total_norm"):
            assert np.array_equal(getattr(run.recording, field), getattr(expected.recording, field)), field
        figures = expected.evaluate(*VALIDATION)  # after the last update
        assert (run.outcome.validation_loss, run.outcome.validation_accuracy) == (figures["loss"], figures["accuracy"])
        diagnosis = expected.recording.diagnose()
        assert (run.outcome.verdict, run.outcome.delta_slope) == (diagnosis.verdict, diagnosis.delta_slope)
        assert run.outcome.final_loss == expected.recording.loss[-1]
        assert run.outcome.steps == steps
        assert run.outcome.error is None


def test_a_whole_number_of_epochs_is_fit():
    run = gm.sweep(build, {"depth": [2]}, X, Y, steps=15, batch_size=20)[0]
    expected = build(depth=2, seed=0).fit(X, Y, epochs=3, batch_size=20)
    assert np.array_equal(run.recording.grad_norm, expected.grad_norm)


def test_the_order_is_that_of_the_grid():
    result = gm.sweep(build, GRID, X, Y, seeds=[7, 3], steps=1)
    assert [(*run.parameters.values(), run.seed) for run in result] == [
        (depth, norm, seed) for depth in (1, 4) for norm in (False, True) for seed in (7, 3)
    ]
    assert [run.seed for run in result[:2]] == [7, 3]


def test_configurations_one_by_one():
    result = gm.sweep(build, [{"depth": 3}, {"depth": 1, "activation": gm.LeakyReLU(0.2)}], X, Y, steps=2)
    assert [run.parameters for run in result] == [{"depth": 3}, {"depth": 1, "activation": gm.LeakyReLU(0.2)}]
    expected = by_hand(build(depth=1, activation=gm.LeakyReLU(0.2), seed=0), steps=2, batch_size=128)
    assert np.array_equal(result[1].recording.delta_norm, expected.recording.delta_norm)


def test_no_grid_is_one_configuration():
    assert [run.parameters for run in gm.sweep(lambda seed: build(depth=1, seed=seed), {}, X, Y, steps=1)] == [{}]


def test_numpy_values_become_pythons_own():
    seen = []

    def spy(seed, **parameters):
        seen.append(parameters)
        return build(depth=1, seed=seed)

    gm.sweep(spy, {"scale": np.linspace(0, 1, 2), "size": np.array([3]), "on": [np.True_]}, X, Y, steps=1)
    assert seen == [{"scale": 0.0, "size": 3, "on": True}, {"scale": 1.0, "size": 3, "on": True}]
    assert {type(value) for value in seen[0].values()} == {float, int, bool}


def test_the_batch_size_may_be_in_the_grid():
    result = gm.sweep(build, {"batch_size": [10, 50], "depth": [2]}, X, Y, steps=4)
    for run in result:
        expected = by_hand(build(depth=2, seed=0), steps=4, batch_size=run.parameters["batch_size"])
        assert np.array_equal(run.recording.grad_norm, expected.recording.grad_norm)


# ---- from names ----


def test_a_build_from_names_is_the_function_that_it_stands_for():
    settings = {"width": 8, "dropout": 0.1, "optimizer": "adam", "clip": 0.5, "record": "full"}
    named = gm.sweep(settings, {"depth": [1, 3], "lr": [0.1, 0.01]}, X, Y, seeds=2, steps=5, validation=VALIDATION)

    def function(depth, lr, seed):
        net = gm.mlp(6, 3, depth=depth, width=8, dropout=0.1, seed=seed)
        optimizer, clip = gm.Adam(lr=lr), gm.ClipNorm(0.5)
        return gm.Trainer(net, loss="cross_entropy", optimizer=optimizer, clip=clip, record="full", seed=seed)

    assert named.failed == []
    assert_same_bits(
        named, gm.sweep(function, {"depth": [1, 3], "lr": [0.1, 0.01]}, X, Y, seeds=2, steps=5, validation=VALIDATION)
    )


def test_sigma_w_is_the_scale_of_the_weights():
    result = gm.sweep({"depth": 1, "width": 400, "lr": 0.0, "record": "full"}, {"sigma_w": [0.5, 2.0]}, X, Y, steps=1)
    for run in result:
        # ‖W‖ of a (400, 6) weight with entries of deviation σ_w / √6 is σ_w √400, give or take 1/√(2 · 2400) = 1.4 %
        assert run.recording.weight_norm[0, 0] == pytest.approx(run.parameters["sigma_w"] * 20, rel=0.06)


@pytest.mark.parametrize("loss", ["mse", "bce_with_logits"])
def test_a_regression_from_names(loss):
    targets = np.abs(X[:, :2]).clip(0, 1)
    result = gm.sweep({"depth": 1, "width": 8, "loss": loss, "lr": 0.1}, {}, X, targets, steps=2)
    assert result.failed == []
    assert result[0].recording.layer_names == ["0.weight", "2.weight"]
    assert gm.sweep({"depth": 1, "width": 8, "loss": loss, "lr": 0.1}, {}, X, targets[:, 0], steps=2).failed == []


def test_labels_that_only_the_validation_rows_have():
    many = (VALIDATION[0], VALIDATION[1] + 5)
    result = gm.sweep({"depth": 1, "width": 8, "lr": 0.1}, {}, X, Y, steps=2, validation=many)
    assert result.failed == []


# ---- runs that fail, or are not judged ----


def failing(*, depth, seed):
    if depth == 2:
        raise RuntimeError("no such depth")
    return build(depth=depth, seed=seed)


def test_a_failing_build_does_not_stop_the_others():
    result = gm.sweep(failing, {"depth": [1, 2, 3]}, X, Y, seeds=2, steps=3)
    assert [run.kind == "failed" for run in result] == [False, False, True, True, False, False]
    assert result.failed == result[2:4]
    run = result[2]
    assert run.outcome.error == "RuntimeError: no such depth"
    assert 'raise RuntimeError("no such depth")' in run.traceback
    assert run.recording is None
    assert run.outcome.steps == 0
    assert result[0].traceback is None
    assert repr(result) == "SweepResult of 6 runs in memory: 4 healthy, 2 failed"


def test_what_a_failing_run_recorded_is_kept():
    def explosive(*, scale, seed):
        net = gm.mlp(6, 3, depth=3, width=8, init=gm.init.kaiming_normal(gain=scale), seed=seed)
        return gm.Trainer(net, loss="mse", optimizer=gm.SGD(lr=1e3), on_nonfinite="raise", seed=seed)

    run = gm.sweep(explosive, {"scale": [2.0]}, X, X[:, :3], steps=60)[0]
    assert run.outcome.error.startswith("gradiometer.NonFiniteError: ")
    assert run.outcome.verdict == "non-finite"
    assert run.kind == "failed"
    assert 0 < len(run.recording) < 60


def test_stopping_at_a_nan_is_no_failure():
    settings = {"depth": 3, "width": 8, "loss": "mse", "sigma_w": 2.0, "lr": 1e3, "on_nonfinite": "stop"}
    (run,) = gm.sweep(settings, {}, X, X[:, :3], steps=60)
    assert run.outcome.error is None
    assert run.kind == "non-finite"
    assert run.outcome.steps == len(run.recording) < 60


def test_without_a_recording_there_is_no_verdict():
    settings = {"depth": 1, "width": 8, "lr": 0.1, "record": None}
    (run,) = gm.sweep(settings, {}, X, Y, steps=3, validation=VALIDATION)
    assert run.kind == "not judged"
    assert np.isnan(run.outcome.final_loss)
    assert np.isfinite(run.outcome.validation_loss)


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        (lambda seed: "a trainer", "TypeError: build must return a gradiometer.Trainer, not 'a trainer'"),  # noqa: ARG005
        (lambda: None, "TypeError: "),
    ],
)
def test_what_build_may_not_do(wrong, error):
    (run,) = gm.sweep(wrong, {}, X, Y, steps=1)
    assert run.outcome.error.startswith(error)


def test_build_must_make_new_ones():
    net, trained = gm.mlp(6, 3, depth=1, width=8, seed=0), build(depth=1, seed=0)
    trained.step(X, Y)
    for make in (
        lambda seed: gm.Trainer(net, loss="cross_entropy", optimizer=gm.SGD(lr=0.1), seed=seed),
        lambda seed: trained,  # noqa: ARG005
    ):
        *_, run = gm.sweep(make, {}, X, Y, seeds=2, steps=1).failed
        assert run.outcome.error.startswith("ValueError: build must make a new network and a new trainer for each run")


# ---- what is shown, and what is imported ----


def test_progress(capsys):
    gm.sweep(failing, {"depth": [1, 2]}, X, Y, steps=1, progress=True)
    assert "1 healthy, 1 failed" in capsys.readouterr().out.replace("1 failed, 1 healthy", "1 healthy, 1 failed")


def test_without_the_lab_extra(monkeypatch):
    result = gm.sweep(build, {"depth": [1]}, X, Y, steps=1)
    for package in ("rich", "pandas", "xarray"):
        monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=r"progress=True needs the lab extra: pip install 'gradiometer\[lab\]'"):
        gm.sweep(build, {"depth": [1]}, X, Y, steps=1, progress=True)
    with pytest.raises(ImportError, match=r"to_dataframe needs pandas from the lab extra"):
        result.to_dataframe()
    with pytest.raises(ImportError, match=r"to_dataframe needs pandas from the lab extra"):
        result.to_dataframe(per="layer")
    with pytest.raises(ImportError, match=r"to_xarray needs xarray from the lab extra"):
        result.to_xarray()


def test_a_sweep_needs_numpy_alone():
    code = (
        "import sys, gradiometer as gm, numpy as np\n"
        "assert not any(name.startswith('gradiometer.sweeps') for name in sys.modules)\n"
        "gm.sweep({'depth': 1, 'width': 4, 'lr': 0.1}, {}, np.ones((9, 2)), np.arange(9) % 2, steps=2)\n"
        "found = {'joblib', 'cloudpickle', 'pandas', 'xarray', 'rich', 'typer', 'sklearn'} & set(sys.modules)\n"
        "assert not found, found\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
