"""The way forward that is drawn at the width of the layers, against explicit sums and networks of the engine."""

import math

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

import gradiometer as gm
import theory_configurations
from gradiometer.theory.forward import forward
from gradiometer.theory.sampling import SampledNormStage, SlopeStage
from gradiometer.theory.sharing import overlap


@pytest.fixture(autouse=True)
def one_thread():
    """Small matrices are slow with the threads of a BLAS that fight for busy processors."""
    with threadpool_limits(1):
        yield


def drawn(layers, x, state=None):
    net = gm.Network(x.shape[1], layers, seed=0)
    return list(forward(net.layers, net.state_dict() if state is None else state, x, keep_inputs=False))


def test_the_way_back_is_the_mean_over_the_units():
    rng = np.random.default_rng(0)
    rows, width = 9, 5
    normalized, before, after = rng.normal(size=(3, rows, width))
    normalized -= normalized.mean(axis=0)
    inverse, gradient = rng.random(width), np.cov(rng.normal(size=(rows, 20)))
    total = np.zeros((rows, rows))
    for x, scale, first, last in zip(normalized.T, inverse, before.T, after.T, strict=True):
        jacobian = (np.eye(rows) - 1 / rows - np.outer(x, x) / rows) * math.sqrt(scale)
        back = np.diag(first) @ jacobian @ np.diag(last)
        total += back @ gradient @ back.T / width
    assert SampledNormStage(normalized, inverse, before, after).backward(gradient) == pytest.approx(total)


def test_the_way_back_through_slopes_and_its_spread():
    """Σ s² (Wᵀ δ)² over units with given slopes, against draws of W."""
    rng = np.random.default_rng(1)
    rows, width, out = 6, 40, 3
    slopes, delta = rng.random((rows, width)), rng.normal(size=(rows, out))
    stage, gradient = SlopeStage.of(slopes), delta @ delta.T
    back = np.einsum("ro,dow->drw", delta, rng.normal(size=(20_000, out, width))) * slopes
    totals = (back**2).sum(axis=(1, 2))
    assert totals.mean() / width == pytest.approx(np.trace(stage.backward(gradient)), rel=0.01)
    dense = 2 * (gradient**2).sum() / np.trace(gradient) ** 2 / width
    # The relative error of a variance of 20,000 samples is 1 %.
    assert totals.var() / totals.mean() ** 2 == pytest.approx(dense + stage.spread(gradient), rel=0.05)


@pytest.mark.parametrize(("init", "exact"), [("xavier_normal", False), ("orthogonal", True)])
@pytest.mark.parametrize("width", [20, 30, 50])
def test_units_have_the_covariance_of_what_they_receive(init, exact, width):
    """Rotations into as many dimensions, or more, keep it exactly; into fewer, and normal weights, on the average."""
    rng = np.random.default_rng(2)
    x = rng.normal(size=(12, 30)) @ np.diag(rng.random(30))
    layers = [gm.Dense(width, init=init), gm.BatchNorm(), gm.Tanh(), gm.Dense(width, init=init), gm.BatchNorm()]
    net = gm.Network(30, layers, seed=0)
    state = {"0.weight": net.state_dict()["0.weight"], "3.weight": 1.0}
    got = [way.stages[1] for way in forward(layers, state, x, keep_inputs=False)]
    weights = state["0.weight"].astype(float)
    scale = np.square(weights).mean() * width
    centred = x - x.mean(axis=0)
    wanted = scale * centred @ centred.T / width
    covariances = [stage.normalized / stage.inverse_variance @ stage.normalized.T / width for stage in got]
    off = [np.abs(covariance - wanted).max() / np.abs(wanted).max() for covariance in covariances]
    if exact and width >= 30:
        assert max(off) < 1e-4  # by eps
    else:
        assert min(off) > 0.01
        assert np.abs(np.mean(covariances, axis=0) - wanted).max() < 0.5 * np.abs(wanted).max()


def test_drawn_layers_are_as_alike_as_those_of_networks():
    """Of units of Hardswish with batch norm: at infinite width the overlap is far smaller, and so is the slope."""
    x, _ = theory_configurations.digits()
    depth, width = 12, 64
    layers = [*[gm.Dense(width), gm.BatchNorm(), gm.Hardswish()] * depth, gm.Dense(10)]
    drawn_overlaps = [
        [overlap(stage.normalized) for stage in way.stages if isinstance(stage, SampledNormStage)]
        for way in drawn(layers, x)
    ]
    measured = []
    for seed in range(8):
        net, units = gm.Network(64, layers, seed=seed), []
        h = x
        for number in range(0, 3 * depth, 3):
            h = h @ net.state_dict()[f"{number}.weight"].T.astype(float)
            h = (h - h.mean(axis=0)) / h.std(axis=0)
            units.append(overlap(h))
            h = gm.theory.moments.values(gm.Hardswish(), h)[0]
        measured.append(units)
    error = np.hypot(np.std(measured, axis=0), np.std(drawn_overlaps, axis=0)) / math.sqrt(8)
    assert np.all(np.abs(np.mean(measured, axis=0) - np.mean(drawn_overlaps, axis=0)) < 5 * error)
    # In the limit of infinite width the overlap of the last layers is below 0.05.
    assert np.mean(measured, axis=0)[-1] > 0.1


