"""The store of a sweep: an SQLite file with one row for each run, or the same in memory."""

from __future__ import annotations

import dataclasses
import os
import sqlite3
import time
import weakref
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

from gradiometer.sweeps.grid import Parameters, from_json, to_json
from gradiometer.sweeps.run import Finished, Outcome

Key: TypeAlias = tuple[str, int]
"""`grid.identity` of the parameters, and the seed."""

APPLICATION = 0x67726164  # "grad": marks the file as ours
VERSION = 1
BUSY_SECONDS = 60.0
"""How long to wait for another process that writes to the same file."""

_AFFINITY = {"int": "INTEGER", "float": "REAL", "str": "TEXT"}
OUTCOME = [field.name for field in dataclasses.fields(Outcome)]
_COLUMNS = ", ".join(
    f"{field.name} {_AFFINITY[str(field.type).partition(' ')[0]]}" for field in dataclasses.fields(Outcome)
)
_SCHEMA = f"""
    PRAGMA application_id = {APPLICATION};
    PRAGMA user_version = {VERSION};
    CREATE TABLE sweep (name TEXT PRIMARY KEY, value TEXT NOT NULL);
    CREATE TABLE runs (
        identity TEXT NOT NULL, seed INTEGER NOT NULL, parameters TEXT NOT NULL,
        started REAL, finished REAL, {_COLUMNS}, traceback TEXT, recording BLOB,
        PRIMARY KEY (identity, seed)
    );
"""


