"""What a benchmark says: a table for people, JSON for machines, a chart."""

from __future__ import annotations

import importlib.metadata
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich import box
from rich.table import Table

import gradiometer as gm
from gradiometer.bench.harness import OURS, Machine, Outcome
from gradiometer.bench.kernels import KernelShare
from gradiometer.bench.peers import CANDIDATES

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


def table(outcomes: list[Outcome]) -> Table:
    """Return one row for each workload and peer."""
    made = _bare_table(["workload", "peer"], ["a step", "quartiles", "GFLOP/s", "of peak", "÷ ours"])
    for outcome in outcomes:
        title = outcome.workload.name
        for name, timing in outcome.timings.items():
            if timing.skipped:
                made.add_row(title, name, "left out", style="dim")
            else:
                speed = outcome.workload.flops / timing.seconds
                quartiles = " – ".join(time_text(value) for value in timing.spread)
                made.add_row(
                    title,
                    name,
                    time_text(timing.seconds),
                    quartiles,
                    f"{speed / 1e9:.1f}",
                    f"{outcome.share_of_peak(name):.0%}",
                    f"{outcome.ratio(name):.2f}",
                    style="bold" if name == OURS else "",
                )
            title = ""
        made.add_section()
    return made


def notes(outcomes: list[Outcome]) -> list[str]:
    """Say why peers were left out."""
    reasons: dict[tuple[str, str], list[str]] = {}
    for outcome in outcomes:
        for name, timing in outcome.timings.items():
            if timing.skipped:
                reasons.setdefault((name, timing.skipped), []).append(outcome.workload.name)
    return [f"{name} is left out of {', '.join(names)}: {reason}" for (name, reason), names in reasons.items()]


def kernel_table(shares: list[KernelShare]) -> Table:
    """Return one row for each kernel and size."""
    made = _bare_table(["size", "kernel"], ["a call", "speed", "of its floor"])
    size = ""
    for share in shares:
        title = f"{share.rows} × {share.columns}"
        if title != size:
            made.add_section()
        speed = share.operations / share.seconds / 1e9, share.bytes / share.seconds / 1e9
        made.add_row(
            title if title != size else "",
            share.name,
            time_text(share.seconds),
            f"{speed[0]:.1f} GFLOP/s" if share.operations else f"{speed[1]:.1f} GB/s",
            f"{share.share:.0%}",
        )
        size = title
    return made


def _bare_table(words: list[str], numbers: list[str]) -> Table:
    made = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    for heading in words:
        made.add_column(heading)
    for heading in numbers:
        made.add_column(heading, justify="right", no_wrap=True)
    return made


def as_json(outcomes: list[Outcome], machine: Machine, kernels: list[KernelShare] | None = None) -> dict[str, Any]:
    """Return everything as JSON values: seconds a step, operations a second, ratios to ours; shares of the kernels."""
    made: dict[str, Any] = {
        "versions": _versions(outcomes),
        "machine": {
            "isa": machine.isa,
            "threads": machine.threads,
            "peak_flops": machine.peak,
            "cache_bandwidth": machine.cache_bandwidth,
            "memory_bandwidth": machine.memory_bandwidth,
        },
        "workloads": [_workload_json(outcome) for outcome in outcomes],
    }
    if kernels is not None:
        made["kernels"] = [asdict(share) | {"limit": share.limit, "share": share.share} for share in kernels]
    return made


def _versions(outcomes: list[Outcome]) -> dict[str, str]:
    """Return what was compared: the versions of our package and of the others that were timed."""
    names = {name for outcome in outcomes for name, timing in outcome.timings.items() if timing.rounds}
    packages = sorted({CANDIDATES[name].package for name in names} - {OURS})
    return {OURS: gm.__version__} | {package: importlib.metadata.version(package) for package in packages}


def _workload_json(outcome: Outcome) -> dict[str, Any]:
    workload = outcome.workload
    made: dict[str, Any] = asdict(workload) | {"flops": workload.flops, "peaks": outcome.peaks, "peers": {}}
    for name, timing in outcome.timings.items():
        made["peers"][name] = (
            {"skipped": timing.skipped}
            if timing.skipped
            else {
                "seconds": timing.seconds,
                "quartiles": timing.spread,
                "rounds": timing.rounds,
                "flops_per_second": workload.flops / timing.seconds,
                "share_of_peak": outcome.share_of_peak(name),
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