def test_narrow_networks_are_drawn_more_often():
    x = np.random.default_rng(3).normal(size=(8, 5))
    assert [len(drawn([gm.Dense(width), gm.BatchNorm(), gm.Dense(3)], x)) for width in (8, 64, 1000)] == [16, 8, 4]
    assert len(drawn([gm.Dense(8), gm.LayerNorm(), gm.Dense(3)], x)) == 1
    assert len(drawn([gm.BatchNorm(), gm.Dense(8), gm.ReLU(), gm.Dense(3)], x)) == 1


def test_biases_gamma_and_beta_are_drawn_in_their_size():
    x = np.random.default_rng(4).normal(size=(16, 10))
    layers = [gm.Dense(3000), gm.BatchNorm(), gm.Tanh(), gm.Dense(3000), gm.Dense(3)]
    sizes = {
        "0.weight": 1.0,
        "0.bias": 5.0,
        "1.weight": 2.0,
        "1.bias": 0.5,
        "3.weight": 0.1,
        "3.bias": 0.7,
        "4.weight": 1,
    }
    dense = drawn(layers, x, sizes)[0].stages[2]
    q = 2.0**2 + 0.5**2
    # Bias in front of batch norm has no say; behind it, tanh sees N(0, γ² + β²), but for the finite batch.
    wanted = 3000 * 0.1**2 * gm.theory.moments.moments(gm.Tanh(), q).square + 0.7**2
    assert dense.variance == pytest.approx(wanted, rel=0.03)


@pytest.mark.parametrize("layers", [
    [gm.Dense(200), gm.ReLU(), gm.BatchNorm(), gm.Dense(200), gm.Tanh(), gm.BatchNorm(), gm.Dense(10)],
    [gm.Dense(200), gm.BatchNorm(), gm.Residual([gm.Dense(200), gm.BatchNorm(), gm.ReLU(), gm.Dense(200)]),
     gm.Dense(10)],
    [gm.Dense(200), gm.LayerNorm(), gm.GELU(), gm.Dropout(0.2), gm.BatchNorm(), gm.Dense(200), gm.LayerNorm(),
     gm.Dense(10)],
    [gm.Dropout(0.2), gm.BatchNorm(), gm.Dense(200, init="orthogonal"), gm.ReLU(), gm.Dense(10)],
], ids=str)  # fmt: skip
def test_layers_in_other_places(layers):
    rng = np.random.default_rng(5)
    x, y = rng.normal(size=(60, 40)) + 0.5, 100 * rng.normal(size=(60, 10))
    ratios = []
    for seed in range(6):
        net = gm.Network(40, layers, seed=seed)
        trainer = gm.Trainer(net, loss="mse", optimizer=gm.SGD(lr=0.0), seed=seed)
        trainer.step(x, y)
        got, delta = gm.theory.predict(net, x, y, "mse"), trainer.recording.delta_norm[0]
        ratios.append([delta / delta[-1] / got.delta_norm, trainer.recording.grad_norm[0] / got.grad_norm])
    # Ten outputs and 200 units: some 3 % over six seeds.
    assert np.mean(ratios, axis=0) == pytest.approx(1, abs=0.1)


def test_eigenvectors_of_other_processors_make_the_same_draws(monkeypatch):
    """Their signs are free, and each processor's linear algebra chooses them in its own way."""
    x = np.random.default_rng(6).normal(size=(12, 30))
    net = gm.mlp(30, 3, depth=4, width=20, batch_norm=True, seed=0)
    here, eigh = gm.theory.predict(net, x), np.linalg.eigh

    def other_signs(matrix):
        values, vectors = eigh(matrix)
        return values, vectors * np.where(np.arange(len(values)) % 2, 1, -1)

    monkeypatch.setattr(np.linalg, "eigh", other_signs)
    there = gm.theory.predict(net, x)
    assert there.slope == pytest.approx(here.slope, rel=1e-9)
    assert there.spread == pytest.approx(here.spread, rel=1e-6)
