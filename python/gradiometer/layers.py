"""Layers other than activations: dense, batch norm and dropout."""

from __future__ import annotations

from dataclasses import dataclass

from gradiometer import _core
from gradiometer._checks import check_number, check_type, check_width
from gradiometer._layer import Layer
from gradiometer.init import Initializer, InitSpec, check_init

__all__ = ["BatchNorm", "Dense", "Dropout"]


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
