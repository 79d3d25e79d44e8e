"""Measurements as JSON, and back: what the page and its pictures are made of."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gradiometer.claims.criteria import QUANTITIES
from gradiometer.claims.outcome import Case, Criterion, Curve, Measurement, Outcome


@dataclass(frozen=True)
class Results:
    """The outcomes of some claims, by their names, and over how many seeds they were measured."""

    seeds: int
    outcomes: Mapping[str, Outcome]


def to_json(results: Results) -> str:
    """Return the text of a JSON document; a claim's verdict stands in it too, for those who read no further."""
    claims = {
        name: {"verdict": outcome.verdict, "cases": [_case(case) for case in outcome.cases]}
        for name, outcome in results.outcomes.items()
    }
    text = json.dumps({"seeds": results.seeds, "claims": claims}, ensure_ascii=False, allow_nan=False, indent=1)
    return _join_numbers(text) + "\n"


def from_json(text: str) -> Results:
    """Return what `to_json` made a document of; verdicts are not read but follow again.

    Raises
    ------
    ValueError, KeyError, TypeError
        If it is no such document.
    """
    document = json.loads(text)
    outcomes = {
        name: Outcome(tuple(_read_case(case) for case in claim["cases"])) for name, claim in document["claims"].items()
    }
    return Results(document["seeds"], outcomes)


def _case(case: Case) -> dict[str, Any]:
    return {
        "condition": case.condition,
        "confirms": case.confirms,
        "measurements": [
            {
                "label": measurement.label,
                "quantity": measurement.quantity.name,
                "values": _numbers(measurement.values),
                "theory": None if measurement.theory is None else _number(measurement.theory),
                "needed": measurement.needed
                and {
                    "name": measurement.needed.name,
                    "low": _number(measurement.needed.low),
                    "high": _number(measurement.needed.high),
                },
            }
            for measurement in case.measurements
        ],
        "curves": [
            {
                "label": curve.label,
                "x": _numbers(curve.x),
                "low": _numbers(curve.low),
                "median": _numbers(curve.median),
                "high": _numbers(curve.high),
                "broken": curve.broken,
            }
            for curve in case.curves
        ],
    }


def _read_case(case: dict[str, Any]) -> Case:
    measurements = tuple(
        Measurement(
            measurement["label"],
            QUANTITIES[measurement["quantity"]],
            _floats(measurement["values"]),
            None if measurement["theory"] is None else float(measurement["theory"]),
            _read_criterion(measurement["needed"]),
        )
        for measurement in case["measurements"]
    )
    curves = tuple(
        Curve(
            label=curve["label"],
            x=_floats(curve["x"]),
            low=_floats(curve["low"]),
            median=_floats(curve["median"]),
            high=_floats(curve["high"]),
            broken=curve["broken"],
        )
        for curve in case["curves"]
    )
    return Case(case["condition"], measurements, curves)


def _read_criterion(needed: dict[str, Any] | None) -> Criterion | None:
    return None if needed is None else Criterion(needed["name"], float(needed["low"]), float(needed["high"]))


def _number(value: float) -> float | str:
    """Return what JSON has: infinities and NaN are strings, which `float` reads."""
    return value if math.isfinite(value) else str(value)


def _numbers(values: tuple[float, ...]) -> list[float | str]:
    return [_number(value) for value in values]


def _floats(values: list[float | str]) -> tuple[float, ...]:
    return tuple(float(value) for value in values)


def _join_numbers(text: str) -> str:
    """Put lists of numbers on one line each, so that a change of a figure is a change of a line."""
    return re.sub(
        r"\[\n[^\[\]{}]*\]", lambda found: re.sub(r"\s+", " ", found[0]).replace("[ ", "[").replace(" ]", "]"), text
    )
