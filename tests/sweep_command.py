"""What the tests of ``gradiometer sweep`` share: a file, changes of it, and the command."""

import numpy as np
import typer
from typer.testing import CliRunner

from gradiometer.sweeps import commands

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


def written(folder):
    """The path of the file, with its data beside it."""
    chance = np.random.default_rng(0)
    y = np.arange(60) % 3
    np.savez(folder / "small.npz", X=chance.normal(size=(60, 5)) + y[:, None], y=y)
    (folder / "sweep.toml").write_text(FILE)
    return folder / "sweep.toml"


def change(file, old, new):
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))
