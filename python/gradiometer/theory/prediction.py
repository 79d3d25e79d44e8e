"""What theory predicts for the gradients of an actual network on an actual batch."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gradiometer._checks import check_array, check_type
from gradiometer._layer import leaves_of
from gradiometer.layers import Dense
from gradiometer.network import Network
from gradiometer.slopes import theil_sen
from gradiometer.start import Start, parameter_sizes
from gradiometer.theory.drift import Sensitivity
from gradiometer.theory.forward import forward, typical_outputs
from gradiometer.theory.losses import loss_gradient
from gradiometer.theory.residual import LayerNormStage, ResidualStage, Signal
from gradiometer.theory.sharing import Sharing
from gradiometer.theory.stages import ActivationStage, DenseStage, Stage

__all__ = ["Prediction", "predict", "predict_start"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Prediction:
    """What `predict` returns. All arrays have one entry for each dense layer, from the input on."""

    layer_names: list[str]
    """The state-dict keys of the weights, as in a recording."""
    delta_norm: Array
    """‖dL/d(output)‖ of each dense layer relative to that of the last one, whose entry is 1."""
    grad_norm: Array | None
    """‖dL/d(weight)‖ of each dense layer; None without y and loss, or with only some rows of the batch."""
    slope: float
    """Decades per layer of `delta_norm` toward the input, the median over pairs of layers, as in a diagnosis."""
    spread: Array
    """Standard deviation to expect over seeds of log₁₀ `delta_norm`, 0 at the last layer (Hanin 2018)."""
    variance: Array
    """Mean square of the outputs of each dense layer."""


def predict(net: Network, X: ArrayLike, y: ArrayLike | None = None, loss: str | None = None) -> Prediction:  # noqa: N803
    """Predict the gradients of a network on a batch, in training, without going back through it.

    Weights are treated as independent random numbers of zero mean, with the mean square that the actual weights of
    each layer have, and so are biases, gamma and beta. From the actual rows of X, the covariance matrix of
    pre-activations between all rows of the batch goes forward (Poole et al. 2016), and that of the gradients backward
    (Schoenholz et al. 2017). So neither the variance nor the correlations need be at their fixed points: tanh with
    σ_w = 1 has χ₁ = 1 in the limit only.

    As long as it is enough, the covariance is that of infinite width. With batch norm, rows act on each other (Yang et
    al. 2019), and the width says how much they become alike; in a residual network, activations see much the same units
    again and again. There the covariance is drawn, layer by layer, with the width that the layers have (Hanin and Nica
    2020; Roberts, Yaida and Hanin 2022; see `gradiometer.theory.sampling`), 4 to 16 times, always with the same random
    numbers; what comes back is the mean over the draws. That gradients go back through the weights that batch norm has
    seen is counted to first order in 1 / width (see `gradiometer.theory.sharing`).

    `delta_norm` and `grad_norm` are those of a typical draw of the weights. In narrow networks that is below the root
    mean square: the logarithm of a squared norm has a variance of Σ (3 E[φ′⁴] / E[φ′²]² − 1) / width or less, which
    is 5 / width per layer for ReLU, and a mean that is half of it lower (Hanin 2018; Hanin and Nica 2020). `spread`
    is its standard deviation, with what the drift of the activations' size adds, or where the covariance is drawn, with
    what the draws differ by. Otherwise correlations between rows fluctuate too, which is left out: in chaos, and behind
    layer norms, the spread of actual networks is up to twice as large, and narrow layers of a saturating activation
    with layer norm have slopes some 0.01 decades per layer higher. In narrow residual networks of ReLU the spread is
    larger than predicted too: over 20 blocks of 48 units two to three times, of 192 units 1.3 times.

    The theory is that of random weights. It does not hold for weights of another mean than zero, and after training
    only as far as the weights still act as random. Give it one batch: time and memory grow as rows² × layers, where the
    covariance is drawn as rows² × units and rows × units. 20 layers of 64 units and a batch of 128 take 0.01 to 0.03
    seconds, 0.13 where the covariance is drawn; of 2048 units with batch norm 4 seconds, with a batch of 512 up to a
    minute. (A recording keeps 128 rows.)

    Parameters
    ----------
    net : Network
        Of dense layers, each followed by a norm, an activation and a dropout, or some of them in this order, and of
        residual connections around a dense layer at least (He et al. 2016; Yang and Schoenholz 2017). It is not
        changed.
    X : array
        One batch, (rows, in_features).
    y : array, optional
        Its targets, with `loss`. dL/d(output) is then that of the actual outputs. Without, it is a random matrix.
    loss : {"cross_entropy", "bce_with_logits", "mse"}, optional
        As for `Trainer`; y and loss come together.

    Returns
    -------
    Prediction

    Raises
    ------
    ValueError
        If an argument does not fit, y comes without a loss, an activation follows another one (also where one of them
        is a term of a residual connection's sum), a residual connection has no dense layer inside, or there is no dense
        layer at all.
    TypeError
        If an argument is of a wrong type.
    """
    check_type("net", net, Network)
    if (y is None) != (loss is None):
        raise ValueError("y and loss belong together: give both, or neither")
    shape = check_array("X", X).shape
    if len(shape) != 2 or shape[1] != net.in_features:
        raise ValueError(f"X has shape {shape}; it must be (rows, {net.in_features}), as the network has")
    output = copy.deepcopy(net).forward(X, training=True).astype(np.float64)  # which also checks X
    gradient = _random_gradient(output.shape) if y is None or loss is None else loss_gradient(loss, output, y)
    x = np.asarray(X, net.dtype).astype(np.float64)
    draws = forward(net.layers, parameter_sizes(net), x, keep_inputs=y is not None)
    return _predicted([_rows_of(draw.stages, gradient) for draw in draws], with_grad_norm=y is not None)


def predict_start(start: Start) -> Prediction:
    """Predict the gradients of the first recorded step of a run, as `predict` does.

    The weights are gone by now. So dL/d(output) is that of outputs as such networks typically give them. `grad_norm` is
    None where only some rows of the batch were kept, as it depends on their number.

    Raises
    ------
    ValueError
        If theory does not apply; the message says why.
    """
    x = start.x.astype(np.float64)
    if not (np.isfinite(x).all() and np.isfinite(start.y).all()):
        raise ValueError("the first batch holds NaN or infinite numbers")
    whole = start.rows == len(x)
    dense = [leaf.layer for leaf in leaves_of(start.layers) if isinstance(leaf.layer, Dense)]
    if not dense:
        raise ValueError("the network has no dense layer")
    normal = np.random.default_rng(0).standard_normal((len(x), dense[-1].out_features))
    rows = []
    for stages, covariance in forward(start.layers, start.parameters, x, keep_inputs=whole):
        output = typical_outputs(start.layers, start.parameters, covariance, normal)
        gradient = loss_gradient(start.loss, output, start.y)
        if start.sample_weight is not None and start.sample_weight.any():
            gradient *= (start.sample_weight / start.sample_weight.mean())[:, None]
        rows.append(_rows_of(stages, gradient))
    return _predicted(rows, with_grad_norm=whole)


def _rows_of(stages: Sequence[Stage], gradient: Array) -> list[_AtDense]:
    """Take dL/d(output), (rows, out_features), back through the stages; a row for each dense layer, from the input."""
    rows: list[_AtDense] = []
    exponent = math.frexp(float(np.abs(gradient).max()))[1]  # so that no square leaves the range of a float64
    scaled = np.ldexp(gradient, -exponent)
    signal = Signal.of(scaled @ scaled.T, 2.0 * exponent * math.log(2.0), 0.0)
    _travel_back(stages, signal, _Collected(Sensitivity(), Sharing()), rows)
    return rows[::-1]


def _predicted(draws: Sequence[Sequence[_AtDense]], with_grad_norm: bool) -> Prediction:
    """Join what came back in each draw of the way forward: means of logarithms, as of a typical network."""
    names = [row.name for row in draws[0]]
    fields = np.array([[row[1:] for row in rows] for rows in draws])  # (draws, layers, fields)
    log_deltas, log_grads, log_spread, variance = np.moveaxis(fields, 2, 0)
    each = np.array([_relative(row) for row in log_deltas])
    decades = each.mean(axis=0)
    among = np.zeros(len(names))
    if len(draws) > 1:
        known = np.isfinite(each).all(axis=0)
        among[known] = each[:, known].var(axis=0, ddof=1)
    within = np.sqrt(np.maximum(log_spread.mean(axis=0), 0.0)) / math.log(100.0)  # below zero by rounding
    return Prediction(
        layer_names=names,
        delta_norm=_power(decades),
        grad_norm=_power(log_grads.mean(axis=0) / math.log(100.0)) if with_grad_norm else None,
        slope=float(theil_sen(np.where(np.isfinite(decades), decades, np.nan)[None, :])[0]),
        spread=np.sqrt((within - within[-1]) ** 2 + among),
        variance=variance.mean(axis=0),
    )


class _AtDense(NamedTuple):
    """What arrives at the output of a dense layer: logarithms of squared norms, typical of a draw of the weights."""

    name: str
    log_delta: float
    log_grad: float
    log_spread: float
    variance: float


class _Collected(NamedTuple):
    """What is collected on the way back besides the signal."""

    sensitivity: Sensitivity
    sharing: Sharing


def _travel_back(stages: Sequence[Stage], signal: Signal, collected: _Collected, rows: list[_AtDense]) -> Signal:
    """Take the signal behind these stages to their input; a row for each dense layer, the last one first."""
    sensitivity, sharing = collected
    for stage in reversed(stages):
        match stage:
            case ResidualStage():
                through = _travel_back(stage.stages, stage.into_body(signal), collected, rows)
                signal = stage.joined(signal, through)
                continue
            case DenseStage():
                typical = signal.log_scale - signal.log_spread / 2
                log_grad = typical + stage.log_weight_gradient(signal.covariance)
                spread = signal.log_spread + sensitivity.variance
                rows.append(_AtDense(stage.name, typical, log_grad, spread, stage.variance))
                sensitivity.scaled(stage.weight_share)
            case LayerNormStage():
                sensitivity.scaled(0.0)
            case ActivationStage(drift=drift) if drift is not None:
                sensitivity.through(drift)
        spread = signal.log_spread + stage.spread(signal.covariance)
        log_scale = signal.log_scale
        if isinstance(stage, DenseStage):
            log_scale += sharing.through(stage.shared, stage.fan_in)
        signal = Signal.of(stage.backward(signal.covariance), log_scale, spread)
    return signal


def _random_gradient(shape: tuple[int, ...]) -> Array:
    """Return rows of length 1 in random directions, the same at every call."""
    draws = np.random.default_rng(0).standard_normal(shape)
    return np.asarray(draws / np.linalg.norm(draws, axis=1, keepdims=True))


def _relative(log_square: Array) -> Array:
    """Return the decades of norms relative to the last one, from logarithms of their squares."""
    if log_square[-1] == -math.inf:
        return np.full(len(log_square), -math.inf)
    return np.asarray((log_square - log_square[-1]) / math.log(100.0))


def _power(decades: Array) -> Array:
    with np.errstate(over="ignore", under="ignore"):
        return np.asarray(10.0**decades)
