"""The recording of a training run: what every dense layer's gradient did at every step."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from gradiometer._core import Recorder

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr
    from matplotlib.axes import Axes

    from gradiometer.diagnosis import Diagnosis
    from gradiometer.start import Start
    from gradiometer.theory import Prediction

Number = TypeVar("Number", np.float64, np.int64)

VALIDATION_ROW = np.dtype([("step", np.int64), ("loss", np.float64), ("accuracy", np.float64)])


class Nonfinite(NamedTuple):
    """Where the first NaN or infinity of a run appeared."""

    step: int
    layer: str
    """State-dict key of the layer's weight; empty for the loss."""
    tensor: str
    """``"activation"``, ``"loss"``, ``"gradient"`` or ``"weight"``."""


class _Field(Generic[Number]):
    """A recorded array. Each access copies the rows recorded so far, of this field alone."""

    def __init__(self, dtype: type[Number], doc: str) -> None:
        self.dtype: type[Number] = dtype
        self.__doc__ = doc

    def __set_name__(self, owner: type[Recording], name: str) -> None:
        self.name = name

    @overload
    def __get__(self, recording: None, owner: object) -> _Field[Number]: ...
    @overload
    def __get__(self, recording: Recording, owner: object) -> NDArray[Number]: ...
    def __get__(self, recording: Recording | None, owner: object) -> _Field[Number] | NDArray[Number]:
        if recording is None:
            return self
        values = recording._read(self.name)
        if self.dtype is np.int64:  # the recorder keeps counts as float64, with NaN for "not counted"
            values[np.isnan(values)] = -1
        return values.astype(self.dtype, copy=False)

    def __set__(self, recording: Recording, value: object) -> None:
        raise AttributeError(f"{self.name} is measured, it cannot be set")


