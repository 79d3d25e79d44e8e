"""The scripts in examples/ run, and the pages that quote them or what they print quote them right."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).parents[1]
EXAMPLES = sorted((TOP / "examples").glob("*.py"))


def run(script, folder):
    done = subprocess.run([sys.executable, str(script)], cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


def blocks(page, language):
    """The fenced blocks of a Markdown page."""
    return re.findall(rf"^```{language}\n(.*?)^```", (TOP / page).read_text("utf-8"), re.DOTALL | re.MULTILINE)


def words(text):
    """The text, however its lines are broken, without numbers, which change with the instruction set."""
    return re.sub(r"[-+]?\d+(\.\d+)?(e[-+]?\d+)?", "#", text).split()


@pytest.mark.parametrize("script", EXAMPLES, ids=lambda script: script.stem)
def test_an_example_runs(script, tmp_path):
    assert run(script, tmp_path)


def test_the_first_script_is_the_readmes(tmp_path):
    script = TOP / "examples" / "first_script.py"
    (code,) = blocks("README.md", "python")
    assert script.read_text("utf-8").partition("\n\n")[2] == code
    verdict = next(block for block in blocks("README.md", "text") if block.startswith("vanishing"))
    assert words(run(script, tmp_path))[-len(words(verdict)) :] == words(verdict)
    assert (tmp_path / "first-script.png").stat().st_size > 10_000


def test_the_worked_example_prints_what_its_page_says(tmp_path):
    (table,) = blocks("docs/worked-example.md", "text")
    assert run(TOP / "examples" / "worked_example.py", tmp_path) == table


def test_the_sweep_is_its_pages():
    script = TOP / "examples" / "sweep.py"
    assert script.read_text("utf-8").partition("\n\n")[2] == blocks("docs/sweeps.md", "python")[0]
