"""The live view: what it shows, where it is only a bar, and that it holds back."""

import io
import os
import subprocess
import sys

import numpy as np
import pytest

import gradiometer as gm
from made_up_recordings import line, record

pytest.importorskip("rich")
live = pytest.importorskip("gradiometer.live")
Console = pytest.importorskip("rich.console").Console

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(60, 6)), RNG.integers(0, 3, 60)


# ---- the sparkline -----------------------------------------------------------------------------------------


def test_a_sparkline_has_a_bar_for_each_layer_on_a_log_scale():
    assert live.sparkline(10.0 ** np.arange(-7.0, 1.0)) == "▁▂▃▄▅▆▇█"
    assert live.sparkline(10.0 ** np.arange(-7.0, 1.0), ascii_only=True) == "_.-~=+*#"
    assert live.sparkline(1e-20 * 10.0 ** np.arange(-7.0, 1.0)) == "▁▂▃▄▅▆▇█"


def test_what_is_flat_looks_flat():
    assert len(set(live.sparkline(np.array([0.9, 1.0, 1.1, 1.0])))) == 1


def test_zeros_and_nan_are_seen():
    assert live.sparkline(np.array([0.0, np.nan, 1.0, np.inf, 1e-3])) == "0!█!▁"
    assert live.sparkline(np.zeros(3)) == "000"


def test_many_layers_share_columns_and_none_is_lost():
    norms = np.ones(300)
    norms[123], norms[250] = 0, np.nan
    line = live.sparkline(norms, columns=30)
    assert len(line) == 30
    assert (line.index("0"), line.index("!")) == (12, 25)


# ---- the view ----------------------------------------------------------------------------------------------


def view_of(recording, **terminal):
    console = Console(file=io.StringIO(), width=100, **terminal)
    view = live.LiveView(recording, console)
    view._due = 0.0
    return view, console


def text_of(view, console):
    with console.capture() as capture:
        for part in view.get_renderables():
            console.print(part)
    return capture.get()


def test_a_terminal_shows_loss_norm_verdict_and_layers():
    norms = np.vstack([line(0.0, 9, 40), line(-0.6, 9, 10)])
    view, console = view_of(record(norms, total_norm=2.5, clip_coefficient=0.25, loss=1.0), force_terminal=True)
    view.show(1, 3, 5, 20, 0.4567)
    shown = text_of(view, console)
    assert "epoch 1/3" in shown
    assert "5/60" in shown
    assert "loss 0.4567" in shown
    assert "norm 2.50e+00" in shown
    assert "clipped by 2.5e-01" in shown
    assert "vanishing" in shown  # of the latest steps; the run as a whole was healthy
    assert live.sparkline(norms[-1]) in shown


def test_a_file_or_a_notebook_gets_a_plain_bar():
    for terminal in ({"force_terminal": False}, {"force_terminal": True, "force_jupyter": True}):
        view, _ = view_of(record(line(-0.6)), **terminal)
        view._describe = None  # would fail if it were called
        view.show(1, 1, 5, 20, 0.4567)


def test_before_anything_is_recorded_there_is_only_the_bar():
    run = gm.Trainer(
        gm.mlp(6, 3, depth=2, width=5, seed=0), loss="cross_entropy", optimizer=gm.SGD(lr=0.1), record=None
    )
    view, console = view_of(run.recording, force_terminal=True)
    view.show(1, 1, 5, 20, 0.4567)
    assert "norm" not in text_of(view, console)


def test_nan_of_the_latest_step_is_told():
    norms = line(0.0, 5)
    norms[-1, 2] = np.nan
    view, console = view_of(record(norms, nonfinite=(29, "4.weight", "gradient")), force_terminal=True)
    view.show(1, 1, 5, 20, np.nan)
    assert "non-finite" in text_of(view, console)
    assert "!" in text_of(view, console)


def test_it_waits_in_proportion_to_what_an_update_takes_but_shows_the_end(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(live.time, "perf_counter", lambda: now[0])
    view, _ = view_of(record(line(0.0)), force_terminal=True)
    drawn = []

    def refresh():
        drawn.append(now[0])
        now[0] += 0.02  # seconds that an update takes

    monkeypatch.setattr(view, "refresh", refresh)
    for step in range(1, 2051):
        view.show(1, 1, step, 2050, 1.0)
        now[0] += 0.01
    assert drawn[1] - drawn[0] == pytest.approx(0.02 / live.SHARE, rel=0.01)
    assert len(drawn) == 5  # in 20.5 s: every 6.7 s, and the end


def test_reading_the_latest_steps_leaves_the_others_alone():
    recording = record(line(-0.1, 4, 30, 0.1))
    latest = recording._latest(10)
    assert latest.steps.tolist() == list(range(20, 30))
    assert np.array_equal(latest.delta_norm, recording.delta_norm[20:])
    assert len(recording._latest(99)) == 30
    with pytest.raises(IndexError, match="begin is 31; it must be from 0 to 30"):
        recording._recorder.field("loss", 31)


# ---- in fit ------------------------------------------------------------------------------------------------

PROGRAM = """
import numpy as np, gradiometer as gm
rng = np.random.default_rng(0)
net = gm.mlp(6, 3, depth=12, width=8, activation="sigmoid", init="xavier_normal", seed=0)
trainer = gm.Trainer(net, loss="cross_entropy", optimizer=gm.SGD(lr=0.1), seed=0)
trainer.fit(rng.normal(size=(60, 6)), rng.integers(0, 3, 60), epochs=3, batch_size=10, progress=True)
"""


def test_in_a_terminal_it_is_live():
    pty = pytest.importorskip("pty")
    leader, follower = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "100", "PYTHONIOENCODING": "utf-8"}
    with subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=follower, stderr=follower, env=environment) as run:
        os.close(follower)
        shown = b""
        while True:
            try:
                part = os.read(leader, 65536)
            except OSError:  # the other side is closed
                break
            if not part:
                break
            shown += part
    os.close(leader)
    text = shown.decode()
    assert run.returncode == 0, text
    for word in ("epoch 3/3", "18/18", "vanishing", "input", "▁", "█"):
        assert word in text


def test_in_a_file_it_is_a_bar_and_training_is_the_same():
    results = []
    for progress in (False, True):
        net = gm.mlp(6, 3, depth=3, width=8, dropout=0.2, seed=0)
        trainer = gm.Trainer(net, loss="cross_entropy", optimizer=gm.SGD(lr=0.1), seed=0)
        trainer.fit(X, Y, epochs=3, batch_size=10, progress=progress)
        results.append(trainer.recording.loss)
    assert np.array_equal(*results)
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert "epoch 3/3" in done.stdout
    assert "vanishing" not in done.stdout


def test_without_rich_it_says_what_to_install(monkeypatch):
    monkeypatch.delitem(sys.modules, "gradiometer.live", raising=False)
    for name in [name for name in sys.modules if name == "rich" or name.startswith("rich.")]:
        monkeypatch.setitem(sys.modules, name, None)
    trainer = gm.Trainer(gm.mlp(6, 3, depth=1, width=4, seed=0), loss="cross_entropy", optimizer=gm.SGD(lr=0.1))
    with pytest.raises(ImportError, match=r"progress=True needs the lab extra"):
        trainer.fit(X, Y, epochs=1, batch_size=10, progress=True)
