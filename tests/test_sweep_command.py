"""``gradiometer sweep``: from a file to the table, the report and the store."""

import re
import subprocess
import sys
from html import unescape
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import gradiometer as gm
from gradiometer.sweeps import call, display
from sweep_command import FILE, change, invoke, written

TOP = Path(__file__).parents[1]


@pytest.fixture
def file(tmp_path):
    return written(tmp_path)


def test_from_the_file_to_the_table(file, monkeypatch):
    monkeypatch.chdir("/")  # paths are relative to the file, not to the current folder
    result = invoke(file)
    assert result.exit_code == 0, result.output
    assert "small.npz: 48 rows to train, 12 to validate, 5 features, 3 classes" in result.output
    assert "4 steps in batches of 16, 2 seeds" in result.output
    assert re.search(r"depth +activation +acc\. +loss +/layer +verdicts", result.output)
    for depth in (1, 3):
        for activation in ("relu", "tanh"):
            assert re.search(rf"\n{depth} +{activation} +\d\.\d+ ± \d\.\d+ .*healthy", result.output)
    assert "8 runs: 8 healthy" in result.output
    assert f"are in {file.with_name('sweep.sqlite')}" in result.output
    assert "\x1b" not in result.output


def test_the_runs_are_those_of_gm_sweep(file):
    invoke(file)
    data = gm.lab.data.prepare(
        "small", **{name.lower(): value for name, value in np.load(file.parent / "small.npz").items()}
    )
    expected = gm.sweep(
        {"width": 8, "lr": 0.1},
        {"depth": [1, 3], "activation": ["relu", "tanh"]},
        data.train_x,
        data.train_y,
        seeds=2,
        steps=4,
        batch_size=16,
        validation=(data.validation_x, data.validation_y),
    )
    found = gm.load_sweep(file.with_name("sweep.sqlite"))
    assert found.to_dataframe().drop(columns="seconds").equals(expected.to_dataframe().drop(columns="seconds"))


def test_the_best_comes_first(file):
    change(file, "depth = [1, 3]", "depth = [1]\nlr = [0.0, 0.3]")
    change(file, "steps = 4", "steps = 60")
    change(file, "\nlr = 0.1\n", "\n")
    output = invoke(file).output
    rows = re.findall(r"\n1 +(0\.\d) +(?:relu|tanh) +(\d\.\d+) ", output)
    assert [rate for rate, _ in rows] == ["0.3", "0.3", "0.0", "0.0"]
    accuracies = [float(accuracy) for _, accuracy in rows]
    assert accuracies == sorted(accuracies, reverse=True)
    short = invoke(file, "--rows", 1).output
    assert "and 3 more configurations" in short


def test_again_runs_nothing(file, monkeypatch):
    first = invoke(file)
    monkeypatch.setattr(
        call, "run_all", lambda _plan, _data, tasks: iter(()) if not tasks else pytest.fail("ran again")
    )
    assert invoke(file).output == first.output


def rows_of(page):
    """Names of the runs in the first table; the rows of others are layers."""
    return re.findall(r'<th scope="row">([^<]*, seed \d+)</th>', page.read_text("utf-8"))


def test_a_report_compares_the_configurations_best_first(file):
    change(file, "depth = [1, 3]", "depth = [1]\nlr = [0.0, 0.3]")
    change(file, "steps = 4", "steps = 60")
    change(file, "\nlr = 0.1\n", "\n")
    result = invoke(file, report=True)
    assert result.exit_code == 0, result.output
    page = file.with_name("gradiometer-sweep.html")
    assert f"The report is in {page}: open it in a browser" in result.output
    names = rows_of(page)
    assert [re.search(r"lr=(0\.\d)", name)[1] for name in names] == ["0.3", "0.3", "0.0", "0.0"]
    assert all(name.endswith(", seed 0") for name in names)  # the first of both
    assert "<title>The sweep of sweep.toml</title>" in page.read_text("utf-8")
    best = gm.load_sweep(file.with_name("sweep.sqlite"))[2]  # the accuracy of each is that of its run
    assert f"{100 * best.outcome.validation_accuracy:.1f} %" in page.read_text("utf-8")


