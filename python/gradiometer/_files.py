"""Files that appear only when they are complete."""

from __future__ import annotations

import contextlib
import os
import tempfile
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import IO

PICTURES = (".png", ".pdf", ".svg")


def replace_file(path: str | os.PathLike[str], what: str, write: Callable[[IO[bytes]], object]) -> None:
    """Write exactly ``path``: a full disk or a crash leaves what was there before.

    Parameters
    ----------
    path : path
        Of the file, or of a link to it, which survives.
    what : str
        What is done, for error messages, such as ``"save a recording"``.
    write : callable
        Gets the file, open for bytes.
    """
    target = Path(os.path.realpath(path))
    if target.is_dir():
        raise IsADirectoryError(f"cannot {what} to '{path}': it is a folder")
    if not target.parent.is_dir():
        raise FileNotFoundError(f"cannot {what} to '{path}': no folder '{target.parent}'")
    unfinished = target.with_name(f".{uuid.uuid4().hex}.unfinished")
    try:
        with _open(unfinished, path, what) as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, target)
    except BaseException:
        with contextlib.suppress(OSError):
            unfinished.unlink()
        raise


def _open(unfinished: Path, path: str | os.PathLike[str], what: str) -> IO[bytes]:
    try:
        return open(unfinished, "xb")
    except OSError as error:
        raise type(error)(f"cannot {what} to '{path}': {error.strerror}") from error


def check_writable(path: Path, formats: tuple[str, ...] | None = PICTURES) -> None:
    """Raise an OSError or a ValueError, with a reason, if no file of one of these formats can be written there."""
    if path.exists() and not (path.is_file() or path.is_dir()):
        return  # a device, which is only opened
    if formats is not None and path.suffix.lower() not in formats:
        raise ValueError(f"{path} must end with {', '.join(formats)}, not '{path.suffix}'")
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder")
    if not path.parent.is_dir():
        raise NotADirectoryError(f"{path}: there is no folder {path.parent}")
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.stem}-"):
            pass
    except OSError as error:
        raise PermissionError(f"{path} cannot be written: {error.strerror}") from error
