"""A verdict follows from the figures: with others, it is another one."""

import math
from dataclasses import replace
from pathlib import Path

import pytest

from gradiometer.claims.catalogue import CLAIMS
from gradiometer.claims.criteria import (
    ACCURACY,
    AT_ZERO,
    DIVERGED,
    DIVERGES,
    DOES_NOT_DIVERGE,
    LEARNS,
    MEANINGS,
    SLOPE,
    explodes,
    flows,
    vanishes,
)
from gradiometer.claims.outcome import Case, Criterion, Measurement, Outcome
from gradiometer.claims.store import from_json
from gradiometer.slopes import SICK_DECADES

STORED = from_json((Path(__file__).parents[1] / "docs" / "claims.json").read_text("utf-8"))
POSITIVE = Criterion("positive", 0.0, math.inf)


def case(condition, *values, needed=POSITIVE):
    return Case(condition, (Measurement.of("net", SLOPE, values, None, needed),))


def test_a_claim_holds_if_all_cases_confirm_it():
    outcome = Outcome((case("it rains", 1.0, 2.0), case("it snows", 3.0)))
    assert (outcome.kind, outcome.verdict) == ("holds", "holds")


def test_a_claim_holds_only_under_the_conditions_of_the_cases_that_confirm_it():
    outcome = Outcome((case("it rains", 1.0), case("it hails", -1.0), case("it snows", 3.0)))
    assert outcome.kind == "holds only if"
    assert outcome.verdict == "holds only if it rains, or it snows"


def test_a_claim_that_no_case_confirms_does_not_hold():
    outcome = Outcome((case("it rains", -1.0), case("it snows", -3.0)))
    assert (outcome.kind, outcome.verdict) == ("does not hold", "does not hold")


def test_one_seed_or_one_figure_that_fails_is_enough():
    assert not case("it rains", 1.0, 1.0, -0.001, 1.0).confirms
    good = Measurement.of("net", SLOPE, [1.0], None, POSITIVE)
    bad = replace(good, values=(-1.0,))
    assert not Case("it rains", (good, bad)).confirms
    assert Case("it rains", (good, bad)).decisive == bad


@pytest.mark.parametrize(
    ("value", "met"), [(0.0, True), (math.inf, True), (-1e-300, False), (math.nan, False), (-math.inf, False)]
)
def test_the_ends_of_a_range_belong_to_it_and_nan_is_in_none(value, met):
    assert POSITIVE.met_by(value) is met


def test_what_is_there_to_be_seen_decides_nothing():
    seen = Measurement.of("other", ACCURACY, [-5.0], None, None)
    confirmed = Case("it rains", (seen, Measurement.of("net", SLOPE, [1.0], None, POSITIVE)))
    assert confirmed.confirms
    assert confirmed.decisive.label == "net"
    assert (seen.needed_text, seen.met_text, seen.theory_text) == ("–", "–", "–")


def test_reasons_name_the_figure_the_need_and_how_many_seeds_have_it():
    assert case("it rains", 2.0, 1.0, 4.0).reason == (
        "Yes if it rains. net: slope +2.000 (+1.000 … +4.000); the claim needs ≥ +0.000 (positive), and every seed has "
        "it."
    )
    assert case("it rains", 2.0, 1.0, -4.0).reason.endswith("and only 2 of 3 seeds have it.")
    assert case("it rains", -2.0, -1.0).reason.startswith("No if it rains. net: slope −1.500 (−2.000 … −1.000)")
    assert case("it rains", -2.0, -1.0).reason.endswith("and no seed has it.")
    two = Case("it rains", case("", 1.0).measurements + case("", 2.0).measurements)
    assert two.reason.endswith("and every seed has it, here and in 1 more figure.")


@pytest.mark.parametrize(
    ("measurement", "text"),
    [
        (Measurement.of("", SLOPE, [-0.1, -0.3, -0.2]), "−0.200 (−0.300 … −0.100)"),
        (Measurement.of("", SLOPE, [-0.1, -0.4]), "−0.250 (−0.400 … −0.100)"),
        (Measurement.of("", SLOPE, [-0.00001, -0.00001]), "+0.000 (+0.000 … +0.000)"),
        (Measurement.of("", SLOPE, [-math.inf, -math.inf, 1.0]), "−∞ (−∞ … +1.000)"),
        (Measurement.of("", AT_ZERO, [0.25]), "0.25"),
        (Measurement.of("", DIVERGED, [1.0, 0.0, 1.0]), "2 of 3 runs"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_figure_is_a_median_with_its_range(measurement, text):
    assert measurement.text == text


def test_needs_are_said_in_words():
    assert DIVERGES.text(DIVERGED) == "all runs"
    assert DOES_NOT_DIVERGE.text(DIVERGED) == "no run"
    assert LEARNS.text(ACCURACY) == "≥ 0.80"
    assert vanishes(21).text(SLOPE) == "≤ −0.115"
    assert flows(21).text(SLOPE) == "−0.115 … +0.115"


@pytest.mark.parametrize("layers", [3, 21, 101])
def test_a_slope_vanishes_flows_or_explodes_at_the_limit_of_the_diagnosis(layers):
    for decades, states in [(-2.4, (True, False, False)), (2.2, (False, True, False)), (2.4, (False, False, True))]:
        slope = decades / (layers - 1)
        assert tuple(state(layers).met_by(slope) for state in (vanishes, flows, explodes)) == states
    assert flows(layers).high * (layers - 1) == pytest.approx(SICK_DECADES)


@pytest.mark.parametrize("name", CLAIMS)
def test_other_figures_would_make_another_verdict_of_every_claim(name):
    """What is stored, with every needed figure replaced by one that is as needed, and by one that is not."""
    outcome = STORED.outcomes[name]
    assert _with(outcome, as_needed=True).verdict == "holds"
    assert _with(outcome, as_needed=False).verdict == "does not hold"
    first, *others = outcome.cases
    mixed = Outcome((*_with(Outcome((first,)), as_needed=True).cases, *_with(Outcome(tuple(others)), False).cases))
    assert mixed.verdict == f"holds only if {first.condition}"


def _with(outcome, as_needed):
    cases = []
    for old in outcome.cases:
        measurements = []
        for measurement in old.measurements:
            need = measurement.needed
            if need is not None:
                good = need.low if math.isfinite(need.low) else need.high
                bad = need.low - 1 if math.isfinite(need.low) else need.high + 1
                measurements.append(replace(measurement, values=(good if as_needed else bad,) * 3))
            else:
                measurements.append(measurement)
        cases.append(replace(old, measurements=tuple(measurements)))
    return Outcome(tuple(cases))


def test_every_need_has_a_meaning_on_the_page():
    used = {m.needed.name for o in STORED.outcomes.values() for c in o.cases for m in c.measurements if m.needed}
    assert used <= set(MEANINGS)
