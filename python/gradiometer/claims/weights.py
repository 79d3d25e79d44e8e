"""Claims about the scale of the weights: too large, small, and fitting ones."""

from __future__ import annotations

import math
from dataclasses import replace

import gradiometer as gm
from gradiometer.claims.claim import SIGNAL_AXES, SIGNAL_PICTURE, Claim
from gradiometer.claims.criteria import flows, vanishes
from gradiometer.claims.laboratory import RELU, SIGMOID, TANH, Laboratory
from gradiometer.claims.outcome import Case, Measurement, Outcome
from gradiometer.lab.experiments import Architecture


def _large(laboratory: Laboratory) -> Outcome:
    conditions = {
        "the weights are 4 to 16 times as large as those in balance": (4, 16),
        "the weights are 64 times as large as those in balance": (64,),
        "the weights are absurdly large, 1024 times those in balance": (1024,),
    }
    cases = []
    for condition, multiples in conditions.items():
        measurements, curves = [], []
        for network in (TANH, SIGMOID):
            for multiple in multiples:
                scale = multiple * round(gm.theory.critical_sigma_w(network.activation), 2)
                label = f"{network.activation}, σ_w = {scale:.5g}"
                start = laboratory.start(replace(network, init=scale))
                in_wide_layers = math.log10(gm.theory.chi(network.activation, scale)) / 2
                measurements.append(start.slope(label, vanishes(start.layers), in_wide_layers))
                curves.append(start.curve(label))
        cases.append(Case(condition, tuple(measurements), tuple(curves)))
    return Outcome(tuple(cases))


LARGE_WEIGHTS = Claim(
    name="large-weights",
    statement="Weights that are too large saturate sigmoid and tanh, and so shrink the gradients.",
    experiment="20 layers of 64 units, at the first step, with weights so many times as large as those at which, by "
    "`gm.theory.critical_sigma_w`, gradients are in balance (σ_w = 1 for tanh, 10.15 for sigmoid). The claim needs the "
    "signal to vanish. A slope of −∞ means that exactly nothing reaches the first layer with that seed.",
    theory="Saturation makes φ′ small, but the weights that cause it are themselves a factor of the gradient. In a "
    "wide layer, the share of units that are not saturated falls as 1/σ_w, while squared gradients are multiplied by "
    "σ_w²: χ₁ = σ_w² E[φ′²] grows like 0.53 σ_w for tanh, so that gradients explode, and the more, the larger the "
    "weights. In infinitely wide layers they never vanish: theory's figure here is log₁₀ √χ₁ of such. A layer of 64 "
    "units is different: once fewer than one unit is on its slope for a given row, nothing at all gets through.",
    picture=SIGNAL_PICTURE,
    axes=SIGNAL_AXES,
    measure=_large,
)


def _small(laboratory: Laboratory) -> Outcome:
    cases = []
    for name, network in (("sigmoid", SIGMOID), ("tanh", TANH), ("ReLU", RELU)):
        labels = {scale: f"{name}, σ_w = {scale:g}" for scale in (0.5, 0.08)}
        starts = {label: laboratory.start(replace(network, init=scale)) for scale, label in labels.items()}
        measurements: list[Measurement] = [start.slope(label, flows(start.layers)) for label, start in starts.items()]
        measurements.append(laboratory.learn(replace(network, init=0.08)).accuracy(labels[0.08]))
        curves = tuple(start.curve(label) for label, start in starts.items())
        cases.append(Case(f"the activation is {name}", tuple(measurements), curves))
    return Outcome(tuple(cases))


SMALL_WEIGHTS = Claim(
    name="small-weights",
    statement="Small weights keep the units off saturation, and so cure vanishing gradients.",
    experiment="20 layers of 64 units with σ_w = 0.5, and with σ_w = 0.08, a standard deviation of 0.01, which used to "
    "be a common choice. The claim needs the signal to flow at the first step, and the network to learn.",
    theory="The weights are a factor of the gradient: on the way back, a layer multiplies it by σ_w √E[φ′²]. Near zero "
    "tanh is a straight line that saturates nowhere, and passes back σ_w: log₁₀ 0.08 = −1.10 decades per layer. For "
    "ReLU it is log₁₀ 0.08/√2 = −1.25, for sigmoid log₁₀ 0.08/4 = −1.70.",
    picture=SIGNAL_PICTURE,
    axes=SIGNAL_AXES,
    measure=_small,
)


def flows_and_learns(laboratory: Laboratory, condition: str, label: str, network: Architecture) -> Case:
    """Return the case of a cure: its gradients must flow at the first step, and it must learn."""
    start = laboratory.start(network)
    measurements = (start.slope(label, flows(start.layers)), laboratory.learn(network).accuracy(label))
    return Case(condition, measurements, (start.curve(label),))


def _initialisation(laboratory: Laboratory) -> Outcome:
    critical = round(gm.theory.critical_sigma_w("sigmoid"), 2)
    networks = [
        ("20 layers of ReLU (kaiming_normal)", "ReLU, kaiming_normal", RELU),
        ("20 layers of tanh (xavier_normal)", "tanh, xavier_normal", TANH),
        (
            "20 layers of SELU (lecun_normal)",
            "SELU, lecun_normal",
            replace(RELU, activation="selu", init="lecun_normal"),
        ),
        ("20 layers of sigmoid (xavier_normal)", "sigmoid, xavier_normal", SIGMOID),
        ("20 layers of sigmoid in balance", f"sigmoid, σ_w = {critical:g}", replace(SIGMOID, init=critical)),
        ("50 layers of ReLU (kaiming_normal)", "ReLU, 50 layers", replace(RELU, depth=50)),
    ]
    return Outcome(
        tuple(
            flows_and_learns(laboratory, f"the network is {described}", label, network)
            for described, label, network in networks
        )
    )


INITIALISATION_CURES = Claim(
    name="initialisation-cures",
    statement="An initialisation that fits the activation cures vanishing and exploding gradients.",
    experiment="20 layers of 64 units (and 50 of ReLU) with the initialisation that was made for their activation; "
    "sigmoid also with the weights at which, by `gm.theory.critical_sigma_w`, its gradients are in balance. The claim "
    "needs the signal to flow at the first step, and the network to learn.",
    theory="At the critical σ_w, χ₁ is 1, and gradients keep their size: √2 for ReLU (He 2015), 1 for tanh and SELU, "
    "10.15 for sigmoid. That says something about the first step. The sigmoid network in balance is made of switches, "
    "and a small step of the optimizer turns many of them over. And even in balance, two inputs become more alike from "
    "layer to layer, so that a very deep network sees little of what tells them apart (Schoenholz 2017).",
    picture=SIGNAL_PICTURE,
    axes=SIGNAL_AXES,
    measure=_initialisation,
)
