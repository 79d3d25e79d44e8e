"""Puts the figures, their texts and the library that draws them into one HTML page that needs nothing else."""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Any

from bokeh.document import Document
from bokeh.resources import Resources
from jinja2 import Environment, PackageLoader, select_autoescape
from markupsafe import Markup

from gradiometer._core import __version__
from gradiometer.reports import against_theory, flow, heatmap, over_time, overview, phase, units, updates
from gradiometer.reports.run import Run
from gradiometer.reports.section import Section
from gradiometer.reports.thinning import most_points


def build(runs: list[Run], title: str) -> str:
    """Return the page as text."""
    flowing, sliding = flow.section(runs)
    sections = [
        flowing,
        heatmap.section(runs),
        over_time.section(runs),
        units.section(runs),
        updates.section(runs),
        against_theory.section(runs),
        phase.section(runs),
    ]
    places = {panel.plot.id: f"{section.anchor}-{n}" for section in sections for n, panel in enumerate(section.panels)}
    steps = sorted({step for changes in sliding for step in changes["steps"]})
    environment = Environment(
        loader=PackageLoader("gradiometer.reports"),
        autoescape=select_autoescape(["jinja"], default=True),
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies["json.dumps_kwargs"] = {"sort_keys": False}  # models are defined where they are first used
    return environment.get_template("page.html.jinja").render(
        title=title,
        version=__version__,
        runs=runs,
        verdicts=overview.verdicts(runs),
        figures=overview.key_figures(runs[0]) if len(runs) == 1 else (),
        comparison=overview.comparison(runs) if len(runs) > 1 else None,
        settings=[overview.settings(run) for run in runs],
        sections=sections,
        places=places,
        steps=steps,
        thinning=_thinning(runs),
        library=Markup(_library()),
        script=Markup(_file("page.js")),
        style=Markup(_file("page.css")),
        data={"documents": _documents(sections), "places": places, "steps": steps, "runs": sliding},
    )


def _documents(sections: list[Section]) -> list[dict[str, Any]]:
    """Return the plots, as the library's own JSON: one document for each section, drawn one after the other."""
    documents = []
    for section in sections:
        document = Document()
        for panel in section.panels:
            document.add_root(panel.plot)
        if section.panels:
            documents.append(dict(document.to_json(deferred=False)))
    return documents


def _thinning(runs: list[Run]) -> str:
    """Say what the page leaves out; empty if it shows every step."""
    thinned = [run for run in runs if run.thinned]
    if not thinned:
        return ""
    frames, steps = (
        max(counts) for counts in zip(*((len(run.frames), len(run.steps)) for run in thinned), strict=True)
    )
    shown = f"{frames:,} of the {steps:,} recorded steps"
    if len(runs) > 1:
        shown = f"at most {frames:,} of the up to {steps:,} recorded steps of a run"
    return (
        f"To keep this page small, the heat maps and the slider show {shown}, and curves over the steps at "
        f"most {most_points(len(runs)):,}: the first, the last, and from every stretch of consecutive steps those with "
        "the smallest and the largest values, zeros, infinities and NaN among them, so that no extreme is hidden. "
        "Verdicts, tables, histograms and the strip of clipped steps use every step that was recorded."
    )


@cache
def _library() -> str:
    """Return the drawing library's own script, without widgets and extensions."""
    return "\n".join(Resources(mode="inline", components=["bokeh"], log_level="warn").js_raw)


def _file(name: str) -> str:
    return (resources.files("gradiometer.reports") / "templates" / name).read_text("utf-8")
