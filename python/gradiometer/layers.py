"""Layers other than activations: dense, batch norm, layer norm, dropout and residual connections."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from gradiometer import _core
from gradiometer._checks import check_number, check_type, check_width
from gradiometer._layer import Layer, Leaf, check_layers
from gradiometer.activations import Activation, Identity
from gradiometer.init import Initializer, InitSpec, check_init

__all__ = ["BatchNorm", "Dense", "Dropout", "LayerNorm", "Residual", "following_activation", "following_layers"]


@dataclass(frozen=True)
class Dense(Layer):
    """A fully connected layer, ``y = x Wᵀ + b``.

    Parameters
    ----------
    out_features : int
        Number of units.
    bias : bool
        Whether there is a ``b``; it starts at zero (``torch_default`` draws it).
    init : str, Initializer, array or None
        How the weight, of shape (out_features, in_features), starts: a name or an object of `gradiometer.init`, or the
        weight itself, of which a copy is kept. None: ``kaiming_normal`` with the gain of the activation that follows.
    """

    out_features: int
    bias: bool = True
    init: str | Initializer | None = None

    def __init__(self, out_features: int, *, bias: bool = True, init: InitSpec = None) -> None:
        object.__setattr__(self, "out_features", check_width("out_features", out_features))
        object.__setattr__(self, "bias", check_type("bias", bias, bool))
        object.__setattr__(self, "init", check_init(init))

    def _spec(self) -> _core.LayerSpec:
        return _core.LayerSpec.dense(self.out_features, self.bias)


@dataclass(frozen=True)
class BatchNorm(Layer):
    """Batch normalisation over the rows of a batch (Ioffe and Szegedy 2015), as ``torch.nn.BatchNorm1d``.

    In training, ``y = gamma (x - mean) / sqrt(var + eps) + beta`` with the batch's own mean and biased variance; in
    evaluation, with the running ones, which follow the batches as ``(1 - momentum) old + momentum batch`` (the variance
    unbiased). A batch of one row is an error in training.

    Parameters
    ----------
    eps : float
        Added to the variance, inside the root.
    momentum : float
        Weight of a new batch in the running statistics, from 0 to 1.
    affine : bool
        Whether there are a gamma and a beta to learn (they start at 1 and 0).
    """

    eps: float = 1e-5
    momentum: float = 0.1
    affine: bool = True

    def __init__(self, *, eps: float = 1e-5, momentum: float = 0.1, affine: bool = True) -> None:
        object.__setattr__(self, "eps", check_number("eps", eps, minimum=0.0))
        object.__setattr__(self, "momentum", check_number("momentum", momentum, minimum=0.0, maximum=1.0))
        object.__setattr__(self, "affine", check_type("affine", affine, bool))

    def _spec(self) -> _core.LayerSpec:
        return _core.LayerSpec.batch_norm(self.eps, self.momentum, self.affine)


@dataclass(frozen=True)
class LayerNorm(Layer):
    """Layer normalisation over the features of each row (Ba, Kiros and Hinton 2016), as ``torch.nn.LayerNorm``.

    ``y = gamma (x - mean) / sqrt(var + eps) + beta`` with the row's own mean and biased variance, in training and in
    evaluation. Rows do not depend on each other, so a batch of one is no error.

    Parameters
    ----------
    eps : float
        Added to the variance, inside the root.
    affine : bool
        Whether there are a gamma and a beta to learn for each feature (they start at 1 and 0; in a state dict they are
        called ``weight`` and ``bias``).
    """

    eps: float = 1e-5
    affine: bool = True

    def __init__(self, *, eps: float = 1e-5, affine: bool = True) -> None:
        object.__setattr__(self, "eps", check_number("eps", eps, minimum=0.0))
        object.__setattr__(self, "affine", check_type("affine", affine, bool))

    def _spec(self) -> _core.LayerSpec:
        return _core.LayerSpec.layer_norm(self.eps, self.affine)


@dataclass(frozen=True)
class Dropout(Layer):
    """Drops each unit with probability p in training and scales the others by 1/(1 - p) (Srivastava et al. 2014).

    Parameters
    ----------
    p : float
        Probability that a unit is dropped, from 0 to 1.
    """

    p: float = 0.5

    def __post_init__(self) -> None:
        object.__setattr__(self, "p", check_number("p", self.p, minimum=0.0, maximum=1.0))

    def _spec(self) -> _core.LayerSpec:
        return _core.LayerSpec.dropout(self.p)


@dataclass(frozen=True)
class Residual(Layer):
    """A residual connection around some layers, ``y = x + scale · f(x)`` (He et al. 2016).

    In a state dict the keys of layer j inside of the connection at index i begin with ``"i.j."``, as for a subclass of
    ``torch.nn.Sequential`` inside of a ``torch.nn.Sequential``.

    Parameters
    ----------
    layers : list of Layer
        f; it must give as many columns as it takes, which the `Network` checks. Residual connections may be nested.
    scale : float
        Of what is added. ``1 / √depth`` keeps the variance of a deep network without norms from growing with its depth
        (Hayou et al. 2021).
    """

    layers: tuple[Layer, ...]
    scale: float = 1.0

    def __init__(self, layers: Iterable[Layer], scale: float = 1.0) -> None:
        object.__setattr__(self, "layers", check_layers("layers", layers))
        object.__setattr__(self, "scale", check_number("scale", scale))

    def _spec(self) -> _core.LayerSpec:
        return _core.LayerSpec.residual([layer._spec() for layer in self.layers], self.scale)

    def _body(self) -> tuple[Layer, ...]:
        return self.layers


def following_layers(leaves: Sequence[Leaf], number: int) -> list[Layer]:
    """Return what acts on the output of the dense layer `number`: the layers up to the next dense one.

    They go on into a residual connection that follows, but not beyond the end of one: what comes there acts on a sum.
    """
    following: list[Layer] = []
    for before, leaf in zip(leaves[number:], leaves[number + 1 :], strict=False):
        if before.ends_body or isinstance(leaf.layer, Dense):
            break
        following.append(leaf.layer)
    return following


def following_activation(leaves: Sequence[Leaf], number: int) -> Activation:
    """Return the first activation among the `following_layers`; the identity if there is none."""
    layers = following_layers(leaves, number)
    return next((layer for layer in layers if isinstance(layer, Activation)), Identity())
