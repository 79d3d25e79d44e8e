"""``gradiometer sweep`` in a terminal: Ctrl-C, the live view, and a table that fits."""

import io
import re

import pytest
from rich.console import Console

import gradiometer as gm
from gradiometer.sweeps import call, terminal
from sweep_command import change, invoke, written


@pytest.fixture
def file(tmp_path):
    return written(tmp_path)


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
