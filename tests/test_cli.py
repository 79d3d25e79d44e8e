"""The command line: the lab from options to picture, every refused option, Ctrl-C, what is printed."""

import io
import math
import re
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from rich.console import Console
from typer.testing import CliRunner

import gradiometer as gm
from gradiometer import cli
from gradiometer.lab import commands, terminal, training
from gradiometer.lab.balance import balanced_scale
from gradiometer.lab.data import digits, prepare
from gradiometer.lab.experiments import Architecture, Experiment, experiments
from gradiometer.lab.training import Cosine, Settings, search, train

SMALL = ["--depth", "2", "--width", "8", "--epochs", "2"]
OPTIONS = ["data", "target", "out", "depth", "width", "activation", "init", "batch-norm", "dropout", "clip"]
OPTIONS += ["optimizer", "lr", "epochs", "batch-size", "seed"]
NAMES = [
    "sick",
    "ReLU, fitting init",
    "better init alone",
    "batch norm",
    "dropout",
    "clipping",
    "all together",
    "weights too large",
    "too large, clipped",
]


def invoke(*arguments, columns=120):
    return CliRunner().invoke(commands.app, list(arguments), env={"COLUMNS": str(columns), "NO_COLOR": "1"})


@pytest.fixture
def small_file(tmp_path):
    chance = np.random.default_rng(0)
    y = np.arange(60) % 3
    path = tmp_path / "small.npz"
    np.savez(path, X=chance.normal(size=(60, 5)) + y[:, None], y=y)
    return path


@pytest.fixture
def small_data():
    chance = np.random.default_rng(0)
    y = np.arange(60) % 3
    return prepare("small", chance.normal(size=(60, 5)) + y[:, None], y)


# ---- the commands ----


def test_version():
    result = invoke("--version")
    assert (result.exit_code, result.output) == (0, f"gradiometer {gm.__version__}\n")


def test_info():
    result = invoke("info")
    assert result.exit_code == 0
    assert re.search(rf"isa +{gm.info()['isa']}", result.output)
    assert re.search(rf"threads +{gm.info()['threads']}", result.output)


def test_help_names_every_option():
    result = invoke("lab", "--help")
    assert result.exit_code == 0
    for option in OPTIONS:
        assert f"--{option}" in result.output


def test_lab_from_options_to_picture(small_file, tmp_path):
    picture = tmp_path / "picture.png"
    picture.write_text("an old one")
    result = invoke("lab", "--data", str(small_file), "--out", str(picture), "--lr", "0.05", *SMALL)
    assert result.exit_code == 0, result.output
    assert "small.npz: 48 rows to train, 12 to validate, 5 features, 3 classes" in result.output
    verdicts, comparison = result.output.split("first ÷")
    for name in NAMES:
        assert f"\n{name} (" in verdicts
        row = re.search(rf"\n{name} +[+-]\d\.\d\d ", comparison)
        assert row, name
    assert "at the start" in verdicts
    assert re.search(r"[▁▂▃▄▅▆▇█]", verdicts)
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["picture.png", "small.npz"]
    assert "\x1b" not in result.output


def test_lab_is_repeatable(small_file, tmp_path):
    def numbers():
        options = ["--data", str(small_file), "--out", str(tmp_path / "a.svg"), "--lr", "0.05", *SMALL]
        output = invoke("lab", *options).output
        words = " ".join(output.split())  # the width of the table depends on the steps/s
        return re.sub(r" \d+ (?=healthy|vanishing|exploding|dead|non-finite)", " ", words)  # which are no part of it

    assert numbers() == numbers()


@pytest.mark.parametrize("suffix", ["pdf", "svg"])
def test_other_formats_of_the_picture(small_file, tmp_path, suffix):
    picture = tmp_path / f"picture.{suffix}"
    result = invoke("lab", "--data", str(small_file), "--out", str(picture), "--lr", "0.05", *SMALL)
    assert result.exit_code == 0, result.output
    assert picture.stat().st_size > 1000