class Store:
    """The runs of one sweep, planned and finished.

    Every write is a transaction of its own: what `finish` has written is there after the process was killed (after a
    power failure, the last few may be missing, and no more).

    Parameters
    ----------
    path : path or None
        The file; None keeps all in memory.
    create : bool
        Make the file if it is not there.

    Raises
    ------
    ValueError
        If the file is something else, or was written by a newer version.
    OSError
        If it cannot be opened or written.
    """

    def __init__(self, path: str | os.PathLike[str] | None, *, create: bool = True) -> None:
        self.path = None if path is None else Path(path)
        self.name = "memory" if path is None else f"'{os.fspath(path)}'"
        if self.path is not None and self.path.is_dir():
            raise IsADirectoryError(f"the store {self.name} is a folder")
        if self.path is not None and not self.path.absolute().parent.is_dir():
            raise FileNotFoundError(f"the store {self.name} cannot be made: there is no folder '{self.path.parent}'")
        if self.path is not None and not create and not self.path.exists():
            raise FileNotFoundError(f"there is no store {self.name}")
        with self._blame():
            self._connection = sqlite3.connect(
                ":memory:" if self.path is None else self.path,
                timeout=BUSY_SECONDS,
                isolation_level=None,
                check_same_thread=False,
            )
        weakref.finalize(self, self._connection.close)
        with self._blame():
            self._prepare(create)

    def _prepare(self, create: bool) -> None:
        ours = self._is_ours(create)
        if not create:
            return
        self._write_ahead()
        self._connection.execute("PRAGMA synchronous = NORMAL")
        if not ours:
            with self._transaction():
                if not self._is_ours(create):  # another process may have been faster
                    for statement in _SCHEMA.split(";"):
                        self._connection.execute(statement)

    def _write_ahead(self) -> None:
        """Let readers go on while one process writes. SQLite itself does not wait where two processes ask for it."""
        deadline = time.monotonic() + BUSY_SECONDS
        while True:
            try:
                self._connection.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                    raise
                time.sleep(0.01)

    def _is_ours(self, create: bool) -> bool:
        """Return whether the tables are there; refuse a file of something else."""
        application, version, tables = self._read_head()
        if application != APPLICATION and (application or tables or not create):
            what = "a database of something else" if application or tables else "empty"
            raise ValueError(f"{self.name} is not the store of a sweep: it is {what}")
        if version > VERSION:
            raise ValueError(
                f"the store {self.name} was written by a newer gradiometer: its format is version {version}, "
                f"this one reads up to version {VERSION}. Upgrade with: pip install --upgrade gradiometer"
            )
        return bool(application == APPLICATION)

    def _read_head(self) -> tuple[int, int, int]:
        """Return application id, format, and number of tables, of one moment: another process may be making them."""
        alone = not self._connection.in_transaction
        if alone:
            self._connection.execute("BEGIN")
        try:
            tables, application, version = (
                self._connection.execute(question).fetchone()[0]
                for question in ("SELECT count(*) FROM sqlite_master", "PRAGMA application_id", "PRAGMA user_version")
            )
        finally:
            if alone:
                self._connection.execute("COMMIT")
        return application, version, tables

    def describe(self, description: Mapping[str, str]) -> None:
        """Keep what is the same for all runs; if the store has it already, it must be the same.

        Raises
        ------
        ValueError
            If it is not; the message says what differs.
        """
        with self._blame(), self._transaction():
            known = dict(self._connection.execute("SELECT name, value FROM sweep").fetchall())
            if not known:
                self._connection.executemany("INSERT INTO sweep VALUES (?, ?)", description.items())
                return
        differences = [
            _difference(name, known.get(name), here) for name, here in description.items() if known.get(name) != here
        ]
        if differences:
            raise ValueError(
                f"the store {self.name} holds another sweep: {'; '.join(differences)}. Give each its own store, or "
                "delete this one"
            )

    def plan(self, runs: Iterable[tuple[Parameters, Key]], retry_failed: bool) -> None:
        """Add the runs that are not there yet, in this order; and forget those that failed, if they are to be tried."""
        rows = [(*key, to_json(parameters)) for parameters, key in runs]
        with self._blame(), self._transaction():
            self._connection.executemany(
                "INSERT OR IGNORE INTO runs (identity, seed, parameters) VALUES (?, ?, ?)", rows
            )
            if retry_failed:
                self._connection.executemany(
                    "UPDATE runs SET finished = NULL WHERE identity = ? AND seed = ? AND error IS NOT NULL",
                    [row[:2] for row in rows],
                )

    def finish(self, key: Key, finished: Finished) -> None:
        """Write a finished run, in a transaction of its own. Where another process was faster, its run stays."""
        values = dataclasses.asdict(finished.outcome) | {
            "started": finished.started,
            "finished": time.time(),
            "traceback": finished.traceback,
            "recording": finished.recording,
        }
        assignments = ", ".join(f"{name} = ?" for name in values)
        with self._blame():
            self._connection.execute(
                f"UPDATE runs SET {assignments} WHERE identity = ? AND seed = ? AND finished IS NULL",
                (*values.values(), *key),
            )

    def outcomes(self) -> dict[Key, Outcome]:
        """Return the outcomes of all finished runs, in the order in which they were planned."""
        names = ", ".join(OUTCOME)
        with self._blame():
            rows = self._connection.execute(
                f"SELECT identity, seed, {names} FROM runs WHERE finished IS NOT NULL ORDER BY rowid"
            ).fetchall()
        return {(row[0], row[1]): _outcome(row[2:]) for row in rows}

    def planned(self) -> list[tuple[Parameters, Key]]:
        """Return all runs, finished or not, in the order in which they were planned."""
        with self._blame():
            rows = self._connection.execute("SELECT parameters, identity, seed FROM runs ORDER BY rowid").fetchall()
        return [(from_json(parameters), (text, seed)) for parameters, text, seed in rows]

    def recording(self, key: Key) -> bytes | None:
        """Return the recording of a run, as `Recording.save` writes it; None if it has none."""
        return self._read("recording", key)  # type: ignore[no-any-return]

    def traceback(self, key: Key) -> str | None:
        """Return where a run failed; None if it did not."""
        return self._read("traceback", key)  # type: ignore[no-any-return]

    def _read(self, column: str, key: Key) -> Any:
        with self._blame():
            row = self._connection.execute(f"SELECT {column} FROM runs WHERE identity = ? AND seed = ?", key).fetchone()
        return row and row[0]

    def settle(self) -> None:
        """Bring all into the one file, so that a copy of it is whole."""
        with self._blame():
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")

    @contextmanager
    def _blame(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:  # no permission, no room, locked
            raise OSError(f"the store {self.name} cannot be used: {error}") from error
        except sqlite3.DatabaseError as error:
            raise ValueError(f"{self.name} is not the store of a sweep, or damaged: {error}") from error


def _difference(name: str, there: str | None, here: str) -> str:
    if name == "data":
        return "the data differ"
    return "the build differs" if name == "build" else f"{name} is {there} there and {here} here"


def _outcome(values: Iterable[Any]) -> Outcome:
    """Read a row; SQLite keeps NaN as NULL."""
    known = {name: value for name, value in zip(OUTCOME, values, strict=True) if value is not None}
    return Outcome(**known)