class Recording:
    """What was measured while a network trained; of one run, live or loaded.

    Arrays have one row for each recorded step (``steps`` numbers them) and, where they are per layer, one
    column for each dense layer from input to output (``layer_names``). Reading is safe while training goes on
    in another thread; arrays read at different moments may then differ by the rows added in between.
    A copy (``copy.copy``, ``copy.deepcopy``, pickle) is one moment, and no longer follows the run.
    """

    grad_norm = _Field(np.float64, "(steps, layers) L2 norm of the weight gradient, before clipping.")
    grad_max_abs = _Field(np.float64, "(steps, layers) Largest |entry| of the weight gradient.")
    grad_mean_abs = _Field(np.float64, "(steps, layers) Mean |entry| of the weight gradient.")
    grad_zero_fraction = _Field(np.float64, "(steps, layers) Share of its entries that are exactly 0.")
    grad_subnormal_fraction = _Field(np.float64, "(steps, layers) Share of its entries that are subnormal.")
    grad_nonfinite = _Field(np.int64, "(steps, layers) Its NaN and infinite entries; -1: not counted.")
    delta_norm = _Field(np.float64, "(steps, layers) L2 norm of dL/d(output of the dense layer).")
    weight_norm = _Field(np.float64, "(steps, layers) L2 norm of the weights, before the update.")
    update_norm = _Field(np.float64, "(steps, layers) L2 norm of the change that the optimizer made.")
    activation_mean = _Field(np.float64, "(steps, layers) Mean output of the layer's activation.")
    activation_std = _Field(np.float64, "(steps, layers) Standard deviation of the activation's output.")
    saturation = _Field(np.float64, "(steps, layers) Share of entries with |φ′| below 5 % of its maximum.")
    dead_fraction = _Field(np.float64, "(steps, layers) Share of units with φ′ = 0 in every row of the batch.")

    loss = _Field(np.float64, "(steps,) Loss of the batch.")
    total_norm = _Field(np.float64, "(steps,) Norm of all gradients together, before clipping.")
    clip_coefficient = _Field(np.float64, "(steps,) Factor of clipping; 1 when nothing was clipped.")
    lr = _Field(np.float64, "(steps,) Learning rate.")

    def __init__(self, recorder: Recorder, meta: Mapping[str, Any]) -> None:
        self._recorder = recorder
        self._start: Start | None = None
        self._rows: int | None = None  # a number: a view of the first rows, which no longer grows
        self.meta = dict(meta)
        """What was trained: layers, loss, optimizer, clipping, dtype and version, as JSON values."""

    @property
    def steps(self) -> NDArray[np.int64]:
        """Numbers of the recorded steps, from 0."""
        return self._recorder.steps()[: self._rows]

    @property
    def layer_names(self) -> list[str]:
        """State-dict keys of the recorded weights, from input to output."""
        return list(self._recorder.layer_names)

    @property
    def validation(self) -> np.recarray[Any, Any]:
        """One row for each epoch of ``fit`` with validation data: ``step``, ``loss``, ``accuracy``."""
        columns = self._recorder.validation()
        rows = np.recarray(len(columns[0]), dtype=VALIDATION_ROW)
        rows["step"], rows["loss"], rows["accuracy"] = columns
        return rows

    @property
    def nonfinite(self) -> Nonfinite | None:
        """Step, layer and tensor of the first NaN or infinity; ``None`` if all was finite."""
        event = self._recorder.nonfinite()
        return None if event is None else Nonfinite(*event)

    @property
    def prediction(self) -> Prediction | None:
        """What mean-field theory predicts for the first recorded step; None where it does not apply.

        As `gm.theory.predict` for the first batch (128 rows of it at most) and the parameters as they were then, with
        outputs that such networks typically have. It is worked out when it is first asked for.
        """
        return None if self._start is None else self._start.outcome[0]

    @property
    def no_prediction_because(self) -> str:
        """Why `prediction` is None; empty where it is not."""
        if self._start is None:
            return "nothing is known of the network and the data at the first step"
        return self._start.outcome[1]

    def __len__(self) -> int:
        """Return the number of recorded steps."""
        return len(self._recorder) if self._rows is None else self._rows

    def __repr__(self) -> str:
        steps, layers = self.steps, len(self.layer_names)
        text = f"Recording of {len(steps)} steps, {layers} dense layers, record={self._mode}"
        if len(steps):
            loss = self._read("loss")
            text += f"\n  steps {steps[0]} to {steps[-1]}, loss {loss[0]:.4g} → {loss[len(steps) - 1]:.4g}"
        validation = self.validation
        if len(validation):
            last = validation[-1]
            text += f"\n  validation at step {last.step}: loss {last.loss:.4g}, accuracy {last.accuracy:.4g}"
        if self.nonfinite:
            step, layer, tensor = self.nonfinite
            text += f"\n  not finite since step {step}: {tensor}{' of ' + layer if layer else ''}"
        return text

    def _repr_html_(self) -> str:
        from gradiometer.html import recording_html

        return recording_html(self._frozen())

    def __dir__(self) -> Iterable[str]:
        recorded = self._recorder.fields()
        fields = {name for name, value in vars(Recording).items() if isinstance(value, _Field)}
        return [name for name in super().__dir__() if name not in fields or name in recorded]

    def diagnose(self) -> Diagnosis:
        """Say whether the gradients are healthy; if not, what is wrong, since when, and what to try."""
        from gradiometer.diagnosis import diagnose

        return diagnose(self._frozen())

    def plot(self, kind: str = "flow", ax: Axes | None = None, *, theory: bool = False) -> Axes:
        """Draw the recording with matplotlib (``lab`` extra), and return the axes.

        What has no place on a log axis is shown all the same: exact zeros, NaN and infinity have bands of their own.

        Parameters
        ----------
        kind : {"flow", "heatmap", "time", "phase"}
            ``"flow"``: the gradients of every layer at the first, middle and last step. ``"heatmap"``: `delta_norm` of
            every layer at every step. ``"time"``: `delta_norm` of every layer, norm of all gradients before and after
            clipping, clipped steps and the loss over steps. ``"phase"``: where the network was, at the start, in the
            phase diagram of its activation.
        ax : matplotlib.axes.Axes, optional
            Where to draw; by default in a new figure.
        theory : bool
            Draw `prediction` over the flow, with two standard deviations of what to expect over seeds.

        Raises
        ------
        ValueError
            If there is no such kind, or nothing to draw; the message says why.
        """
        from gradiometer.plots import draw

        return draw(self._frozen(), kind, ax, theory)

    def report(self, path: str | os.PathLike[str]) -> None:
        """Write a page about this recording, one HTML file that opens without a network (``lab`` extra).

        See :func:`gradiometer.report`, which also compares several.
        """
        from gradiometer.reports import report

        report(self, path)

    def to_dataframe(self) -> pd.DataFrame:
        """Return a pandas DataFrame with one row per step and layer (``lab`` extra)."""
        from gradiometer.recording_tables import dataframe

        return dataframe(self._frozen())

    def to_xarray(self) -> xr.Dataset:
        """Return an xarray Dataset over ``step`` and ``layer`` (``lab`` extra).

        Its attributes are those of ``meta``; lists, dicts and ``None`` are JSON text there, for netCDF.
        """
        from gradiometer.recording_tables import dataset

        return dataset(self._frozen())

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the recording to exactly ``path``, as a NumPy archive that :func:`load_recording` reads.

        A file that is already there is replaced in one go, when the new one is complete.
        """
        from gradiometer import recording_file

        recording_file.write(path, *self._state())

    def _to_bytes(self) -> bytes:
        """Return the bytes that `save` would write."""
        from gradiometer import recording_file

        return recording_file.to_bytes(*self._state())

    def __reduce__(self) -> tuple[Callable[..., Recording], tuple[dict[str, Any], dict[str, NDArray[Any]]]]:
        return _from_state, self._state()

    def _state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        view = self._frozen()
        metadata = {
            "layer_names": view.layer_names,
            "record": view._recorder.mode,
            "record_every": view._recorder.every,
            "nonfinite": view.nonfinite,
            "meta": copy.deepcopy(view.meta),
        }
        arrays: dict[str, NDArray[Any]] = {"steps": view.steps}
        if view._start is not None:
            metadata["start"], start = view._start.state()
            arrays.update(start)
        arrays.update((name, view._read(name)) for name in view._recorder.fields())
        validation = view.validation
        arrays.update((f"validation_{name}", validation[name]) for name in VALIDATION_ROW.names or ())
        return metadata, arrays

    def _frozen(self) -> Recording:
        """Return a view of the rows so far, in which all arrays have the same length."""
        view = Recording(self._recorder, self.meta)
        view._start = self._start
        view._rows = len(self)
        return view

    def _latest(self, count: int) -> Recording:
        """Return a recording of the last steps alone, which costs no more for a long run than for a short one."""
        recorder = self._recorder
        begin = max(0, len(recorder) - count)
        latest = Recorder(recorder.layer_names, recorder.mode, recorder.every)
        latest.extend(recorder.steps(begin), {name: recorder.field(name, begin) for name in recorder.fields()})
        event = recorder.nonfinite()
        if event is not None:
            latest.note_nonfinite(*event)
        return Recording(latest, self.meta)

    def _read(self, name: str) -> NDArray[np.float64]:
        if name not in self._recorder.fields():
            wanted = 'record="norms" or record="full"' if self._recorder.mode is None else 'record="full"'
            raise AttributeError(
                f"{name} was not recorded: this run was recorded with record={self._mode}; use Trainer(..., {wanted})"
            )
        return self._recorder.field(name)[: self._rows]

    @property
    def _mode(self) -> str:
        return "None" if self._recorder.mode is None else f'"{self._recorder.mode}"'


def load_recording(path: str | os.PathLike[str]) -> Recording:
    """Read a recording that :meth:`Recording.save` wrote.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        The file is not a recording, is damaged, or was written by a newer version.
    """
    from gradiometer import recording_file

    return _from_file(path, *recording_file.read(path))


def recording_from_bytes(name: str, data: bytes) -> Recording:
    """Read a recording from the bytes of :meth:`Recording._to_bytes`; ``name`` is what messages call it."""
    from gradiometer import recording_file

    return _from_file(name, *recording_file.from_bytes(name, data))


def _from_file(path: str | os.PathLike[str], metadata: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Recording:
    try:
        return _from_state(metadata, arrays)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"'{path}' is damaged: {error}") from error


def _from_state(metadata: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Recording:
    recorder = Recorder(metadata["layer_names"], metadata["record"], metadata["record_every"])
    recorder.extend(arrays["steps"], {name: arrays[name] for name in recorder.fields()})
    for row in zip(*(arrays[f"validation_{name}"] for name in VALIDATION_ROW.names or ()), strict=True):
        recorder.append_validation(*row)
    if metadata["nonfinite"] is not None:
        recorder.note_nonfinite(*metadata["nonfinite"])
    recording = Recording(recorder, metadata["meta"])
    if metadata.get("start") is not None:
        from gradiometer.start import Start

        recording._start = Start.of_state(metadata["start"], arrays)
    return recording
