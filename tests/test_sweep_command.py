"""``gradiometer sweep``: from a file to the table, everything a file can have wrong, Ctrl-C, the live view."""

import io
import re
import subprocess
import sys
from html import unescape
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner

import gradiometer as gm
from gradiometer.sweeps import call, commands, display, terminal

TOP = Path(__file__).parents[1]
FILE = """
[data]
file = "small.npz"
[network]
width = 8
[train]
steps = 4
seeds = 2
batch_size = 16
lr = 0.1
[grid]
depth = [1, 3]
activation = ["relu", "tanh"]
"""


def invoke(*arguments, columns=120, report=False):
    """Most of the tests are faster without a report."""
    arguments = [*arguments, *([] if report else ["--no-report"])]
    app = typer.Typer(rich_markup_mode="markdown", pretty_exceptions_enable=False)
    app.command()(commands.sweep)
    return CliRunner().invoke(app, [str(each) for each in arguments], env={"COLUMNS": str(columns), "NO_COLOR": "1"})


@pytest.fixture
def file(tmp_path):
    chance = np.random.default_rng(0)
    y = np.arange(60) % 3
    np.savez(tmp_path / "small.npz", X=chance.normal(size=(60, 5)) + y[:, None], y=y)
    (tmp_path / "sweep.toml").write_text(FILE)
    return tmp_path / "sweep.toml"


def change(file, old, new):
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


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


# ---- what is refused, before any run ----


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[network]", "[network", "sweep.toml is not a TOML file: "),
        ("[network]", "[net]", "sweep.toml has the unknown section 'net'; known: data, grid, network, output, train"),
        ("[data]", "data = 3\n[output]", "sweep.toml: [data] must be a section of keys and values, not 3"),
        ("width = 8", "width = 8\nsize = 3", "sweep.toml: [network] has the unknown key 'size'; known: activation, "),
        ("width = 8", "lr = 8", "sweep.toml: [network] has the unknown key 'lr'"),
        ("lr = 0.1", "learning_rate = 0.1", "sweep.toml: [train] has the unknown key 'learning_rate'"),
        ("lr = 0.1", 'lr = 0.1\nloss = "mse"', "sweep.toml: [train] has the unknown key 'loss'"),
        ("depth = ", "deep = ", "sweep.toml: [grid] has the unknown key 'deep'"),
        ("depth = [1, 3]", "depth = 3", "grid['depth'] must be a list of values, not 3"),
        ("depth = [1, 3]", "steps = [1, 3]", "sweep.toml: [grid] has the unknown key 'steps'"),
        ("depth = [1, 3]", "", "depth is missing"),
        (FILE[FILE.index("[grid]") :], "", "depth is missing"),
        ("[grid]\n", "[other]\n", "unknown section 'other'"),
        ("steps = 4", "", "sweep.toml: [train] must say how many steps: steps = 200"),
        ("steps = 4", 'steps = "4"', "sweep.toml: [train] steps must be an integer, not '4'"),
        ("steps = 4", "steps = 0", "sweep.toml: [train] steps must be at least 1, not 0"),
        ("seeds = 2", "seeds = []", "sweep.toml: [train] seeds must hold at least one seed"),
        ("seeds = 2", 'seeds = "2"', "sweep.toml: [train] seeds must be a number or a list of integers, not '2'"),
        ("batch_size = 16", "batch_size = 1.5", "sweep.toml: [train] batch_size must be an integer, not 1.5"),
        ("batch_size = 16", "shuffle = 1", "sweep.toml: [train] shuffle must be a bool, not 1"),
        ("batch_size = 16", "betas = [0, 0]", "betas is no setting of the optimizer 'sgd'"),
        ("lr = 0.1", "lr = 1979-05-27", "build['lr'] must be a number"),
        ('file = "small.npz"', 'file = "absent.csv"', "absent.csv does not exist"),
        ('file = "small.npz"', "file = 3", "sweep.toml: file must be a str, not 3"),
        ('file = "small.npz"', 'path = "small.npz"', "sweep.toml: [data] has the unknown key 'path'"),
        ('file = "small.npz"', 'target = "y"', "[data] target names a column of the table in file; there is no file"),
        ("[network]", '[output]\ntable = "runs.txt"\n[network]', "must end with .csv or .parquet, not '.txt'"),
        ("[network]", '[output]\ntable = "no/runs.csv"\n[network]', "cannot be written: there is no folder"),
        ("[network]", '[output]\nstore = "no/runs.sqlite"\n[network]', "cannot be made: there is no folder"),
    ],
)
def test_files_with_something_wrong(file, monkeypatch, old, new, message):
    monkeypatch.setattr(call, "run_all", lambda *_: pytest.fail("ran all the same"))
    change(file, old, new)
    result = invoke(file)
    assert result.exit_code == 2, result.output
    assert message in result.output
    assert "error: " in result.output
    assert not list(file.parent.glob("*.sqlite"))


