"""What a recording says that matters for a diagnosis, in a form that is easy to judge."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from gradiometer import causes, slopes
from gradiometer.slopes import Floats, Kinds, Rows, Signal

if TYPE_CHECKING:
    from gradiometer.recording import Recording

DEAD_SHARE = 0.9
"""Share of dead units that makes a layer dead. Half is usual deep in a ReLU net, as all rows look alike."""
LOSS_GREW = 2.0
"""The loss has grown when it is more than this multiple of the first one."""
LAST_ROWS = 5
"""So many steps before a NaN say what led to it."""


class Event(NamedTuple):
    """Where the first NaN or infinity appeared."""

    step: int
    layer: str
    tensor: str


class Evidence:
    """What was measured up to the first NaN or infinity, thinned to a manageable number of steps."""

    def __init__(self, recording: Recording) -> None:
        self._recording = recording
        self._fields: dict[str, Floats] = {}
        grad = recording.grad_norm
        delta = self._field("delta_norm")
        if delta is not None and np.isnan(delta).all():
            delta = None
        names = recording.layer_names
        used = ~np.isnan(grad if delta is None else delta).all(axis=0)
        weights = np.array([not name.endswith("bias") for name in names], bool)
        if delta is None and (used & weights).any():
            used &= weights  # biases have another scale, and in front of a batch norm they only have noise
        self._columns = np.flatnonzero(used)
        self.names = [names[column] for column in self._columns]

        self.event = self._find_event(grad, delta)
        finite = np.isfinite(grad[:, used]).all(axis=1) & used.any()
        if delta is not None:
            finite &= np.isfinite(delta[:, used]).all(axis=1)
        if self.event is not None:
            finite &= recording.steps < self.event.step
        loss = self._field("loss")
        learnt = (grad[:, used] == 0).all(axis=1) & (loss is not None and loss == 0)
        rows = np.flatnonzero(finite & ~learnt if (finite & ~learnt).any() else finite)
        self._rows = rows[slopes.evenly_spaced(len(rows))]
        self.steps = recording.steps[self._rows]
        measured = np.ix_(self._rows, self._columns)
        self.grad = Signal.of("grad_norm", grad[measured])
        self.delta = None if delta is None else Signal.of("delta_norm", delta[measured])
        self._architecture = causes.architecture(recording.meta)
        self.activation = self._architecture.activation

    def kinds(self) -> Kinds:
        """Return the state of each measured step, by `delta_norm`; where that is level, by `grad_norm`."""
        can_die = self.activation is None or self.activation in causes.CAN_DIE
        dead_fraction = self._per_layer("dead_fraction")
        grad = self.grad.kinds(dead_fraction, can_die)
        if self.delta is None:
            return grad
        delta = self.delta.kinds(dead_fraction, can_die)
        return np.where((delta == slopes.HEALTHY) & (grad != slopes.DEAD), grad, delta)

    def saturated(self, rows: Rows) -> tuple[str, ...]:
        """Return the names of the layers whose activation is flat for most entries (median of the steps)."""
        two_sided = self.activation in causes.TWO_SIDED
        share = causes.SATURATED if two_sided else causes.SATURATED_ONE_SIDED
        return self._above("saturation", share, rows)

    def dead(self, rows: Rows) -> tuple[str, ...]:
        """Return the names of the layers nearly all of whose units are dead (median of the steps)."""
        return self._above("dead_fraction", DEAD_SHARE, rows)

    def clipped_share(self, rows: Rows) -> float:
        """Return the share of these steps in which clipping changed something."""
        return float(np.sum(self._per_step("clip_coefficient", rows) < 1) / max(1, len(rows)))

    def facts(self, rows: Rows) -> causes.Facts:
        """Return what may explain the state of these steps; for a NaN, what led to it."""
        measured = np.arange(len(self._rows))
        recent = measured[-LAST_ROWS:] if self.event else rows
        loss = self._per_step("loss", np.concatenate([measured[:1], recent[-1:]]))
        ratio = self._update_to_weight()
        return causes.Facts(
            layers=len(self.names),
            activation=self.activation,
            batch_norm=self._architecture.batch_norm,
            layer_norm=self._architecture.layer_norm,
            residual=self._architecture.residual,
            sigma_w=self._architecture.sigma_w if self.event else self._present_sigma_w(rows),
            saturated=self.saturated(rows),
            update_to_weight=None if ratio is None else median(ratio[recent]),
            clipping=self._recording.meta.get("clip") is not None,
            clip_coefficient=median(self._per_step("clip_coefficient", recent)),
            later=bool(len(recent) and (self.event or recent[0] > 0)),
            loss_grew=bool(len(loss) == 2 and loss[1] > LOSS_GREW * loss[0]),
            silent=bool(len(rows) and not (self.delta or self.grad).values[rows].any()),
        )

    def _find_event(self, grad: Floats, delta: Floats | None) -> Event | None:
        """Return the first NaN or infinity: as the recorder noted it, or else as the numbers show it."""
        if self._recording.nonfinite is not None:
            step, layer, tensor = self._recording.nonfinite
            return Event(int(step), layer, tensor)
        bad = ~np.isfinite(grad)
        if not np.isnan(grad).all():
            bad &= ~np.isnan(grad).all(axis=0)  # a column of NaN was not measured; nor a loss that is NaN
        if delta is not None:
            bad |= ~np.isfinite(delta) & ~np.isnan(delta).all(axis=0)
        loss = self._field("loss")
        infinite = np.zeros(len(bad), bool) if loss is None else np.isinf(loss)
        rows = np.flatnonzero(bad.any(axis=1) | infinite)
        if not len(rows):
            return None
        first = int(self._recording.steps[rows[0]])
        if infinite[rows[0]]:
            return Event(first, "", "loss")
        nearest_output = np.flatnonzero(bad[rows[0]])[-1]  # gradients travel from there
        return Event(first, self._recording.layer_names[nearest_output], "gradient")

    def _field(self, name: str) -> Floats | None:
        """Return a field of the recording, or None if it was not recorded."""
        if name not in self._fields:
            try:
                self._fields[name] = np.asarray(getattr(self._recording, name), np.float64)
            except AttributeError:
                return None
        return self._fields[name]

    def _per_layer(self, name: str) -> Floats | None:
        values = self._field(name)
        return None if values is None else values[np.ix_(self._rows, self._columns)]

    def _per_step(self, name: str, rows: Rows) -> Floats:
        """Return a field per step in some of the measured rows; NaN where it was not recorded."""
        values = self._field(name)
        return np.full(len(rows), np.nan) if values is None else values[self._rows][rows]

    def _above(self, name: str, share: float, rows: Rows) -> tuple[str, ...]:
        values = self._per_layer(name)
        if values is None or not len(rows):
            return ()
        high = np.median(values[rows], axis=0) >= share  # False for NaN
        return tuple(name for name, is_high in zip(self.names, high, strict=True) if is_high)

    def _update_to_weight(self) -> Floats | None:
        """Return the median ratio of each measured step over its layers."""
        update, weight = self._per_layer("update_norm"), self._per_layer("weight_norm")
        if update is None or weight is None or not update.size:
            return None
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(np.median(update / weight, axis=1))

    def _present_sigma_w(self, rows: Rows) -> float | None:
        """Return the median σ_w of the hidden layers in these steps, or at least that at the start."""
        weight = self._per_layer("weight_norm")
        layers = self._recording.meta.get("layers") or []
        if weight is None or not len(rows) or len(layers) != len(self.names) or len(layers) < 2:
            return self._architecture.sigma_w
        fan_out = np.array([layer.get("fan_out", np.nan) for layer in layers[:-1]], np.float64)
        sigma_w = np.median(weight[rows, :-1] / np.sqrt(fan_out))
        return float(sigma_w) if np.isfinite(sigma_w) else self._architecture.sigma_w


def median(values: Floats) -> float:
    """Return the median of the values that are not NaN; NaN if there is none."""
    values = values[~np.isnan(values)]
    return float(np.median(values)) if len(values) else float("nan")
