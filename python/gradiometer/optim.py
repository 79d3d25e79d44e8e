"""Optimizers and clipping: immutable settings, with the meaning that `torch.optim` gives them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from gradiometer import _core
from gradiometer._checks import check_number, check_type

__all__ = ["SGD", "Adam", "AdamW", "ClipAdaptive", "ClipNorm", "ClipValue", "RMSprop"]

LearningRate = float | Callable[[int], float]


class Optimizer:
    """Base class of the optimizers. ``lr`` is a float of at least 0, or a callable that gets the step (from 0)."""

    lr: LearningRate

    def _spec(self) -> _core.OptimizerSpec:
        raise NotImplementedError

    def _check(self, name: str, *, minimum: float = 0.0, below: float = math.inf) -> None:
        """Check the number stored under this name, and store it as a float."""
        value = check_number(name, getattr(self, name), minimum=minimum)
        if value >= below:
            raise ValueError(f"{name} must be below {below:g}, not {value:g}")
        object.__setattr__(self, name, value)

    def _check_learning_rate(self) -> None:
        if not callable(self.lr):
            self._check("lr")

    def _check_betas(self, betas: object) -> None:
        if not isinstance(betas, (tuple, list)) or len(betas) != 2:
            raise TypeError(f"betas must be a pair of numbers, not {betas!r}")
        numbers = tuple(check_number(f"betas[{i}]", beta, minimum=0.0) for i, beta in enumerate(betas))
        for i, number in enumerate(numbers):
            if number >= 1:
                raise ValueError(f"betas[{i}] must be below 1, not {number:g}")
        object.__setattr__(self, "betas", numbers)


@dataclass(frozen=True)
class SGD(Optimizer):
    """Stochastic gradient descent with momentum, as ``torch.optim.SGD``.

    Parameters
    ----------
    lr : float or callable
        Learning rate, at least 0, or a callable of the step.
    momentum : float
        ``buffer = momentum · buffer + (1 - dampening) · g``; the first time the buffer is g itself.
    dampening : float
        See momentum.
    weight_decay : float
        This much of the parameter is added to its gradient.
    nesterov : bool
        Step along ``g + momentum · buffer`` (Sutskever et al. 2013). Needs a momentum and no dampening.
    """

    lr: LearningRate
    momentum: float = 0.0
    dampening: float = 0.0
    weight_decay: float = 0.0
    nesterov: bool = False

    def __post_init__(self) -> None:
        self._check_learning_rate()
        self._check("momentum")
        self._check("dampening", minimum=-math.inf)
        self._check("weight_decay")
        check_type("nesterov", self.nesterov, bool)
        if self.nesterov and (self.momentum <= 0 or self.dampening != 0):
            raise ValueError(
                f"nesterov needs a momentum above 0 and no dampening, not {self.momentum:g} and {self.dampening:g}"
            )

    def _spec(self) -> _core.OptimizerSpec:
        return _core.OptimizerSpec(
            rule=_core.UpdateRule.sgd,
            momentum=self.momentum,
            dampening=self.dampening,
            weight_decay=self.weight_decay,
            nesterov=self.nesterov,
        )


@dataclass(frozen=True)
class Adam(Optimizer):
    """Adam (Kingma and Ba 2015), as ``torch.optim.Adam``; weight decay is added to the gradient.

    Parameters
    ----------
    lr : float or callable
        Learning rate, at least 0, or a callable of the step.
    betas : (float, float)
        Decay of the running mean of the gradient and of its square, from 0 to below 1.
    eps : float
        Added to the root of the mean square.
    weight_decay : float
        This much of the parameter is added to its gradient.
    """

    lr: LearningRate = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        self._check_learning_rate()
        self._check_betas(self.betas)
        self._check("eps")
        self._check("weight_decay")

    def _rule(self) -> _core.UpdateRule:
        return _core.UpdateRule.adam

    def _spec(self) -> _core.OptimizerSpec:
        return _core.OptimizerSpec(
            rule=self._rule(),
            weight_decay=self.weight_decay,
            beta1=self.betas[0],
            beta2=self.betas[1],
            epsilon=self.eps,
        )


@dataclass(frozen=True)
class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019), as ``torch.optim.AdamW``.

    Parameters are those of `Adam`; the parameter shrinks by ``lr · weight_decay`` before each update.
    """

    weight_decay: float = 1e-2

    def _rule(self) -> _core.UpdateRule:
        return _core.UpdateRule.adamw


