"""Dynamical isometry: the singular values of the input–output Jacobian of an actual network."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gradiometer._checks import check_type
from gradiometer._layer import Layer
from gradiometer.activations import Identity
from gradiometer.layers import BatchNorm, Dense, Dropout, Residual
from gradiometer.network import Network

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["JacobianSpectrum", "jacobian_spectrum"]

Array = NDArray[np.float64]

AT_ONCE = 1024
"""Rows of a pass, each of them an example for one of its outputs."""


@dataclass(frozen=True)
class JacobianSpectrum:
    """What `jacobian_spectrum` returns."""

    singular_values: Array
    """(rows, min(in_features, out_features)) of d(output)/d(input) at each row of x, the largest first.

    What is below some 1e-15 of the largest of its row is rounding noise.
    """

    @property
    def mean_square(self) -> float:
        """Mean of the squared singular values: the growth of squared gradients from the output to the input."""
        return float(np.mean(self.singular_values**2))

    @property
    def relative_variance(self) -> float:
        """Variance of the squared singular values ÷ the square of their mean; 0 if they are all alike.

        In wide square linear networks of L layers it is L for Gaussian weights and 0 for orthogonal ones (Pennington,
        Schoenholz and Ganguli 2017, σ² of J Jᵀ). NaN if all of them are zero.
        """
        relative = self.singular_values / (float(self.singular_values.max(initial=0.0)) or math.nan)
        squares = relative**2
        return float(squares.var() / squares.mean() ** 2)

    def plot(self, ax: Axes | None = None, label: str | None = None) -> Axes:
        """Draw the singular values from the largest to the smallest, on a log axis (``lab`` extra); return the axes.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Where to draw, several spectra one over the other if they are given the same; by default in a new figure.
        label : str, optional
            Name in the legend.
        """
        from gradiometer.plots.spectrum import spectrum

        return spectrum(self.singular_values, ax, label)


def jacobian_spectrum(net: Network, x: ArrayLike) -> JacobianSpectrum:
    """Return the singular values of the Jacobian d(output)/d(input) of a network at each row of x.

    A network whose singular values are all close to 1 has dynamical isometry: it keeps lengths and angles of what
    travels back, and learns fast however deep it is. A mean square of 1, which a σ_w on the critical line gives, is not
    enough: with Gaussian weights a few directions take it all as depth grows, with orthogonal ones they stay alike
    where the activation is nearly linear (Saxe, McClelland and Ganguli 2014; Pennington, Schoenholz and Ganguli 2017).

    It is that of the function that ``net.predict`` computes: of evaluation mode, in which each row stands for itself.
    Batch norm takes its running statistics as they are (at the start a mean of 0 and a variance of 1: train for some
    steps, or pass batches forward in training, to have those of the data), and dropout does nothing. All is computed
    in float64, by the engine's forward and backward passes, on a copy of the network.

    Parameters
    ----------
    net : Network
        It is not changed.
    x : array, (rows, in_features)
        Where to take the Jacobian. The time is that of a training step on rows × out_features rows.

    Returns
    -------
    JacobianSpectrum

    Raises
    ------
    ValueError
        If x does not fit the network, or the Jacobian is not finite.
    TypeError
        If an argument is of a wrong type.
    """
    check_type("net", net, Network)
    outputs = net.predict(x).shape[1]  # which also checks x
    rows = np.asarray(x, net.dtype).astype(np.float64)
    plain = _in_evaluation(net)
    values = np.empty((len(rows), min(net.in_features, outputs)))
    together = max(1, AT_ONCE // outputs)
    for start in range(0, len(rows), together):
        jacobian = _jacobians(plain, rows[start : start + together], outputs)
        if not np.isfinite(jacobian).all():
            raise ValueError("the Jacobian is beyond what a float64 can hold")
        values[start : start + together] = np.linalg.svd(jacobian, compute_uv=False)
    return JacobianSpectrum(values)


def _jacobians(net: Network, rows: Array, outputs: int) -> Array:
    """Return the Jacobians, (rows, outputs, inputs): each row goes forward once for each output it sends back from."""
    jacobian = np.empty((len(rows), outputs, rows.shape[1]))
    identity = np.eye(outputs)
    for start in range(0, outputs, AT_ONCE):
        sent = identity[start : start + AT_ONCE]
        net.forward(np.repeat(rows, len(sent), axis=0), training=True)
        back = net.backward(np.tile(sent, (len(rows), 1)))
        jacobian[:, start : start + AT_ONCE] = back.reshape(len(rows), len(sent), -1)
    return jacobian


def _in_evaluation(net: Network) -> Network:
    """Return a float64 network that does in training what this one does in evaluation."""
    layers, parameters = _replaced(net.layers, net.in_features, net.state_dict())
    plain = Network(net.in_features, layers, dtype="float64", seed=0)
    plain.load_state_dict({**plain.state_dict(), **parameters})
    return plain


def _replaced(
    layers: Sequence[Layer], width: int, state: Mapping[str, NDArray[Any]]
) -> tuple[list[Layer], dict[str, NDArray[Any]]]:
    """Return layers and state without dropout and with batch norm as a dense layer with a diagonal weight."""
    replaced: list[Layer] = []
    parameters: dict[str, NDArray[Any]] = {}
    for number, layer in enumerate(layers):
        own = {key.partition(".")[2]: value for key, value in state.items() if key.partition(".")[0] == str(number)}
        if isinstance(layer, Dropout):
            continue
        if isinstance(layer, BatchNorm):
            own = _as_dense(layer, own)
            layer = Dense(width)
        elif isinstance(layer, Residual):
            body, own = _replaced(layer.layers, width, own)
            layer = Residual(body, layer.scale)
        elif isinstance(layer, Dense):
            width = layer.out_features
        parameters |= {f"{len(replaced)}.{name}": value for name, value in own.items()}
        replaced.append(layer)
    return replaced or [Identity()], parameters


def _as_dense(layer: BatchNorm, state: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Return weight and bias of a dense layer that is this batch norm in evaluation."""
    own = {name: value.astype(np.float64) for name, value in state.items()}
    factor = own.get("weight", 1.0) / np.sqrt(own["running_var"] + layer.eps)
    return {"weight": np.diag(factor), "bias": own.get("bias", 0.0) - factor * own["running_mean"]}
