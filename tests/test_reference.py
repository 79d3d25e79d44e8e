"""The yardstick itself: the NumPy network against PyTorch, published vectors and finite differences."""

import numpy as np
import pytest

import reference
import reference_activations as activations
import reference_training as training
from reference_philox import keep_mask, philox

ACTIVATIONS = [
    ("ReLU", {}),
    ("LeakyReLU", {}),
    ("LeakyReLU", {"negative_slope": 0.3}),
    ("LeakyReLU", {"negative_slope": 30.0}),
    ("ELU", {}),
    ("ELU", {"alpha": 1.7}),
    ("SELU", {}),
    ("GELU", {}),
    ("GELU", {"approximate": "tanh"}),
    ("SiLU", {}),
    ("Mish", {}),
    ("Softplus", {}),
    ("Softplus", {"beta": 2.0, "threshold": 1.5}),
    ("Softsign", {}),
    ("Sigmoid", {}),
    ("Tanh", {}),
    ("Hardtanh", {}),
    ("Hardtanh", {"min_val": -0.5, "max_val": 2.0}),
    ("Hardswish", {}),
    ("Identity", {}),
]
OPTIMIZERS = [
    ("SGD", {"lr": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.3, "weight_decay": 0.02}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.02, "nesterov": True}),
    ("Adam", {"lr": 0.01, "weight_decay": 0.1}),
    ("AdamW", {"lr": 0.01, "betas": (0.8, 0.95), "eps": 1e-6, "weight_decay": 0.1}),
    ("RMSprop", {"lr": 0.01}),
    ("RMSprop", {"lr": 0.01, "alpha": 0.9, "eps": 1e-6, "momentum": 0.7}),
]


@pytest.mark.parametrize(("name", "arguments"), ACTIVATIONS)
def test_activations_are_those_of_torch(name, arguments):
    torch = pytest.importorskip("torch")
    special = [0.0, -0.0, -3.0, 3.0, -1.0, 1.0, -0.5, 2.0, 0.75, 30.0, -30.0, 800.0, -800.0]
    z = np.concatenate([special, np.random.default_rng(0).normal(0, 4, 2000)])
    mine = getattr(activations, name)(**arguments)
    tensor = torch.tensor(z, requires_grad=True)
    out = getattr(torch.nn, name)(**arguments)(tensor)
    out.sum().backward()
    np.testing.assert_allclose(mine.forward(z), out.detach().numpy(), rtol=1e-13, atol=2e-14)
    np.testing.assert_allclose(mine.backward(np.ones_like(z)), tensor.grad.numpy(), rtol=1e-13, atol=2e-14)


@pytest.mark.parametrize(("name", "arguments"), ACTIVATIONS)
def test_largest_slope_is_the_supremum_of_the_slope(name, arguments):
    mine = getattr(activations, name)(**arguments)
    grid = np.linspace(-6, 6, 1_200_001)
    kinks = [np.nextafter(kink, side) for kink in (0.0, *mine.kinks) for side in (-np.inf, np.inf)]
    found = np.abs(mine.slope(np.concatenate([grid, kinks]))).max()
    assert found == pytest.approx(mine.largest_slope, rel=1e-9)


