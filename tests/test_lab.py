"""The parts of the lab: experiments, learning rates, bars and the table."""

import io
import math
from types import SimpleNamespace

import numpy as np
import pytest
from rich.console import Console

from gradiometer.lab import terminal, training
from gradiometer.lab.balance import balanced_scale
from gradiometer.lab.data import digits, prepare
from gradiometer.lab.experiments import Architecture, Experiment, experiments
from gradiometer.lab.training import Cosine, Settings, search, train


@pytest.fixture
def small_data():
    chance = np.random.default_rng(0)
    y = np.arange(60) % 3
    return prepare("small", chance.normal(size=(60, 5)) + y[:, None], y)


# ---- the parts ----


def test_experiments_change_one_thing_each():
    sick = Architecture()
    chosen = {experiment.name: experiment.architecture for experiment in experiments(sick, balanced=8.0)}
    assert list(chosen) == [
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


def test_a_rate_counts_for_what_networks_do_on_average(monkeypatch, small_data):
    """Of some seeds; and if one of them diverges, for nothing."""
    settings, rate = Settings(epochs=2, seed=2**64 - 2), 0.1
    trainer_for, made = training._trainer, []

    def trainer_of(architecture, data, settings, lr, *rest):
        made.append(trainer_for(architecture, data, settings, diverging.get(settings.seed, lr), *rest))
        return made[-1]

    monkeypatch.setattr(training, "_trainer", trainer_of)
    diverging = {}
    accuracy, minus_loss = training._trial(Architecture(2, 8, "relu"), small_data, settings, rate)
    after = [trainer.evaluate(small_data.train_x, small_data.train_y) for trainer in made]
    assert len({each["loss"] for each in after}) == len(after) == training.PILOT_SEEDS
    assert accuracy == pytest.approx(np.mean([each["accuracy"] for each in after]))
    assert -minus_loss == pytest.approx(np.mean([each["loss"] for each in after]))
    diverging = {0: 1e30}
    assert training._trial(Architecture(2, 8, "relu"), small_data, settings, rate) == (-1, -math.inf)


@pytest.mark.parametrize("batch_norm", [False, True])
def test_the_schedule_ends_with_the_last_step(batch_norm, small_data):
    """Also where a last single row joins the batch before it."""
    settings = Settings(batch_size=16, epochs=3)
    architecture = Architecture(2, 8, "relu", batch_norm=batch_norm)
    trainer = training._trainer(architecture, small_data, settings, 0.1, 3, 33, "norms")
    trainer.fit(small_data.train_x[:33], small_data.train_y[:33], epochs=3, batch_size=16)
    steps = 6 if batch_norm else 9
    assert trainer.recording.lr[-1] == Cosine(0.1, steps)(steps - 1)


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