@dataclass(frozen=True)
class RMSprop(Optimizer):
    """RMSprop (Hinton 2012), as ``torch.optim.RMSprop``.

    Parameters
    ----------
    lr : float or callable
        Learning rate, at least 0, or a callable of the step.
    alpha : float
        Decay of the running mean square, from 0 to below 1.
    eps : float
        Added to the root of the mean square.
    momentum : float
        ``buffer = momentum · buffer + g / (root + eps)``.
    """

    lr: LearningRate = 1e-2
    alpha: float = 0.99
    eps: float = 1e-8
    momentum: float = 0.0

    def __post_init__(self) -> None:
        self._check_learning_rate()
        self._check("alpha", below=1.0)
        self._check("eps")
        self._check("momentum")

    def _spec(self) -> _core.OptimizerSpec:
        return _core.OptimizerSpec(
            rule=_core.UpdateRule.rmsprop, momentum=self.momentum, beta2=self.alpha, epsilon=self.eps
        )


class Clip:
    """Base class of the clippings."""

    def _spec(self) -> _core.ClipSpec:
        raise NotImplementedError


@dataclass(frozen=True)
class ClipNorm(Clip):
    """Scale all gradients by ``min(1, max_norm / (total_norm + 1e-6))`` (Pascanu et al. 2013), as ``clip_grad_norm_``.

    Parameters
    ----------
    max_norm : float
        Above 0.
    norm_type : float
        The p of the norm, above 0; ``inf`` for the largest entry. `Recording.total_norm` is in this norm too.
    per_layer : bool
        Clip each layer (its weight and bias together) by its own norm. The recorded coefficient is then the smallest.
    error_if_nonfinite : bool
        Raise a `NonFiniteError` instead of updating when the total norm is NaN or infinite.
    """

    max_norm: float
    norm_type: float = 2.0
    per_layer: bool = False
    error_if_nonfinite: bool = False

    def __post_init__(self) -> None:
        for name in ("max_norm", "norm_type"):
            value = check_number(name, getattr(self, name), above_zero=True, finite=False)
            object.__setattr__(self, name, value)
        check_type("per_layer", self.per_layer, bool)
        check_type("error_if_nonfinite", self.error_if_nonfinite, bool)

    def _spec(self) -> _core.ClipSpec:
        return _core.ClipSpec.norm(self.max_norm, self.norm_type, self.per_layer, self.error_if_nonfinite)


@dataclass(frozen=True)
class ClipValue(Clip):
    """Hold each entry of every gradient between -clip_value and clip_value, as ``clip_grad_value_``.

    The recorded `clip_coefficient` is the norm of all gradients after ÷ before.

    Parameters
    ----------
    clip_value : float
        Above 0.
    """

    clip_value: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "clip_value", check_number("clip_value", self.clip_value, above_zero=True))

    def _spec(self) -> _core.ClipSpec:
        return _core.ClipSpec.value(self.clip_value)


@dataclass(frozen=True)
class ClipAdaptive(Clip):
    """Hold each unit's gradient to a share of the unit's own norm: adaptive clipping (Brock et al. 2021, eq. 3).

    ``g ← g · min(1, clip_factor · max(‖w‖, eps) / ‖g‖)``, with L2 norms of one unit at a time: a row of a `Dense`
    weight, (in_features,). A bias, a gamma or a beta has one entry a unit, whose norm would say little, and is clipped
    as a whole, as in the authors' program. They do not clip the last layer of a network; here all are clipped.

    The recorded `clip_coefficient` is the smallest factor that a unit got, 1 if none was clipped.

    Parameters
    ----------
    clip_factor : float
        λ, above 0: the largest norm of a gradient, relative to that of its weights.
    eps : float
        The least norm that a unit counts as, above 0, so that one that starts at zero can move.
    """

    clip_factor: float = 0.01
    eps: float = 1e-3

    def __post_init__(self) -> None:
        for name in ("clip_factor", "eps"):
            object.__setattr__(self, name, check_number(name, getattr(self, name), above_zero=True))

    def _spec(self) -> _core.ClipSpec:
        return _core.ClipSpec.adaptive(self.clip_factor, self.eps)
