"""Claims about what makes gradients vanish: sigmoid, depth, and the slope of an activation at zero."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

import gradiometer as gm
from gradiometer.activations import activation_from_name
from gradiometer.claims.claim import SIGNAL_AXES, SIGNAL_PICTURE, Claim
from gradiometer.claims.criteria import AT_ZERO, MORE_CHANGE, WORSE, flows, vanishes
from gradiometer.claims.laboratory import RELU, SIGMOID, TANH, Laboratory
from gradiometer.claims.outcome import Case, Measurement, Outcome
from gradiometer.lab.experiments import Architecture


def _sigmoid(laboratory: Laboratory) -> Outcome:
    critical = round(gm.theory.critical_sigma_w("sigmoid"), 2)
    conditions: dict[str, tuple[str | float, ...]] = {
        "the weights start at a common scale (Xavier, Kaiming, orthogonal, PyTorch's default)": (
            "xavier_normal",
            "kaiming_normal",
            "orthogonal",
            "torch_default",
        ),
        "the weights start ten times as large, where theory has gradients in balance": (critical,),
    }
    cases = []
    for condition, inits in conditions.items():
        labels = [f"sigmoid, {init if isinstance(init, str) else f'σ_w = {init:g}'}" for init in inits]
        starts = [laboratory.start(replace(SIGMOID, init=init)) for init in inits]
        pairs = list(zip(labels, starts, strict=True))
        measurements = tuple(start.slope(label, vanishes(start.layers)) for label, start in pairs)
        cases.append(Case(condition, measurements, tuple(start.curve(label) for label, start in pairs)))
    return Outcome(tuple(cases))


SIGMOID_VANISHES = Claim(
    name="sigmoid-vanishes",
    statement="Sigmoid makes gradients vanish.",
    experiment="20 layers of 64 sigmoid units, at the first step, with the initialisations that are in common use; "
    "then with the scale of the weights at which, by `gm.theory.critical_sigma_w`, gradients neither shrink nor grow. "
    "The claim needs the signal to vanish.",
    theory="The slope of sigmoid is at most 1/4. A layer with σ_w = 1 passes back at most a quarter of what it gets: "
    "log₁₀ 1/4 = −0.60 decades, and somewhat less, as not every unit sits at zero. Larger weights make up for it: "
    "χ₁ = σ_w² E[φ′²], the factor on squared gradients, reaches 1 at σ_w = 10.15. Units are steep switches then; "
    "whether such a network learns is asked under [initialisation-cures](#initialisation-cures).",
    picture=SIGNAL_PICTURE,
    axes=SIGNAL_AXES,
    measure=_sigmoid,
)


def _depth(laboratory: Laboratory) -> Outcome:
    depths = (10, 20, 40)
    networks = {
        "every layer loses some of the signal (sigmoid, xavier_normal)": ("sigmoid", SIGMOID),
        "layers lose the less, the deeper they are (tanh, xavier_normal)": ("tanh", TANH),
        "no layer loses anything (ReLU, kaiming_normal)": ("ReLU", RELU),
    }
    cases = []
    for condition, (name, network) in networks.items():
        starts = [laboratory.start(replace(network, depth=depth)) for depth in depths]
        measured = [start.slopes * (start.layers - 1) for start in starts]
        expected = [start.theory * (start.layers - 1) for start in starts]
        measurements = tuple(
            Measurement.of(
                f"{name}, {depths[i]} → {depths[i + 1]} layers",
                MORE_CHANGE,
                measured[i + 1] - measured[i],
                expected[i + 1] - expected[i],
                WORSE,
            )
            for i in range(len(depths) - 1)
        )
        curves = [start.curve(f"{name}, {depth} layers") for depth, start in zip(depths, starts, strict=True)]
        cases.append(Case(condition, measurements, tuple(curves)))
    return Outcome(tuple(cases))


DEPTH_WORSENS = Claim(
    name="depth-worsens",
    statement="The deeper the network, the more its gradients vanish.",
    experiment="10, 20 and 40 layers of 64 units, at the first step: how many decades `delta_norm` changes from the "
    "output to the input (slope × number of steps from layer to layer), and how many more when the depth is doubled. "
    "The claim needs the signal to shrink by a further factor of 200.",
    theory="Depth multiplies whatever a layer does: the change in decades is slope × depth. So depth is harmless "
    "where the slope is zero, as for ReLU with weights of variance 2 ÷ fan_in. For tanh with σ_w = 1 it is zero in the "
    "limit: the signal shrinks as 1/√depth on its way forward, and the loss per layer shrinks with it.",
    picture=SIGNAL_PICTURE,
    axes=SIGNAL_AXES,
    measure=_depth,
)


def _zero_at_zero(laboratory: Laboratory) -> Outcome:
    steep = {
        "tanh, xavier_normal": TANH,
        "tanh, σ_w = 0.5": replace(TANH, init=0.5),
        "sigmoid, xavier_normal": SIGMOID,
        "softplus, torch_default": replace(SIGMOID, activation="softplus", init="torch_default"),
    }
    flat = {"ReLU, kaiming_normal": RELU}

    def case(condition: str, networks: dict[str, Architecture], flowing: bool) -> Case:
        measurements: list[Measurement] = []
        for label, network in networks.items():
            start = laboratory.start(network)
            measurements.append(Measurement.of(label, AT_ZERO, [slope_at_zero(network.activation)]))
            measurements.append(start.slope(label, (flows if flowing else vanishes)(start.layers)))
        curves = [laboratory.start(network).curve(label) for label, network in networks.items()]
        return Case(condition, tuple(measurements), tuple(curves))

    return Outcome(
        (
            case("the slope at zero is not zero, and the gradient must flow", steep, True),
            case("the slope at zero is zero, and the gradient must vanish", flat, False),
        )
    )


def slope_at_zero(activation: str) -> float:
    """Return φ′(0) as the engine's own backward pass has it."""
    alone = gm.Network(1, [activation_from_name(activation)], dtype="float64", seed=0)
    alone.forward(np.zeros((1, 1)), training=True)
    return float(alone.backward(np.ones((1, 1)))[0, 0])


ZERO_AT_ZERO = Claim(
    name="zero-at-zero",
    statement="What counts is that an activation's gradient is not zero at zero.",
    experiment="The slope of the activation at zero, φ′(0), from the engine's backward pass through that function "
    "alone; and the slope of 20 layers of 64 units at the first step. The claim needs gradients to flow where φ′(0) is "
    "not zero, and to vanish where it is.",
    theory="A single point has no weight. A gradient meets φ′ wherever the pre-activations are, and it meets the "
    "weights: χ₁ = σ_w² E[φ′(√q z)²]. Sigmoid is steepest at zero, where its slope is 0.25 and not zero; what is too "
    "small is the mean of the squares. ReLU has no derivative at zero (the engine takes 0, as PyTorch does), and it "
    "makes no difference. And the same tanh, with a slope of 1 at zero, flows or vanishes with the scale of its "
    "weights.",
    picture=SIGNAL_PICTURE,
    axes=SIGNAL_AXES,
    measure=_zero_at_zero,
)
