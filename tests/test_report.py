"""Reports: what is on the page, and that it is what was recorded."""

import json
import os
import re

import numpy as np
import pytest

import gradiometer as gm
from made_up_recordings import line, meta_of, record
from report_page import Page

HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(2)>'
LIMIT = 5_000_000
"""Bytes of a page."""


@pytest.fixture
def page(tmp_path):
    """Write a report and read it again."""

    def write(recordings, **options):
        path = tmp_path / "report.html"
        gm.report(recordings, path, **options)
        assert os.listdir(tmp_path) == ["report.html"]
        return Page(path)

    return write


def trained(record_mode="full", **options):
    chance = np.random.default_rng(0)
    x, y = chance.normal(size=(80, 6)), np.arange(80) % 3
    network = {"depth": 4, "width": 16, "activation": "tanh", "seed": 0} | options
    trainer = gm.Trainer(
        gm.mlp(6, 3, **network), loss="cross_entropy", optimizer=gm.SGD(lr=0.1), record=record_mode, seed=0
    )
    return trainer.fit(x[:60], y[:60], epochs=3, batch_size=20, validation=(x[60:], y[60:]))


# ---- one run ----


def test_the_verdict_comes_first_and_in_full(page):
    recording = record(line(-0.6))
    text = page(recording).text
    summary = str(recording.diagnose()).removeprefix("vanishing: ")
    assert text.index("Vanishing") < text.index(summary[1:]) < text.index("How the gradient travels back")


def test_every_subject_has_a_figure_with_a_text_alternative(page):
    found = page(trained())
    assert [section["id"] for section in found.all("section")] == [
        "flow", "heat", "time", "units", "updates", "theory", "phase",
    ]  # fmt: skip
    plots = found.all("div", role="img")
    assert [plot["id"] for plot in plots] == [
        "flow-0", "heat-0", "heat-1", "time-0", "time-1", "units-0", "units-1", "updates-0", "theory-0", "phase-0",
    ]  # fmt: skip
    assert all(re.search(r"\d", plot["aria-label"]) for plot in plots)
    assert len(found.all("caption")) == len(found.all("table"))


def test_values_are_those_of_the_recording(page):
    recording = trained()
    found = page(recording)
    for name in ("delta_norm", "grad_norm"):
        # float32 holds a logarithm of a few decades to 1e-6 of a decade
        np.testing.assert_allclose(found.image(f"heat-0-{name}").T, np.log10(getattr(recording, name)), atol=1e-6)
    for name in ("saturation", "dead_fraction"):
        np.testing.assert_array_equal(found.image(f"share-0-{name}").T, getattr(recording, name).astype(np.float32))
    assert found.data["steps"] == recording.steps.tolist()
    assert found.data["runs"][0]["layers"] == recording.layer_names
    assert f"{100 * recording.validation[-1].accuracy:.1f} %" in found.text


def test_zeros_infinities_and_nan_are_kept_apart(page):
    norms = np.ones((5, 4))
    norms[2] = [0.0, np.nan, np.inf, 1e-300]
    found = page(record(norms, nonfinite=(2, "2.weight", "gradient")))
    assert found.image("heat-0-delta_norm")[:, 2].tolist() == pytest.approx(
        [-np.inf, np.nan, np.inf, -300], nan_ok=True
    )
    for words in ("exactly zero", "NaN", "infinite"):
        assert words in found.text
    label = found.all("div", id="heat-0")[0]["aria-label"]
    assert "1 values are exactly zero, 2 are NaN or infinite" in label


def test_norms_of_any_size_can_be_shown(page):
    found = page(record([[1e308, 5e-324, 0.0], [np.inf, np.nan, 5e-324]], meta={}))
    assert "1.00e+308" in found.text
    assert "e-324" in found.text


def test_what_a_run_with_norms_lacks_is_said(page):
    text = page(trained("norms")).text
    for subject in ("Saturation and dead units were", "The sizes of updates were"):
        assert f'{subject} not recorded. Only a run with record="full" has this' in text


def test_a_recording_of_unknown_origin_has_neither_theory_nor_phase(page):
    text = page(record(line(-0.1), meta={})).text
    assert "No prediction: nothing is known of the network" in text
    assert "No place in a phase diagram: nothing is known of the network" in text


