"""The committed page docs/claims.md: made of the figures beside it, whole, and with commands that exist."""

import re
from pathlib import Path

import numpy as np
import pytest

from gradiometer.claims import page, pictures
from gradiometer.claims.catalogue import CLAIMS
from gradiometer.claims.criteria import AT_ZERO
from gradiometer.claims.outcome import Outcome
from gradiometer.claims.store import Results, from_json, to_json

DOCS = Path(__file__).parents[1] / "docs"
PAGE = (DOCS / "claims.md").read_text("utf-8")
NUMBERS = (DOCS / "claims.json").read_text("utf-8")
RESULTS = from_json(NUMBERS)


def test_the_page_is_what_its_figures_make():
    """Byte by byte: so its verdicts are those that follow from the figures, and nobody has written into it."""
    assert page.render(RESULTS, "claims.json") == PAGE


def test_figures_survive_the_file():
    assert to_json(RESULTS) == NUMBERS


def test_every_claim_is_there_with_its_verdict_command_picture_and_reasons():
    assert list(RESULTS.outcomes) == list(CLAIMS)
    assert len(CLAIMS) == 12
    text = " ".join(PAGE.split())
    for name, outcome in RESULTS.outcomes.items():
        assert CLAIMS[name].statement in text
        assert f"**Verdict: {outcome.verdict}.**" in text
        assert f"\n{page.command(name, page.DEFAULT_SEEDS)}\n" in PAGE
        assert (DOCS / page.PICTURES / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        for case in outcome.cases:
            assert case.reason in text
            for measurement in case.measurements:
                assert measurement.text in text


def test_every_figure_has_five_seeds_or_nothing_random():
    assert RESULTS.seeds >= 5
    for outcome in RESULTS.outcomes.values():
        for case in outcome.cases:
            for measurement in case.measurements:
                assert len(measurement.values) == (1 if measurement.quantity is AT_ZERO else RESULTS.seeds)


def test_links_lead_somewhere():
    anchors = set(re.findall(r'<a id="([^"]+)"', PAGE))
    headings = re.findall(r"^#+ (.*)$", (DOCS / "diagnosis.md").read_text("utf-8"), re.MULTILINE)
    slugs = {"diagnosis.md#" + heading.lower().replace(" ", "-") for heading in headings}
    for link in re.findall(r"\]\(([^)]+)\)", PAGE):
        assert (link[1:] in anchors) if link.startswith("#") else (link in slugs or (DOCS / link).is_file()), link


def test_the_verdicts_known_to_be_at_odds_with_the_notes():
    """The findings of the page in short; a change of any of them is news, and must be meant."""
    kinds = {name: outcome.kind for name, outcome in RESULTS.outcomes.items()}
    assert [name for name, kind in kinds.items() if kind == "does not hold"] == ["small-weights", "zero-at-zero"]
    assert RESULTS.outcomes["large-weights"].verdict.startswith("holds only if the weights are absurdly large")
    assert RESULTS.outcomes["clipping-cures"].verdict.endswith("the training does not diverge")


def test_other_seeds_show_in_the_commands():
    assert page.command("relu-cures", 5) == "gradiometer claims --only relu-cures"
    assert page.command("relu-cures", 7) == "gradiometer claims --only relu-cures --seeds 7"
    assert "--seeds 7" in page.render(Results(7, RESULTS.outcomes), "x.json")


@pytest.mark.parametrize("name", ["large-weights", "clipping-cures", "vanishing-is-slow"])
def test_the_same_outcome_makes_the_same_picture(name, tmp_path):
    """With infinities among the figures (the first and the last) and with curves that end early (the second)."""
    for copy in ("one.png", "two.png"):
        pictures.draw(CLAIMS[name], RESULTS.outcomes[name], tmp_path / copy)
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()


def test_another_outcome_makes_another_picture(tmp_path):
    from PIL import Image

    outcome = RESULTS.outcomes["relu-cures"]
    for count in (2, 3):
        pictures.draw(CLAIMS["relu-cures"], Outcome(outcome.cases[:count]), tmp_path / f"{count}.png")
    two, three = (np.asarray(Image.open(tmp_path / f"{count}.png").convert("L")) for count in (2, 3))
    assert two.shape != three.shape or (two != three).any()
