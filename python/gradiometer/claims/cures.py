"""Claims about cures that change the network: ReLU, batch norm, dropout."""

from __future__ import annotations

from dataclasses import replace

from gradiometer.claims.claim import SIGNAL_AXES, SIGNAL_PICTURE, Claim
from gradiometer.claims.criteria import flows
from gradiometer.claims.laboratory import RELU, SIGMOID, TANH, Laboratory
from gradiometer.claims.outcome import Case, Measurement, Outcome
from gradiometer.claims.weights import flows_and_learns
from gradiometer.lab.experiments import TOO_LARGE, Architecture


def _relu(laboratory: Laboratory) -> Outcome:
    conditions = {
        "kaiming_normal": "the weights fit it (kaiming_normal)",
        "xavier_normal": "the weights are Xavier's (xavier_normal)",
        "torch_default": "the weights are PyTorch's default (torch_default)",
    }
    return Outcome(
        tuple(
            flows_and_learns(laboratory, condition, f"ReLU, {init}", replace(RELU, init=init))
            for init, condition in conditions.items()
        )
    )


RELU_CURES = Claim(
    name="relu-cures",
    statement="ReLU cures vanishing gradients.",
    experiment="20 layers of 64 ReLU units, with three common initialisations. The claim needs the signal to flow at "
    "the first step, and the network to learn.",
    theory="The slope of ReLU is 1 for half of the units and 0 for the others, so E[φ′²] = 1/2 and χ₁ = σ_w² / 2, "
    "whatever the input. That is 1 for σ_w = √2 (He 2015) and for no other: Xavier's σ_w = 1 changes the gradient by "
    "log₁₀ 1/√2 = −0.15 decades per layer, PyTorch's default, σ_w = 1/√3, by −0.39.",
    picture=SIGNAL_PICTURE,
    axes=SIGNAL_AXES,
    measure=_relu,
)


def _batch_norm(laboratory: Laboratory) -> Outcome:
    def normed(network: Architecture, scale: float, depth: int = 20) -> Architecture:
        return replace(network, init=scale, depth=depth, batch_norm=True)

    def case(condition: str, networks: dict[str, Architecture], trained: int) -> Case:
        starts = {label: laboratory.start(network) for label, network in networks.items()}
        measurements: list[Measurement] = [start.slope(label, flows(start.layers)) for label, start in starts.items()]
        for label, network in list(networks.items())[:trained]:
            measurements.append(laboratory.learn(network).accuracy(label))
        return Case(condition, tuple(measurements), tuple(start.curve(label) for label, start in starts.items()))

    moderate = {
        "sigmoid, σ_w = 1": normed(SIGMOID, 1.0),
        "tanh, σ_w = 1": normed(TANH, 1.0),
        "ReLU, σ_w = 1": normed(RELU, 1.0),
        "ReLU, σ_w = 0.1": normed(RELU, 0.1),
        "ReLU, σ_w = 10": normed(RELU, 10.0),
    }
    deep = {"50 × ReLU, σ_w = 1": normed(RELU, 1.0, 50), "100 × tanh, σ_w = 1": normed(TANH, 1.0, 100)}
    return Outcome(
        (
            case("there are 20 layers", moderate, trained=3),
            case("there are 50 layers of ReLU or 100 of tanh", deep, trained=2),
        )
    )


BATCH_NORM_STABILISES = Claim(
    name="batch-norm-stabilises",
    statement="Batch norm stabilises the gradients.",
    experiment="20 layers of 64 units with batch norm before each activation, and deeper ones; for ReLU also with "
    "weights ten times too small and ten times too large. The claim needs the signal to flow at the first step, and "
    "the networks with σ_w = 1 to learn.",
    theory="Batch norm divides the scale of the weights out, so that it no longer matters. What remains is a growth of "
    "squared gradients by E[φ′²] / Var[φ] per layer, which is never below 1 (Yang 2019; "
    "`gm.theory.batch_norm_growth`): for ReLU π/(π − 1) = 1.467. On the norm that is 1.21, or +0.083 decades per "
    "layer. So gradients explode at the start: by a factor of 46 in 20 layers, 200 in 28 and 14,000 in "
    "50.",
    picture=SIGNAL_PICTURE,
    axes=SIGNAL_AXES,
    measure=_batch_norm,
)


def _dropout(laboratory: Laboratory) -> Outcome:
    networks = {
        "the network vanishes (20 layers of sigmoid)": ("sigmoid", SIGMOID),
        "the network explodes for its weights (20 layers of ReLU, twice too large)": (
            f"ReLU, σ_w = {TOO_LARGE:.3g}",
            replace(RELU, init=TOO_LARGE),
        ),
        "the network explodes for its batch norm (50 layers of ReLU)": (
            "50 × ReLU, batch norm",
            replace(RELU, depth=50, batch_norm=True),
        ),
    }
    cases = []
    for condition, (name, network) in networks.items():
        starts = {share: laboratory.start(replace(network, dropout=share)) for share in (0.0, 0.1, 0.5)}
        measurements = [
            start.slope(f"{name}, p = {share:g}", flows(start.layers) if share == 0.5 else None)
            for share, start in starts.items()
        ]
        trained = laboratory.learn(replace(network, dropout=0.5))
        measurements.append(trained.accuracy(f"{name}, p = 0.5", needed=None))
        curves = tuple(start.curve(f"{name}, p = {share:g}") for share, start in starts.items())
        cases.append(Case(condition, tuple(measurements), curves))
    return Outcome(tuple(cases))


DROPOUT_STABILISES = Claim(
    name="dropout-stabilises",
    statement="Dropout stabilises the gradients.",
    experiment="Three networks that are sick without it, with a dropout of p = 0.1 and p = 0.5 after each activation, "
    "at the first step. The claim needs p = 0.5, the usual value, to make the signal flow. The accuracy is there to be "
    "seen; the claim is about gradients.",
    theory="Dropout zeroes a share p of the units and multiplies the others by 1/(1 − p). On average that multiplies "
    "squared gradients by 1/(1 − p): +0.02 decades per layer for p = 0.1, +0.15 for p = 0.5, somewhat less where it "
    "saturates units. It goes upward whether the network vanishes or explodes. Before the next layer's batch norm it "
    "is different: the noise is part of what is normalised, and the growth is (E[φ′²]/(1−p)) / (E[φ²]/(1−p) − E[φ]²), "
    "for ReLU and p = 0.5 1.189 in place of 1.467.",
    picture=SIGNAL_PICTURE,
    axes=SIGNAL_AXES,
    measure=_dropout,
)
