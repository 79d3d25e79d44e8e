"""The file of a recording: one NumPy ``.npz`` archive with the arrays and a JSON text that describes them."""

from __future__ import annotations

import contextlib
import io
import json
import os
import tokenize
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from typing import IO, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from gradiometer._checks import check_path
from gradiometer._files import replace_file

FilePath: TypeAlias = str | os.PathLike[str]

FORMAT = "gradiometer recording"
VERSION = 1
METADATA = "metadata"  # the member of the archive that holds the JSON text, as bytes

# What NumPy and zipfile raise for an archive that is cut short or partly overwritten: a bit makes members encrypted or
# their headers no Python.
DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    KeyError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    tokenize.TokenError,
)


def write(path: FilePath, metadata: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write a recording to exactly ``path``.

    The file appears there only when it is complete: a full disk or a crash leaves what was there before.
    """
    check_path("path", path)
    members = _members(metadata, arrays)
    replace_file(path, "save a recording", lambda file: np.savez(file, **members))


def to_bytes(metadata: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Return what `write` would write."""
    file = io.BytesIO()
    np.savez(file, **_members(metadata, arrays))
    return file.getvalue()


def _members(metadata: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
    try:
        text = json.dumps({"format": FORMAT, "version": VERSION, **metadata})
    except TypeError as error:
        raise TypeError(f"cannot save the recording: meta must hold JSON values only ({error})") from None
    return {METADATA: np.frombuffer(text.encode(), dtype=np.uint8), **arrays}


def read(path: FilePath) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Read a recording's metadata and arrays; a ``ValueError`` says what is wrong with the file."""
    with open(check_path("path", path), "rb") as file:
        return _decode(path, file)


def from_bytes(name: str, data: bytes) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Read what `to_bytes` gave; ``name`` is what messages call it."""
    return _decode(name, io.BytesIO(data))


def _decode(path: FilePath, file: IO[bytes]) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    start = file.read(4)
    if start != b"PK\x03\x04":
        what = "it is no .npz archive" if start else "it is empty"
        raise ValueError(f"'{path}' is not a recording: {what}")
    if not zipfile.is_zipfile(file):
        raise ValueError(f"'{path}' is cut short: the end of the archive is missing")
    file.seek(0)
    with _blame(path):
        archive = np.load(file, allow_pickle=False)
        text = archive[METADATA].tobytes() if METADATA in archive.files else b""
    metadata = _parse(path, text)
    with _blame(path):
        arrays = {name: archive[name] for name in archive.files if name != METADATA}
    archive.close()
    return metadata, arrays


@contextlib.contextmanager
def _blame(path: FilePath) -> Iterator[None]:
    try:
        yield
    except DAMAGE as error:
        raise ValueError(f"'{path}' is damaged: {error}") from error


def _parse(path: FilePath, text: bytes) -> dict[str, Any]:
    try:
        metadata = json.loads(text)
    except ValueError:
        metadata = None
    if not isinstance(metadata, dict) or metadata.get("format") != FORMAT:
        raise ValueError(f"'{path}' is not a recording: it is an .npz archive of something else")
    if metadata["version"] > VERSION:
        raise ValueError(
            f"'{path}' was written by a newer gradiometer: its format is version {metadata['version']}, "
            f"this one reads up to version {VERSION}. Upgrade with: pip install --upgrade gradiometer"
        )
    return metadata
