"""The page `docs/claims.md`: made of measurements alone, so that the same ones give the same page."""

from __future__ import annotations

import textwrap

from gradiometer.claims.catalogue import CLAIMS
from gradiometer.claims.claim import Claim
from gradiometer.claims.criteria import MEANINGS
from gradiometer.claims.laboratory import SETTINGS
from gradiometer.claims.outcome import Outcome
from gradiometer.claims.store import Results

WIDTH = 120
PICTURES = "pictures/claims"
"""Folder of the pictures, seen from the page."""
DEFAULT_SEEDS = 5


def command(name: str, seeds: int) -> str:
    """Return the command that measures a claim again."""
    return f"gradiometer claims --only {name}" + ("" if seeds == DEFAULT_SEEDS else f" --seeds {seeds}")


def render(results: Results, numbers: str) -> str:
    """Return the page in Markdown; ``numbers`` is the file of the figures, beside it."""
    parts = [*_head(results, numbers), *_summary(results), *_reading(results)]
    for number, (name, outcome) in enumerate(results.outcomes.items(), start=1):
        parts += _section(number, CLAIMS[name], outcome, results.seeds)
    return "\n\n".join(parts) + "\n"


def _head(results: Results, numbers: str) -> list[str]:
    return [
        "<!-- Made by `gradiometer claims --write`: do not edit. -->",
        "# The claims of the notes, measured",
        _wrapped(
            "The lecture notes that this project started from say what makes gradients vanish and explode, and what "
            f"cures it. Here, each of these claims is tried: by networks that start from {results.seeds} seeds, with "
            "what theory expects next to what was measured, and a verdict. No verdict is written by hand: the rule "
            "below derives it from the figures, and other figures would make another verdict."
        ),
        _wrapped(
            "`gradiometer claims` measures all of it in a minute or two, one claim in seconds. The figures on this "
            f"page, those of every seed, are in [{numbers}]({numbers}). The same seeds give the same bytes, with any "
            "number of threads, on AVX2 and AVX-512; a processor without FMA rounds differently, which shows where a "
            "network is chaotic."
        ),
    ]


def _summary(results: Results) -> list[str]:
    rows = ["| | the notes say | verdict |", "| --- | --- | --- |"]
    for number, (name, outcome) in enumerate(results.outcomes.items(), start=1):
        rows.append(f"| {number} | [{CLAIMS[name].statement}](#{name}) | {outcome.verdict} |")
    return ["\n".join(rows)]


def _reading(results: Results) -> list[str]:
    used = {
        measurement.needed.name
        for outcome in results.outcomes.values()
        for case in outcome.cases
        for measurement in case.measurements
        if measurement.needed
    }
    limits = ["| word | what it means, and why the limit is there |", "| --- | --- |"]
    limits += [f"| {word} | {meaning} |" for word, meaning in MEANINGS.items() if word in used]
    return [
        "## How to read it",
        _wrapped(
            "**Slope** is the change of `delta_norm`, the signal that travels back from the output, in decades (powers "
            "of ten) per layer toward the input: −0.3 halves it at every layer, +0.3 doubles it "
            "([more](diagnosis.md#what-is-measured)). Figures are the median over the seeds, with the smallest and the "
            "largest in brackets. **Theory** is what `gm.theory.predict` expects of the first seed's network on the "
            "same batch, without going back through it; a dash where theory has no figure."
        ),
        _wrapped(
            "A claim is tried in several **cases**, conditions under which it might hold. A case confirms it if *every "
            "seed* has what the claim needs. If all cases confirm it, it **holds**; if some do, it **holds only if** "
            "one of their conditions is met; if none does, it **does not hold**. Figures with a dash under *needed* "
            "are there to be seen, and decide nothing."
        ),
        "\n".join(limits),
        _wrapped(
            "All networks see scikit-learn's digits, 1438 rows to learn from and 359 to validate, standardised. *At "
            "the first step* means on one batch of 128 rows, before anything is learnt. Where a network is to learn, "
            f"it is trained as in `gradiometer lab`: {SETTINGS.epochs} epochs in batches of {SETTINGS.batch_size}, SGD "
            "with momentum 0.9, a rate that falls to zero along a cosine and starts at the one that a short search "
            "with four seeds finds best. σ_w is the standard deviation of the weights times √fan_in."
        ),
    ]


def _section(number: int, claim: Claim, outcome: Outcome, seeds: int) -> list[str]:
    return [
        f'<a id="{claim.name}"></a>',
        f"## {number}. {claim.statement.removesuffix('.')}",
        _wrapped(f"**Verdict: {outcome.verdict}.**"),
        "\n".join(_wrapped(case.reason, bullet=True) for case in outcome.cases),
        _wrapped(f"*What was done.* {claim.experiment}"),
        _table(outcome),
        f"![{claim.statement} The figures are in the table above.]({PICTURES}/{claim.name}.png)",
        _wrapped(
            f"*The picture.* Left: {claim.picture} Right: the figures of the table, one dot for each seed; "
            "a bar spans what the claim needs, a diamond is theory's figure."
        ),
        _wrapped(f"*What theory says.* {claim.theory}"),
        f"```sh\n{command(claim.name, seeds)}\n```",
    ]


def _table(outcome: Outcome) -> str:
    rows = [
        "| if | network | figure | measured | theory | needed | by |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for case in outcome.cases:
        condition = case.condition
        for measurement in case.measurements:
            cells = [condition, measurement.label, measurement.quantity.name, measurement.text]
            cells += [measurement.theory_text, measurement.needed_text, measurement.met_text]
            rows.append(f"| {' | '.join(cells)} |")
            condition = ""
    return "\n".join(rows)


def _wrapped(text: str, *, bullet: bool = False) -> str:
    return textwrap.fill(
        text,
        WIDTH,
        initial_indent="- " if bullet else "",
        subsequent_indent="  " if bullet else "",
        break_long_words=False,
        break_on_hyphens=False,
    )
