"""The spectrum of the input–output Jacobian, against differences, linear algebra and published figures."""

import pickle

import numpy as np
import pytest

import gradiometer as gm
from gradiometer._layer import leaves_of
from gradiometer.theory import jacobian

RNG = np.random.default_rng(0)

NETWORKS = {
    "tanh": [gm.Dense(7), gm.Tanh(), gm.Dense(5), gm.Sigmoid(), gm.Dense(4)],
    "wide output": [gm.Dense(7), gm.SiLU(), gm.Dense(9)],
    "batch norm and dropout": [
        gm.BatchNorm(), gm.Dense(8), gm.BatchNorm(), gm.GELU(), gm.Dropout(0.4), gm.Dense(6, bias=False), gm.Tanh(),
        gm.BatchNorm(affine=False), gm.Dropout(0.1), gm.Dense(3), gm.BatchNorm(eps=1e-2),
    ],
    "residual and layer norm": [
        gm.Residual([gm.BatchNorm(), gm.Tanh(), gm.Dropout(0.3), gm.Dense(6)], scale=0.7), gm.LayerNorm(),
        gm.Residual([gm.Residual([gm.Dropout(0.2)], scale=0.5), gm.LayerNorm(), gm.Dense(9), gm.BatchNorm(), gm.SiLU(),
                     gm.Dense(6)]),
        gm.Dense(4),
    ],
    "no dense layer": [gm.Tanh(), gm.BatchNorm()],
    "nothing but dropout": [gm.Dropout(0.5)],
}  # fmt: skip


def trained(layers, dtype):
    """A network whose batch norms have running statistics, gamma and beta of their own."""
    net = gm.Network(6, layers, dtype=dtype, seed=1)
    for _ in range(5):
        net.forward(2 * RNG.normal(size=(20, 6)) + 1, training=True)
    norms = [leaf.name for leaf in leaves_of(layers) if isinstance(leaf.layer, gm.BatchNorm) and leaf.layer.affine]
    changes = {}
    for key, value in net.state_dict().items():
        place, _, name = key.rpartition(".")
        if place in norms and name in ("weight", "bias"):
            changes[key] = value + RNG.uniform(-0.5, 0.5, value.shape)
    net.load_state_dict({**net.state_dict(), **changes})
    return net


@pytest.mark.parametrize("layers", NETWORKS.values(), ids=NETWORKS)
def test_it_is_that_of_central_differences(layers):
    net, step = trained(layers, "float64"), 1e-5
    x = RNG.normal(size=(5, 6))
    shifted = [net.predict(x + sign * step * unit) for unit in np.eye(6) for sign in (1, -1)]
    columns = [(after - before) / (2 * step) for after, before in zip(shifted[::2], shifted[1::2], strict=True)]
    expected = np.linalg.svd(np.stack(columns, axis=2), compute_uv=False)
    # Differences are off by step² times a third derivative, and by rounding ÷ step.
    assert gm.theory.jacobian_spectrum(net, x).singular_values == pytest.approx(expected, rel=1e-6, abs=1e-8)


def test_many_rows_and_outputs_are_those_one_by_one(monkeypatch):
    net = trained(NETWORKS["wide output"], "float32")
    x = RNG.normal(size=(11, 6))
    together = gm.theory.jacobian_spectrum(net, x).singular_values
    assert together.shape == (11, 6)
    monkeypatch.setattr(jacobian, "AT_ONCE", 4)  # fewer than the outputs, and than the rows
    alone = np.concatenate([gm.theory.jacobian_spectrum(net, row[None]).singular_values for row in x])
    assert together == pytest.approx(alone, rel=1e-12)


def test_of_a_linear_network_it_is_that_of_the_product_of_its_weights():
    net = gm.Network(8, [gm.Dense(8, init="lecun_normal")] * 3, seed=0)
    state = {key: value.astype(np.float64) for key, value in net.state_dict().items()}
    product = state["2.weight"] @ state["1.weight"] @ state["0.weight"]
    got = gm.theory.jacobian_spectrum(net, RNG.normal(size=(2, 8)))
    assert got.singular_values == pytest.approx(np.stack([np.linalg.svd(product, compute_uv=False)] * 2), rel=1e-10)


