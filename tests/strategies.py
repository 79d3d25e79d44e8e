"""What the property tests draw: a whole training run, described in plain data and built twice.

A layer, an optimizer or a clipping is described as (name, arguments), so that the same description builds the
engine's object and that of the reference, and prints readably when a test fails.
"""

from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

import gradiometer as gm
import reference
import reference_activations
import reference_training

# Widths and batches where vectors, tiles and unrolled loops end.
EDGES = (1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 32, 33, 47, 48, 49, 63, 64, 65, 79, 80)
sizes = st.one_of(st.sampled_from(EDGES), st.integers(1, 80))

ACTIVATIONS = [
    ("ReLU", {}),
    ("LeakyReLU", {}),
    ("LeakyReLU", {"negative_slope": 0.3}),
    ("LeakyReLU", {"negative_slope": 1.5}),
    ("ELU", {}),
    ("ELU", {"alpha": 0.5}),
    ("ELU", {"alpha": 3.0}),
    ("SELU", {}),
    ("GELU", {}),
    ("GELU", {"approximate": "tanh"}),
    ("SiLU", {}),
    ("Mish", {}),
    ("Softplus", {}),
    ("Softplus", {"beta": 2.5, "threshold": 4.0}),
    ("Softsign", {}),
    ("Sigmoid", {}),
    ("Tanh", {}),
    ("Hardtanh", {}),
    ("Hardtanh", {"min_val": -0.5, "max_val": 2.0}),
    ("Hardswish", {}),
    ("Identity", {}),
]
STEEP = ("LeakyReLU", {"negative_slope": 30.0})
"""Saturated where it is the identity, as 1 is below 5 % of 30. No network is drawn with it: a deep one overflows."""
BATCH_NORMS = [
    ("BatchNorm", {}),
    ("BatchNorm", {"eps": 1e-3, "momentum": 0.3}),
    ("BatchNorm", {"affine": False}),
]
LAYER_NORMS = [
    ("LayerNorm", {}),
    ("LayerNorm", {"eps": 1e-3}),
    ("LayerNorm", {"affine": False}),
]
DROPOUTS = [("Dropout", {"p": p}) for p in (0.0, 0.1, 0.5, 0.75)]
OPTIMIZERS = [
    ("SGD", {"lr": 0.1}),
    ("SGD", {"lr": 0.05, "weight_decay": 0.01}),
    ("SGD", {"lr": 0.05, "momentum": 0.9}),
    ("SGD", {"lr": 0.05, "momentum": 0.8, "dampening": 0.3, "weight_decay": 0.01}),
    ("SGD", {"lr": 0.05, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01}),
    ("Adam", {}),
    ("Adam", {"lr": 0.01, "betas": (0.8, 0.95), "eps": 1e-6, "weight_decay": 0.1}),
    ("AdamW", {}),
    ("AdamW", {"lr": 0.01, "betas": (0.8, 0.95), "eps": 1e-6, "weight_decay": 0.1}),
    ("RMSprop", {}),
    ("RMSprop", {"lr": 0.001, "alpha": 0.9, "eps": 1e-6, "momentum": 0.7}),
]
CLIPS = [
    None,
    ("ClipNorm", {"max_norm": 0.1}),
    ("ClipNorm", {"max_norm": 1e3}),
    ("ClipNorm", {"max_norm": 0.02, "norm_type": float("inf")}),
    ("ClipNorm", {"max_norm": 0.5, "norm_type": 1.0}),
    ("ClipNorm", {"max_norm": 0.05, "norm_type": 3.0}),
    ("ClipNorm", {"max_norm": 0.05, "per_layer": True}),
    ("ClipValue", {"clip_value": 0.01}),
    ("ClipAdaptive", {}),
    ("ClipAdaptive", {"clip_factor": 0.02, "eps": 2.0}),
]
LOSSES = ("cross_entropy", "bce_with_logits", "mse")


def built(homes, description):
    """The object of (name, arguments), from the first of these modules that has the name; layers inside it too."""
    name, arguments = description
    if "layers" in arguments:
        arguments = {**arguments, "layers": [built(homes, inner) for inner in arguments["layers"]]}
    return next(getattr(home, name) for home in homes if hasattr(home, name))(**arguments)


