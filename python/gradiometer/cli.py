"""The entry point of the command ``gradiometer``; its commands are in `lab`, `bench`, `claims` and `sweeps`."""

from __future__ import annotations

import io
import sys

LAB_PACKAGES = ("PIL", "bokeh", "jinja2", "matplotlib", "pandas", "pyarrow", "rich", "sklearn", "typer")


def main() -> None:
    """Run the command line."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # where there is no ÷ or σ, a question mark is better than an error
    try:
        from gradiometer.bench.commands import bench
        from gradiometer.claims.commands import claims
        from gradiometer.lab.commands import app
        from gradiometer.sweeps.commands import sweep

        app.command()(bench)
        app.command()(claims)
        app.command()(sweep)
        app()
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in LAB_PACKAGES:
            raise
        print(
            f"error: the command line needs {package}, from the lab extra: pip install 'gradiometer[lab]'",
            file=sys.stderr,
        )
        sys.exit(2)


if __name__ == "__main__":
    main()
