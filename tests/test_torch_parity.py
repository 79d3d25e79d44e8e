"""The engine against PyTorch: the same state dict, the same data, the same training.

In float64 the whole trajectory of 50 steps is held. In float32 trajectories of any two programs part (PyTorch
with one thread from PyTorch with two), so each step starts from the same weights.
"""

import numpy as np
import pytest

import gradiometer as gm
from strategies import ACTIVATIONS, LOSSES

torch = pytest.importorskip("torch")
torch.set_num_threads(1)  # its threads spin, which is slow on a machine that is busy

STEPS, ROWS, INPUTS, CLASSES = 50, 48, 12, 5
OPTIMIZERS = {
    "SGD": ("SGD", {"lr": 0.1}),
    "momentum": ("SGD", {"lr": 0.05, "momentum": 0.9, "dampening": 0.1, "weight_decay": 1e-3}),
    "Nesterov": ("SGD", {"lr": 0.05, "momentum": 0.9, "nesterov": True, "weight_decay": 1e-3}),
    "Adam": ("Adam", {"lr": 2e-3, "weight_decay": 1e-3}),
    "AdamW": ("AdamW", {"lr": 2e-3}),
    "RMSprop": ("RMSprop", {"lr": 1e-3, "momentum": 0.5}),
}
MAX_NORM = 0.4
AT_A_KINK = 4e-6  # float32: a ReLU input this small may have either sign


class Skip(torch.nn.Sequential):
    """A residual connection as one writes it in PyTorch."""

    def __init__(self, scale, *modules):
        super().__init__(*modules)
        self.scale = scale

    def forward(self, x):
        return x + self.scale * super().forward(x)


def modules_of(layers, width):
    """The modules of the same layers, and the width of their output."""
    modules = []
    for layer in layers:
        if isinstance(layer, gm.Dense):
            modules.append(torch.nn.Linear(width, layer.out_features, bias=layer.bias))
            width = layer.out_features
        elif isinstance(layer, gm.BatchNorm):
            modules.append(torch.nn.BatchNorm1d(width, layer.eps, layer.momentum, layer.affine))
        elif isinstance(layer, gm.LayerNorm):
            modules.append(torch.nn.LayerNorm(width, layer.eps, layer.affine))
        elif isinstance(layer, gm.Residual):
            modules.append(Skip(layer.scale, *modules_of(layer.layers, width)[0]))
        else:
            modules.append(getattr(torch.nn, type(layer).__name__)())
    return modules, width


def to_torch(layers, dtype):
    """torch.nn.Sequential over the same layers, with weights of its own."""
    return torch.nn.Sequential(*modules_of(layers, INPUTS)[0]).to(getattr(torch, dtype))


def tensors(state):
    return {key: torch.tensor(value) for key, value in state.items()}


def relative(actual, expected):
    """The largest difference, relative to the largest magnitude."""
    expected = expected.detach().numpy().astype(np.float64)
    return np.abs(actual - expected).max() / max(np.abs(expected).max(), 1e-30)


# No bias in front of a batch norm: its gradient is zero up to rounding, which Adam makes full size.
NET = [
    gm.Dense(24, bias=False), gm.BatchNorm(), gm.ReLU(),
    gm.Dense(17, bias=False), gm.BatchNorm(momentum=0.3), gm.Tanh(),
    gm.Dense(20, bias=False), gm.BatchNorm(affine=False), gm.SiLU(), gm.Dense(CLASSES),
]  # fmt: skip
# Before activations, as in He et al. 2016b; after a sum; and one inside of another.
SUMS = [
    gm.Dense(24, bias=False), gm.BatchNorm(), gm.ReLU(),
    gm.Residual([gm.LayerNorm(), gm.Dense(17), gm.SiLU(), gm.Dense(24)]), gm.LayerNorm(affine=False),
    gm.Residual([gm.Tanh(), gm.Residual([gm.Dense(24), gm.LayerNorm(eps=1e-3), gm.GELU()], 0.3), gm.Dense(24)], 0.5),
    gm.LayerNorm(), gm.Dense(CLASSES),
]  # fmt: skip
NETS = {"plain": NET, "sums": SUMS}


