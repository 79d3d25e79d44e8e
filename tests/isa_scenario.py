"""Run as a program by test_isa.py: train a few networks, print what ran and a hash of every bit of it.

Arguments: number of threads, recording mode ("None", "norms" or "full"), file for the arrays.
"""

import hashlib
import json
import sys

import numpy as np

import gradiometer as gm

# Widths on both sides of every vector length, and every activation.
WIDTHS = (64, 33, 17, 70, 9, 48, 31, 80, 5, 16, 23, 65, 12, 40, 19)
ACTIVATIONS = (
    gm.ReLU(), gm.LeakyReLU(), gm.ELU(), gm.SELU(), gm.GELU(), gm.GELU(approximate="tanh"),
    gm.SiLU(), gm.Mish(), gm.Softplus(), gm.Softsign(), gm.Sigmoid(), gm.Tanh(), gm.Hardtanh(),
    gm.Hardswish(), gm.Identity(),
)  # fmt: skip
PLAIN = [part for width, phi in zip(WIDTHS, ACTIVATIONS, strict=True) for part in (gm.Dense(width), phi)]
NORMED = [
    gm.Dense(67), gm.BatchNorm(), gm.Tanh(), gm.Dropout(0.3),
    gm.Dense(29, bias=False), gm.BatchNorm(affine=False), gm.SiLU(), gm.Dropout(0.5),
]  # fmt: skip
SUMS = [
    gm.Dense(67), gm.Residual([gm.LayerNorm(), gm.SiLU(), gm.Dense(29), gm.Tanh(), gm.Dense(67)], 0.5),
    gm.LayerNorm(eps=1e-3, affine=False), gm.Residual([gm.BatchNorm(), gm.ReLU(), gm.Dropout(0.2), gm.Dense(67)]),
    gm.LayerNorm(), gm.ReLU(),
]  # fmt: skip
VANISHING = [*[gm.Dense(57, init=gm.init.normal(std=0.02)), gm.Tanh()] * 40, gm.Dense(20), gm.SiLU()]
# Subnormal numbers beside larger ones, on the way forward and back.
WIDE_INIT = gm.init.normal(std=9.0)
SATURATED = [
    gm.Dense(57, init=WIDE_INIT), gm.Sigmoid(), gm.Dense(57, init=WIDE_INIT), gm.SiLU(), gm.Dense(40), gm.Tanh(),
    gm.Dense(40, init=WIDE_INIT), gm.GELU(), gm.Dense(30), gm.Softplus(), gm.Dense(20, init=WIDE_INIT), gm.Sigmoid(),
]  # fmt: skip
RUNS = [
    (PLAIN, "mse", gm.SGD(lr=0.05, momentum=0.9), gm.ClipNorm(1.0)),
    (NORMED, "cross_entropy", gm.Adam(lr=0.01), gm.ClipNorm(0.1, per_layer=True)),
    (NORMED, "bce_with_logits", gm.RMSprop(lr=0.001, momentum=0.5), gm.ClipValue(0.01)),
    (NORMED, "cross_entropy", gm.AdamW(lr=0.01), None),
    (SUMS, "cross_entropy", gm.SGD(lr=0.05, momentum=0.9), gm.ClipAdaptive()),
    (VANISHING, "mse", gm.SGD(lr=0.05), None),
    (SATURATED, "cross_entropy", gm.SGD(lr=0.05), gm.ClipNorm(1.0)),
    (SATURATED, "cross_entropy", gm.Adam(lr=0.01), gm.ClipNorm(1.0)),
]
PER_STEP = ("loss", "total_norm", "clip_coefficient", "lr")
NORMS = (*PER_STEP, "grad_norm", "delta_norm")
FULL = (
    *NORMS, "grad_max_abs", "grad_mean_abs", "weight_norm", "update_norm",
    "activation_mean", "activation_std", "saturation", "dead_fraction",
)  # fmt: skip
FIELDS = {None: (), "norms": NORMS, "full": FULL}


def train(number, dtype, record):
    """Three steps; the weights, the output and the recorded fields by name."""
    layers, loss, optimizer, clip = RUNS[number]
    rng = np.random.default_rng(number)
    net = gm.Network(37, [*layers, gm.Dense(11)], dtype=dtype, seed=number)
    trainer = gm.Trainer(net, loss=loss, optimizer=optimizer, clip=clip, record=record, seed=7)
    for _ in range(3):
        x, labels = rng.normal(size=(157, 37)).astype(dtype), rng.integers(0, 11, 157)
        trainer.step(x, labels if loss == "cross_entropy" else np.eye(11, dtype=dtype)[labels])
    arrays = {**net.state_dict(), "output": net.predict(x)}
    arrays |= {f"recorded {name}": getattr(trainer.recording, name) for name in FIELDS[record]}
    return {f"{number} {dtype} {key}": array for key, array in arrays.items()}


def digest(arrays):
    return hashlib.sha256(b"".join(array.tobytes() for array in arrays)).hexdigest()


def main(threads, record, path):
    gm.set_num_threads(int(threads))
    arrays = {}
    for number in range(len(RUNS)):
        for dtype in ("float32", "float64"):
            arrays |= train(number, dtype, None if record == "None" else record)
    np.savez(path, **arrays)
    report = {
        "isa": gm.info()["isa"],
        "threads": gm.get_num_threads(),
        "weights": digest(array for key, array in arrays.items() if "recorded" not in key),
        "recorded": digest(array for key, array in arrays.items() if "recorded" in key),
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main(*sys.argv[1:])
