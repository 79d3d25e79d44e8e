"""Optimizers, clipping, the recorded fields and one training step, in plain NumPy beside `reference.py`."""

import math

import numpy as np

from reference import LOSSES, row_weights

# Optimizers, as in torch.optim. `update(key, w, g, lr)` returns the new value of the parameter called key.


class SGD:
    def __init__(self, lr, momentum=0, dampening=0, weight_decay=0, nesterov=False):
        self.lr = lr
        self.momentum, self.dampening = momentum, dampening
        self.weight_decay, self.nesterov = weight_decay, nesterov
        self.velocity = {}

    def update(self, key, w, g, lr):
        g = g + self.weight_decay * w
        if self.momentum:
            if key in self.velocity:
                self.velocity[key] = self.momentum * self.velocity[key] + (1 - self.dampening) * g
            else:
                self.velocity[key] = g  # the first step is not dampened
            g = g + self.momentum * self.velocity[key] if self.nesterov else self.velocity[key]
        return w - lr * g


class Adam:
    """Weight decay enters the gradient (L2)."""

    def __init__(self, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0):
        self.lr, self.betas, self.eps, self.weight_decay = lr, betas, eps, weight_decay
        self.mean, self.square, self.steps = {}, {}, {}

    def update(self, key, w, g, lr):
        return self.move(key, w, g + self.weight_decay * w, lr)

    def move(self, key, w, g, lr):
        beta1, beta2 = self.betas
        self.steps[key] = t = self.steps.get(key, 0) + 1
        self.mean[key] = beta1 * self.mean.get(key, 0) + (1 - beta1) * g
        self.square[key] = beta2 * self.square.get(key, 0) + (1 - beta2) * g * g
        corrected_mean = self.mean[key] / (1 - beta1**t)
        corrected_square = self.square[key] / (1 - beta2**t)
        return w - lr * corrected_mean / (np.sqrt(corrected_square) + self.eps)


class AdamW(Adam):
    """Weight decay is decoupled: it shrinks the weight and never meets the moments."""

    def __init__(self, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=1e-2):
        super().__init__(lr, betas, eps, weight_decay)

    def update(self, key, w, g, lr):
        return self.move(key, w * (1 - lr * self.weight_decay), g, lr)


class RMSprop:
    def __init__(self, lr=1e-2, alpha=0.99, eps=1e-8, momentum=0):
        self.lr, self.alpha, self.eps, self.momentum = lr, alpha, eps, momentum
        self.square, self.velocity = {}, {}

    def update(self, key, w, g, lr):
        self.square[key] = self.alpha * self.square.get(key, 0) + (1 - self.alpha) * g * g
        direction = g / (np.sqrt(self.square[key]) + self.eps)
        if self.momentum:
            self.velocity[key] = direction = self.momentum * self.velocity.get(key, 0) + direction
        return w - lr * direction


def norm(arrays, p=2.0):
    """(Σ|g|^p)^(1/p) over all entries in float64, scaled so that no power over- or underflows."""
    entries = np.concatenate([np.zeros(1), *(np.abs(np.asarray(a, np.float64)).ravel() for a in arrays)])
    largest = entries.max()
    if largest == 0 or not np.isfinite(largest) or p == math.inf:
        return float(largest)
    return float(largest * ((entries / largest) ** p).sum() ** (1 / p))


# Clipping. `clip(gradients, parameters)` returns the clipped gradients, the norm before and the recorded coefficient.


class NoClip:
    def clip(self, gradients, parameters=None):  # noqa: ARG002
        return gradients, norm(list(gradients.values())), 1.0


class ClipNorm:
    def __init__(self, max_norm, norm_type=2.0, per_layer=False):
        self.max_norm, self.norm_type, self.per_layer = max_norm, norm_type, per_layer

    def clip(self, gradients, parameters=None):  # noqa: ARG002
        total = norm(list(gradients.values()), self.norm_type)
        layers = {key: key.rpartition(".")[0] if self.per_layer else "all" for key in gradients}
        coefficients = {}
        for layer in set(layers.values()):
            own = [g for key, g in gradients.items() if layers[key] == layer]
            coefficients[layer] = min(1.0, self.max_norm / (norm(own, self.norm_type) + 1e-6))
        clipped = {key: g * g.dtype.type(coefficients[layers[key]]) for key, g in gradients.items()}
        return clipped, total, min(coefficients.values(), default=1.0)


class ClipValue:
    def __init__(self, clip_value):
        self.clip_value = clip_value

    def clip(self, gradients, parameters=None):  # noqa: ARG002
        clipped = {key: np.clip(g, -self.clip_value, self.clip_value) for key, g in gradients.items()}
        before = norm(list(gradients.values()))
        return clipped, before, norm(list(clipped.values())) / before if before else 1.0


