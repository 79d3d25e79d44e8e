"""The elementwise activations."""

from __future__ import annotations

from dataclasses import dataclass

from gradiometer import _core
from gradiometer._checks import check_number
from gradiometer._layer import Layer

__all__ = [
    "ELU",
    "GELU",
    "SELU",
    "Activation",
    "Hardswish",
    "Hardtanh",
    "Identity",
    "LeakyReLU",
    "Mish",
    "ReLU",
    "SiLU",
    "Sigmoid",
    "Softplus",
    "Softsign",
    "Tanh",
    "activation_from_name",
    "activation_name",
]


@dataclass(frozen=True)
class Activation(Layer):
    """Base class of the elementwise activations, which are defined as the classes of `torch.nn` of the same name."""

    def _parameters(self) -> tuple[float, float]:
        return (0.0, 0.0)

    def _kind(self) -> _core.ActivationKind:
        return getattr(_core.ActivationKind, activation_name(self))  # type: ignore[no-any-return]

    def _spec(self) -> _core.LayerSpec:
        return _core.LayerSpec.activation(self._kind(), *self._parameters())


class ReLU(Activation):
    """``max(0, x)``."""


@dataclass(frozen=True)
class LeakyReLU(Activation):
    """``x`` where positive, ``negative_slope · x`` elsewhere."""

    negative_slope: float = 0.01

    def __post_init__(self) -> None:
        object.__setattr__(self, "negative_slope", check_number("negative_slope", self.negative_slope))

    def _parameters(self) -> tuple[float, float]:
        return (self.negative_slope, 0.0)


@dataclass(frozen=True)
class ELU(Activation):
    """``x`` where positive, ``alpha (exp(x) - 1)`` elsewhere (Clevert et al. 2016)."""

    alpha: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "alpha", check_number("alpha", self.alpha))

    def _parameters(self) -> tuple[float, float]:
        return (self.alpha, 1.0)


@dataclass(frozen=True)
class SELU(Activation):
    """``scale · ELU(x, alpha)`` with the two constants that make (0, 1) a fixed point (Klambauer et al. 2017)."""

    def _parameters(self) -> tuple[float, float]:
        return (1.6732632423543772848170429916717, 1.0507009873554804934193349852946)


@dataclass(frozen=True)
class GELU(Activation):
    """``x Φ(x)``, Φ the normal distribution (Hendrycks and Gimpel 2016), or by tanh with ``approximate="tanh"``."""

    approximate: str = "none"

    def __post_init__(self) -> None:
        if self.approximate not in ("none", "tanh"):
            raise ValueError(f'approximate must be "none" or "tanh", not {self.approximate!r}')

    def _kind(self) -> _core.ActivationKind:
        return _core.ActivationKind.gelu if self.approximate == "none" else _core.ActivationKind.gelu_tanh


class SiLU(Activation):
    """``x σ(x)``, also called swish."""


class Mish(Activation):
    """``x tanh(softplus(x))`` (Misra 2019)."""


@dataclass(frozen=True)
class Softplus(Activation):
    """``log(1 + exp(beta x)) / beta``, and ``x`` itself where ``beta x`` is above the threshold."""

    beta: float = 1.0
    threshold: float = 20.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "beta", check_number("beta", self.beta, above_zero=True))
        object.__setattr__(self, "threshold", check_number("threshold", self.threshold))

    def _parameters(self) -> tuple[float, float]:
        return (self.beta, self.threshold)


class Softsign(Activation):
    """``x / (1 + |x|)``."""


class Sigmoid(Activation):
    """``1 / (1 + exp(-x))``. Its slope is at most 0.25, at zero."""


class Tanh(Activation):
    """``tanh(x)``."""


@dataclass(frozen=True)
class Hardtanh(Activation):
    """``x`` held between min_val and max_val."""

    min_val: float = -1.0
    max_val: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "min_val", check_number("min_val", self.min_val))
        object.__setattr__(self, "max_val", check_number("max_val", self.max_val))
        if not self.min_val < self.max_val:
            raise ValueError(f"min_val must be below max_val, but they are {self.min_val} and {self.max_val}")

    def _parameters(self) -> tuple[float, float]:
        return (self.min_val, self.max_val)


class Hardswish(Activation):
    """0 below -3, ``x`` above 3, ``x (x + 3) / 6`` between (Howard et al. 2019)."""


class Identity(Activation):
    """``x``."""


_ACTIVATIONS: dict[str, type[Activation]] = {
    "relu": ReLU,
    "leaky_relu": LeakyReLU,
    "elu": ELU,
    "selu": SELU,
    "gelu": GELU,
    "silu": SiLU,
    "mish": Mish,
    "softplus": Softplus,
    "softsign": Softsign,
    "sigmoid": Sigmoid,
    "tanh": Tanh,
    "hardtanh": Hardtanh,
    "hardswish": Hardswish,
    "identity": Identity,
}
_NAMES = {layer: name for name, layer in _ACTIVATIONS.items()}


def activation_name(activation: Activation) -> str:
    """Return the lower-case name of an activation, ``"leaky_relu"`` for a `LeakyReLU`."""
    return _NAMES[type(activation)]


def activation_from_name(activation: str | Activation) -> Activation:
    """Return an activation as a layer: itself, or the one of that lower-case name with its default parameters.

    Raises
    ------
    ValueError
        If there is no activation of this name.
    TypeError
        If it is neither a name nor an activation.
    """
    if type(activation) in _ACTIVATIONS.values():
        return activation  # type: ignore[return-value]
    if not isinstance(activation, str):
        raise TypeError(f"activation must be a name or an activation layer, not {type(activation).__name__}")
    if activation not in _ACTIVATIONS:
        raise ValueError(f"there is no activation {activation!r}; known: {', '.join(_ACTIVATIONS)}")
    return _ACTIVATIONS[activation]()
