"""Training: one step, whole epochs, and the recording of both."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gradiometer import _core
from gradiometer._checks import check_fits, check_number, check_positive_integer, check_seed, check_type
from gradiometer._layer import leaves_of
from gradiometer.description import describe
from gradiometer.layers import Dense
from gradiometer.network import Network
from gradiometer.optim import Clip, Optimizer
from gradiometer.progress import progress_display
from gradiometer.recording import Recording
from gradiometer.start import Examples, first_batch, noting_start
from gradiometer.training_arguments import checked_rate, checked_state, choice, fit_arguments

__all__ = ["Trainer"]

_CORE_TRAINERS: dict[str, type[_core.TrainerFloat32] | type[_core.TrainerFloat64]] = {
    "float32": _core.TrainerFloat32,
    "float64": _core.TrainerFloat64,
}
_LOSSES = {
    loss.name: loss for loss in (_core.LossKind.cross_entropy, _core.LossKind.bce_with_logits, _core.LossKind.mse)
}
_ON_NONFINITE = {
    "record": _core.OnNonfinite.record,
    "raise": _core.OnNonfinite.raise_,
    "stop": _core.OnNonfinite.stop,
}
_RECORD = (None, "norms", "full")


class Trainer:
    """Trains a network and records what its gradients do.

    Parameters
    ----------
    net : Network
        Trained in place.
    loss : {"cross_entropy", "bce_with_logits", "mse"}
        As in `torch.nn.functional` with the mean reduction: cross entropy takes integer labels and logits and averages
        over rows, the others average over all elements. With sample weights: the weighted sum ÷ the sum of weights.
    optimizer : SGD, Adam, AdamW or RMSprop
    clip : ClipNorm, ClipValue, ClipAdaptive or None
        Over weights, biases, gamma and beta together.
    record : {"norms", "full", None}
        What the recording holds: ``"norms"`` for `grad_norm`, `delta_norm` and the fields per step; ``"full"`` for all.
    record_every : int
        Only steps that are a multiple of this are recorded.
    on_nonfinite : {"record", "raise", "stop"}
        At the first NaN or infinity: note it in the recording and go on; raise a `NonFiniteError`; or end `fit`
        quietly. The last two leave the network as it was before that step.
    allow_nonfinite : bool
        Accept NaN and infinities in data.
    seed : int or None
        Of shuffling and dropout. None: a new one.

    Raises
    ------
    ValueError, TypeError
        If an argument is not as described; the message says which, what it was and what it must be.
    """

    def __init__(
        self,
        net: Network,
        *,
        loss: str,
        optimizer: Optimizer,
        clip: Clip | None = None,
        record: str | None = "norms",
        record_every: int = 1,
        on_nonfinite: str = "record",
        allow_nonfinite: bool = False,
        seed: int | None = None,
    ) -> None:
        self._net = check_type("net", net, Network)
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"optimizer must be an optimizer such as gm.SGD(lr=0.1), not {optimizer!r}")
        check_fits(optimizer, net.dtype)
        if clip is not None and not isinstance(clip, Clip):
            raise TypeError(f"clip must be a ClipNorm, a ClipValue, a ClipAdaptive or None, not {clip!r}")
        self._settings: dict[str, Any] = {
            "loss": choice("loss", loss, _LOSSES),
            "optimizer": optimizer,
            "clip": clip,
            "record": choice("record", record, _RECORD),
            "record_every": check_positive_integer("record_every", record_every),
            "on_nonfinite": choice("on_nonfinite", on_nonfinite, _ON_NONFINITE),
            "allow_nonfinite": check_type("allow_nonfinite", allow_nonfinite, bool),
            "seed": check_seed(seed),
        }
        names = [f"{leaf.name}.weight" for leaf in leaves_of(net.layers) if isinstance(leaf.layer, Dense)]
        recorder = _core.Recorder(names, record, self._settings["record_every"])
        self._connect(Recording(recorder, describe(net, self._settings)))

    def _connect(self, recording: Recording) -> None:
        settings = self._settings
        self._recording = recording
        self._awaits_start = settings["record"] is not None
        clip: Clip | None = settings["clip"]
        spec = _core.TrainerSpec(
            loss=_LOSSES[settings["loss"]],
            optimizer=settings["optimizer"]._spec(),
            clip=_core.ClipSpec.none() if clip is None else clip._spec(),
            on_nonfinite=_ON_NONFINITE[settings["on_nonfinite"]],
            seed=settings["seed"],
        )
        self._core = _CORE_TRAINERS[self._net.dtype.name](
            self._net._core,  # type: ignore[arg-type]
            spec,
            checked_rate(settings["optimizer"].lr, self._net.dtype),
            recording._recorder,
            settings["allow_nonfinite"],
        )

    @property
    def net(self) -> Network:
        """The network that is trained."""
        return self._net

    @property
    def recording(self) -> Recording:
        """The recording of all steps so far; it grows as training goes on."""
        return self._recording

    def step(self, x: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Train on one batch and return its loss, before the update.

        Parameters
        ----------
        x : array, (rows, in_features)
            Read in place where it is C-contiguous and of the network's dtype.
        y : array
            Labels, (rows,) integers, for cross entropy; else targets, (rows, out_features), or (rows,) for one output.
        sample_weight : array, (rows,), or None
            Not negative, with a positive sum.

        Raises
        ------
        ValueError, TypeError
            If the arrays do not fit; nothing has changed then.
        NonFiniteError
            With ``on_nonfinite="raise"``, at a NaN or an infinity; the network is then as it was before.
        KeyboardInterrupt
            At Ctrl-C; the network is then as it was before, or, if the step was nearly done, as after it.
        """
        if not self._awaits_start:
            return self._core.step(x, y, sample_weight)
        with self._noting_start((x, y, sample_weight), lambda: None):
            return self._core.step(x, y, sample_weight)

    def apply_gradients(self, loss: float | None = None) -> None:
        """Clip, update and record after your own ``net.forward(x, training=True)`` and ``net.backward(dy)``.

        Parameters
        ----------
        loss : float or None
            To be recorded; None is recorded as NaN.

        Raises
        ------
        RuntimeError
            If there was no backward pass since the last update.
        """
        self._core.apply_gradients(math.nan if loss is None else check_number("loss", loss, finite=False, nan=True))

    def fit(
        self,
        X: ArrayLike,  # noqa: N803
        y: ArrayLike,
        *,
        epochs: int,
        batch_size: int,
        sample_weight: ArrayLike | None = None,
        shuffle: bool = True,
        validation: tuple[ArrayLike, ArrayLike] | None = None,
        progress: bool = False,
    ) -> Recording:
        """Train for some epochs and return the recording of all steps so far, those of earlier calls included.

        A last partial batch is used too; if batch norm would see a single row in it, that row joins the batch before.
        Ctrl-C leaves the network as after its last whole step, and the recording up to there.

        Parameters
        ----------
        X, y, sample_weight : arrays
            As for `step`, over all examples. A batch whose weights are all zero takes no step.
        epochs : int
            At least 0.
        batch_size : int
            Rows of a batch.
        shuffle : bool
            Go through the examples in a new random order each epoch.
        validation : (Xv, yv) or None
            Evaluated after each epoch: see `Recording.validation`.
        progress : bool
            Show a progress bar (needs the ``lab`` extra); in a terminal also the norm of all gradients, the verdict on
            the latest steps and the signal of every layer. It takes less than 1 % of the time.

        Raises
        ------
        ValueError, TypeError
            If an argument does not fit; nothing has changed then. Or what the learning rate raises, at its step.
        NonFiniteError
            With ``on_nonfinite="raise"``, at a NaN or an infinity.
        KeyboardInterrupt
            At Ctrl-C; what was recorded is in `recording`.
        ImportError
            With progress, where the ``lab`` extra is not installed.
        """
        check_type("progress", progress, bool)
        arguments = fit_arguments(X, y, epochs, batch_size, sample_weight, shuffle, validation)
        show: Callable[..., None] | None
        with self._noting_fit(arguments), progress_display(progress, self._recording) as show:
            self._core.fit(arguments, show)
        return self._recording

    def _noting_fit(self, arguments: _core.FitArguments) -> AbstractContextManager[None]:
        """As `_noting_start`, for the first batch of a fit."""
        shuffled_by = (self._settings["seed"], self._core.epochs) if arguments.shuffle else None
        data = (arguments.x, arguments.y, arguments.sample_weight)
        return self._noting_start(
            data, lambda: first_batch(self._net, data[0], arguments.batch_size, shuffled_by, data[2])
        )

    def _noting_start(
        self, data: Examples, batch: Callable[[], NDArray[np.int64] | None]
    ) -> AbstractContextManager[None]:
        """Keep the start of the run, if what runs inside records its first step at once."""
        self._awaits_start = self._awaits_start and not len(self._recording)
        if not self._awaits_start or self._core.steps % self._settings["record_every"]:
            return nullcontext()
        return noting_start(self._net, self._recording, self._settings["loss"], data, batch)

    def evaluate(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> dict[str, float]:  # noqa: N803
        """Return ``{"loss": …}`` in evaluation mode, and ``"accuracy"`` for the two classification losses.

        The accuracy is the share of rows whose largest output is the label; for ``"bce_with_logits"`` the share of
        outputs on the right side of zero. With sample weights, both are weighted means.

        Parameters
        ----------
        X, y, sample_weight : arrays
            As for `step`, over all examples.

        Raises
        ------
        ValueError, TypeError
            If the arrays do not fit.
        """
        loss, accuracy = self._core.evaluate(X, y, sample_weight)
        return {"loss": loss} if math.isnan(accuracy) else {"loss": loss, "accuracy": accuracy}

    def state_dict(self) -> dict[str, Any]:
        """Return copies of the counters and of what the optimizer remembers: all that training needs but the network.

        Returns
        -------
        dict
            ``step``, ``epoch``, ``update`` (steps that changed the weights), ``seed``, and ``optimizer``: for each
            parameter arrays under PyTorch's names (``momentum_buffer``, ``exp_avg``, …), none before the first update.
        """
        step, epoch, update, optimizer = self._core.state()
        return {
            "step": step,
            "epoch": epoch,
            "update": update,
            "seed": self._settings["seed"],
            "optimizer": optimizer,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over the state of a trainer of the same kind of network and optimizer.

        Raises
        ------
        ValueError
            If entries are missing or of another network or optimizer, an array has another shape, or a mean of squares
            is negative.
        TypeError
            If it is no dict of dicts of arrays.
        """
        steps, epochs, updates, seed, optimizer = checked_state(state)
        self._core.load(steps, epochs, updates, seed, optimizer)
        self._settings["seed"] = seed

    def __getstate__(self) -> dict[str, Any]:
        return {
            "net": self._net,
            "settings": self._settings,
            "state": self.state_dict(),
            "recording": self._recording,
        }

    def __setstate__(self, pickled: dict[str, Any]) -> None:
        self._net = pickled["net"]
        self._settings = pickled["settings"]
        self._connect(pickled["recording"])
        self.load_state_dict(pickled["state"])

    def __repr__(self) -> str:
        settings = ", ".join(f"{name}={value!r}" for name, value in self._settings.items())
        return f"Trainer({settings}, step={self._core.steps})"
