"""What `gm.sweep` refuses, before any run and before it makes a store."""

import numpy as np
import pytest

import gradiometer as gm
from sweep_builds import VALIDATION, X, Y, build

NAMED = {"depth": 1, "width": 4, "lr": 0.1}
BAD = X.copy()
BAD[3, 2] = np.nan


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        # the grid
        ({"grid": 3}, TypeError, "grid must be a dict of lists of values, or a list of dicts, not 3"),
        ({"grid": []}, ValueError, "grid must hold at least one configuration, but it is empty"),
        ({"grid": [3]}, TypeError, r"grid\[0\] must be a dict of names and values, not 3"),
        ({"grid": {"depth": 3}}, TypeError, r"grid\['depth'\] must be a list of values, not 3"),
        ({"grid": {"depth": "123"}}, TypeError, r"grid\['depth'\] must be a list of values, not '123'"),
        ({"grid": {"depth": []}}, ValueError, r"grid\['depth'\] must hold at least one value"),
        ({"grid": {3: [1]}}, TypeError, "grid must have names of parameters, such as 'depth', not 3"),
        ({"grid": {"a b": [1]}}, TypeError, "grid must have names of parameters, such as 'depth', not 'a b'"),
        ({"grid": {"seed": [1]}}, ValueError, "grid has the name 'seed', .*; the seeds are in seeds="),
        ({"grid": {"verdict": [1]}}, ValueError, "grid has the name 'verdict', which the table of results uses itself"),
        ({"grid": {"step": [1]}}, ValueError, "grid has the name 'step'"),
        ({"grid": {"depth": [1, 2, 1]}}, ValueError, "grid holds the configuration depth=1 twice"),
        ({"grid": [{"depth": 1}, {"depth": 1}]}, ValueError, "grid holds the configuration depth=1 twice"),
        ({"grid": {"activation": [lambda z: z]}}, TypeError, r"grid\['activation'\]\[0\] must be a number, a string, "),
        (
            {"grid": {"init": [np.ones((2, 2))]}},
            TypeError,
            r"grid\['init'\]\[0\] must be .* not an array of shape \(2, 2\); give it a name",
        ),
        ({"grid": {"layer_": [gm.Dense(3, init=np.ones((3, 6)))]}}, TypeError, r"\[0\].init.array must be a number"),
        ({"grid": {"optimizer": [gm.SGD(lambda step: 0.1)]}}, TypeError, r"\[0\].lr must be a number"),  # noqa: ARG005
        ({"grid": [{"widths": [1, {}]}]}, TypeError, r"grid\[0\]\['widths'\]\[1\] must be a number"),
        ({"grid": {"depth": [gm.Tanh]}}, TypeError, r"grid\['depth'\]\[0\] must be a number"),
        # seeds and steps
        ({"seeds": 0}, ValueError, "seeds must be at least 1, not 0"),
        ({"seeds": []}, ValueError, "seeds must hold at least one seed"),
        ({"seeds": [1, -1]}, ValueError, r"seeds\[1\] must be at least 0, not -1"),
        ({"seeds": [1, 2, 1]}, ValueError, "seeds must be different ones, but 1 is there 2 times"),
        ({"seeds": 1.5}, TypeError, "seeds must be an integer, not 1.5"),
        ({"seeds": "12"}, TypeError, "seeds must be a number or a list of integers, not '12'"),
        ({"seeds": [2**63]}, ValueError, r"seeds\[0\] must be at most"),
        ({"steps": 0}, ValueError, "steps must be at least 1, not 0"),
        ({"steps": 2.0}, TypeError, "steps must be an integer, not 2.0"),
        ({"batch_size": 0}, ValueError, "batch_size must be at least 1, not 0"),
        ({"grid": {"depth": [1], "batch_size": [8, 0]}}, ValueError, "batch_size must be at least 1, not 0"),
        ({"grid": {"depth": [1], "batch_size": ["8"]}}, TypeError, "batch_size must be an integer, not '8'"),
        ({"shuffle": 1}, TypeError, "shuffle must be a bool, not 1"),
        ({"progress": 1}, TypeError, "progress must be a bool, not 1"),
        ({"retry_failed": 1}, TypeError, "retry_failed must be a bool, not 1"),
        # data
        ({"X": X[:, 0]}, ValueError, r"X must have the shape \(rows, in_features\), not \(97,\)"),
        ({"X": X[:0], "y": Y[:0]}, ValueError, r"X must hold at least one number, but its shape is \(0, 6\)"),
        ({"X": X[:5]}, ValueError, "X has 5 rows but y has 97"),
        ({"X": [[1.0], [1.0, 2.0]]}, TypeError, "X must be an array of numbers, not list"),
        ({"X": X.astype(str)}, TypeError, "X must hold numbers, not <U"),
        ({"y": Y.astype(object)}, TypeError, "y must hold numbers, not object"),
        ({"y": Y[:, None, None]}, ValueError, r"y must have the shape \(rows,\) or \(rows, out_features\)"),
        ({"validation": VALIDATION[0]}, TypeError, r"validation must be a pair \(X, y\), not ndarray"),
        ({"validation": (X,)}, ValueError, r"validation must be \(X, y\), but it has length 1"),
        ({"validation": (X[:, :2], Y)}, ValueError, r"X has 6 columns but validation\[0\] has 2"),
        ({"validation": (X[:3], Y)}, ValueError, r"validation\[0\] has 3 rows but validation\[1\] has 97"),
        # build
        ({"build": 3}, TypeError, "build must be a function, a dict of settings that all runs share, or None, not 3"),
        ({"build": build(depth=1, seed=0)}, TypeError, "build must be a function that returns a new trainer"),
        # names
        ({"build": {**NAMED, "seed": 1}}, ValueError, "build has the name 'seed'; the seeds are in seeds="),
        ({"build": {**NAMED, "batch_size": 1}}, ValueError, "build has the name 'batch_size', which is an argument"),
        ({"build": {"width": [4, {}]}}, TypeError, r"build\['width'\]\[1\] must be a number"),
        ({"build": None}, ValueError, "width is missing: give it in the grid, or to all runs in build"),
        ({"build": {"width": 4}}, ValueError, "lr is missing: give it in the grid"),
        ({"build": {**NAMED, "dept": 4}}, ValueError, "there is no parameter 'dept'; known: activation, .*, width"),
        ({"build": {**NAMED, "betas": (0, 0)}}, ValueError, "betas is no setting of the optimizer 'sgd'"),
        ({"build": {**NAMED, "optimizer": "lion"}}, ValueError, "optimizer must be one of sgd, adam, .*, not 'lion'"),
        ({"build": {**NAMED, "optimizer": gm.Adam()}}, ValueError, r"lr is no setting of Adam\("),
        ({"build": {**NAMED, "init": "normal", "sigma_w": 1.0}}, ValueError, "sigma_w=1.0 and init='normal' exclude"),
        ({"build": NAMED, "y": Y + 0.5}, TypeError, 'y must hold integer labels for loss="cross_entropy"'),
        ({"build": NAMED, "X": BAD}, ValueError, r"X must be finite, but X\[3, 2\] is nan"),
    ],
)
def test_refused(tmp_path, change, error, message):
    call = {"build": build, "grid": {"depth": [1]}, "X": X, "y": Y, "steps": 1, **change}
    with pytest.raises(error, match=message):
        gm.sweep(store=tmp_path / "runs.sqlite", **call)
    assert list(tmp_path.iterdir()) == []


def test_a_store_is_named_by_a_path():
    with pytest.raises(TypeError, match=r"store must be a path .*, not 3"):
        gm.sweep(NAMED, {"depth": [1]}, X, Y, steps=1, store=3)
    with pytest.raises(TypeError, match=r"path must be a path .*, not None"):
        gm.load_sweep(None)


def test_values_that_the_library_refuses_fail_their_runs_alone():
    result = gm.sweep(NAMED, {"activation": ["tanh", "tan", 3], "lr": [0.1, -0.1]}, X, Y, steps=1)
    right, rate, name, name_and_rate, number, number_and_rate = (run.outcome.error for run in result)
    assert right is None
    assert rate == name_and_rate == number_and_rate == "ValueError: lr must be at least 0, not -0.1"
    assert name.startswith("ValueError: there is no activation 'tan'")
    assert number == "TypeError: activation must be a name or an activation layer, not int"


def test_data_that_are_not_finite_on_purpose():
    result = gm.sweep({**NAMED, "allow_nonfinite": True}, {}, BAD, Y, steps=1)
    assert [run.kind for run in result] == ["non-finite"]