class Pair:
    """A network and its twin in PyTorch, each with its optimizer."""

    def __init__(self, layers, name, dtype):
        optimizer, arguments = OPTIMIZERS[name]
        self.net = gm.Network(INPUTS, layers, dtype=dtype, seed=1)
        self.trainer = gm.Trainer(
            self.net,
            loss="cross_entropy",
            optimizer=getattr(gm, optimizer)(**arguments),
            clip=gm.ClipNorm(MAX_NORM),
        )
        self.model = to_torch(layers, dtype)
        self.model.load_state_dict(tensors(self.net.state_dict()))
        self.optimizer = getattr(torch.optim, optimizer)(self.model.parameters(), **arguments)
        self.rng = np.random.default_rng(2)
        self.teacher = self.rng.normal(size=(INPUTS, CLASSES))
        self.dtype = dtype

    def step(self):
        """One step of both; the losses and the norms before clipping, in pairs."""
        x = self.rng.normal(size=(ROWS, INPUTS)).astype(self.dtype)
        labels = (x @ self.teacher).argmax(axis=1)
        ours = self.trainer.step(x, labels)
        self.optimizer.zero_grad()
        theirs = torch.nn.functional.cross_entropy(self.model(torch.tensor(x)), torch.tensor(labels))
        theirs.backward()
        self.gradients = {key: p.grad.clone() for key, p in self.model.named_parameters()}
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), MAX_NORM)
        self.optimizer.step()
        return (ours, theirs.item()), (self.trainer.recording.total_norm[-1], norm.item())

    def near_a_kink(self):
        """Whether a ReLU input of the next step has no decided sign."""
        state = self.rng.bit_generator.state
        x = self.rng.normal(size=(ROWS, INPUTS)).astype(self.dtype)
        self.rng.bit_generator.state = state
        with torch.no_grad():
            z = torch.nn.functional.batch_norm(
                self.model[0](torch.tensor(x)), None, None, *self.model[1].parameters(), training=True
            )
        return (z.abs() < AT_A_KINK).any().item()

    def check_weights(self, tolerance, step):
        expected = self.model.state_dict()
        ours = self.net.state_dict()
        assert list(ours) == list(expected)
        for key, value in ours.items():
            assert relative(value, expected[key]) < tolerance, f"{key} after step {step}"