class ClipAdaptive:
    """Brock et al. 2021, eq. 3: per row of a matrix (o, i), and per vector as a whole."""

    def __init__(self, clip_factor=0.01, eps=1e-3):
        self.clip_factor, self.eps = clip_factor, eps

    def clip(self, gradients, parameters):
        clipped, smallest = {}, 1.0
        for key, g in gradients.items():
            units = zip(np.atleast_2d(parameters[key]), np.atleast_2d(g), strict=True)
            limits = [(self.clip_factor * max(norm([w]), self.eps), norm([row])) for w, row in units]
            coefficients = np.array([limit / size if size > limit else 1.0 for limit, size in limits])
            smallest = min(smallest, *coefficients)
            clipped[key] = (np.atleast_2d(g) * coefficients.astype(g.dtype)[:, None]).reshape(g.shape)
        return clipped, norm(list(gradients.values())), smallest


# Recorded fields, one number per dense layer.


def gradient_fields(g):
    """The fields that describe a weight gradient g (o, i) before clipping."""
    magnitude = np.abs(g)
    return {
        "grad_norm": norm([g]),
        "grad_max_abs": float(magnitude.max()),
        "grad_mean_abs": float(magnitude.mean(dtype=np.float64)),
        "grad_zero_fraction": float((g == 0).mean()),
        "grad_subnormal_fraction": float(((g != 0) & (magnitude < np.finfo(g.dtype).smallest_normal)).mean()),
        "grad_nonfinite": int((~np.isfinite(g)).sum()),
    }


def activation_fields(dense, activation, threshold=0.05, zero=0.0):
    """The fields that describe the output (n, o) of a dense layer's activation (or the identity)."""
    if activation is None:
        out, saturated, slope = dense.out, np.zeros(1), np.ones((1, 1))
    else:
        out, saturated = activation.out, activation.saturated(threshold)
        slope = activation.slope(activation.z)
    return {
        "activation_mean": float(out.mean(dtype=np.float64)),
        "activation_std": float(out.std(dtype=np.float64)),
        "saturation": float(saturated.mean()),
        "dead_fraction": float((np.abs(slope) <= zero).all(axis=0).mean()),  # units: zero in every row
    }


class Trainer:
    def __init__(self, net, loss, optimizer, clip=None, seed=0):
        self.net, self.loss, self.optimizer = net, LOSSES[loss], optimizer
        self.clip = clip or NoClip()
        self.seed = seed
        self.steps_done = 0
        self.disturb = None  # for a twin, see comparison.py

    def gradients(self, x, y, sample_weight=None):
        """Forward, loss, backward: the loss; the gradients are in the layers."""
        out = self.net.forward(x, training=True, seed=self.seed, step=self.steps_done)
        y = np.asarray(y) if self.loss is LOSSES["cross_entropy"] else np.asarray(y, self.net.dtype)
        shares = row_weights(len(x), sample_weight, self.net.dtype)
        loss, dout = self.loss(out, y, shares)
        self.dx = self.net.backward(self.disturb(dout, shares) if self.disturb else dout)
        return float(loss)

    def apply(self, gradients):
        """Clip and update; returns the clipping's total norm, its coefficient and the learning rate."""
        lr = self.optimizer.lr(self.steps_done) if callable(self.optimizer.lr) else self.optimizer.lr
        clipped, total_norm, coefficient = self.clip.clip(gradients, self.net.named("parameters"))
        for key, w in self.net.named("parameters").items():
            self.net.set_parameter(key, self.optimizer.update(key, w, clipped[key], lr))
        self.steps_done += 1
        return {"total_norm": total_norm, "clip_coefficient": coefficient, "lr": lr}

    def layer_fields(self):
        """What the engine records of each dense layer after the backward pass: (layers,) arrays by name."""
        rows = []
        for _, dense, activation in self.net.dense_layers():
            row = gradient_fields(dense.gradients["weight"]) | activation_fields(dense, activation)
            row |= {"delta_norm": norm([dense.dout]), "weight_norm": norm([dense.parameters["weight"]])}
            rows.append(row)
        return {name: np.array([row[name] for row in rows], np.float64) for name in rows[0]}

    def step(self, x, y, sample_weight=None):
        """One training step; `fields` then holds what the engine records: (layers,) arrays and numbers."""
        loss = self.gradients(x, y, sample_weight)
        before = [dense.parameters["weight"] for _, dense, _ in self.net.dense_layers()]
        self.fields = {"loss": loss} | self.layer_fields()
        self.fields |= self.apply(self.net.named("gradients"))
        after = [dense.parameters["weight"] for _, dense, _ in self.net.dense_layers()]
        changes = [norm([new - old]) for new, old in zip(after, before, strict=True)]
        self.fields["update_norm"] = np.array(changes)
        return loss
