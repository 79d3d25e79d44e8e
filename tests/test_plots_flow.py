"""The flow picture: what is on the axes, and that nothing measured is left out."""

import numpy as np
import pytest

from gradiometer._core import Recorder
from gradiometer.plots import log_axis, style
from gradiometer.recording import Recording

matplotlib = pytest.importorskip("matplotlib")


@pytest.fixture(autouse=True)
def _no_windows():
    matplotlib.use("Agg")
    yield
    matplotlib.pyplot.close("all")


def make_recording(delta_norm, grad_norm=None, name="{}.weight"):
    delta_norm = np.asarray(delta_norm, dtype=float)
    grad_norm = delta_norm if grad_norm is None else grad_norm
    steps, layers = delta_norm.shape
    recorder = Recorder([name.format(layer) for layer in range(layers)], "norms", 1)
    recorder.extend(np.arange(steps), {"delta_norm": delta_norm, "grad_norm": grad_norm})
    return Recording(recorder, {})


def curves(ax, style="-"):
    return [line for line in ax.lines if line.get_linestyle() == style and len(line.get_xdata())]


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def marks(ax, marker):
    """Return the layers and heights of all markers of one shape in a band."""
    lines = [line for line in ax.lines if line.get_marker() == marker and len(line.get_xdata())]
    return [(round(x), y) for line in lines for x, y in zip(line.get_xdata(), line.get_ydata(), strict=True)]


def test_first_middle_and_last_step_are_drawn_on_a_log_axis():
    norms = 10.0 ** np.random.default_rng(0).uniform(-6, 2, size=(9, 5))
    ax = make_recording(norms).plot()
    assert ax.get_yscale() == "log"
    assert [line.get_ydata().tolist() for line in curves(ax)] == norms[[0, 4, 8]].tolist()
    assert {"step 0", "step 4", "step 8"} <= set(legend(ax))
    assert "exactly zero" not in legend(ax)
    low, high = ax.get_ylim()
    assert low < norms[[0, 4, 8]].min()
    assert norms[[0, 4, 8]].max() < high


def test_exact_zeros_have_a_band_at_the_bottom():
    ax = make_recording([[0.0, 0.0, 1e-3, 1.0]], np.ones((1, 4))).plot()
    assert marks(ax, "v") == [(0, pytest.approx(0.063)), (1, pytest.approx(0.063))]
    assert "exactly zero" in legend(ax)
    assert "NaN or infinite" not in legend(ax)
    bottom = ax.transAxes.inverted().transform(ax.transData.transform((0, 1e-3)))[1]
    assert bottom > log_axis.BAND  # no value stands in the band
    assert all(
        ax.transAxes.inverted().transform(ax.transData.transform((0, y)))[1] > log_axis.BAND for y in ax.get_yticks()
    )


def test_nonfinite_values_have_a_band_at_the_top():
    ax = make_recording(np.ones((1, 4)), [[np.nan, np.inf, -np.inf, 1.0]]).plot()
    assert [layer for layer, _ in marks(ax, "X")] == [0, 1, 2]
    assert all(height > 1 - log_axis.BAND for _, height in marks(ax, "X"))
    assert "NaN or infinite" in legend(ax)


@pytest.mark.parametrize(
    "norms",
    [
        [[0.0, 0.0]],
        [[np.nan, np.inf]],
        [[1e308, 5e-324]],
        [[1e308, 0.0], [np.inf, 5e-324]],
        [[1.0]],
        10.0 ** np.linspace(-320, 0, 600).reshape(2, 300),
    ],
)
def test_extreme_recordings_can_be_drawn(norms):
    ax = make_recording(norms).plot()
    ax.figure.canvas.draw()
    assert np.isfinite(ax.get_ylim()).all()


def test_layer_names_are_thinned_but_keep_the_first_and_last():
    ax = make_recording(np.ones((2, 301))).plot()
    labels = [label.get_text() for label in ax.get_xticklabels()]
    assert len(labels) <= style.MAX_LAYER_TICKS
    assert (labels[0], labels[-1]) == ("0", "300")
    few = make_recording(np.ones((2, 3)), name="encoder.{}.weight").plot()
    assert [label.get_text() for label in few.get_xticklabels()] == ["encoder.0", "encoder.1", "encoder.2"]


def test_given_axes_are_used_and_no_figure_is_opened():
    from matplotlib.figure import Figure

    ax = Figure().subplots()
    assert make_recording(np.ones((2, 3))).plot(ax=ax) is ax
    assert matplotlib.pyplot.get_fignums() == []


def test_the_title_tells_the_verdict():
    recording = make_recording(10.0 ** np.tile(np.arange(-20.0, 1.0), (20, 1)))
    assert recording.plot().get_title(loc="left") == "Gradient flow: vanishing"


def test_wrong_kind_and_nothing_to_draw():
    with pytest.raises(TypeError, match=r"kind must be one of 'flow', .*, not \['flow'\]"):
        make_recording(np.ones((2, 3))).plot(["flow"])
    with pytest.raises(TypeError, match="theory must be a bool, not 'yes'"):
        make_recording(np.ones((2, 3))).plot(theory="yes")
    with pytest.raises(ValueError, match="kind is 'flwo'; it must be one of 'flow'"):
        make_recording(np.ones((2, 3))).plot("flwo")
    with pytest.raises(ValueError, match="no steps"):
        make_recording(np.ones((0, 3))).plot()


def test_without_matplotlib_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    with pytest.raises(ImportError, match="gradiometer\\[lab\\]"):
        make_recording(np.ones((2, 3))).plot()