@pytest.mark.parametrize("layers", NETS)
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_float64_trajectory(name, layers):
    pair = Pair(NETS[layers], name, "float64")
    clipped = 0
    for step in range(STEPS):
        losses, norms = pair.step()
        assert losses[0] == pytest.approx(losses[1], rel=1e-8)
        assert norms[0] == pytest.approx(norms[1], rel=1e-8)
        clipped += norms[0] > MAX_NORM
        pair.check_weights(1e-8, step)
    assert clipped > STEPS / 5, "the limit should be below many of the norms"
    x = torch.randn(9, INPUTS, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    pair.model.eval()
    assert relative(pair.net.forward(x.numpy()), pair.model(x)) < 1e-8


@pytest.mark.parametrize("layers", NETS)
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_float32_step_by_step(name, layers):
    pair = Pair(NETS[layers], name, "float32")
    kinks = 0
    for step in range(STEPS):
        pair.model.load_state_dict(tensors(pair.net.state_dict()))
        kink = pair.near_a_kink()
        kinks += kink
        tolerance = 2e-3 if kink else 1e-4
        losses, norms = pair.step()
        assert losses[0] == pytest.approx(losses[1], rel=tolerance)
        assert norms[0] == pytest.approx(norms[1], rel=tolerance)
        for key, gradient in pair.net.gradients().items():
            assert relative(gradient, pair.gradients[key]) < tolerance, f"gradient of {key}, step {step}"
        pair.check_weights(tolerance, step)
    assert kinks < STEPS / 5


EDGES = [0.0, -0.0, 1.0, -1.0, 3.0, -3.0, 0.5, -0.5, 2.0, 1.6, 1e-4, -1e-4, 1e-30, -1e-30, 19.0, 21.0]
EDGES += [
    -19.0,
    -21.0,
    8.1,
    7.9,
    60.0,
    -60.0,
    87.0,
    -87.0,
    89.0,
    -89.0,
    104.0,
    -104.0,
    800.0,
    -800.0,
    1e10,
    -1e10,
]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("behind", [[], [gm.Identity()]], ids=["alone", "with a layer behind"])
@pytest.mark.parametrize(("name", "arguments"), ACTIVATIONS)
def test_activations(name, arguments, behind, dtype):
    """Alone, ReLU, tanh and sigmoid give their slope from their output; with a layer behind, from their input."""
    z = np.concatenate([EDGES, np.random.default_rng(5).normal(0, 3, 2000)]).astype(dtype)
    net = gm.Network(1, [getattr(gm, name)(**arguments), *behind], dtype=dtype)
    z_torch = torch.tensor(z, requires_grad=True)
    out_torch = getattr(torch.nn, name)(**arguments)(z_torch)
    out_torch.sum().backward()
    out = net.forward(z[:, None], training=True)[:, 0]
    slope = net.backward(np.ones((len(z), 1), dtype))[:, 0]
    # PyTorch's GELU with tanh loses what cancels in 1 + tanh: hence an absolute tolerance, too.
    tolerance = 4e-6 if dtype == "float32" else 1e-14
    np.testing.assert_allclose(out, out_torch.detach().numpy(), rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(slope, z_torch.grad.numpy(), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("norm", ["BatchNorm", "LayerNorm"])
def test_norms_of_numbers_that_hardly_vary(norm):
    """Three thousand and a standard deviation of 1: in float32, E[x²] - E[x]² would be rounding alone."""
    z = np.random.default_rng(7).normal(3000, 1, (40, 40)).astype("float32")
    out = gm.Network(40, [getattr(gm, norm)()]).forward(z, training=True)
    norm_of_torch = getattr(torch.nn, {"BatchNorm": "BatchNorm1d"}.get(norm, norm))(40).double()
    expected = norm_of_torch(torch.tensor(z, dtype=torch.float64))
    # A mean that is rounded in float32 is off by up to 2e-4.
    np.testing.assert_allclose(out, expected.detach().numpy(), atol=1e-3)


def loss_of_torch(loss, out, y, weights):
    functional = torch.nn.functional
    rows = {
        "cross_entropy": lambda: functional.cross_entropy(out, y, reduction="none"),
        "mse": lambda: functional.mse_loss(out, y, reduction="none").mean(dim=1),
        "bce_with_logits": lambda: functional.binary_cross_entropy_with_logits(out, y, reduction="none").mean(dim=1),
    }[loss]()
    return rows.mean() if weights is None else (rows * weights).sum() / weights.sum()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("size", [1.0, 100.0], ids=["moderate outputs", "extreme outputs"])
@pytest.mark.parametrize("loss", LOSSES)
def test_losses(loss, size, weighted, dtype):
    """The weight is the identity, so that outputs are inputs and the bias gradient sums dL/d(output)."""
    rng = np.random.default_rng(6)
    out = (size * rng.normal(size=(21, 21))).astype(dtype)
    y = rng.integers(0, 21, 21) if loss == "cross_entropy" else rng.uniform(0, 1, out.shape).astype(dtype)
    weights = rng.uniform(0, 2, 21).astype(dtype) if weighted else None
    net = gm.Network(21, [gm.Dense(21, init=np.eye(21))], dtype=dtype)
    found = gm.Trainer(net, loss=loss, optimizer=gm.SGD(lr=0.0)).step(out, y, weights)
    out_torch = torch.tensor(out, requires_grad=True)
    expected = loss_of_torch(loss, out_torch, torch.tensor(y), None if weights is None else torch.tensor(weights))
    expected.backward()
    tolerance = 3e-6 if dtype == "float32" else 1e-13
    assert found == pytest.approx(expected.item(), rel=tolerance)
    gradients = net.gradients()
    assert relative(gradients["0.weight"], out_torch.grad.T @ out_torch) < tolerance
    assert relative(gradients["0.bias"], out_torch.grad.sum(dim=0)) < 10 * tolerance  # terms of both signs


@pytest.mark.parametrize("layers", NETS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_state_dict_goes_there_and_back(dtype, layers):
    layers = [gm.Dense(24), *NETS[layers][1:]]
    net = gm.Network(INPUTS, layers, dtype=dtype, seed=3)
    model = to_torch(layers, dtype)
    ours, theirs = net.state_dict(), model.state_dict()
    assert list(ours) == list(theirs)
    for key, value in ours.items():
        assert value.shape == tuple(theirs[key].shape), key
        assert torch.tensor(value).dtype == theirs[key].dtype, key
    model.load_state_dict(tensors(ours))
    x = torch.randn(30, INPUTS, dtype=getattr(torch, dtype), generator=torch.Generator().manual_seed(1))
    model(x)  # in training mode: moves the running statistics
    model.eval()
    net.load_state_dict({key: value.numpy() for key, value in model.state_dict().items()})
    assert net.state_dict()["1.num_batches_tracked"] == 1
    tolerance = 1e-5 if dtype == "float32" else 1e-13
    assert relative(net.predict(x.numpy()), model(x)) < tolerance
    again = to_torch(layers, dtype)
    again.load_state_dict(tensors(net.state_dict()))
    for key, value in model.state_dict().items():
        assert torch.equal(value, again.state_dict()[key]), key