def test_batch_norm_has_no_place_in_the_phase_diagram(page):
    found = page(trained(batch_norm=True))
    assert "No place in a phase diagram: layers[1] is a batch norm" in found.text
    assert not found.all("div", id="phase-0")


def test_theory_and_phase_of_a_real_run(page):
    recording = trained(depth=8, width=64, init=gm.init.normal(std=2.0 / 8))
    found = page(recording)
    theory, phase = (found.all("div", id=f"{name}-0")[0]["aria-label"] for name in ("theory", "phase"))
    assert f"theory predicts {recording.prediction.slope:+.3f}" in theory
    # 2 / 8 times √64 is 2; of a layer of 64 × 64 the root mean square is within 1 % or so
    assert float(re.search(r"σ_w ([\d.]+), σ_b 0, χ₁", phase)[1]) == pytest.approx(2.0, rel=0.03)
    assert "(chaotic)" in phase


def test_theory_of_a_network_with_residual_connections_and_layer_norm(page):
    chance = np.random.default_rng(0)
    block = gm.Residual([gm.LayerNorm(), gm.Tanh(), gm.Dense(32)], scale=0.5)
    net = gm.Network(6, [gm.Dense(32), *[block] * 6, gm.Dense(3)], seed=0)
    trainer = gm.Trainer(net, loss="cross_entropy", optimizer=gm.SGD(lr=0.1))
    recording = trainer.fit(chance.normal(size=(60, 6)), np.arange(60) % 3, epochs=2, batch_size=20)
    found = page(recording)
    theory = found.all("div", id="theory-0")[0]["aria-label"]
    assert f"theory predicts {recording.prediction.slope:+.3f}" in theory
    assert "7 × 32 identity/tanh, residual connections, layer norm" in found.text
    assert "layers[1] is a Residual, which has no place in a phase diagram of plain networks" in found.text


def test_clipped_steps_are_counted_and_the_norm_after_them_is_shown(page):
    clip = np.where(np.arange(30) % 3, 1.0, 0.25)
    meta = meta_of(21) | {"clip": "ClipNorm(max_norm=1.0)"}
    found = page(record(line(-0.1), clip_coefficient=clip, total_norm=8.0, meta=meta))
    label = found.all("div", id="time-1")[0]["aria-label"]
    assert "10 of 30 steps were clipped." in label
    assert "norm: 8\\nafter clipping: 2" in found.source
    each = meta | {"clip": "ClipNorm(max_norm=1.0, per_layer=True)"}
    per_layer = page(record(line(-0.1), clip_coefficient=clip, total_norm=8.0, meta=each))
    assert "after clipping: " not in per_layer.source
    assert "a coefficient for each layer" in per_layer.text


def test_the_histogram_counts_every_update(page):
    update = np.full((30, 21), 1e-3)
    update[:3], update[3, 0] = 0.0, np.nan
    found = page(record(line(-0.1), update_norm=update, weight_norm=1.0))
    label = found.all("div", id="updates-0")[0]["aria-label"]
    assert "63 exactly zero, 1 NaN or infinite" in label
    assert "exactly zero\\n10 %" in found.source


def test_a_loss_below_zero_has_a_linear_axis(page):
    found = page(record(line(-0.1), loss=np.linspace(1.5, -2.5, 30)))
    assert (
        "Loss over the steps: from 1.5 at step 0 to -2.5 at step 29." in found.all("div", id="time-0")[0]["aria-label"]
    )
    labels = [plot["attributes"]["left"][0]["attributes"]["axis_label"] for plot in found.data["documents"][2]["roots"]]
    assert labels == ["loss", "norm (log scale)"]


def test_a_loss_that_was_not_told_is_no_figure(page):
    found = page(record(line(-0.1), loss=np.nan))
    assert [plot["id"] for plot in found.all("div", role="img") if plot["id"].startswith("time")] == ["time-0"]
    assert "The loss of this run is not known" in found.text


def test_layers_that_were_never_measured_are_left_out(page):
    norms = line(-0.2, layers=5)
    norms[:, [1, 3]] = np.nan
    found = page(record(norms))
    assert found.data["runs"][0]["layers"] == ["0.weight", "4.weight", "8.weight"]
    assert found.image("heat-0-delta_norm").shape == (3, 30)


def test_what_was_never_finite_is_shown(page):
    found = page(record(np.full((3, 2), np.nan), nonfinite=(0, "", "loss")))
    assert "Non-finite" in found.text
    assert np.isnan(found.image("heat-0-grad_norm")).all()


