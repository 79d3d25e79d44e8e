"""The command ``gradiometer claims``."""

import json
import subprocess
import sys

import pytest
import typer
from typer.testing import CliRunner

from gradiometer.claims import commands
from gradiometer.claims.catalogue import CLAIMS

app = typer.Typer()
app.command()(commands.claims)


@pytest.fixture
def run(monkeypatch):
    """Call the command; only two cheap claims are there for those that ask for all."""

    def call(*arguments, names=("sigmoid-vanishes", "zero-at-zero")):
        monkeypatch.setattr(commands, "CLAIMS", {name: CLAIMS[name] for name in names})
        monkeypatch.setenv("COLUMNS", "100")
        return CliRunner().invoke(app, [str(argument) for argument in arguments])

    return call


def test_one_claim_is_shown_in_full(run):
    result = run("--only", "zero-at-zero", "--seeds", 2)
    assert result.exit_code == 0
    assert CLAIMS["zero-at-zero"].statement in result.stdout
    assert "no if the slope at zero is zero, and the gradient must vanish" in result.stdout
    assert "0 of 2" in result.stdout
    assert "does not hold" in result.stdout


def test_all_claims_have_one_row_each(run):
    result = run("--seeds", 2)
    assert result.exit_code == 0
    table = result.stdout[result.stdout.index("the notes say") :]
    assert "Sigmoid makes gradients vanish." in table
    assert "holds only if the weights start" in table
    assert "does not hold" in table


def test_the_page_its_figures_and_its_pictures_are_written_and_are_the_same_again(run, tmp_path):
    contents = []
    for folder in (tmp_path / "one", tmp_path / "two"):
        folder.mkdir()
        result = run("--seeds", 2, "--write", folder / "page.md", "--json", folder / "copy.json")
        assert result.exit_code == 0, result.stderr
        contents.append({str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*.*")})
    assert contents[0] == contents[1]
    assert set(contents[0]) == {
        "copy.json",
        "page.json",
        "page.md",
        "pictures/claims/sigmoid-vanishes.png",
        "pictures/claims/zero-at-zero.png",
    }
    assert contents[0]["copy.json"] == contents[0]["page.json"]
    assert b"[page.json](page.json)" in contents[0]["page.md"]
    assert b"gradiometer claims --only zero-at-zero --seeds 2" in contents[0]["page.md"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--only", "unicorns"], "there is no claim 'unicorns'; known: sigmoid-vanishes, zero-at-zero"),
        (["--only", "zero-at-zero", "--write", "page.md"], "leave out --only"),
        (["--write", "page.html"], "must be a file that ends with .md, not page.html"),
        (["--write", "nowhere/page.md"], "there is no folder nowhere"),
        (["--json", "nowhere/numbers.json"], "there is no folder nowhere"),
        (["--json", "."], "is a folder"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_done_is_said_before_anything_is_measured(run, monkeypatch, tmp_path, arguments, message):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(commands, "Laboratory", None)
    result = run(*arguments)
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())


def test_ctrl_c_has_the_exit_code_of_shells(run, monkeypatch):
    def interrupted(_seeds):
        raise KeyboardInterrupt

    monkeypatch.setattr(commands, "Laboratory", interrupted)
    assert run("--seeds", 2).exit_code == 130


def test_json_on_the_standard_output_is_alone_there():
    """Through the real entry point."""
    done = subprocess.run(
        [sys.executable, "-m", "gradiometer.cli", "claims", "--only", "zero-at-zero", "--seeds", "2", "--json", "-"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    claim = json.loads(done.stdout)["claims"]["zero-at-zero"]
    assert claim["verdict"] == "does not hold"
    assert [case["confirms"] for case in claim["cases"]] == [False, False]
    assert "does not hold" in done.stderr