@dataclass(frozen=True)
class Scenario:
    in_features: int
    layers: tuple
    batch: int = 16
    loss: str = "mse"
    optimizer: tuple = ("SGD", {"lr": 0.1})
    clip: tuple | None = None
    weighted: bool = False
    threads: int = 1
    steps: int = 3
    seed: int = 0

    def engine_network(self, dtype):
        layers = [built([gm], layer) for layer in self.layers]
        return gm.Network(self.in_features, layers, dtype=dtype, seed=self.seed)

    def engine_trainer(self, net, record="full"):
        optimizer, clip = (None if d is None else getattr(gm, d[0])(**d[1]) for d in (self.optimizer, self.clip))
        return gm.Trainer(net, loss=self.loss, optimizer=optimizer, clip=clip, record=record, seed=self.seed)

    def reference_trainer(self, dtype):
        layers = [built([reference, reference_activations], layer) for layer in self.layers]
        net = reference.Network(self.in_features, layers, dtype)
        optimizer, clip = (
            None if d is None else getattr(reference_training, d[0])(**d[1]) for d in (self.optimizer, self.clip)
        )
        return reference_training.Trainer(net, self.loss, optimizer, clip, self.seed)

    def state(self):
        """Random values for every parameter and running statistic, in float64; none is a special number."""
        rng = np.random.default_rng(self.seed)
        state = {}
        for key, array in self.reference_trainer(np.float64).net.state_dict().items():
            if key.endswith("num_batches_tracked"):
                state[key] = array
            elif array.ndim == 2:
                state[key] = rng.normal(0, np.sqrt(1.5 / array.shape[1]), array.shape)
            elif key.endswith(("running_var", "weight")):
                state[key] = rng.uniform(0.5, 1.5, array.shape)
            else:
                state[key] = rng.normal(0, 0.3, array.shape)
        return state

    def data(self, step, dtype):
        """The batch of a step: x, y and the sample weights (or None)."""
        rng = np.random.default_rng([self.seed, step])
        outputs = self.reference_trainer(np.float64).net.out_features
        x = rng.normal(0, 1, (self.batch, self.in_features)).astype(dtype)
        if self.loss == "cross_entropy":
            y = rng.integers(0, outputs, self.batch)
        elif self.loss == "bce_with_logits":
            y = rng.choice([0.0, 1.0, 0.3], (self.batch, outputs)).astype(dtype)
        else:
            y = rng.normal(0, 1, (self.batch, outputs)).astype(dtype)
        weights = rng.choice([0.0, 0.5, 1.0, 3.0], self.batch).astype(dtype) if self.weighted else None
        if self.weighted:
            weights[rng.integers(self.batch)] = 2.0  # they must not all be zero
        return x, y, weights


dense_layers = st.builds(
    lambda features, bias: ("Dense", {"out_features": features, "bias": bias}),
    sizes,
    st.sampled_from([True, True, False]),
)
activations = st.sampled_from(ACTIVATIONS)
norms = st.sampled_from(BATCH_NORMS + LAYER_NORMS)


@st.composite
def regular_layers(draw):
    """Depth 0 to 8: Dense, perhaps a norm, an activation, perhaps dropout; then a last Dense."""
    block = [draw(activations)]
    if draw(st.booleans()):
        block.insert(0, draw(norms))
    if draw(st.booleans()):
        block.append(draw(st.sampled_from(DROPOUTS)))
    layers = []
    for _ in range(draw(st.integers(0, 8))):
        layers += [draw(dense_layers), *block]
    return (*layers, draw(dense_layers))


other_leaves = st.one_of(activations, activations, norms, st.sampled_from(DROPOUTS))
leaves = st.one_of(dense_layers, other_leaves)


def residual_around(layers):
    return st.builds(
        lambda body, scale: ("Residual", {"layers": tuple(body), "scale": scale}),
        st.lists(layers, min_size=1, max_size=4),
        st.sampled_from([1.0, 0.5, -0.7]),
    )


residuals = residual_around(st.one_of(leaves, residual_around(leaves)))


def fit_widths(layers, width):
    """Make the last Dense inside of each Residual as wide as what comes in; returns the layers and the last width."""
    fitted = []
    for name, arguments in layers:
        if name == "Dense":
            width = arguments["out_features"]
        if name == "Residual":
            body, out = fit_widths(arguments["layers"], width)
            if out != width:
                last = max(i for i, (kind, _) in enumerate(body) if kind == "Dense")
                wide = ("Dense", {**body[last][1], "out_features": width})
                body, _ = fit_widths((*body[:last], wide, *body[last + 1 :]), width)
            arguments = {**arguments, "layers": body}
        fitted.append((name, arguments))
    return tuple(fitted), width


@st.composite
def any_layers(draw):
    """Any list with at least one Dense: an activation first or last, a norm after it, two in a row, residuals, …"""
    layers = draw(st.lists(st.one_of(leaves, leaves, residuals), max_size=9))
    layers.insert(draw(st.integers(0, len(layers))), draw(dense_layers))
    return tuple(layers)


@st.composite
def scenarios(draw):
    in_features = draw(sizes)
    layers, _ = fit_widths(draw(st.one_of(regular_layers(), any_layers())), in_features)
    batch = draw(sizes)
    if "BatchNorm" in repr(layers):
        batch = max(batch, 2)  # a batch of one is an error
    return Scenario(
        in_features=in_features,
        layers=layers,
        batch=batch,
        loss=draw(st.sampled_from(LOSSES)),
        optimizer=draw(st.sampled_from(OPTIMIZERS)),
        clip=draw(st.sampled_from(CLIPS)),
        weighted=draw(st.booleans()),
        threads=draw(st.sampled_from([1, 2])),
        steps=draw(st.sampled_from([3, 1, 4])),
        seed=draw(st.integers(0, 2**40)),
    )
