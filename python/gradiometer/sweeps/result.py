"""What a sweep came to: its runs, and their tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, overload

from gradiometer.recording import Recording, recording_from_bytes
from gradiometer.sweeps.grid import Parameters, describe
from gradiometer.sweeps.run import Outcome
from gradiometer.sweeps.store import Key, Store

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

FAILED = "failed"
NOT_JUDGED = "not judged"


@dataclass(frozen=True)
class Run:
    """One finished run of a sweep."""

    parameters: Parameters
    seed: int
    outcome: Outcome
    """Figures, verdict, and the error if it failed."""
    _key: Key = field(repr=False)
    _store: Store = field(repr=False, compare=False)

    @property
    def kind(self) -> str:
        """The verdict; ``"failed"`` after an error; ``"not judged"`` where no gradients were recorded."""
        if self.outcome.error is not None:
            return FAILED
        return self.outcome.verdict or NOT_JUDGED

    @property
    def recording(self) -> Recording | None:
        """The recording, read from the store at each access; None if the trainer could not be built."""
        data = self._store.recording(self._key)
        return None if data is None else recording_from_bytes(f"the recording of {self}", data)

    @property
    def traceback(self) -> str | None:
        """Where the run failed, as Python prints it; None if it did not fail."""
        return self._store.traceback(self._key)

    def __str__(self) -> str:
        return f"{describe(self.parameters)}, seed {self.seed}"


class SweepResult(Sequence[Run]):
    """The runs of a sweep: a sequence of `Run`, in the order of the grid, each with all its seeds.

    `to_dataframe` and `to_xarray` make tables of them. Recordings stay in the store until they are asked for.
    """

    def __init__(self, store: Store, planned: Iterable[tuple[Parameters, Key]]) -> None:
        self._store = store
        outcomes = store.outcomes()
        self._runs: list[Run] = []
        self.unfinished = 0
        """Runs that were planned and are not finished."""
        for parameters, key in planned:
            outcome = outcomes.get(key)
            if outcome is None:
                self.unfinished += 1
            else:
                self._runs.append(Run(parameters, key[1], outcome, key, store))

    @property
    def counts(self) -> dict[str, int]:
        """How many runs have which verdict (or failed), the most frequent first."""
        return dict(Counter(run.kind for run in self._runs).most_common())

    @property
    def failed(self) -> list[Run]:
        """The runs that ended with an error."""
        return [run for run in self._runs if run.outcome.error is not None]

    @overload
    def __getitem__(self, index: int) -> Run: ...
    @overload
    def __getitem__(self, index: slice) -> list[Run]: ...
    def __getitem__(self, index: int | slice) -> Run | list[Run]:
        return self._runs[index]

    def __len__(self) -> int:
        return len(self._runs)

    def __iter__(self) -> Iterator[Run]:
        return iter(self._runs)

    def __repr__(self) -> str:
        counts = ", ".join(f"{count} {kind}" for kind, count in self.counts.items()) or "none"
        unfinished = f", {self.unfinished} not finished" if self.unfinished else ""
        return f"SweepResult of {len(self)} runs in {self._store.name}: {counts}{unfinished}"

    def to_dataframe(self, per: str = "run") -> pd.DataFrame:
        """Return a tidy pandas DataFrame (``lab`` extra).

        Parameters
        ----------
        per : {"run", "layer"}
            ``"run"``: one row for each run, with its parameters, its seed and the fields of `Outcome`. ``"layer"``: one
            row for each run, recorded step and layer, with parameters, seed, and what `Recording.to_dataframe` has. A
            recorded field with the name of a parameter is called ``recorded_…``: ``recorded_lr``.
        """
        from gradiometer.sweeps import tables

        choices = {"run": tables.run_table, "layer": tables.layer_table}
        if per not in choices:
            raise ValueError(f"per must be one of {', '.join(map(repr, choices))}, not {per!r}")
        return choices[per](self._runs)

    def to_xarray(self, fields: Iterable[str] | None = None) -> xr.Dataset:
        """Return an xarray Dataset over the parameters, ``seed``, ``step`` and ``layer`` (``lab`` extra).

        Each parameter is an axis of its own where the runs fill a grid; where they do not (a list of configurations,
        or a grid that grew), there is one axis, ``configuration``, and the parameters are its coordinates. Values of
        parameters that are not numbers are text there. Figures of a run have no step and layer, recorded fields per
        step have no layer. NaN and empty text fill what there is not: layers of shorter networks, steps after a run has
        ended, runs that failed.

        Parameters
        ----------
        fields : iterable of str or None
            The recorded fields to read; None: all. Without any (``fields=[]``) no recording is read.
        """
        from gradiometer.sweeps.tables import dataset

        return dataset(self._runs, None if fields is None else list(fields))
