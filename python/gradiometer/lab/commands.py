"""The commands ``gradiometer lab`` and ``gradiometer info``, and their options."""

import math
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

import gradiometer as gm
from gradiometer._files import check_writable
from gradiometer.lab.balance import balanced_scale
from gradiometer.lab.data import DataError, Dataset, digits
from gradiometer.lab.experiments import Architecture, Experiment, experiments
from gradiometer.lab.files import read
from gradiometer.lab.picture import draw
from gradiometer.lab.terminal import information, show_run, table
from gradiometer.lab.training import OPTIMIZERS, PILOT_EPOCHS, PILOT_SEEDS, RATES, Run, Settings, search, train

app = typer.Typer(
    no_args_is_help=True, add_completion=False, rich_markup_mode="markdown", pretty_exceptions_enable=False
)

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it: 128 + the number of the signal."""

NETWORK = "The network under study, which every cure starts from"
TRAINING = "Training, the same for all networks"
FILES = "Data and picture"


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"gradiometer {gm.__version__}")
        raise typer.Exit


@app.callback()
def gradiometer(
    _: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Measure how gradients vanish, explode or flow through a deep network."""


@app.command()
def info() -> None:
    """Print the version, the instruction set and the threads that the engine uses here."""
    console = Console(highlight=False)
    console.print(information(dict(gm.info()), ascii_only=console.options.ascii_only))


@app.command()
def lab(
    data: Annotated[
        Path | None,
        typer.Option(
            help="A .npz file with the arrays X and y (optionally X_val and y_val), or a .csv or .parquet "
            "table with a column of labels.",
            show_default="scikit-learn's digits",
            rich_help_panel=FILES,
        ),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(
            help="The table's column of labels.",
            show_default="target, label or y, else the last",
            rich_help_panel=FILES,
        ),
    ] = None,
    out: Annotated[
        Path,
        typer.Option(help="The picture (.png, .pdf or .svg); replaced if there is one.", rich_help_panel=FILES),
    ] = Path("gradiometer-lab.png"),
    report: Annotated[
        Path | None,
        typer.Option(
            help="The page that compares the networks (.html); replaced if there is one.",
            show_default="the picture's name, with .html",
            rich_help_panel=FILES,
        ),
    ] = None,
    no_report: Annotated[bool, typer.Option("--no-report", help="Write no page.", rich_help_panel=FILES)] = False,
    depth: Annotated[int, typer.Option(min=1, help="Hidden layers.", rich_help_panel=NETWORK)] = 20,
    width: Annotated[int, typer.Option(min=1, help="Units of each hidden layer.", rich_help_panel=NETWORK)] = 64,
    activation: Annotated[
        str, typer.Option(help="sigmoid, tanh, relu, gelu, ...", rich_help_panel=NETWORK)
    ] = "sigmoid",
    init: Annotated[
        str,
        typer.Option(
            help="How weights start: xavier_normal, kaiming_normal, orthogonal, torch_default, ...; or a "
            "number sigma_w, for normal weights of deviation sigma_w / sqrt(fan_in).",
            rich_help_panel=NETWORK,
        ),
    ] = "xavier_normal",
    batch_norm: Annotated[
        bool, typer.Option("--batch-norm/--no-batch-norm", help="Batch norm.", rich_help_panel=NETWORK)
    ] = False,
    dropout: Annotated[float, typer.Option(help="Share of units dropped, below 1.", rich_help_panel=NETWORK)] = 0.0,
    clip: Annotated[
        float | None, typer.Option(help="Largest norm of all gradients together.", rich_help_panel=NETWORK)
    ] = None,
    optimizer: Annotated[str, typer.Option(help=", ".join(OPTIMIZERS) + ".", rich_help_panel=TRAINING)] = "momentum",
    lr: Annotated[
        float | None,
        typer.Option(
            help="Learning rate of all networks.",
            show_default="for each, the best in a short search",
            rich_help_panel=TRAINING,
        ),
    ] = None,
    epochs: Annotated[int, typer.Option(min=1, rich_help_panel=TRAINING)] = 30,
    batch_size: Annotated[int, typer.Option(min=2, help="Rows of a batch.", rich_help_panel=TRAINING)] = 64,
    seed: Annotated[int, typer.Option(min=0, help="Of weights, shuffling and dropout.", rich_help_panel=TRAINING)] = 0,
) -> None:
    """Train a sick network and every cure of it, and show what each does to the gradients.

    Without options: 20 sigmoid layers of 64 units on handwritten digits, started with Xavier's weights, the
    kindest of the common ways: the gradients vanish all the same. Then the same network with ReLU and the
    initialisation that fits it; still sigmoid, with the weight scale at which its gradients start balanced;
    with batch norm; with dropout; with clipping; with all of them together (ReLU). Last, the ReLU network
    with weights twice too large, which explodes, without and with clipping.

    The options change the network under study, and the cures start from the changed one: --batch-norm,
    --dropout and --clip then belong to it and so to all but the last two networks, which share its size and
    clip alone.
    """
    console = Console(highlight=False)
    runs: list[Run] = []
    try:
        import matplotlib.figure  # noqa: F401  if it is missing, say so before the training, not after

        if optimizer not in OPTIMIZERS:
            raise ValueError(f"--optimizer must be one of {', '.join(OPTIMIZERS)}, not '{optimizer}'")
        _check_numbers(dropout, clip, lr)
        sick = Architecture(depth, width, activation, _init(init), batch_norm, dropout, clip)
        settings = Settings(optimizer, lr, epochs, batch_size, seed)
        check_writable(out)
        page = report_page(report, no_report, out.with_suffix(".html"))
        dataset = _dataset(data, target)
        sick.network(dataset.features, len(dataset.classes), seed)  # refuses what it does not know

        _introduce(console, dataset, settings)
        chosen = experiments(sick, balanced_scale(sick, dataset, seed))
        _train_all(console, chosen, dataset, settings, runs)
        _conclude(console, runs, settings)
        title = f"How the gradient travels back through {depth} layers of {width} units ({dataset.name})"
        draw(runs, title, out)
        console.print(f"\nThe picture is in {out}", soft_wrap=True)
        if page is not None:
            names = [run.experiment.name for run in runs]
            gm.report([run.recording for run in runs], page, names=names, title=title)
            console.print(f"The report is in {page}: open it in a browser", soft_wrap=True)
    except KeyboardInterrupt:
        console.print(f"\nInterrupted; {len(runs)} networks were finished.")
        if runs:
            _conclude(console, runs, settings)
        raise typer.Exit(INTERRUPTED) from None
    except (ValueError, TypeError, OSError) as error:
        _fail(str(error))


