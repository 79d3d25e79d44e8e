"""Pages about one recording or several: one self-contained HTML file each, which opens without a network."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence

from gradiometer._checks import check_path, check_type
from gradiometer._files import replace_file
from gradiometer.recording import Recording
from gradiometer.reports.thinning import MOST_RUNS

__all__ = ["MOST_RUNS", "report"]


def report(
    recordings: Recording | Iterable[Recording],
    path: str | os.PathLike[str],
    *,
    names: Sequence[str] | None = None,
    title: str | None = None,
) -> None:
    """Write a page about one recording, or one that compares several (``lab`` extra).

    It shows the verdict, the gradients of every layer with a slider over the steps, heat maps of layer × step, loss and
    norms with the clipped steps, saturated and dead units and update-to-weight ratios (of runs with
    ``record="full"``), theory against measurement, and the phase diagram. The page is one file below 5 MB. Of long runs
    it draws some steps only, and says so.

    Parameters
    ----------
    recordings : Recording or iterable of Recording
    path : path
        Of the HTML file; one that is there already is replaced in one go.
    names : sequence of str, optional
        One for each recording; by default "run 1" and so on.
    title : str, optional
        Of the page.

    Raises
    ------
    TypeError
        If something else than recordings is given, or path, names or title are of a wrong type.
    ValueError
        If there is no recording, or more than 24; if one has no steps, no layers or no gradients; or if there are not
        as many names.
    OSError
        If the file cannot be written.
    ImportError
        Without the ``lab`` extra.
    """
    chosen = _checked(recordings)
    called = _names(names, len(chosen))
    check_path("path", path)
    if title is not None:
        check_type("title", title, str)
    try:
        import bokeh  # noqa: F401
        import jinja2  # noqa: F401
    except ImportError as error:
        raise ImportError(
            f"report needs {error.name} from the lab extra: pip install 'gradiometer[lab]'", name=error.name
        ) from error
    from gradiometer.reports.page import build
    from gradiometer.reports.run import Run

    runs = [Run.of(recording, name, len(chosen)) for recording, name in zip(chosen, called, strict=True)]
    page = build(runs, title or ("Gradient report" if len(runs) == 1 else f"{len(runs)} runs compared"))
    replace_file(path, "write a report", lambda file: file.write(page.encode()))


def _checked(recordings: Recording | Iterable[Recording]) -> list[Recording]:
    if isinstance(recordings, Recording):
        recordings = [recordings]
    if isinstance(recordings, (str, bytes)) or not isinstance(recordings, Iterable):
        raise TypeError(f"recordings must be a Recording or several of them, not {recordings!r}")
    chosen = list(recordings)
    if not chosen:
        raise ValueError("recordings is empty; it must hold at least one Recording")
    if len(chosen) > MOST_RUNS:
        raise ValueError(f"recordings holds {len(chosen)}; a page can compare {MOST_RUNS} at most, so choose some")
    for number, recording in enumerate(chosen):
        if not isinstance(recording, Recording):
            raise TypeError(f"recordings[{number}] must be a Recording, not {recording!r}")
        if recording._recorder.mode is None:
            raise ValueError(
                f"recordings[{number}] has no gradients: it was made with record=None; "
                'use Trainer(..., record="norms") or "full"'
            )
        for axis, count in (("step", len(recording)), ("layer", len(recording.layer_names))):
            if not count:
                raise ValueError(f"recordings[{number}] has no {axis}s; a report needs at least one {axis}")
    return chosen


def _names(names: Sequence[str] | None, count: int) -> list[str]:
    if names is None:
        return ["this run"] if count == 1 else [f"run {number + 1}" for number in range(count)]
    listed = isinstance(names, Iterable) and not isinstance(names, (str, Mapping))
    if not listed or not all(isinstance(name, str) for name in names):
        raise TypeError(f"names must be a sequence of strings, not {names!r}")
    if len(names) != count:
        raise ValueError(f"there are {count} recordings but {len(names)} names")
    return list(names)