def test_philox_gives_the_published_words():
    for counter, key, expected in [
        ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((2**32 - 1,) * 4, (2**32 - 1,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ]:
        assert tuple(int(word) for word in philox(counter, key)) == expected


def test_keep_mask_keeps_the_right_share_and_depends_on_everything():
    mask = keep_mask((400, 150), 0.3, seed=5, step=2, layer_index=7)
    assert mask.mean() == pytest.approx(0.7, abs=0.01)
    assert np.array_equal(mask[:9, :33], keep_mask((9, 33), 0.3, seed=5, step=2, layer_index=7))
    for other in [{"seed": 5 + 2**32}, {"step": 3}, {"layer_index": 6}]:
        changed = keep_mask((400, 150), 0.3, **({"seed": 5, "step": 2, "layer_index": 7} | other))
        assert 0.3 < (mask == changed).mean() < 0.7
    assert not keep_mask((5, 5), 1.0, 0, 0, 0).any()


def torch_modules(torch, layers, features):
    """The modules of the same layers, and the features of their output."""

    class Skip(torch.nn.Sequential):
        def forward(self, x):
            return x + self.scale * super().forward(x)

    modules = []
    for layer in layers:
        if isinstance(layer, reference.Dense):
            modules.append(torch.nn.Linear(features, layer.out_features, bias=layer.has_bias))
            features = layer.out_features
        elif isinstance(layer, reference.BatchNorm):
            modules.append(torch.nn.BatchNorm1d(features, layer.eps, layer.momentum, layer.affine))
        elif isinstance(layer, reference.LayerNorm):
            modules.append(torch.nn.LayerNorm(features, layer.eps, layer.affine))
        elif isinstance(layer, reference.Residual):
            modules.append(Skip(*torch_modules(torch, layer.layers, features)[0]))
            modules[-1].scale = layer.scale
        else:
            modules.append(getattr(torch.nn, type(layer).__name__)())
    return modules, features


def torch_twin(torch, net):
    """The torch.nn.Sequential over the same layers with the same state."""
    modules, _ = torch_modules(torch, net.layers, net.named("parameters")["0.weight"].shape[1])
    model = torch.nn.Sequential(*modules).double()
    model.load_state_dict({key: torch.tensor(value) for key, value in net.state_dict().items()})
    return model


def random_state(net, seed):
    rng = np.random.default_rng(seed)
    state = {key: rng.uniform(0.3, 0.8, array.shape) for key, array in net.state_dict().items()}
    for key, weight in net.named("parameters").items():
        if weight.ndim == 2:
            state[key] = rng.normal(0, 1 / np.sqrt(weight.shape[1]), weight.shape)
    return state


def small_net():
    layers = [
        reference.Dense(9), reference.BatchNorm(momentum=0.3), activations.Tanh(),
        reference.Dense(7, bias=False), reference.BatchNorm(eps=1e-3, affine=False), activations.SiLU(),
        reference.Residual([reference.LayerNorm(), activations.Tanh(), reference.Dense(5), reference.Residual(
            [reference.Dense(5), reference.LayerNorm(eps=1e-3, affine=False)]), reference.Dense(7)], scale=0.6),
        reference.Dense(4),
    ]  # fmt: skip
    net = reference.Network(6, layers)
    net.load_state_dict(random_state(net, 1))
    return net


def torch_loss(torch, name, out, y, weights):
    if name == "cross_entropy":
        rows = torch.nn.functional.cross_entropy(out, torch.tensor(y), reduction="none")
    elif name == "mse":
        rows = torch.nn.functional.mse_loss(out, torch.tensor(y), reduction="none").mean(dim=1)
    else:
        target = torch.tensor(y)
        rows = torch.nn.functional.binary_cross_entropy_with_logits(out, target, reduction="none").mean(dim=1)
    return rows.mean() if weights is None else (rows * torch.tensor(weights)).sum() / weights.sum()


CLIPS = [None, (0.05, 2.0), (0.02, float("inf")), (0.1, 1.0), (0.05, 3.5)]
CASES = [(loss, weighted, 0, 0) for loss in reference.LOSSES for weighted in (False, True)]
CASES += [("mse", False, 0, clip) for clip in range(1, len(CLIPS))]
CASES += [("cross_entropy", True, optimizer, 1) for optimizer in range(1, len(OPTIMIZERS))]


@pytest.mark.parametrize(("loss", "weighted", "optimizer_number", "clip_number"), CASES)
def test_training_is_that_of_torch(loss, weighted, optimizer_number, clip_number):
    torch = pytest.importorskip("torch")
    (optimizer, arguments), clip = OPTIMIZERS[optimizer_number], CLIPS[clip_number]
    rng = np.random.default_rng(3)
    net = small_net()
    model = torch_twin(torch, net)
    stepper = getattr(torch.optim, optimizer)(model.parameters(), **arguments)
    trainer = training.Trainer(net, loss, getattr(training, optimizer)(**arguments), clip and training.ClipNorm(*clip))
    x, weights = rng.normal(size=(13, 6)), rng.uniform(0, 2, 13) if weighted else None
    y = rng.integers(0, 4, 13) if loss == "cross_entropy" else rng.uniform(0, 1, (13, 4))
    for _ in range(4):
        stepper.zero_grad()
        expected = torch_loss(torch, loss, model(torch.tensor(x)), y, weights)
        expected.backward()
        gradients = {key: p.grad.numpy().copy() for key, p in model.named_parameters()}
        if clip:
            total = float(torch.nn.utils.clip_grad_norm_(model.parameters(), *clip))
        stepper.step()
        assert trainer.step(x, y, weights) == pytest.approx(expected.item(), rel=1e-12)
        if clip:
            assert trainer.fields["total_norm"] == pytest.approx(total, rel=1e-12)
        for key, gradient in net.named("gradients").items():
            np.testing.assert_allclose(gradient, gradients[key], atol=1e-13, err_msg=key)
        for key, value in net.state_dict().items():
            if key != "0.bias":  # in front of a batch norm: its gradient is rounding alone
                np.testing.assert_allclose(value, model.state_dict()[key].numpy(), atol=1e-9, err_msg=key)
    model.eval()
    np.testing.assert_allclose(net.forward(x), model(torch.tensor(x)).detach().numpy(), atol=1e-9)


def test_recorded_deltas_are_the_numerical_derivatives_of_the_loss():
    """Moving the bias of a dense layer in one row moves the loss by that row of its delta."""
    net = small_net()
    net.layers[5] = activations.GELU()
    rng = np.random.default_rng(4)
    x, y = rng.normal(size=(5, 6)), rng.normal(size=(5, 4))
    trainer = training.Trainer(net, "mse", training.SGD(0.0))
    trainer.step(x, y)
    deltas = [(dense, dense.dout) for _, dense, _ in net.dense_layers()]
    for dense, delta in deltas:
        forward = dense.forward
        for row, column in [(0, 0), (3, 2)]:
            losses = []
            for move in (-1e-5, 1e-5):

                def moved(z, move=move, row=row, column=column, forward=forward):
                    out = forward(z).copy()
                    out[row, column] += move
                    return out

                dense.forward = moved
                losses.append(trainer.gradients(x, y))
            assert (losses[1] - losses[0]) / 2e-5 == pytest.approx(delta[row, column], rel=1e-6, abs=1e-9)
        dense.forward = forward


def test_clip_value_and_clipping_by_layer():
    gradients = {"0.weight": np.array([[3.0, 0.0]]), "0.bias": np.array([4.0]), "2.weight": np.array([[0.5]])}
    clipped, total, coefficient = training.ClipNorm(1.0, per_layer=True).clip(gradients)
    assert total == pytest.approx(np.sqrt(25.25))
    assert coefficient == pytest.approx(0.2)
    np.testing.assert_allclose(clipped["0.weight"], [[0.6, 0.0]], rtol=1e-6)
    np.testing.assert_allclose(clipped["2.weight"], [[0.5]])
    weights = {"0.weight": np.array([[0.3, 0.4]]), "0.bias": np.array([0.0]), "2.weight": np.array([[9.0]])}
    clipped, total, coefficient = training.ClipAdaptive(0.1, eps=0.2).clip(gradients, weights)
    assert total == pytest.approx(np.sqrt(25.25))
    assert coefficient == pytest.approx(0.02 / 4)
    np.testing.assert_allclose(clipped["0.weight"], [[0.05, 0.0]])
    assert (clipped["0.bias"], clipped["2.weight"]) == (pytest.approx(0.02), 0.5)
    clipped, _, coefficient = training.ClipValue(1.0).clip(gradients)
    assert clipped["0.bias"] == 1.0
    assert coefficient == pytest.approx(1.5 / np.sqrt(25.25))
