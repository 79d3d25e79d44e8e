"""The pictures of a recording by kind, other than the flow: what is on the axes, and that nothing is left out."""

import math

import numpy as np
import pytest

import gradiometer as gm
from gradiometer.plots import style
from made_up_recordings import line, record

matplotlib = pytest.importorskip("matplotlib")
pyplot = pytest.importorskip("matplotlib.pyplot")
RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(200, 16)), RNG.integers(0, 4, 200)


@pytest.fixture(autouse=True)
def _no_windows():
    matplotlib.use("Agg")
    yield
    pyplot.close("all")


def run(activation="tanh", init="xavier_normal", clip=None, layers=None, **arguments):
    net = gm.mlp(16, 4, depth=5, width=30, activation=activation, init=init, seed=0, **arguments)
    net = gm.Network(16, layers, seed=0) if layers else net
    trainer = gm.Trainer(net, loss="cross_entropy", optimizer=gm.SGD(lr=0.1), clip=clip, seed=0)
    return trainer.fit(X, Y, epochs=3, batch_size=50)


def labels(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def with_label(ax, label):
    return next(line for line in ax.lines if str(line.get_label()).startswith(label))


@pytest.mark.parametrize("kind", ["flow", "heatmap", "time", "phase"])
def test_every_kind_draws_into_given_axes_and_opens_no_figure(kind):
    from matplotlib.figure import Figure

    figure, open_before = Figure(layout="constrained"), pyplot.get_fignums()
    ax = figure.subplots()
    assert run().plot(kind, ax=ax) is ax
    assert ax.get_title(loc="left").endswith(": healthy")
    assert pyplot.get_fignums() == open_before
    figure.canvas.draw()


def test_what_is_not_axes_is_refused_by_name():
    for draw in (record(line(-0.1)).plot, gm.theory.jacobian_spectrum(gm.mlp(3, 2, depth=1, width=4), X[:1, :3]).plot):
        with pytest.raises(TypeError, match="ax must be matplotlib axes or None, not ndarray"):
            draw(ax=np.empty(2, dtype=object))


def test_a_network_without_dense_layers_has_no_picture():
    with pytest.raises(ValueError, match="nothing to plot: the recording has no dense layers"):
        gm.Trainer(gm.Network(16, [gm.Tanh()]), loss="mse", optimizer=gm.SGD(0.1)).fit(
            X, X, epochs=1, batch_size=50
        ).plot()


@pytest.mark.parametrize("kind", ["heatmap", "time"])
@pytest.mark.parametrize(
    "norms",
    [[[0.0, 0.0]], [[np.nan, np.inf]], [[1e308, 5e-324]], [[1.0]], 10.0 ** np.linspace(-320, 0, 600).reshape(2, 300)],
)
def test_extreme_recordings_can_be_drawn(kind, norms):
    record(norms).plot(kind).figure.canvas.draw()


@pytest.mark.parametrize("kind", ["flow", "heatmap", "time"])
def test_where_the_signal_was_not_measured_the_gradient_is_drawn(kind):
    ax = record(np.full((9, 4), np.nan), line(-0.1, 4, 9)).plot(kind)
    texts = [*labels(ax), *(other.get_ylabel() for other in ax.figure.axes)] if ax.get_legend() else [
        other.get_ylabel() for other in ax.figure.axes
    ]  # fmt: skip
    assert any("∂L/∂weight" in text for text in texts)
    assert not any("∂L/∂output" in text or "NaN" in text for text in texts)


# ---- heat map ----------------------------------------------------------------------------------------------


def image(ax):
    """The colours as an array, (layers, columns), of the picture of the finite values, drawn last."""
    return ax.images[-1].get_array().filled(np.nan)


def test_a_heat_map_shows_the_decades_of_every_layer_and_step():
    norms = 10.0 ** RNG.uniform(-5, 0, (7, 4))
    ax = record(norms).plot("heatmap")
    assert image(ax) == pytest.approx(np.log10(norms).T)
    assert [text.get_text() for text in ax.get_yticklabels()] == ["0", "2", "4", "6"]
    assert ax.get_legend() is None


def test_zeros_and_nan_of_a_heat_map_have_colours_of_their_own():
    norms = np.ones((6, 3))
    norms[2, 0], norms[4, 1], norms[5, 1] = 0, np.nan, np.inf
    ax = record(norms).plot("heatmap")
    assert labels(ax) == ["exactly zero", "NaN or infinite"]
    zero, nonfinite = (np.argwhere(picture.get_array().filled(1) == 0).tolist() for picture in ax.images[:2])
    assert (zero, nonfinite) == ([[0, 2]], [[1, 4], [1, 5]])
    assert np.isnan(image(ax)).sum() == 3


def test_a_long_run_is_thinned_without_losing_a_zero_or_a_nan():
    steps = 5 * style.MOST_COLUMNS
    norms = np.full((steps, 2), 1e-3)
    norms[1::5] = 1e-1
    norms[1234, 0], norms[3333, 1] = 0, np.inf
    ax = record(norms).plot("heatmap")
    assert image(ax).shape == (2, style.MOST_COLUMNS)
    zero, nonfinite = (np.argwhere(picture.get_array().filled(1) == 0).tolist() for picture in ax.images[:2])
    assert (zero, nonfinite) == ([[0, 246]], [[1, 666]])
    assert image(ax)[0, 0] == pytest.approx((4 * -3 - 1) / 5)  # the geometric mean
    assert "geometric mean of 5" in ax.get_xlabel()
    places = dict(zip((text.get_text() for text in ax.get_xticklabels()), ax.get_xticks(), strict=True))
    assert places["1000"] == pytest.approx(200)


def test_ticks_of_a_heat_map_are_the_numbers_of_recorded_steps():
    ax = record(np.ones((11, 2)), steps=np.arange(0, 110, 10)).plot("heatmap")
    places = dict(zip((text.get_text() for text in ax.get_xticklabels()), ax.get_xticks(), strict=True))
    assert len(places) > 4
    assert all(place == int(step) / 10 for step, place in places.items())


# ---- time --------------------------------------------------------------------------------------------------


def test_time_shows_norms_before_and_after_clipping_and_the_loss():
    recording = run(clip=gm.ClipNorm(0.5))
    ax = recording.plot("time")
    clipped = recording.clip_coefficient < 1
    assert clipped.sum() > 0
    assert with_label(ax, "norm of all").get_ydata() == pytest.approx(recording.total_norm)
    after = with_label(ax, "after clipping").get_ydata()
    assert after == pytest.approx(recording.total_norm * recording.clip_coefficient)
    assert with_label(ax, "clipped steps").get_xdata().tolist() == recording.steps[clipped].tolist()
    layers = [line for line in ax.lines if line.get_linewidth() == 1.0 and len(line.get_xdata()) == len(recording)]
    assert len(layers) == 6
    assert with_label(ax, "signal  ‖∂L/∂output‖, first").get_ydata() == pytest.approx(recording.delta_norm[:, 0])
    loss = next(other for other in ax.figure.axes if other.get_ylabel() == "loss")
    assert loss.lines[0].get_ydata() == pytest.approx(recording.loss)


def test_time_without_clipping_says_nothing_of_it():
    assert not any("clip" in label for label in labels(run().plot("time")))


def test_zeros_and_nan_over_time_are_marked_at_their_steps():
    norms = np.ones((20, 2))
    norms[5, 0], norms[9, 1] = 0, np.nan
    ax = record(norms).plot("time")
    marked = {
        line.get_marker(): line.get_xdata().tolist()
        for line in ax.lines
        if line.get_marker() in ("v", "X") and len(line.get_xdata())
    }
    assert marked == {"v": [5], "X": [9]}
    assert {"exactly zero", "NaN or infinite"} <= set(labels(ax))


# ---- phase diagram -----------------------------------------------------------------------------------------


def star(ax):
    return next(line for line in ax.lines if line.get_marker() == "*")


def test_the_point_of_a_network_is_where_its_weights_and_biases_are():
    ax = run("tanh", "torch_default").plot("phase")
    # Uniform in ±1 / √fan_in: a variance of 1 / (3 fan_in). Few biases: 30 of them are known to some 10 %.
    x, y = star(ax).get_xydata()[0]
    assert x == pytest.approx(1 / math.sqrt(3), rel=0.05)
    assert y == pytest.approx(1 / math.sqrt(3 * 30), rel=0.2)
    dots = next(line for line in ax.lines if line.get_marker() == "o").get_xydata()
    assert len(dots) == 5
    assert f"χ₁ = {gm.theory.chi('tanh', x, y):.3g}" in star(ax).get_label()
    assert ax.get_title(loc="left").startswith("Phase diagram of tanh")


def test_the_critical_line_goes_through_the_critical_points():
    ax = run("tanh").plot("phase")
    line = ax.collections[-1].get_paths()[0].vertices  # the last contour
    line = line[np.argsort(line[:, 1])]
    for sigma_b in (0.2, 0.5, 0.9):
        at = np.interp(sigma_b, line[:, 1], line[:, 0])
        # A column is 3 / 480 wide.
        assert at == pytest.approx(gm.theory.critical_sigma_w("tanh", sigma_b), abs=0.007)


def test_dropout_counts_as_larger_weights():
    plain, dropped = (run("relu", "kaiming_normal", dropout=p).plot("phase") for p in (0.0, 0.36))
    # The first layer has no dropout in front of it; the median of five has.
    assert star(dropped).get_xdata()[0] == pytest.approx(star(plain).get_xdata()[0] / 0.8, rel=0.05)
    assert "√(1 − p)" in dropped.get_xlabel()


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([gm.Dense(9), gm.BatchNorm(), gm.ReLU(), gm.Dense(4)], r"layers\[1\] is a batch norm"),
        ([gm.Dense(4)], "needs a hidden layer"),
    ],
)
def test_where_there_is_no_phase_diagram_the_reason_is_told(layers, message):
    with pytest.raises(ValueError, match=message):
        run(layers=layers).plot("phase")


def test_a_recording_of_unknown_origin_has_no_point():
    with pytest.raises(ValueError, match="no point to draw in a phase diagram: nothing is known"):
        record(line(-0.1)).plot("phase")


# ---- theory over the flow ----------------------------------------------------------------------------------


def test_the_prediction_is_drawn_through_the_measured_last_layer():
    recording = run()
    ax = recording.plot(theory=True)
    got = with_label(ax, "theory, step 0").get_ydata()
    assert got == pytest.approx(recording.prediction.delta_norm * recording.delta_norm[0, -1])
    assert "±2 σ over draws of the weights" in labels(ax)
    assert "theory, step 0" not in labels(recording.plot())


@pytest.mark.parametrize(
    ("make", "kind", "message"),
    [
        (lambda: record(line(-0.1)), "flow", "no prediction to draw: nothing is known"),
        (run, "time", "theory=True goes with kind='flow', not with 'time'"),
    ],
)
def test_theory_that_cannot_be_drawn(make, kind, message):
    with pytest.raises(ValueError, match=message):
        make().plot(kind, theory=True)