def test_every_option_at_once(small_file, tmp_path):
    options = "--depth 3 --width 7 --activation tanh --init 1.5 --batch-norm --dropout 0.1 --clip 2"
    rest = (
        f"--optimizer adam --lr 0.01 --epochs 1 --batch-size 7 --seed 4 --out {tmp_path / 'a.svg'} --data {small_file}"
    )
    result = invoke("lab", *options.split(), *rest.split())
    assert result.exit_code == 0, result.output
    assert "sick (3 × 7 tanh, σ_w = 1.5, batch norm, dropout 0.1, clip 2)" in result.output
    assert "\nbatch norm (" not in result.output  # it has that already


# ---- what is refused, before any training ----


@pytest.fixture
def no_training(monkeypatch):
    monkeypatch.setattr(commands, "train", lambda *_: pytest.fail("trained all the same"))


@pytest.mark.usefixtures("no_training")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--data absent.csv", "error: absent.csv does not exist"),
        ("--data data.txt", "must be a .npz, .csv or .parquet file, not '.txt'"),
        ("--target label", "--target names a column of the table that --data gives"),
        ("--out picture.jpeg", "must end with .png, .pdf, .svg, not '.jpeg'"),
        ("--out nowhere/picture.png", "there is no folder nowhere"),
        ("--activation reul", "reul"),
        ("--init xavier", "xavier"),
        ("--init -1", "--init must be a name or a sigma_w above 0, not -1"),
        ("--init nan", "--init must be a name or a sigma_w above 0, not nan"),
        (
            "--optimizer lion",
            "--optimizer must be one of sgd, momentum, nesterov, adam, adamw, rmsprop, not 'lion'",
        ),
        ("--dropout 1", "--dropout must be from 0 to below 1, not 1"),
        ("--dropout nan", "--dropout must be from 0 to below 1, not nan"),
        ("--clip 0", "--clip must be a number above 0, not 0"),
        ("--clip inf", "--clip must be a number above 0, not inf"),
        ("--lr -0.1", "--lr must be a number above 0, not -0.1"),
        ("--lr nan", "--lr must be a number above 0, not nan"),
    ],
)
def test_refused_options(options, message):
    result = invoke("lab", *options.split())
    assert result.exit_code == 2
    assert message in result.output
    assert result.output.startswith("error: ")


@pytest.mark.usefixtures("no_training")
@pytest.mark.parametrize("option", ["--depth 0", "--width 0", "--epochs 0", "--batch-size 1", "--seed -1", "--depth x"])
def test_numbers_out_of_range(option):
    result = invoke("lab", *option.split())
    assert result.exit_code == 2
    assert option.split()[0] in result.output


@pytest.mark.usefixtures("no_training")
def test_a_picture_that_is_a_folder(tmp_path):
    (tmp_path / "picture.png").mkdir()
    result = invoke("lab", "--out", str(tmp_path / "picture.png"))
    assert result.exit_code == 2
    assert "is a folder" in result.output