def report_page(report: Path | None, no_report: bool, default: Path) -> Path | None:
    """Return where a report goes, None if none is wanted; see first that it can be written."""
    if no_report:
        if report is not None:
            raise ValueError("--report names a page and --no-report wants none; give one of them")
        return None
    import bokeh  # noqa: F401  as above
    import jinja2  # noqa: F401

    page = report or default
    check_writable(page, (".html", ".htm"))
    return page


def _check_numbers(dropout: float, clip: float | None, lr: float | None) -> None:
    """Check what typer does not: its ranges let NaN and infinity pass."""
    if not 0 <= dropout < 1:
        raise ValueError(f"--dropout must be from 0 to below 1, not {dropout:g}")
    for name, value in (("--clip", clip), ("--lr", lr)):
        if value is not None and not 0 < value < math.inf:
            raise ValueError(f"{name} must be a number above 0, not {value:g}")


def _init(text: str) -> str | float:
    """Read a number as σ_w, anything else as the name of an initialisation."""
    try:
        scale = float(text)
    except ValueError:
        return text
    if not 0 < scale < math.inf:
        raise ValueError(f"--init must be a name or a sigma_w above 0, not {text}")
    return scale


def _dataset(path: Path | None, target: str | None) -> Dataset:
    if path is not None:
        return read(path, target)
    if target is not None:
        raise DataError("--target names a column of the table that --data gives; there is no --data")
    return digits()


def _introduce(console: Console, data: Dataset, settings: Settings) -> None:
    engine = gm.info()
    console.print(str(data), soft_wrap=True)
    console.print(
        f"{settings.epochs} epochs in batches of {settings.batch_size}, {settings.optimizer}; "
        f"{engine['isa']}, {engine['threads']} threads. Bars: the norm of dL/d(output) of each layer.",
        style="dim",
    )


def _train_all(console: Console, chosen: list[Experiment], data: Dataset, settings: Settings, runs: list[Run]) -> None:
    """Train the networks one after the other; show each, and append it to ``runs``, when it is finished."""
    bar = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    trials = 0 if settings.lr is not None else len(RATES)
    with bar:
        task = bar.add_task("", total=len(chosen) * (trials + 1))
        for number, experiment in enumerate(chosen):
            bar.update(task, description=f"{experiment.name}: looking for its learning rate")
            rate = search(experiment.architecture, data, settings, tried=lambda: bar.advance(task))
            bar.update(task, description=f"{experiment.name}: training at {rate:g}")
            runs.append(train(experiment, data, settings, rate))
            bar.update(task, completed=(number + 1) * (trials + 1))
            show_run(console, runs[-1])


def _conclude(console: Console, runs: list[Run], settings: Settings) -> None:
    console.print()
    console.print(table(runs, width=console.width, ascii_only=console.options.ascii_only))
    if settings.lr is None:
        console.print(
            f"\nEach learning rate is the best of trials over {min(PILOT_EPOCHS, settings.epochs)} epochs, compared by "
            f"the mean accuracy of {PILOT_SEEDS} networks on the training rows. In every run it falls to zero along a "
            "cosine.",
            style="dim",
        )


def _fail(message: str) -> NoReturn:
    Console(stderr=True, highlight=False).print(f"error: {message}", style="bold red", markup=False, soft_wrap=True)
    raise typer.Exit(2)
