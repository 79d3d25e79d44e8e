"""What a notebook shows: well-formed, escaped, and with all that was measured."""

from html.parser import HTMLParser

import numpy as np
import pytest

import gradiometer as gm
from gradiometer._core import Recorder
from made_up_recordings import line, record

SCRIPT = "<script>alert('1')</script>"


class Page(HTMLParser):
    """Counts tags, collects text, and refuses what is not closed in order."""

    def __init__(self, html):
        super().__init__()
        self.open, self.tags, self.attributes, self.words = [], [], [], []
        self.feed(html)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)
        self.tags.append(tag)
        self.attributes += attrs

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self):
        return "".join(self.words)


def test_a_recording_shows_its_verdict_its_signal_and_its_facts():
    recording = record(line(-0.5, 6))
    page = Page(recording._repr_html_())
    assert "vanishing" in page.words
    assert recording.diagnose().cause in page.text
    assert repr(recording) in page.text
    assert page.tags.count("circle") == 12
    assert dict(page.attributes)["aria-label"].startswith(
        "delta_norm by layer, from input to output, at steps 0 and 29"
    )
    assert {"1e+0", "1e-3"} <= set(page.words)
    assert not {"0", "NaN, ∞"} & set(page.words)


def test_zeros_and_nan_are_shown():
    norms = line(0.0, 8)
    norms[-1, :2], norms[-1, 4] = 0, np.nan
    page = Page(record(norms)._repr_html_())
    assert page.words.count("▾") == 2
    assert page.words.count("✕") == 1
    assert {"0", "NaN, ∞"} <= set(page.words)
    assert page.tags.count("polyline") == 3  # one of the first step, two of the last, with a gap


def test_names_stay_text():
    norms = line(-0.5, 5)
    names = [SCRIPT, *(f"{SCRIPT}{i}" for i in range(4))]
    page = Page(record(norms, names=names, nonfinite=(29, SCRIPT, "gradient"))._repr_html_())
    assert "script" not in page.tags
    assert SCRIPT in page.text


@pytest.mark.parametrize(
    "recording",
    [
        gm.Recording(Recorder(["w"], None, 1), {}),
        gm.Recording(Recorder(["w"], "norms", 1), {}),
        record([[1.0]]),
        record([[0.0, 0.0]]),
        record([[np.nan, np.inf]]),
        record([[5e-324, 1e308]]),
    ],
    ids=["not recorded", "no steps", "one layer", "zeros", "not finite", "extreme"],
)
def test_every_recording_can_be_shown(recording):
    assert repr(recording) in Page(recording._repr_html_()).text


def test_a_network_is_a_table_of_its_layers():
    net = gm.Network(6, [gm.Dense(4), gm.GELU(), gm.Dense(2, bias=False)], seed=0)
    page = Page(net._repr_html_())
    assert page.tags.count("tr") == 4
    assert repr(net).splitlines()[0] in page.words
    assert page.words[4:8] == ["0", "Dense(out_features=4, bias=True, init=None)", "4", "28"]


def test_layers_inside_of_a_residual_connection_are_indented():
    net = gm.Network(6, [gm.Residual([gm.LayerNorm(), gm.Dense(6)]), gm.Dense(2)], seed=0)
    page = Page(net._repr_html_())
    assert page.words[4:12] == [
        "0",
        "Residual(scale=1.0)",
        "6",
        "54",
        "0.0",
        "  LayerNorm(eps=1e-05, affine=True)",
        "6",
        "12",
    ]
    assert dict(page.attributes)["style"].endswith("white-space:pre")  # which keeps the spaces