def test_files_that_cannot_be_read(tmp_path):
    (tmp_path / "latin.toml").write_bytes(b"# caf\xe9")
    for path, message in (
        (tmp_path / "absent.toml", "absent.toml does not exist"),
        (tmp_path, "is not a file"),
        (tmp_path / "latin.toml", "latin.toml is not text in UTF-8"),
    ):
        result = invoke(path)
        assert (result.exit_code, message in result.output) == (2, True), result.output


def test_another_sweep_in_the_store(file):
    invoke(file)
    change(file, "steps = 4", "steps = 5")
    result = invoke(file)
    assert result.exit_code == 2
    assert "holds another sweep: steps is 4 there and 5 here. Give each its own store" in result.output


# ---- while it runs ----


@pytest.mark.parametrize("at", [0, 3])
def test_interrupted(file, monkeypatch, at):
    run_all = call.run_all

    def interrupted(*arguments):
        for number, done in enumerate(run_all(*arguments)):
            if number == at:
                raise KeyboardInterrupt
            yield done

    monkeypatch.setattr(call, "run_all", interrupted)
    result = invoke(file)
    assert result.exit_code == 130
    assert "Interrupted. What was finished is in" in result.output
    assert f"{at} runs: " in result.output
    monkeypatch.undo()
    assert "8 runs: 8 healthy" in invoke(file).output


@pytest.mark.parametrize("ascii_only", [False, True])
def test_the_live_view(file, ascii_only):
    change(file, 'activation = ["relu", "tanh"]', 'activation = ["relu", "tan"]')
    invoke(file)
    runs = gm.load_sweep(file.with_name("sweep.sqlite"))
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii" if ascii_only else "utf-8")
    console = Console(file=stream, force_terminal=True, width=100, color_system=None, legacy_windows=False)
    with terminal.live_view(console) as report:
        for done, run in enumerate(runs, start=1):
            report(run, done, len(runs))
    stream.flush()
    shown = stream.buffer.getvalue().decode()
    assert "8/8" in shown
    assert re.search(r"healthy +4 +[█#]{15} ", shown)
    assert re.search(r"failed +4 +[█#]{15} ", shown)
    assert re.search(r"best so far: depth=\d, activation='relu', seed \d: accuracy \d\.\d+, validation loss", shown)
    assert "last error: ValueError: there is no activation 'tan'" in shown
    assert shown.isascii() == ascii_only


@pytest.mark.parametrize("width", [40, 60, 100])
@pytest.mark.parametrize("ascii_only", [False, True])
def test_the_table_fits_the_terminal(file, width, ascii_only):
    invoke(file)
    runs = gm.load_sweep(file.with_name("sweep.sqlite"))
    made, left_out = terminal.final_table(runs, 3, width=width, ascii_only=ascii_only)
    console = Console(width=width, color_system=None, record=True, file=io.StringIO())
    console.print(made)
    text = console.export_text()
    assert max(map(len, text.splitlines())) <= width
    assert left_out == 1
    assert "healthy" in text
    assert ("loss" in text) == (width >= 60)
    assert text.isascii() or not ascii_only