def test_the_network_does_not_change_nor_does_its_last_forward_pass():
    net = trained(NETWORKS["batch norm and dropout"], "float32")
    twin = pickle.loads(pickle.dumps(net))
    x, dy = RNG.normal(size=(9, 6)), RNG.normal(size=(9, 3))
    net.forward(x, training=True)
    twin.forward(x, training=True)
    before = pickle.dumps(net)
    gm.theory.jacobian_spectrum(net, x[:4])
    assert pickle.dumps(net) == before
    assert np.array_equal(net.backward(dy), twin.backward(dy))


def deep(activation, init, width=128, depth=20):
    """Of a network whose weights, those of the last layer too, all have the same initialisation."""
    dense = gm.Dense(width, init=init)
    net = gm.Network(width, [dense, activation] * depth + [dense], seed=0)
    return gm.theory.jacobian_spectrum(net, 0.3 * RNG.normal(size=(4, width)))


def test_deep_linear_networks_have_the_published_variance():
    """Pennington et al. 2017: the variance of the squared singular values is the number of layers, or 0."""
    gaussian = deep(gm.Identity(), gm.init.normal(std=128**-0.5))
    assert gaussian.relative_variance == pytest.approx(21, rel=0.25)  # of one draw of 128 directions
    assert 0.5 < gaussian.mean_square < 2  # 1 on average; narrow and deep networks differ from draw to draw
    orthogonal = deep(gm.Identity(), gm.init.orthogonal(gain=1.0))
    assert orthogonal.singular_values == pytest.approx(1, abs=1e-5)  # weights are rounded to float32
    assert orthogonal.relative_variance < 1e-10


def test_orthogonal_tanh_networks_are_far_closer_to_isometry_than_gaussian_ones():
    gaussian = deep(gm.Tanh(), gm.init.normal(std=128**-0.5))
    orthogonal = deep(gm.Tanh(), gm.init.orthogonal(gain=1.0))
    assert gaussian.mean_square == pytest.approx(orthogonal.mean_square, rel=0.5)
    widths = [np.log10(s.singular_values[:, 0] / s.singular_values[:, -1]).max() for s in (gaussian, orthogonal)]
    assert widths[0] > 5
    assert widths[1] < 1.5
    assert gaussian.relative_variance > 20 * orthogonal.relative_variance


def test_a_dead_network_has_zeros():
    net = gm.mlp(6, 3, depth=2, width=9, init="zeros", seed=0)
    got = gm.theory.jacobian_spectrum(net, RNG.normal(size=(2, 6)))
    assert not got.singular_values.any()
    assert got.mean_square == 0
    assert np.isnan(got.relative_variance)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda net: gm.theory.jacobian_spectrum("net", np.ones((2, 6))), TypeError, "net must be a Network"),
        (lambda net: gm.theory.jacobian_spectrum(net, np.ones((2, 5))), ValueError, "x has shape"),
        (lambda net: gm.theory.jacobian_spectrum(net, np.full((2, 6), np.nan)), ValueError, "NaN|nan|finite"),
    ],
)
def test_wrong_arguments(call, error, message):
    with pytest.raises(error, match=message):
        call(gm.Network(6, [gm.Dense(3)], seed=0))


# ---- the picture -------------------------------------------------------------------------------------------


def test_spectra_are_drawn_one_over_the_other():
    pytest.importorskip("matplotlib").use("Agg")
    from matplotlib.figure import Figure

    ax = Figure().subplots()
    narrow, wide = deep(gm.Tanh(), "orthogonal", 32), deep(gm.ReLU(), "kaiming_normal", 32, depth=60)
    assert narrow.plot(ax, "orthogonal") is ax
    wide.plot(ax, "ReLU")
    texts = [text.get_text() for text in ax.get_legend().get_texts()]
    assert texts[0] == "orthogonal"
    assert texts[1].startswith("ReLU (")
    assert texts[1].endswith("% zero to rounding)")
    assert ax.get_yscale() == "log"
    first = next(line for line in ax.lines if line.get_gid() == "spectrum")
    assert first.get_ydata() == pytest.approx(10 ** np.log10(narrow.singular_values).mean(axis=0))
    assert first.get_xdata()[[0, -1]] == pytest.approx([0.5 / 32, 1 - 0.5 / 32])
    assert gm.theory.JacobianSpectrum(np.zeros((2, 3))).plot().figure
