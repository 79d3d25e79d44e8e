"""The command ``gradiometer claims``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from gradiometer.claims import page, pictures
from gradiometer.claims.catalogue import CLAIMS
from gradiometer.claims.laboratory import Laboratory
from gradiometer.claims.outcome import Outcome
from gradiometer.claims.store import Results, to_json
from gradiometer.claims.terminal import show, show_in_full, verdicts


def claims(
    only: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help=f"One claim, in full; may be given again: {', '.join(CLAIMS)}."),
    ] = None,
    seeds: Annotated[
        int, typer.Option(min=2, help="Networks of each kind, from the seeds 0, 1, ...")
    ] = page.DEFAULT_SEEDS,
    write: Annotated[
        Path | None,
        typer.Option(
            help="A page in Markdown (docs/claims.md), with its figures in a .json file and pictures beside it."
        ),
    ] = None,
    to: Annotated[str | None, typer.Option("--json", help="A file, or - for the standard output.")] = None,
) -> None:
    """Measure what lecture notes say of vanishing and exploding gradients, and give a verdict on each claim.

    Twelve claims, each tried by training networks on handwritten digits from several seeds, next to what theory
    predicts. The verdicts follow from the figures: holds, holds only if ..., or does not hold.
    """
    # With the JSON on the standard output, all else goes to the other one.
    console = Console(highlight=False, stderr=to == "-")
    try:
        chosen = _chosen(only)
        _check_files(write, to, only)
        laboratory = Laboratory(seeds)
        outcomes: dict[str, Outcome] = {}
        console.print(f"Figures are medians over {seeds} seeds (smallest … largest).", style="dim")
        with console.status("") as status:
            for name in chosen:
                status.update(CLAIMS[name].statement)
                outcomes[name] = CLAIMS[name].measure(laboratory)
                (show_in_full if only else show)(console, name, outcomes[name])
        if len(chosen) > 1:
            console.print()
            console.print(verdicts(outcomes))
        results = Results(seeds, outcomes)
        if to == "-":
            print(to_json(results), end="")
        elif to is not None:
            Path(to).write_text(to_json(results), "utf-8")
        if write is not None:
            _write(write, results)
            console.print(f"\nThe page is {write}", soft_wrap=True)
    except (ValueError, OSError) as error:
        Console(stderr=True, highlight=False).print(f"error: {error}", style="bold red", markup=False, soft_wrap=True)
        raise typer.Exit(2) from None
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


def _chosen(only: list[str] | None) -> list[str]:
    for name in only or ():
        if name not in CLAIMS:
            raise ValueError(f"there is no claim '{name}'; known: {', '.join(CLAIMS)}")
    return list(dict.fromkeys(only or CLAIMS))


def _check_files(page_file: Path | None, json_file: str | None, only: list[str] | None) -> None:
    """Refuse what cannot be written before the minutes of measuring, not after."""
    if page_file is not None:
        if only:
            raise ValueError("--write makes the page of all claims: leave out --only")
        if page_file.suffix != ".md":
            raise ValueError(f"--write must be a file that ends with .md, not {page_file}")
    for path in (page_file, Path(json_file) if json_file not in (None, "-") else None):
        if path is not None and not path.parent.is_dir():
            raise NotADirectoryError(f"{path}: there is no folder {path.parent}")
        if path is not None and path.is_dir():
            raise IsADirectoryError(f"{path} is a folder")


def _write(path: Path, results: Results) -> None:
    (path.parent / page.PICTURES).mkdir(parents=True, exist_ok=True)
    for name, outcome in results.outcomes.items():
        pictures.draw(CLAIMS[name], outcome, path.parent / page.PICTURES / f"{name}.png")
    numbers = path.with_suffix(".json")
    numbers.write_text(to_json(results), "utf-8")
    path.write_text(page.render(results, numbers.name), "utf-8")
