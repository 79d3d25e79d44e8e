"""The command ``gradiometer sweep``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from gradiometer.lab.commands import INTERRUPTED, report_page
from gradiometer.lab.data import Dataset, digits
from gradiometer.lab.files import read
from gradiometer.sweeps.call import load_sweep, run_sweep
from gradiometer.sweeps.file import SweepFile, check_table, read_sweep_file
from gradiometer.sweeps.page import write_page
from gradiometer.sweeps.result import SweepResult
from gradiometer.sweeps.terminal import final_table, live_view

ALL_FAILED = 1
"""Exit code when no run was without an error."""


def sweep(
    file: Annotated[
        Path, typer.Argument(metavar="FILE.toml", help="What to train: [data] [network] [train] [grid] [output].")
    ],
    store: Annotated[
        Path | None, typer.Option(help="The store of the runs.", show_default="as the file says, else FILE.sqlite")
    ] = None,
    table: Annotated[Path | None, typer.Option(help="Write one row for each run to a .csv or .parquet file.")] = None,
    report: Annotated[
        Path | None,
        typer.Option(
            help="The page that compares the configurations (.html); replaced if there is one.",
            show_default="gradiometer-sweep.html beside the store",
        ),
    ] = None,
    no_report: Annotated[bool, typer.Option("--no-report", help="Write no page.")] = False,
    rows: Annotated[int, typer.Option(min=1, help="Most rows of the table that is printed.")] = 20,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Run again what is in the store with an error.")
    ] = False,
) -> None:
    """Train every configuration of a grid with every seed, one network on each processor, and compare them.

    Each finished run is in the store before the next is shown: after Ctrl-C, or a crash, the same command goes on
    where it was and repeats nothing. `examples/sweep.toml` shows all that a file may hold.
    """
    console = Console(highlight=False)
    try:
        settings = read_sweep_file(file)
        place = settings.store if store is None else store
        written = settings.table if table is None else check_table(table)
        page = report_page(report, no_report, place.with_name("gradiometer-sweep.html"))
        data = read(settings.data, settings.target) if settings.data is not None else digits()
        _introduce(console, data, settings)
        try:
            result = _run(console, data, settings, place, retry_failed)
        except KeyboardInterrupt:
            console.print(f"\nInterrupted. What was finished is in {place}; the same command goes on.", soft_wrap=True)
            if place.exists():
                _conclude(console, load_sweep(place), rows)
            raise typer.Exit(INTERRUPTED) from None
        _conclude(console, result, rows)
        console.print(f"\nThe runs and their recordings are in {place}", soft_wrap=True)
        if written is not None:
            _write(result, written)
            console.print(f"The table of all runs is in {written}", soft_wrap=True)
        if page is not None:
            _report(console, result, page, file)
    except (ValueError, TypeError, OSError) as error:
        _fail(str(error))
    if len(result.failed) == len(result):
        raise typer.Exit(ALL_FAILED)


def _introduce(console: Console, data: Dataset, settings: SweepFile) -> None:
    console.print(str(data), soft_wrap=True)
    console.print(
        f"{settings.steps} steps in batches of {settings.batch_size}, {len(settings.seeds)} "
        f"{'seed' if len(settings.seeds) == 1 else 'seeds'}",
        style="dim",
    )


def _run(console: Console, data: Dataset, settings: SweepFile, store: Path, retry_failed: bool) -> SweepResult:
    with live_view(console) as report:
        return run_sweep(
            settings.build,
            settings.grid,
            data.train_x,
            data.train_y,
            seeds=settings.seeds,
            steps=settings.steps,
            batch_size=settings.batch_size,
            shuffle=settings.shuffle,
            validation=(data.validation_x, data.validation_y),
            store=store,
            retry_failed=retry_failed,
            report=report,
        )


def _conclude(console: Console, result: SweepResult, rows: int) -> None:
    made, left_out = final_table(result, rows, width=console.width, ascii_only=console.options.ascii_only)
    console.print()
    console.print(made)
    if left_out:
        console.print(f"and {left_out} more configurations; --rows shows more, --table writes all runs", style="dim")
    counts = ", ".join(f"{count} {kind}" for kind, count in result.counts.items()) or "none"
    console.print(f"\n{len(result)} runs: {counts}", soft_wrap=True)
    for run in result.failed[-1:]:
        console.print(f"failed, for example: {run}: {run.outcome.error}", style="red", markup=False, soft_wrap=True)


def _write(result: SweepResult, path: Path) -> None:
    frame = result.to_dataframe()
    if path.suffix.lower() == ".csv":
        frame.to_csv(path, index=False)
    else:
        frame.to_parquet(path, index=False)


def _report(console: Console, result: SweepResult, page: Path, file: Path) -> None:
    shown, configurations = write_page(result, page, f"The sweep of {file.name}")
    if not shown:
        console.print("There is no report: no run has gradients", style="dim", soft_wrap=True)
        return
    which = (
        "" if shown == configurations else f" ({shown} of {configurations} configurations, from the best to the worst)"
    )
    console.print(f"The report is in {page}{which}: open it in a browser", soft_wrap=True)


def _fail(message: str) -> NoReturn:
    Console(stderr=True, highlight=False).print(f"error: {message}", style="bold red", markup=False, soft_wrap=True)
    raise typer.Exit(2)
