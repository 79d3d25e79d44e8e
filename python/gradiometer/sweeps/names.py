"""Trainers from names alone: the arguments of `gradiometer.mlp`, of `gradiometer.Trainer` and of an optimizer."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from gradiometer.init import kaiming_normal
from gradiometer.network import mlp
from gradiometer.optim import SGD, Adam, AdamW, ClipNorm, Optimizer, RMSprop
from gradiometer.train import Trainer

OPTIMIZERS: dict[str, type[SGD] | type[Adam] | type[RMSprop]] = {
    "sgd": SGD,
    "adam": Adam,
    "adamw": AdamW,
    "rmsprop": RMSprop,
}
NETWORK_NAMES = tuple(sorted(set(inspect.signature(mlp).parameters) - {"in_features", "out_features", "seed"}))
TRAINER_NAMES = tuple(sorted(set(inspect.signature(Trainer).parameters) - {"net", "optimizer", "seed"}))
OPTIMIZER_NAMES = {name: tuple(field.name for field in dataclasses.fields(kind)) for name, kind in OPTIMIZERS.items()}
SIGMA_W = "sigma_w"
DEFAULTS: Mapping[str, Any] = {"loss": "cross_entropy", "optimizer": "sgd"}
REQUIRED = ("depth", "width")


class NamedBuild:
    """Builds a trainer of an `mlp` from names and values.

    Parameters
    ----------
    settings : mapping
        Names and values that all runs share; those of a configuration come on top.
    x, y, validation_y : arrays
        The data, which decide the network's input and output.
    """

    def __init__(
        self,
        settings: Mapping[str, Any],
        x: NDArray[Any],
        y: NDArray[Any],
        validation_y: NDArray[Any] | None,
    ) -> None:
        self.settings = {**DEFAULTS, **settings}
        self._in_features = int(x.shape[1])
        self._outputs = int(y.shape[1]) if y.ndim == 2 else 1
        labels = [each for each in (y, validation_y) if each is not None]
        whole = all(each.dtype.kind in "iu" for each in labels)
        self._classes = max(int(each.max()) for each in labels) + 1 if whole else None

    def check(self, parameters: Mapping[str, Any]) -> None:
        """Refuse a configuration with a name that is not known, or without one that is needed."""
        values = {**self.settings, **parameters}
        optimizer = values["optimizer"]
        if not isinstance(optimizer, Optimizer) and optimizer not in OPTIMIZERS:
            raise ValueError(f"optimizer must be one of {', '.join(OPTIMIZERS)}, or an object, not {optimizer!r}")
        settings = () if isinstance(optimizer, Optimizer) else OPTIMIZER_NAMES[optimizer]
        known = {*NETWORK_NAMES, *TRAINER_NAMES, *settings, "optimizer", SIGMA_W}
        for name in values:
            if name not in known:
                raise ValueError(self._unknown(name, optimizer, known))
        for name in REQUIRED:
            if name not in values:
                raise ValueError(f"{name} is missing: give it in the grid, or to all runs in build")
        if "lr" in settings and "lr" not in values and optimizer == "sgd":
            raise ValueError("lr is missing: give it in the grid, or to all runs in build")
        if SIGMA_W in values and values.get("init") is not None:
            raise ValueError(f"sigma_w={values[SIGMA_W]!r} and init={values['init']!r} exclude each other")
        if values["loss"] == "cross_entropy" and self._classes is None:
            raise TypeError('y must hold integer labels for loss="cross_entropy"')

    def allows_nonfinite(self, parameters: Mapping[str, Any]) -> bool:
        """Return whether a run with these parameters accepts data that are not finite."""
        return bool({**self.settings, **parameters}.get("allow_nonfinite", False))

    @staticmethod
    def _unknown(name: str, optimizer: Any, known: set[str]) -> str:
        if any(name in names for names in OPTIMIZER_NAMES.values()):
            what = repr(optimizer) if isinstance(optimizer, Optimizer) else f"the optimizer {optimizer!r}"
            return f"{name} is no setting of {what}"
        return f"there is no parameter {name!r}; known: {', '.join(sorted(known))}; others need a build function"

    def __call__(self, *, seed: int, **parameters: Any) -> Trainer:
        """Return a trainer; the seed is the network's and the trainer's."""
        values = {**self.settings, **parameters}
        network = {name: values[name] for name in NETWORK_NAMES if name in values}
        if SIGMA_W in values:
            network["init"] = kaiming_normal(gain=values[SIGMA_W])
        outputs = self._classes if values["loss"] == "cross_entropy" and self._classes else self._outputs
        training = {name: values[name] for name in TRAINER_NAMES if name in values}
        clip = training.get("clip")
        if isinstance(clip, (int, float)) and not isinstance(clip, bool):
            training["clip"] = ClipNorm(clip)
        optimizer = values["optimizer"]
        if not isinstance(optimizer, Optimizer):
            settings = {name: values[name] for name in OPTIMIZER_NAMES[optimizer] if name in values}
            optimizer = OPTIMIZERS[optimizer](**settings)
        net = mlp(self._in_features, outputs, **network, seed=seed)
        return Trainer(net, **training, optimizer=optimizer, seed=seed)