@pytest.mark.usefixtures("no_training")
def test_a_folder_that_cannot_be_written(monkeypatch, tmp_path):
    def refuse(**_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.NamedTemporaryFile", refuse)
    result = invoke("lab", "--out", str(tmp_path / "picture.png"))
    assert result.exit_code == 2
    assert "picture.png cannot be written: Permission denied" in result.output


@pytest.mark.parametrize("package", ["typer", "rich", "matplotlib", "sklearn"])
def test_without_the_lab_extra(package, monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    for name in list(sys.modules):
        if name.partition(".")[0] == package or name.startswith("gradiometer.lab"):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.setattr(sys, "argv", ["gradiometer", "lab"])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert stopped.value.code == 2
    expected = f"error: the command line needs {package}, from the lab extra: pip install 'gradiometer[lab]'\n"
    assert capsys.readouterr().err == expected


# ---- Ctrl-C ----


@pytest.mark.parametrize("finished", [0, 2])
def test_interrupted(finished, monkeypatch, small_file, tmp_path):
    def interrupted(experiment, *rest):
        if experiment.name == NAMES[finished]:
            raise KeyboardInterrupt
        return train(experiment, *rest)

    monkeypatch.setattr(commands, "train", interrupted)
    picture = tmp_path / "picture.png"
    result = invoke("lab", "--data", str(small_file), "--out", str(picture), "--lr", "0.05", *SMALL)
    assert result.exit_code == 130
    assert f"Interrupted; {finished} networks were finished." in result.output
    assert ("verdict" in result.output) == (finished > 0)
    if finished:
        comparison = result.output.split("first ÷")[1]
        assert [name for name in NAMES if name in comparison] == NAMES[:finished]
    assert not picture.exists()


# ---- the parts ----


def test_experiments_change_one_thing_each():
    sick = Architecture()
    chosen = {experiment.name: experiment.architecture for experiment in experiments(sick, balanced=8.0)}
    assert list(chosen) == NAMES
    assert chosen["sick"] == sick
    assert (chosen["ReLU, fitting init"].activation, chosen["ReLU, fitting init"].init) == (
        "relu",
        "kaiming_normal",
    )
    assert chosen["better init alone"].activation == "sigmoid"
    cured = chosen["all together"]
    assert cured.activation == "relu"
    assert cured.batch_norm
    assert cured.dropout > 0
    assert cured.clip
    assert all(experiment.depth == 20 for experiment in chosen.values())


def test_the_network_that_is_built():
    network = Architecture(2, 8, "tanh", 1.5, batch_norm=True, dropout=0.1).network(5, 3, seed=0)
    kinds = [type(layer).__name__ for layer in network.layers]
    assert kinds == ["Dense", "BatchNorm", "Tanh", "Dropout"] * 2 + ["Dense"]
    assert network.predict(np.zeros((4, 5), np.float32)).shape == (4, 3)


def test_sigma_w_is_the_scale_of_the_weights():
    weights = Architecture(1, 200, "relu", 1.5).network(300, 3, seed=0).state_dict()
    assert weights["0.weight"].std() * math.sqrt(300) == pytest.approx(1.5, rel=0.02)


@pytest.mark.parametrize(("activation", "expected"), [("relu", math.sqrt(2)), ("identity", 1.0)])
def test_the_balanced_scale_is_what_theory_says(activation, expected):
    scale = balanced_scale(Architecture(20, 128, activation), digits(), seed=0)
    assert scale == pytest.approx(expected, rel=0.06)


def test_the_schedule_falls_from_its_peak_to_zero():
    schedule = Cosine(0.3, 100)
    assert (schedule(0), schedule(50)) == (0.3, pytest.approx(0.15))
    assert [schedule(100), schedule(1000)] == pytest.approx([0, 0])


def test_the_search_prefers_accuracy_then_a_low_loss(monkeypatch, small_data):
    scores = dict(
        zip(
            training.RATES,
            [(0.1, -2.3), (0.4, -9.0), (0.4, -2.0), (0.3, -1.0), (-1.0, -math.inf)],
            strict=False,
        )
    )
    monkeypatch.setattr(training, "_trial", lambda *arguments: scores.get(arguments[-1], (0.0, -5.0)))
    assert search(Architecture(), small_data, Settings()) == training.RATES[2]


def test_the_search_goes_far_down_where_all_diverge(small_data):
    explosive = Architecture(30, 16, "relu", 8.0)
    tried = []
    rate = search(explosive, small_data, Settings(epochs=2), tried=lambda: tried.append(1))
    assert rate in training.LAST_RESORT
    assert len(tried) == len(training.RATES) + len(training.LAST_RESORT)


def test_adaptive_optimizers_are_searched_lower(monkeypatch, small_data):
    seen = []
    monkeypatch.setattr(training, "_trial", lambda *arguments: (0.5, -float(seen.append(arguments[-1]) or 1)))
    search(Architecture(), small_data, Settings(optimizer="adam"))
    assert seen == pytest.approx([rate / 10 for rate in training.RATES])


def test_a_given_rate_is_not_searched(small_data):
    assert search(Architecture(), small_data, Settings(lr=0.123)) == 0.123


def test_what_the_lab_promises():
    """On the digits: the sick network vanishes, the cured one learns, too large weights explode."""
    data, settings = digits(), Settings()
    found = {experiment.name: experiment for experiment in experiments(Architecture(), balanced=8.0)}

    def run(name):
        experiment = found[name]
        return train(experiment, data, settings, search(experiment.architecture, data, settings))

    sick, cured, large = run("sick"), run("all together"), run("weights too large")
    assert sick.diagnosis.verdict == "vanishing"
    assert sick.slope < -0.4
    assert sick.accuracy < 0.3
    assert cured.diagnosis.verdict == "healthy"
    assert cured.accuracy >= 0.93
    assert large.diagnosis.verdict in ("exploding", "non-finite")


# ---- what is printed ----


def heights(values, low, high, **options):
    """Return the height of every bar in eighths of a line."""
    lines = terminal.bars(np.array(values), low, high, 80, **options)
    blocks = [*terminal.BLOCKS]
    return [sum(blocks.index(line[column]) for line in lines) for column in range(0, len(lines[0]), 2)]


def test_bars_are_logarithmic():
    assert heights([1e-8, 1e-6, 1e-4, 1e-2, 1.0], -8, 0) == [1, 8, 16, 24, 32]


def test_bars_show_what_has_no_logarithm():
    lines = terminal.bars(np.array([0.0, np.nan, np.inf, 1.0]), -4, 0, 4)
    assert lines[0] == " !!█"
    assert lines[-1] == "0  █"


@pytest.mark.parametrize(("layers", "across", "columns"), [(21, 60, 42), (21, 30, 21), (100, 30, 30), (2, 1, 1)])
def test_bars_fit_where_they_must(layers, across, columns):
    assert {len(line) for line in terminal.bars(np.ones(layers), -3, 3, across)} == {columns}


def test_bars_in_ascii():
    assert all(line.isascii() for line in terminal.bars(np.logspace(-9, 0, 21), -9, 0, 60, ascii_only=True))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1e-13, 0.5], (-13, 0)),
        ([0.5, 2.0], (-3, 3)),
        ([0.0, np.nan], (-6, 0)),
        ([5e-324, 1e300], (-324, 300)),
    ],
)
def test_axis(values, expected):
    assert terminal.axis(np.array(values)) == expected


def some_run(name="sick", verdict="vanishing"):
    diagnosis = SimpleNamespace(verdict=verdict)
    return SimpleNamespace(
        experiment=Experiment(name, Architecture()),
        diagnosis=diagnosis,
        slope=-0.63,
        first_over_last=3e-13,
        loss=123456.0,
        accuracy=0.1,
        lr=0.001,
        steps_per_second=12345.0,
    )


@pytest.mark.parametrize("width", [40, 60, 80, 120])
@pytest.mark.parametrize("ascii_only", [False, True])
def test_the_table_fits_the_terminal(width, ascii_only):
    runs = [some_run(), some_run("too large, clipped", "non-finite")]
    console = Console(width=width, color_system=None, record=True, file=io.StringIO())
    console.print(terminal.table(runs, width=width, ascii_only=ascii_only))
    text = console.export_text()
    assert max(map(len, text.splitlines())) <= width
    for word in ("sick", "clipped", "-0.63", "0.100", "vanishing", "non-finite"):
        assert word in text
    assert text.isascii() or not ascii_only
    assert ("12345" in text) == (width >= 70)
