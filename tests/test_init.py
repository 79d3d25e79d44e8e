"""How weights start: the generator, the distributions, the gains, and that a seed means the same everywhere."""

import math

import numpy as np
import pytest

import gradiometer as gm
from gradiometer import _core

NAMES = [
    "uniform", "normal", "zeros", "xavier_uniform", "xavier_normal", "kaiming_uniform", "kaiming_normal",
    "lecun_normal", "orthogonal", "torch_default",
]  # fmt: skip


def weight(init, shape=(300, 200), activation=None, seed=0, dtype="float64"):
    layers = [gm.Dense(shape[0], init=init)] + ([activation] if activation else [])
    return gm.Network(shape[1], layers, seed=seed, dtype=dtype).state_dict()["0.weight"]


def test_philox_gives_the_published_answers():
    """The known-answer vectors of Salmon et al. 2011, as Random123 publishes them."""
    ones = 0xFFFFFFFF
    pi = [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344]
    for counter, key, answer in [
        ([0] * 4, [0] * 2, [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
        ([ones] * 4, [ones] * 2, [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]),
        (pi, [0xA4093822, 0x299F31D0], [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1]),
    ]:
        assert list(_core.philox(counter, key)) == answer


def test_uniform_draws_fill_the_unit_interval_evenly():
    draws = np.sort(_core.draw_uniform(7, 0, _core.Purpose.weight, 100_000))
    assert draws[0] >= 0
    assert draws[-1] < 1
    # Kolmogorov and Smirnov: 1.95 / √n would be exceeded by one true sample in a thousand; the seed is fixed.
    assert np.abs(draws - (np.arange(100_000) + 0.5) / 100_000).max() < 1.95 / math.sqrt(100_000)


def test_normal_draws_are_normal():
    draws = _core.draw_normal(7, 0, _core.Purpose.weight, 100_000)
    ordered = np.sort(draws)
    cumulative = np.array([0.5 * math.erfc(-z / math.sqrt(2)) for z in ordered])
    assert np.abs(cumulative - (np.arange(100_000) + 0.5) / 100_000).max() < 1.95 / math.sqrt(100_000)
    # Neighbours come from the same pair of uniform numbers: they must not be correlated.
    assert abs(np.corrcoef(draws[:-1], draws[1:])[0, 1]) < 4 / math.sqrt(100_000)
    assert np.array_equal(draws[:999], _core.draw_normal(7, 0, _core.Purpose.weight, 999))


def test_permutations_are_fair():
    draws = np.array([_core.draw_permutation(seed, 0, 5) for seed in range(6000)])
    assert np.array_equal(np.sort(draws, axis=1), np.tile(np.arange(5), (6000, 1)))
    for place in range(5):
        counts = np.bincount(draws[:, place], minlength=5)
        assert np.abs(counts - 1200).max() < 4 * math.sqrt(1200 * 0.8)  # four standard deviations; the seeds are fixed


@pytest.mark.parametrize(
    ("init", "std"),
    [
        (gm.init.normal(mean=2.0, std=0.5), lambda fan_in, fan_out: 0.5),
        ("normal", lambda fan_in, fan_out: 1.0),
        ("xavier_normal", lambda fan_in, fan_out: math.sqrt(2 / (fan_in + fan_out))),
        (gm.init.xavier_normal(gain=3.0), lambda fan_in, fan_out: 3 * math.sqrt(2 / (fan_in + fan_out))),
        (gm.init.xavier_normal("tanh"), lambda fan_in, fan_out: 5 / 3 * math.sqrt(2 / (fan_in + fan_out))),
        ("kaiming_normal", lambda fan_in, fan_out: math.sqrt(2 / fan_in)),
        (gm.init.kaiming_normal(mode="fan_out"), lambda fan_in, fan_out: math.sqrt(2 / fan_out)),
        (gm.init.kaiming_normal(gain=1.5), lambda fan_in, fan_out: 1.5 / math.sqrt(fan_in)),
        (None, lambda fan_in, fan_out: math.sqrt(2 / fan_in)),
        ("lecun_normal", lambda fan_in, fan_out: 1 / math.sqrt(fan_in)),
    ],
)  # fmt: skip
@pytest.mark.parametrize("shape", [(300, 200), (64, 900), (1000, 17)])
def test_normal_initialisations_have_their_deviation(init, std, shape):
    w = weight(init, shape, gm.ReLU())
    expected = std(shape[1], shape[0])
    mean = 2.0 if isinstance(init, gm.init.normal) else 0.0
    count = w.size
    assert abs(w.mean() - mean) < 4 * expected / math.sqrt(count)
    assert abs(w.std() / expected - 1) < 4 / math.sqrt(2 * count)


@pytest.mark.parametrize(
    ("init", "low", "high"),
    [
        ("uniform", lambda *_: 0.0, lambda *_: 1.0),
        (gm.init.uniform(-2.0, 0.5), lambda *_: -2.0, lambda *_: 0.5),
        ("xavier_uniform", lambda i, o: -math.sqrt(6 / (i + o)), lambda i, o: math.sqrt(6 / (i + o))),
        ("kaiming_uniform", lambda i, o: -math.sqrt(6 / i), lambda i, o: math.sqrt(6 / i)),
        ("torch_default", lambda i, o: -1 / math.sqrt(i), lambda i, o: 1 / math.sqrt(i)),
    ],
)  # fmt: skip
@pytest.mark.parametrize("shape", [(300, 200), (40, 900)])
def test_uniform_initialisations_fill_their_interval(init, low, high, shape):
    w = weight(init, shape, gm.ReLU())
    bottom, top = low(shape[1], shape[0]), high(shape[1], shape[0])
    span = top - bottom
    assert bottom <= w.min() < bottom + 1e-3 * span
    assert top - 1e-3 * span < w.max() <= top
    assert abs(w.mean() - (bottom + top) / 2) < 4 * span / math.sqrt(12 * w.size)


@pytest.mark.parametrize("shape", [(50, 50), (90, 30), (30, 90), (1, 7), (7, 1), (257, 256)])
def test_orthogonal_weights_have_orthonormal_rows_or_columns(shape):
    w = weight(gm.init.orthogonal(gain=2.0), shape) / 2
    gram = w @ w.T if shape[0] <= shape[1] else w.T @ w
    np.testing.assert_allclose(gram, np.eye(len(gram)), atol=1e-13)


def test_orthogonal_matrices_are_not_preferred_in_any_direction():
    """Signs of the diagonal of a Haar matrix are fair; a QR decomposition left as it is gives all of one sign."""
    signs = [np.sign(_core.draw_orthogonal(seed, 0, 3, 3)[0, 0]) for seed in range(2000)]
    assert abs(np.mean(signs)) < 4 / math.sqrt(2000)


def test_given_and_constant_weights():
    values = np.arange(6.0).reshape(3, 2)
    layer = gm.Dense(3, init=values)
    values[:] = -1  # the layer has a copy
    assert np.array_equal(
        gm.Network(2, [layer], dtype="float64").state_dict()["0.weight"], np.arange(6.0).reshape(3, 2)
    )
    assert (weight(gm.init.constant(0.25)) == 0.25).all()
    assert (weight("zeros") == 0).all()


def test_biases_are_zero_but_for_torch_default():
    for name in NAMES:
        bias = gm.Network(100, [gm.Dense(400, init=name)], seed=1).state_dict()["0.bias"]
        if name == "torch_default":
            assert 0.09 < np.abs(bias).max() <= 0.1
            assert abs(bias.mean()) < 4 * 0.1 / math.sqrt(3 * 400)
        else:
            assert (bias == 0).all()


@pytest.mark.parametrize("name", NAMES)
def test_a_seed_means_the_same_in_both_dtypes_and_each_layer_draws_its_own(name):
    wide = weight(name, seed=11)
    assert np.array_equal(weight(name, seed=11, dtype="float32"), wide.astype(np.float32))
    layers = [gm.Dense(20, init=name), gm.Dense(20, init=name)]
    state = gm.Network(20, layers, seed=11).state_dict()
    if name != "zeros":
        assert not np.array_equal(wide, weight(name, seed=12))
        assert not np.array_equal(state["0.weight"], state["1.weight"])


def test_a_seed_goes_on_meaning_what_it_means():
    """Exact numbers: saved seeds of users must not change their weights."""
    golden = {
        "torch_default": [
            "0x1.d567d908dbaeap-2",
            "0x1.2fdb7dbb40d04p-3",
            "-0x1.393dea0f386d6p-2",
            "-0x1.d532d7d5dc1c0p-3",
        ],
        "lecun_normal": [
            "-0x1.63d62cf41fd79p-4",
            "-0x1.df5a06d2bfc40p-4",
            "-0x1.e58fba38d498ep-4",
            "0x1.cb8ec7b643cc1p-1",
        ],
        "orthogonal": [
            "-0x1.8408a76d28130p-4",
            "-0x1.055cc8617c256p-3",
            "-0x1.08bf8db956ee5p-3",
            "0x1.f523d1ad40ff0p-1",
        ],
    }
    for name, values in golden.items():
        found = [float(value).hex() for value in weight(name, (3, 4), seed=5).ravel()[:4]]
        assert found == values, name


@pytest.mark.parametrize(
    ("activation", "nonlinearity", "argument"),
    [
        ("identity", "linear", None), ("linear", "linear", None), ("sigmoid", "sigmoid", None), ("tanh", "tanh", None),
        ("relu", "relu", None), ("leaky_relu", "leaky_relu", 0.01), (gm.LeakyReLU(0.3), "leaky_relu", 0.3),
        ("selu", "selu", None),
    ],
)  # fmt: skip
def test_gains_are_pytorchs(activation, nonlinearity, argument):
    init = pytest.importorskip("torch").nn.init
    assert gm.init.gain(activation) == pytest.approx(init.calculate_gain(nonlinearity, argument), rel=1e-15)


@pytest.mark.parametrize("name", ["elu", "gelu", "silu", "mish", "softplus", "softsign", "hardtanh", "hardswish"])
def test_the_other_gains_keep_the_second_moment(name):
    """E[φ(z)²] · gain² = 1 for a standard normal z, here by a sum over the engine's own φ."""
    z = np.linspace(-12, 12, 200_001).reshape(-1, 1)
    layer = gm.activations.activation_from_name(name)
    phi = gm.Network(1, [layer], dtype="float64").forward(z)
    density = np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    assert gm.init.gain(name) ** 2 * np.sum(phi**2 * density) * (z[1, 0] - z[0, 0]) == pytest.approx(1, rel=1e-7)
    assert weight(None, (400, 300), layer).std() * math.sqrt(300) == pytest.approx(gm.init.gain(name), rel=0.01)
