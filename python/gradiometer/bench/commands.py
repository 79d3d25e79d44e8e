"""The command ``gradiometer bench``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from gradiometer._files import check_writable
from gradiometer.bench import harness, kernels, peers, report
from gradiometer.bench.workloads import FIVE, WORKLOADS, Workload, grid


def bench(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[WORKLOAD]...", help=f"{', '.join(WORKLOADS)}.", show_default=", ".join(FIVE)),
    ] = None,
    against: Annotated[
        str | None,
        typer.Option("--peers", help=f"Some of {', '.join(peers.CANDIDATES)}.", show_default="all that are installed"),
    ] = None,
    odd_sizes: Annotated[bool, typer.Option("--grid", help="The grid of odd sizes instead.")] = False,
    single_kernels: Annotated[
        bool, typer.Option("--kernels", help="Our own kernels instead: the share of each in what the machine allows.")
    ] = False,
    rounds: Annotated[int, typer.Option(min=1, help="How often the peers take turns.")] = 7,
    seconds: Annotated[float, typer.Option(min=0.001, help="Time of a peer in a round.")] = 0.3,
    to_json: Annotated[str | None, typer.Option("--json", help="A file, or - for the standard output.")] = None,
    picture: Annotated[Path | None, typer.Option("--chart", help="A picture (.png, .pdf or .svg).")] = None,
) -> None:
    """Time a training step against NumPy, PyTorch and JAX, side by side in one run.

    Every peer starts from the same weights in a process of its own; its gradient norms must be ours before it is
    timed. They take turns, and each figure is the median of its rounds. PyTorch and JAX are in the bench extra.
    """
    # With the JSON on the standard output, all else goes to the other one.
    console = Console(highlight=False, stderr=to_json == "-")
    try:
        if single_kernels and (names or against or odd_sizes or picture):
            raise ValueError("--kernels goes with --json only: it has no workloads, peers and chart")
        chosen = [] if single_kernels else _workloads(names, odd_sizes)
        timed = _peers(against)
        if picture is not None:
            check_writable(picture)
        if to_json not in (None, "-"):
            check_writable(Path(to_json), formats=None)
        machine = harness.Machine.measure()
        console.print(
            f"{machine.isa}, {machine.threads} threads: {machine.peak / 1e9:.0f} GFLOP/s in registers, "
            f"{machine.cache_bandwidth / 1e9:.0f} GB/s in cache, {machine.memory_bandwidth / 1e9:.0f} GB/s in memory",
            soft_wrap=True,
        )
        outcomes = []
        shares = kernels.measure() if single_kernels else None
        with console.status("") as status:
            for workload in chosen:
                outcomes.append(harness.run(workload, timed, rounds=rounds, seconds=seconds, say=status.update))
        console.print(report.table(outcomes) if shares is None else report.kernel_table(shares))
        for note in report.notes(outcomes):
            console.print(note, style="dim", markup=False, soft_wrap=True)
        if to_json is not None:
            text = json.dumps(report.as_json(outcomes, machine, shares), indent=2)
            if to_json == "-":
                print(text)
            else:
                Path(to_json).write_text(text + "\n", "utf-8")
        if picture is not None:
            report.chart(outcomes, picture)
    except (ValueError, OSError, RuntimeError) as error:
        Console(stderr=True, highlight=False).print(f"error: {error}", style="bold red", markup=False, soft_wrap=True)
        raise typer.Exit(2) from None
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


def _workloads(names: list[str] | None, odd_sizes: bool) -> list[Workload]:
    if odd_sizes:
        return grid()
    for name in names or ():
        if name not in WORKLOADS:
            raise ValueError(f"there is no workload '{name}'; known: {', '.join(WORKLOADS)}")
    return [WORKLOADS[name] for name in names or FIVE]


def _peers(text: str | None) -> list[str]:
    if text is None:
        return [name for name in peers.CANDIDATES if peers.installed(name)]
    chosen = [name.strip() for name in text.split(",")]
    for name in chosen:
        if name not in peers.CANDIDATES:
            raise ValueError(f"there is no peer '{name}'; known: {', '.join(peers.CANDIDATES)}")
    return chosen
