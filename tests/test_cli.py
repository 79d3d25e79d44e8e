"""The command line: the lab from options to picture, every refused option, Ctrl-C."""

import re
import sys

import numpy as np
import pytest
from typer.testing import CliRunner

import gradiometer as gm
from gradiometer import cli
from gradiometer.lab import commands
from gradiometer.lab.training import train

SMALL = ["--depth", "2", "--width", "8", "--epochs", "2"]
OPTIONS = [
    "data",
    "target",
    "out",
    "report",
    "no-report",
    "depth",
    "width",
    "activation",
    "init",
    "batch-norm",
    "dropout",
    "clip",
]
OPTIONS += ["clip", "optimizer", "lr", "epochs", "batch-size", "seed"]
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
    report = (tmp_path / "picture.html").read_text("utf-8")
    assert f"The report is in {tmp_path / 'picture.html'}" in result.output
    for name in NAMES:
        assert f'<th scope="row">{name}</th>' in report
    assert "How the gradient travels back through 2 layers of 8 units (small.npz)" in report
    assert sorted(file.name for file in tmp_path.iterdir()) == ["picture.html", "picture.png", "small.npz"]
    assert "\x1b" not in result.output


def test_lab_is_repeatable(small_file, tmp_path):
    def numbers():
        options = ["--data", str(small_file), "--out", str(tmp_path / "a.svg"), "--no-report", "--lr", "0.05", *SMALL]
        output = invoke("lab", *options).output
        words = " ".join(output.split())  # the width of the table depends on the steps/s
        return re.sub(r" \d+ (?=healthy|vanishing|exploding|dead|non-finite)", " ", words)  # which are no part of it

    assert numbers() == numbers()


def test_the_report_can_be_named_or_left_out(small_file, tmp_path):
    common = ["--data", str(small_file), "--out", str(tmp_path / "a.svg"), "--lr", "0.05", *SMALL]
    assert invoke("lab", *common, "--no-report").exit_code == 0
    assert not list(tmp_path.glob("*.html"))
    result = invoke("lab", *common, "--report", str(tmp_path / "named.htm"))
    assert result.exit_code == 0, result.output
    assert [path.name for path in tmp_path.glob("*.htm*")] == ["named.htm"]
    accuracy = re.search(r"\nsick +\S+ +\S+ +\S+ +(\d\.\d+) ", result.output)[1]
    assert f'<td class="number">{100 * float(accuracy):.1f} %</td>' in (tmp_path / "named.htm").read_text("utf-8")


@pytest.mark.parametrize("suffix", ["pdf", "svg"])
def test_other_formats_of_the_picture(small_file, tmp_path, suffix):
    picture = tmp_path / f"picture.{suffix}"
    result = invoke("lab", "--data", str(small_file), "--out", str(picture), "--no-report", "--lr", "0.05", *SMALL)
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
        ("--report page.pdf", "must end with .html, .htm, not '.pdf'"),
        ("--report nowhere/page.html", "there is no folder nowhere"),
        ("--report page.html --no-report", "--report names a page and --no-report wants none; give one of them"),
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


@pytest.mark.parametrize("package", ["typer", "rich", "matplotlib", "sklearn", "bokeh", "jinja2"])
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
    assert not picture.with_suffix(".html").exists()
