"""Claims about training: what explodes diverges, clipping cures it, and what vanishes is slow."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

import gradiometer as gm
from gradiometer.claims.claim import LOSS_AXES, Claim
from gradiometer.claims.criteria import (
    CHANGE,
    DIVERGED,
    DIVERGES,
    DOES_NOT_DIVERGE,
    LEARNS,
    MANY_MORE_STEPS,
    SLOWER,
    STEPS,
    explodes,
    flows,
)
from gradiometer.claims.laboratory import EPOCH, RELU, SIGMOID, TANH, Laboratory, Training
from gradiometer.claims.outcome import Case, Curve, Measurement, Outcome
from gradiometer.lab.experiments import TOO_LARGE, Architecture
from gradiometer.lab.training import RATES
from gradiometer.optim import Optimizer

EXPLODING = replace(RELU, init=TOO_LARGE)
EXPLODING_TANH = replace(TANH, init=16.0)
EPOCHS = 10
FIRST_STEPS = 60
"""Of the loss in the picture of runs that diverge: what happens, happens there."""


def _diverges(laboratory: Laboratory) -> Outcome:
    usual: dict[str, Optimizer] = {f"SGD {rate:g}": gm.SGD(rate) for rate in (0.1, 0.01, 0.001)}

    def case(condition: str, activation: str, network: Architecture, optimizers: dict[str, Optimizer]) -> Case:
        start = laboratory.start(network)
        measurements: list[Measurement] = []
        curves: list[Curve] = []
        for name, optimizer in optimizers.items():
            label = f"{activation}, {name}"
            training = laboratory.run(network, optimizer, EPOCHS)
            measurements.append(Measurement.of(label, DIVERGED, training.diverged, None, DIVERGES))
            measurements.append(training.accuracy(label, needed=None))
            curves.append(training.curve(label, window=1, steps=FIRST_STEPS))
        measurements.append(start.slope(f"{activation}, σ_w = {network.init:.3g}", explodes(start.layers)))
        return Case(condition, tuple(measurements), tuple(curves))

    return Outcome(
        (
            case("the activation is unbounded (ReLU), and SGD has a usual learning rate", "ReLU", EXPLODING, usual),
            case("SGD has a rate millions of times smaller", "ReLU", EXPLODING, {"SGD 1e-9": gm.SGD(1e-9)}),
            case("the optimizer divides gradients by their size", "ReLU", EXPLODING, {"Adam 0.001": gm.Adam(1e-3)}),
            case("the activation is bounded (tanh)", "tanh", EXPLODING_TANH, {"SGD 0.01": gm.SGD(0.01)}),
        )
    )


EXPLODING_DIVERGES = Claim(
    name="exploding-diverges",
    statement="Exploding gradients make the training diverge.",
    experiment="20 layers of 64 units whose gradients explode: ReLU with weights twice too large, tanh with weights 16 "
    f"times too large; {EPOCHS} epochs. The claim needs the signal to explode at the first step, and all runs to "
    "diverge. The accuracy (that of guessing, 0.10, for a run that met a NaN) is there to be seen.",
    theory="A step, rate × gradient, must be small next to the weights. Where gradients are a million times too large, "
    "the usual rates are out of the question. A rate that is small enough is stable, as calculus guarantees; an "
    "optimizer that divides by the size of the gradient does not even notice. Neither evens the layers out: "
    "a rate that the first layer bears leaves the last one where it is. A bounded activation sends no number beyond "
    "its range, so that no infinity arises. Mean-field theory has the slope; it has no figure for a training.",
    picture=f"the training loss of single batches in the first {FIRST_STEPS} steps. A cross ends a line where the "
    "first of its seeds met a NaN or an infinity.",
    axes=LOSS_AXES,
    measure=_diverges,
)


def _clipping(laboratory: Laboratory) -> Outcome:
    start = laboratory.start(EXPLODING)
    limits = {f"clipped to {norm:g}": replace(EXPLODING, clip=norm) for norm in (1.0, 5.0)}
    best = {label: laboratory.learn(network) for label, network in limits.items()}
    best["fitting weights instead"] = laboratory.learn(RELU)
    usual = {
        f"{label}, SGD 0.01": laboratory.run(network, gm.SGD(0.01), EPOCHS)
        for label, network in {"not clipped": EXPLODING, **limits}.items()
    }
    bare = next(iter(usual))
    finite = [
        Measurement.of(label, DIVERGED, run.diverged, None, None if label == bare else DOES_NOT_DIVERGE)
        for label, run in usual.items()
    ]
    level = [best[label].slope(label, flows(start.layers), start.theory) for label in limits]
    learnt = [run.accuracy(label, LEARNS if label in limits else None) for label, run in best.items()]
    return Outcome(
        (
            Case(
                "by a cure one means that the training does not diverge",
                tuple(finite),
                tuple(run.curve(label, window=1 if label == bare else EPOCH) for label, run in usual.items()),
            ),
            Case("by a cure one means that all layers get gradients of like size", tuple(level)),
            Case(
                "by a cure one means that the network learns",
                tuple(learnt),
                tuple(run.curve(label) for label, run in best.items()),
            ),
        )
    )


CLIPPING_CURES = Claim(
    name="clipping-cures",
    statement="Clipping cures exploding gradients.",
    experiment="20 layers of 64 ReLU units with weights twice too large; all gradients together are clipped to a norm "
    f"of 1 and of 5. First at the same rate as without clipping, for {EPOCHS} epochs; then, for slope and accuracy, at "
    "the rate that suits each best, for 30 epochs. The claim needs a cure; the cases are what may be meant by one. The "
    "slope is the median over the training.",
    theory="Clipping multiplies the gradients of all layers by the same number. So it bounds the step, and cannot "
    "change the ratio of one layer to another: theory's figure is that of the unclipped network at its start. Clipping "
    "is made for the rare large gradient of a network that is otherwise in balance.",
    picture="the training loss, a mean over each epoch. Of the network that is not clipped, single steps, up to the "
    "cross, where the first of its seeds met a NaN or an infinity.",
    axes=LOSS_AXES,
    measure=_clipping,
)

GOAL = 0.5
"""Training loss to be reached. Guessing has ln 10 = 2.3."""
MOST_EPOCHS = 100
DEPTHS = (2, 4, 8, 20)
TRIED_RATES = (*RATES, 1.0)


def _slow(laboratory: Laboratory) -> Outcome:
    cases = []
    for depth in DEPTHS:
        slow, healthy = replace(SIGMOID, depth=depth), replace(RELU, depth=depth)
        slow_run, healthy_run = _fastest(laboratory, slow), _fastest(laboratory, healthy)
        steps, healthy_steps = steps_to_goal(slow_run), steps_to_goal(healthy_run)
        at_least = np.minimum(steps, MOST_EPOCHS * EPOCH) / healthy_steps
        start = laboratory.start(slow)
        bound = " (lower bound)" if np.isinf(steps).any() else ""
        sigmoid, relu = f"sigmoid, {depth} layers", f"ReLU, {depth} layers"
        measurements = (
            Measurement.of(sigmoid, CHANGE, start.slopes * (start.layers - 1), start.theory * (start.layers - 1)),
            Measurement.of(relu, STEPS, healthy_steps),
            Measurement.of(sigmoid, STEPS, steps),
            Measurement.of(sigmoid + bound, SLOWER, at_least, None, MANY_MORE_STEPS),
        )
        cases.append(Case(f"it has {depth} layers", measurements, (slow_run.curve(sigmoid), healthy_run.curve(relu))))
    return Outcome(tuple(cases))


def _fastest(laboratory: Laboratory, network: Architecture) -> Training:
    """Train at each of some rates; return the training that is first at the goal, or else the one nearest to it."""
    runs = [laboratory.run(network, gm.SGD(rate, momentum=0.9), MOST_EPOCHS) for rate in TRIED_RATES]
    return min(runs, key=lambda run: (np.median(steps_to_goal(run)), np.nan_to_num(np.median(run.loss), nan=np.inf)))


def steps_to_goal(training: Training) -> NDArray[np.float64]:
    """Return the steps after which the mean loss of the last EPOCH was at the goal, (seeds,); ∞ if it never was."""
    return np.array([_first_step(recording.loss) for recording in training.recordings])


def _first_step(loss: NDArray[np.float64]) -> float:
    total = np.concatenate([[0.0], np.cumsum(loss)])
    reached = np.flatnonzero((total[EPOCH:] - total[:-EPOCH]) / EPOCH <= GOAL)
    return float(reached[0] + EPOCH) if len(reached) else np.inf


VANISHING_IS_SLOW = Claim(
    name="vanishing-is-slow",
    statement="A network whose gradients vanish needs many more training steps.",
    experiment=f"Sigmoid networks (xavier_normal) of {', '.join(map(str, DEPTHS[:-1]))} and {DEPTHS[-1]} layers of 64 "
    "units, next to ReLU networks (kaiming_normal) of the same depth, both with SGD, momentum 0.9 and the best of "
    f"{len(TRIED_RATES)} constant learning rates: how many steps until the loss, a mean over the {EPOCH} steps of an "
    f"epoch, is {GOAL:g}. The claim needs ten times as many. ∞ steps means not within {MOST_EPOCHS * EPOCH}; the "
    "multiple is then a lower bound, that of so many steps.",
    theory="A layer moves in proportion to its gradient. A first layer whose gradient is 10⁻¹² of the last one's "
    "stands still, and what comes after it works on what a random layer passes on; no single rate serves both. With "
    "few layers, little is lost: the change is slope × depth. Mean-field theory has the "
    "change at the first step; it has no figure for the number of steps.",
    picture="the training loss, a mean over each epoch.",
    axes=LOSS_AXES,
    measure=_slow,
)