def test_the_smallest_run(page):
    trainer = gm.Trainer(
        gm.mlp(3, 2, depth=0, width=1, seed=0), loss="mse", optimizer=gm.SGD(lr=0.1), record="full", seed=0
    )
    trainer.step(np.ones((2, 3)), np.ones((2, 2)))
    found = page(trainer.recording)
    assert len(found.all("div", role="img")) >= 8
    assert not found.all("input")  # there is no other step to choose


def test_steps_keep_their_numbers(page):
    found = page(record(line(-0.1), steps=np.arange(30) * 7 + 3))
    assert found.data["steps"] == list(range(3, 207, 7))


# ---- it stays one small page, and text stays text ----


def test_a_long_and_deep_run_stays_small_and_says_so(page):
    norms = line(-0.02, layers=100, steps=5000, noise=0.3)
    norms[3217, 40] = 1e9
    fields = dict.fromkeys(("saturation", "dead_fraction", "update_norm", "weight_norm"), 0.1)
    fields |= {"loss": np.linspace(2, 1, 5000), "total_norm": np.random.default_rng(0).uniform(1, 2, 5000)}
    found = page(record(norms, **fields))
    assert found.bytes < LIMIT
    assert 100 < len(found.data["steps"]) <= 750
    assert 3217 in found.data["steps"]  # what stands out is drawn
    assert f"{len(found.data['steps'])} of the 5,000 recorded steps" in found.text
    assert "To keep this page small" not in page(record(norms[:100])).text


def test_many_runs_stay_small(page):
    run = record(line(-0.02, layers=60, steps=200, noise=0.3), saturation=0.1)
    assert page([run] * 12).bytes < LIMIT


def test_the_page_needs_nothing_else(page):
    found = page(trained())
    assert not found.all("link")
    assert not found.all("img")
    assert not [tag for tag, attributes in found.tags if {"src", "href"} & attributes.keys()]
    (policy,) = found.all("meta", **{"http-equiv": "Content-Security-Policy"})
    assert "default-src 'none'" in policy["content"]
    assert "unsafe-eval" not in policy["content"]


def test_names_stay_text(page):
    names = [HOSTILE, "$$\\frac{1}{2}$$", "</script><!--", "3.weight"]
    recording = record(line(-1, layers=4), names=names)
    plain = page([record(line(-1, layers=4))] * 2)
    found = page([recording, recording], names=[HOSTILE, "b"], title=f"A {HOSTILE}")
    assert [tag for tag, _ in found.tags] == [tag for tag, _ in plain.tags]
    assert found.data["runs"][0]["layers"] == names
    assert f"A {HOSTILE}" in found.text


# ---- several runs ----


def test_a_comparison_has_a_row_for_each_run_and_shared_axes(page):
    runs = [record(line(-0.6), loss=2.5), record(line(0.01), loss=0.25), trained()]
    found = page(runs, names=["sick", "cured", "small"])
    text = found.text
    assert re.search(r"sick vanishing -0\.60 1e-12 2\.5 – 30", text)
    assert re.search(r"cured healthy \+0\.01 1\.58 0\.25 – 30", text)
    assert re.search(rf"small healthy .* {100 * runs[2].validation[-1].accuracy:.1f} % 9", text)
    assert {(run["zero"], run["nonfinite"]) for run in found.data["runs"]} == {
        (found.data["runs"][0]["zero"], found.data["runs"][0]["nonfinite"])
    }
    ends = [(json.dumps(plot["attributes"]["y_range"]["attributes"])) for plot in found.data["documents"][0]["roots"]]
    assert len(ends) == 3
    assert len(set(ends)) == 1


def test_runs_are_numbered_where_they_have_no_names(page):
    found = page(iter([record(line(-0.6)), record(line(0.3))]))
    assert "run 1 vanishing" in found.text
    assert "run 2 exploding" in found.text
    assert "2 runs compared" in found.text


def test_a_recording_writes_its_own_report(tmp_path):
    path = tmp_path / "run.html"
    path.write_text("an old one")
    recording = trained()
    recording.report(path)
    alone = path.read_text("utf-8")
    gm.report([recording], str(path))
    assert path.read_text("utf-8").split('id="data"')[0] == alone.split('id="data"')[0]
