"""How the weights of a dense layer start.

Every function here returns an immutable `Initializer` for ``Dense(init=…)``, which takes its name as well:
``Dense(64, init="xavier_normal")``. `fan_in` and `fan_out` below are the columns and the rows of a weight of shape
(out_features, in_features). Numbers are drawn in float64 from a counter-based generator, keyed by the network's seed
and the layer's place, and then rounded: a seed gives the same weights on every machine, in float32 up to rounding
those of float64. Biases start at zero, but for `torch_default`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from gradiometer import _core
from gradiometer._checks import check_array, check_number
from gradiometer._frozen import Frozen
from gradiometer.activations import Activation
from gradiometer.gains import gain

__all__ = [
    "Initializer",
    "constant",
    "gain",
    "kaiming_normal",
    "kaiming_uniform",
    "lecun_normal",
    "normal",
    "orthogonal",
    "torch_default",
    "uniform",
    "xavier_normal",
    "xavier_uniform",
    "zeros",
]

Shape: TypeAlias = tuple[int, int]


class Place(NamedTuple):
    """Where an initializer draws: the seed and the number of the layer, and the gain that fits what follows it."""

    seed: int
    layer: int
    gain: float


@dataclass(frozen=True)
class Initializer(Frozen):
    """Base class of all initializers."""

    def _weight(self, shape: Shape, place: Place) -> NDArray[np.float64]:
        """Return the weight, of this shape (out_features, in_features)."""
        raise NotImplementedError

    def _bias(self, shape: Shape, place: Place) -> NDArray[np.float64]:  # noqa: ARG002
        """Return the bias, (out_features,), of a layer whose weight has this shape."""
        return np.zeros(shape[0])


InitSpec: TypeAlias = "str | Initializer | NDArray[Any] | None"


def _uniform(shape: Shape, place: Place, low: float, high: float) -> NDArray[np.float64]:
    units = _core.draw_uniform(place.seed, place.layer, _core.Purpose.weight, shape[0] * shape[1])
    units *= high - low  # in place: the weight of a wide layer is large
    units += low
    return units.reshape(shape)


def _normal(shape: Shape, place: Place, std: float, mean: float = 0.0) -> NDArray[np.float64]:
    draws = _core.draw_normal(place.seed, place.layer, _core.Purpose.weight, shape[0] * shape[1])
    draws *= std
    draws += mean
    return draws.reshape(shape)


@dataclass(frozen=True)
class uniform(Initializer):
    """Uniform between `a` and `b`, as `torch.nn.init.uniform_`."""

    a: float = 0.0
    b: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "a", check_number("a", self.a))
        object.__setattr__(self, "b", check_number("b", self.b))
        if self.a > self.b:
            raise ValueError(f"a must not be above b, but they are {self.a} and {self.b}")

    def _weight(self, shape: Shape, place: Place) -> NDArray[np.float64]:
        return _uniform(shape, place, self.a, self.b)


@dataclass(frozen=True)
class normal(Initializer):
    """Normal with this mean and standard deviation, as `torch.nn.init.normal_`."""

    mean: float = 0.0
    std: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "mean", check_number("mean", self.mean))
        object.__setattr__(self, "std", check_number("std", self.std, minimum=0.0))

    def _weight(self, shape: Shape, place: Place) -> NDArray[np.float64]:
        return _normal(shape, place, self.std, self.mean)


@dataclass(frozen=True)
class constant(Initializer):
    """Every weight the same."""

    val: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "val", check_number("val", self.val))

    def _weight(self, shape: Shape, place: Place) -> NDArray[np.float64]:  # noqa: ARG002
        return np.full(shape, self.val)


class zeros(Initializer):
    """Every weight zero."""

    def _weight(self, shape: Shape, place: Place) -> NDArray[np.float64]:  # noqa: ARG002
        return np.zeros(shape)


@dataclass(frozen=True)
class _Scaled(Initializer):
    """Base of those that take a gain: a number, or an activation whose gain it is; by name too."""

    gain: float | None = None

    def __post_init__(self) -> None:
        value: Any = self.gain
        if isinstance(value, (str, Activation)):
            value = gain(value)
        if value is not None:
            object.__setattr__(self, "gain", check_number("gain", value, minimum=0.0))


class _Xavier(_Scaled):
    def _std(self, shape: Shape) -> float:
        return (1.0 if self.gain is None else self.gain) * math.sqrt(2.0 / (shape[0] + shape[1]))


class xavier_normal(_Xavier):
    """Normal with variance ``gain² · 2 / (fan_in + fan_out)``; gain 1 unless given (Glorot and Bengio 2010, 12)."""

    def _weight(self, shape: Shape, place: Place) -> NDArray[np.float64]:
        return _normal(shape, place, self._std(shape))


class xavier_uniform(_Xavier):
    """Uniform with variance ``gain² · 2 / (fan_in + fan_out)``; gain 1 unless given (Glorot and Bengio 2010, 16)."""

    def _weight(self, shape: Shape, place: Place) -> NDArray[np.float64]:
        bound = math.sqrt(3.0) * self._std(shape)
        return _uniform(shape, place, -bound, bound)


@dataclass(frozen=True)
class _Kaiming(_Scaled):
    mode: str = "fan_in"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.mode not in ("fan_in", "fan_out"):
            raise ValueError(f'mode must be "fan_in" or "fan_out", not {self.mode!r}')

    def _std(self, shape: Shape, place: Place) -> float:
        fan = shape[1] if self.mode == "fan_in" else shape[0]
        return (place.gain if self.gain is None else self.gain) / math.sqrt(fan)


class kaiming_normal(_Kaiming):
    """Normal with variance ``gain² / fan`` (He et al. 2015); unless given, the gain of the activation that follows."""

    def _weight(self, shape: Shape, place: Place) -> NDArray[np.float64]:
        return _normal(shape, place, self._std(shape, place))


class kaiming_uniform(_Kaiming):
    """Uniform with variance ``gain² / fan`` (He et al. 2015); unless given, the gain of the activation that follows."""

    def _weight(self, shape: Shape, place: Place) -> NDArray[np.float64]:
        bound = math.sqrt(3.0) * self._std(shape, place)
        return _uniform(shape, place, -bound, bound)


class lecun_normal(Initializer):
    """Normal with variance ``1 / fan_in`` (LeCun et al. 1998, eq. 16), which SELU needs (Klambauer et al. 2017)."""

    def _weight(self, shape: Shape, place: Place) -> NDArray[np.float64]:
        return _normal(shape, place, 1.0 / math.sqrt(shape[1]))


class orthogonal(_Scaled):
    """`gain` (1 unless given) times a random matrix with orthonormal rows or columns (Saxe et al. 2014)."""

    def _weight(self, shape: Shape, place: Place) -> NDArray[np.float64]:
        return (1.0 if self.gain is None else self.gain) * _core.draw_orthogonal(place.seed, place.layer, *shape)


class torch_default(Initializer):
    """Weight and bias uniform between ``±1 / √fan_in``, as `torch.nn.Linear` starts."""

    def _weight(self, shape: Shape, place: Place) -> NDArray[np.float64]:
        bound = 1.0 / math.sqrt(shape[1])
        return _uniform(shape, place, -bound, bound)

    def _bias(self, shape: Shape, place: Place) -> NDArray[np.float64]:
        bound = 1.0 / math.sqrt(shape[1])
        units = _core.draw_uniform(place.seed, place.layer, _core.Purpose.bias, shape[0])
        return bound * (2.0 * units - 1.0)


@dataclass(frozen=True, eq=False)
class _Given(Initializer):
    """The weight itself."""

    array: NDArray[Any] = field(repr=False)

    def _weight(self, shape: Shape, place: Place) -> NDArray[np.float64]:  # noqa: ARG002
        if self.array.shape != shape:
            raise ValueError(f"init has shape {self.array.shape}; it must be {shape}, (out_features, in_features)")
        return self.array

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Given) and np.array_equal(self.array, other.array)

    def __hash__(self) -> int:
        return hash((self.array.shape, self.array.tobytes()))

    def __repr__(self) -> str:
        return f"array of shape {self.array.shape}"


_BY_NAME: dict[str, Callable[[], Initializer]] = {
    "uniform": uniform,
    "normal": normal,
    "zeros": zeros,
    "xavier_uniform": xavier_uniform,
    "xavier_normal": xavier_normal,
    "kaiming_uniform": kaiming_uniform,
    "kaiming_normal": kaiming_normal,
    "lecun_normal": lecun_normal,
    "orthogonal": orthogonal,
    "torch_default": torch_default,
}


def check_init(init: InitSpec) -> str | Initializer | None:
    """Return what ``Dense(init=…)`` keeps: a known name, an initializer, a copy of an array as one, or None.

    Raises
    ------
    ValueError
        If the name is unknown, or an array has not two axes or holds a value that is not finite.
    TypeError
        If it is none of these.
    """
    if init is None or isinstance(init, Initializer):
        return init
    if isinstance(init, str):
        if init == "constant":
            raise ValueError('init="constant" lacks its value: use gradiometer.init.constant(val)')
        if init not in _BY_NAME:
            raise ValueError(f"there is no initialisation {init!r}; known: {', '.join(_BY_NAME)}")
        return init
    if isinstance(init, type) and issubclass(init, Initializer):
        raise TypeError(f"init must be a name, an initializer, an array or None; call {init.__name__}(…) to get one")
    array = np.array(check_array("init", init))
    if array.dtype.kind not in "iuf":
        raise TypeError(f"init must be a name, an initializer, an array of numbers or None, not {init!r}")
    if array.ndim != 2:
        raise ValueError(f"init has shape {array.shape}; it must be (out_features, in_features)")
    if not np.isfinite(array).all():
        row, column = np.argwhere(~np.isfinite(array))[0]
        raise ValueError(f"init must be finite, but init[{row}, {column}] is {array[row, column]}")
    array.flags.writeable = False
    return _Given(array)


def draw(
    init: str | Initializer | None, shape: Shape, *, following: Activation, seed: int, layer: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return weight and bias of a dense layer as its `init` (of `check_init`) says, for the activation after it."""
    chosen = init if isinstance(init, Initializer) else kaiming_normal() if init is None else _BY_NAME[init]()
    place = Place(seed, layer, gain(following))
    with np.errstate(over="ignore", invalid="ignore"):
        weight = chosen._weight(shape, place)
    if not np.isfinite(weight).all():
        raise ValueError(f"{chosen!r} gives weights that are too large for a float")
    return weight, chosen._bias(shape, place)
