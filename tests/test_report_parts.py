"""The parts of a report that have no picture: thinning and the scale of the axes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from gradiometer.reports.scale import LogScale, norm_text
from gradiometer.reports.thinning import MOST_FRAMES, frames, keep_extremes

floats = st.floats(allow_nan=True, allow_infinity=True, width=32)


@given(arrays(np.float64, array_shapes(min_dims=2, max_dims=2, max_side=80), elements=floats), st.integers(2, 60))
def test_extremes_survive_within_the_limit(values, limit):
    kept = keep_extremes(values, limit)
    assert len(kept) <= max(limit, 2)
    assert (np.diff(kept) > 0).all()
    assert {kept[0], kept[-1]} == {0, len(values) - 1}
    if limit >= 2 + 2 * values.shape[1]:  # room for the extremes of one stretch
        for column in values.T:
            assert np.isnan(column[kept]).any() == np.isnan(column).any()
            finite = column[~np.isnan(column)]
            if len(finite):
                assert finite.min() in column[kept]
            if not np.isnan(column).any():
                assert column.max() in column[kept]


def test_short_recordings_are_not_thinned():
    assert keep_extremes(np.zeros((7, 3)), 7).tolist() == list(range(7))


def test_frames_keep_the_step_in_which_one_layer_stands_out():
    logs = np.zeros((5000, 50), np.float32)
    logs[1234, 7], logs[2345, 8], logs[3456, 9], logs[4567, 10] = -np.inf, np.nan, np.inf, 5
    kept = frames([logs], 10**6)
    assert {0, 1234, 2345, 3456, 4567, 4999} <= set(kept.tolist())
    assert len(kept) <= MOST_FRAMES


def test_frames_keep_to_the_cells_of_a_page():
    logs = np.random.default_rng(0).normal(size=(5000, 100)).astype(np.float32)
    assert len(frames([logs, logs], 20_000)) <= 200


@pytest.mark.parametrize(
    "logs",
    [
        [0.0],
        [-323.0, 308.0],
        [-np.inf],
        [np.nan, np.inf],
        [-np.inf, np.inf, -30.0],
        [0.3, 0.31],
        np.linspace(-50, 2, 9),
    ],
)
def test_every_value_has_a_place_on_the_axis(logs):
    scale = LogScale.of([np.array(logs)])
    places = scale.place(np.array(logs))
    assert ((places >= scale.start) & (places <= scale.end)).all()
    for log, place in zip(logs, places, strict=True):
        assert (place == log) == np.isfinite(log)
        assert (place < scale.low) == (log == -np.inf)
        assert (place > scale.high) == (np.isnan(log) or log == np.inf)
    assert 2 <= len(scale.ticks()) <= 12
    assert all(scale.low <= tick <= scale.high for tick in scale.ticks())


@pytest.mark.parametrize(
    ("log", "text"),
    [
        (0.0, "1"),
        (np.log10(0.0123456), "0.0123"),
        (-12.0, "1.00e-12"),
        (-400.0, "1.00e-400"),
        (np.log10(2.5) + 30, "2.50e+30"),
        (-np.inf, "0 (exactly)"),
        (np.inf, "∞"),
        (np.nan, "NaN"),
    ],
)
def test_norms_in_words(log, text):
    assert norm_text(float(log)) == text
