"""How close is close: the engine held against the reference with a tolerance that knows the conditioning.

Two correct programs differ by rounding, and a network may amplify rounding without limit (a batch norm
over two rows, or over a feature that hardly varies). So the reference runs three times: once exactly as
described (the truth), and twice as a *twin*: in the dtype of the engine, from weights and inputs that are
moved by one unit in the last place (and so is p in the loss's p − target, which cancels). The largest
difference between a twin and the truth is what rounding alone can do to that tensor in this very network;
depth, widths and norms are all in it. The engine adds its sums in another order than NumPy, so it may be
off by a multiple of that, plus a base for tensors in which the twins were lucky. In float32 the noise is
some 1e-7 to 1e-6 of a tensor; mistakes are far larger.
"""

import numpy as np

from reference import LOSSES

NOISE_FACTOR = 100
# float64: the contract. float32: 1e-5 is 84 rounding units; the longest sums of the tests have 80 terms.
BASE = {np.dtype(np.float64): 1e-10, np.dtype(np.float32): 1e-5}


def noise_of(truth, twins):
    """The largest difference between a twin and the truth."""
    return max(np.abs(np.asarray(twin, np.float64) - truth).max(initial=0.0) for twin in twins)


def check(label, actual, truth, noise, dtype, scale=None, floor=0.0):
    """Is `actual` as close to `truth` as base × scale + 100 × noise + floor?

    The scale is the largest magnitude of the truth unless it is given.
    """
    actual, truth = np.asarray(actual), np.asarray(truth)
    assert actual.shape == truth.shape, f"{label}: shape {actual.shape}, not {truth.shape}"
    scale = np.abs(truth).max(initial=0.0) if scale is None else scale
    allowed = BASE[np.dtype(dtype)] * scale + NOISE_FACTOR * noise + floor
    error = np.abs(actual.astype(np.float64) - truth).max(initial=0.0)
    assert error <= allowed, (
        f"{label}: off by {error:.3g}, allowed {allowed:.3g} (largest entry {scale:.3g}, noise {noise:.3g})\n"
        f"engine {actual.ravel()[:8]}\ntruth  {truth.ravel()[:8]}"
    )


def check_all(label, actual, truth, twins, dtype, floors=None):
    """The same for dicts of arrays with equal keys."""
    assert list(actual) == list(truth), f"{label}: keys {list(actual)}, not {list(truth)}"
    for key in truth:
        noise = noise_of(truth[key], [twin[key] for twin in twins])
        check(f"{label} {key}", actual[key], truth[key], noise, dtype, floor=floors[key] if floors else 0.0)


def cancellation(truth, twins):
    """What rounding may do to each gradient, "0.weight", and delta, "0.delta", where terms cancel.

    The sum of the deltas before a batch norm is zero by construction: what is left is rounding, and the
    twins may by luck have none. Each of the n terms may be off by the noise of its delta, times the other
    factor. That noise is at least a few roundings of the terms of which the delta is itself a difference. The same is
    true of what a layer norm sends back, over a row.
    """
    floors = {}
    cancellation_of(truth.layers, [twin.layers for twin in twins], "", 0.0, np.finfo(twins[0].dtype).eps, floors)
    return floors


def cancellation_of(layers, twins, prefix, terms, eps, floors):
    """Fill the floors of these layers; terms at their output to terms at their input."""
    for index, layer in reversed(list(enumerate(layers))):
        if hasattr(layer, "layers"):  # one gradient goes around them, one through
            inner = [twin[index].layers for twin in twins]
            size = abs(layer.scale) * terms
            terms += cancellation_of(layer.layers, inner, f"{prefix}{index}.", size, eps, floors)
            continue
        if not hasattr(layer, "gradients"):
            continue
        delta, others = layer.dout, [twin[index].dout for twin in twins]
        noise = max(np.abs(other - delta).max() for other in others)
        noise += 4 * eps * max(terms, np.abs(delta).max())
        normalizes = hasattr(layer, "x_hat")
        factor = np.abs(layer.x_hat if normalizes else layer.x).max()
        floors[f"{prefix}{index}.delta"] = noise
        for name in layer.gradients:
            floors[f"{prefix}{index}.{name}"] = len(delta) * noise * (1.0 if name == "bias" else factor)
        if normalizes:  # what it takes away from entries that are all alike leaves rounding alone
            rounding = 4 * eps * np.abs(layer.x).max() * np.abs(layer.inverse_std).max()
            floors[f"{prefix}{index}.weight"] = len(delta) * (noise * factor + np.abs(delta).max() * rounding)
            gamma = layer.parameters.get("weight", np.ones(1))
            terms = max(terms, np.abs(delta).max()) * np.abs(layer.inverse_std * gamma).max()
        elif terms > 0:
            weight = layer.parameters["weight"]
            terms *= np.sqrt(np.linalg.norm(weight, 1) * np.linalg.norm(weight, np.inf))  # ≥ 2-norm
    return terms


def nudged(array, dtype, rng):
    """The array with every entry moved by up to one unit in the last place of dtype."""
    array = np.asarray(array, np.float64)
    return array * (1 + np.finfo(dtype).eps * rng.uniform(-1, 1, array.shape))


def nudged_state(state, dtype, rng):
    return {k: v if k.endswith("num_batches_tracked") else nudged(v, dtype, rng) for k, v in state.items()}


def disturb_probabilities(twin, rng):
    """Move p in the gradients p − target of the twin's loss, each times the share of its row in the mean."""
    eps = np.finfo(twin.net.dtype).eps

    def disturb(dout, shares):
        return (dout + eps * rng.uniform(-1, 1, dout.shape) * shares[:, None]).astype(dout.dtype)

    if twin.loss is not LOSSES["mse"]:
        twin.disturb = disturb


def on_a_kink(truth, twins):
    """True if some entry is so close to a kink of its activation that rounding decides about its slope.

    An entry that lies on the kink in all three runs (the second of two ReLUs sees exact zeros) is no risk.
    """
    for name, layer in truth.leaves().items():
        for kink in getattr(layer, "kinks", ()):
            others = [twin.leaves()[name].z.astype(np.float64) for twin in twins]
            spread = max(np.abs(z - layer.z).max() for z in others)
            reach = 10 * spread + 4 * np.finfo(twins[0].dtype).eps * np.abs(layer.z).max()
            exact = np.logical_and.reduce([z == kink for z in (layer.z, *others)])
            if ((np.abs(layer.z - kink) <= reach) & ~exact).any():
                return True
    return False
