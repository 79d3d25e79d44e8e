"""What a benchmark says: a table for people, JSON for machines, a chart."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from rich import box
from rich.table import Table

import gradiometer as gm
from gradiometer.bench.harness import OURS, Machine, Outcome

COLOURS = {
    "gradiometer": "#0072b2",
    "numpy": "#999999",
    "torch": "#d55e00",
    "torch.compile": "#e69f00",
    "jax": "#009e73",
}
"""Okabe and Ito's, which the colour-blind tell apart."""


def time_text(seconds: float) -> str:
    """Return a time with three digits and a unit."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return "" if math.isnan(seconds) else f"{seconds * 1e9:.3g} ns"


def table(outcomes: list[Outcome], machine: Machine) -> Table:
    """Return one row for each workload and peer."""
    made = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    made.add_column("workload")
    made.add_column("peer")
    for heading in ("a step", "quartiles", "GFLOP/s", "of peak", "÷ ours"):
        made.add_column(heading, justify="right", no_wrap=True)
    for outcome in outcomes:
        title = outcome.workload.name
        for name, timing in outcome.timings.items():
            if timing.skipped:
                made.add_row(title, name, timing.skipped, style="dim")
            else:
                speed = outcome.workload.flops / timing.seconds
                quartiles = " – ".join(time_text(value) for value in timing.spread)
                made.add_row(
                    title,
                    name,
                    time_text(timing.seconds),
                    quartiles,
                    f"{speed / 1e9:.1f}",
                    f"{speed / machine.peak:.0%}",
                    f"{outcome.ratio(name):.2f}",
                    style="bold" if name == OURS else "",
                )
            title = ""
        made.add_section()
    return made


def as_json(outcomes: list[Outcome], machine: Machine) -> dict[str, Any]:
    """Return everything as JSON values: seconds a step, operations a second, ratios to ours."""
    return {
        "version": gm.__version__,
        "machine": {
            "isa": machine.isa,
            "threads": machine.threads,
            "peak_flops": machine.peak,
            "cache_bandwidth": machine.cache_bandwidth,
            "memory_bandwidth": machine.memory_bandwidth,
        },
        "workloads": [_workload_json(outcome, machine) for outcome in outcomes],
    }


def _workload_json(outcome: Outcome, machine: Machine) -> dict[str, Any]:
    workload = outcome.workload
    made: dict[str, Any] = {"name": workload.name, "flops": workload.flops, "peers": {}}
    for name, timing in outcome.timings.items():
        made["peers"][name] = (
            {"skipped": timing.skipped}
            if timing.skipped
            else {
                "seconds": timing.seconds,
                "rounds": timing.rounds,
                "flops_per_second": workload.flops / timing.seconds,
                "share_of_peak": workload.flops / timing.seconds / machine.peak,
                "ratio": outcome.ratio(name),
                "disagreement": timing.disagreement,
            }
        )
    return made


def chart(outcomes: list[Outcome], path: Path) -> None:
    """Draw how many times longer than ours each peer's step takes, with the range of the rounds."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 0.5 + 0.9 * len(outcomes)), layout="constrained")
    axes = figure.add_subplot()
    peers = [name for name in COLOURS if any(name in outcome.timings for outcome in outcomes)]
    height = 0.8 / len(peers)
    for row, outcome in enumerate(outcomes):
        for place, name in enumerate(peers):
            timing = outcome.timings.get(name)
            if timing is None or not timing.rounds:
                continue
            at = row + (place - (len(peers) - 1) / 2) * height
            ratio = outcome.ratio(name)
            axes.barh(at, ratio, height, color=COLOURS[name], label=name if row == 0 else None)
            axes.text(ratio, at, f" {ratio:.1f}× ({time_text(timing.seconds)})", va="center", fontsize="x-small")
    axes.set_xscale("log")
    axes.set_xlim(0.5, axes.get_xlim()[1] * 3)
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_yticks(range(len(outcomes)), [outcome.workload.name for outcome in outcomes])
    axes.invert_yaxis()
    axes.set_xlabel("time of a training step ÷ ours")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=len(peers), frameon=False)
    figure.savefig(path, dpi=130)