def test_a_report_of_many_configurations_shows_some_from_the_best_to_the_worst(file):
    change(file, "depth = [1, 3]", f"depth = [1]\nlr = {[round(0.01 * i, 2) for i in range(20)]}")
    change(file, "\nlr = 0.1\n", "\n")
    change(file, "seeds = 2", "seeds = 1")
    result = invoke(file, "--report", file.with_name("chosen.htm"), report=True)
    assert "chosen.htm (24 of 40 configurations, from the best to the worst): open it" in result.output
    names = rows_of(file.with_name("chosen.htm"))
    ordered = [str(group[0]) for group in display.ranked(gm.load_sweep(file.with_name("sweep.sqlite")))]
    assert len(names) == 24
    assert [unescape(names[place]) for place in (0, -1)] == [ordered[0], ordered[-1]]
    assert not file.with_name("gradiometer-sweep.html").exists()


def test_no_report_where_nothing_was_recorded_or_none_is_wanted(file):
    invoke(file)
    change(file, 'activation = ["relu", "tanh"]', 'activation = ["tan"]')
    assert "There is no report: no run has gradients" in invoke(file, report=True).output
    assert not file.with_name("gradiometer-sweep.html").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--report", "page.pdf"], "must end with .html, .htm, not '.pdf'"),
        (["--report", "no/page.html"], "there is no folder no"),
        (["--report", "page.html", "--no-report"], "give one of them"),
    ],
)
def test_reports_that_cannot_be_written_are_refused_before_any_run(file, monkeypatch, options, message):
    monkeypatch.setattr(call, "run_all", lambda *_: pytest.fail("ran all the same"))
    result = invoke(file, *options, report=True)
    assert (result.exit_code, message in result.output) == (2, True), result.output


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_table_of_all_runs(file, suffix):
    file.write_text(FILE + f'[output]\nstore = "other.sqlite"\ntable = "runs.{suffix}"\n')
    result = invoke(file)
    assert result.exit_code == 0, result.output
    table = file.with_name(f"runs.{suffix}")
    frame = pd.read_csv(table) if suffix == "csv" else pd.read_parquet(table)
    assert list(frame["depth"]) == [1, 1, 1, 1, 3, 3, 3, 3]
    assert list(frame["verdict"]) == ["healthy"] * 8
    assert f"The table of all runs is in {table}" in result.output
    assert file.with_name("other.sqlite").exists()
    assert invoke(file, "--table", file.with_name("more.csv"), "--store", file.with_name("third.sqlite")).exit_code == 0
    assert len(pd.read_csv(file.with_name("more.csv"))) == 8
    assert file.with_name("third.sqlite").exists()


def test_configurations_one_by_one(file):
    change(
        file,
        FILE[FILE.index("[grid]") :],
        '[[grid]]\ndepth = 1\n[[grid]]\ndepth = 2\nsigma_w = 1.5\noptimizer = "adam"\n',
    )
    result = invoke(file)
    assert result.exit_code == 0, result.output
    assert re.search(r"\n2 +1\.5 +adam ", result.output)


def test_runs_that_fail(file):
    change(file, 'activation = ["relu", "tanh"]', 'activation = ["relu", "tan"]')
    result = invoke(file)
    assert result.exit_code == 0
    assert "8 runs: 4 healthy, 4 failed" in result.output
    assert "failed, for example: depth=3, activation='tan', seed 1: ValueError: there is no activation" in result.output
    change(file, 'activation = ["relu", "tan"]', 'activation = ["tan"]')
    assert invoke(file).exit_code == 1
    assert "4 runs: 4 failed" in invoke(file, "--retry-failed").output


def test_the_example(tmp_path):
    """Its networks made smaller; the file is otherwise the one of the documentation."""
    text = (TOP / "examples" / "sweep.toml").read_text("utf-8")
    for old, new in (("width = 64", "width = 8"), ("steps = 100", "steps = 2"), ("seeds = 5 ", "seeds = 1 ")):
        assert old in text
        text = text.replace(old, new)
    (tmp_path / "sweep.toml").write_text(text, "utf-8")
    result = invoke(tmp_path / "sweep.toml")
    assert result.exit_code == 0, result.output
    assert "24 runs: " in result.output


def test_the_installed_command(file):
    done = subprocess.run(
        [sys.executable, "-m", "gradiometer.cli", "sweep", str(file)], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert "8 runs: 8 healthy" in done.stdout
    assert len(rows_of(file.with_name("gradiometer-sweep.html"))) == 4
