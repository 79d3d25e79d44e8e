"""A plain NumPy network: the yardstick of the engine, written to be read.

Rows are examples. In the comments n is the batch, i and o are the features that go into and come out of
a layer. A layer has `forward(x)` and `backward(dout) -> dx`; `backward` leaves the gradients of its
parameters in `gradients`. Gradients are called d + the name of what they belong to: dx means dL/dx.
"""

import numpy as np

from reference_activations import Activation, sigmoid, softplus
from reference_philox import keep_mask


class Dense:
    """out = x Wᵀ + b, with W as in torch.nn.Linear: (o, i)."""

    def __init__(self, out_features, *, bias=True):
        self.out_features = out_features
        self.has_bias = bias

    def build(self, in_features, dtype):
        self.parameters = {"weight": np.zeros((self.out_features, in_features), dtype)}
        if self.has_bias:
            self.parameters["bias"] = np.zeros(self.out_features, dtype)
        self.buffers = {}
        return self.out_features

    def forward(self, x):
        self.x = x  # (n, i)
        self.out = x @ self.parameters["weight"].T  # (n, i) @ (i, o) = (n, o)
        if self.has_bias:
            self.out = self.out + self.parameters["bias"]
        return self.out

    def backward(self, dout):
        self.dout = dout  # (n, o): the delta of this layer
        self.gradients = {"weight": dout.T @ self.x}  # (o, n) @ (n, i) = (o, i)
        if self.has_bias:
            self.gradients["bias"] = dout.sum(axis=0)  # (o,)
        return dout @ self.parameters["weight"]  # (n, o) @ (o, i) = (n, i)


class BatchNorm:
    """x̂ = (x − mean) / √(var + eps) per feature, out = γ x̂ + β; γ is called weight and β bias.

    Mean and variance are those of the batch in training, and running averages of them otherwise.
    """

    def __init__(self, *, eps=1e-5, momentum=0.1, affine=True):
        self.eps = eps
        self.momentum = momentum
        self.affine = affine

    def build(self, in_features, dtype):
        self.parameters = {}
        if self.affine:
            self.parameters = {"weight": np.ones(in_features, dtype), "bias": np.zeros(in_features, dtype)}
        self.buffers = {
            "running_mean": np.zeros(in_features, dtype),
            "running_var": np.ones(in_features, dtype),
            "num_batches_tracked": np.zeros((), np.int64),
        }
        return in_features

    def forward(self, x, training):
        self.x = x
        if training:
            n = len(x)
            mean = x.mean(axis=0)  # (i,)
            var = ((x - mean) ** 2).mean(axis=0)  # (i,), biased: divided by n
            unbiased = var * x.dtype.type(n / (n - 1))
            self.move("running_mean", mean)
            self.move("running_var", unbiased)
            self.buffers["num_batches_tracked"] = self.buffers["num_batches_tracked"] + 1
        else:
            mean, var = self.buffers["running_mean"], self.buffers["running_var"]
        self.inverse_std = 1 / np.sqrt(var + x.dtype.type(self.eps))  # (i,)
        self.x_hat = (x - mean) * self.inverse_std  # (n, i)
        if not self.affine:
            return self.x_hat
        return self.parameters["weight"] * self.x_hat + self.parameters["bias"]

    def move(self, name, batch_value):
        old = self.buffers[name]
        self.buffers[name] = ((1 - self.momentum) * old + self.momentum * batch_value).astype(old.dtype)

    def backward(self, dout):
        self.dout = dx_hat = dout  # (n, i)
        self.gradients = {}
        if self.affine:
            self.gradients = {"weight": (dout * self.x_hat).sum(axis=0), "bias": dout.sum(axis=0)}
            dx_hat = dout * self.parameters["weight"]
        # The mean and the variance depend on every row, so two averages over the batch are taken away.
        through_mean = dx_hat.mean(axis=0)  # (i,)
        through_var = self.x_hat * (dx_hat * self.x_hat).mean(axis=0)  # (n, i)
        return self.inverse_std * (dx_hat - through_mean - through_var)


class LayerNorm:
    """x̂ = (x − mean) / √(var + eps) per row, out = γ x̂ + β, with the mean and variance of the row over its features."""

    def __init__(self, *, eps=1e-5, affine=True):
        self.eps = eps
        self.affine = affine

    def build(self, in_features, dtype):
        self.parameters = {}
        if self.affine:
            self.parameters = {"weight": np.ones(in_features, dtype), "bias": np.zeros(in_features, dtype)}
        self.buffers = {}
        return in_features

    def forward(self, x):
        self.x = x
        centred = x - x.mean(axis=1, keepdims=True)  # (n, i)
        var = (centred**2).mean(axis=1, keepdims=True)  # (n, 1), biased: divided by i
        self.inverse_std = 1 / np.sqrt(var + x.dtype.type(self.eps))  # (n, 1)
        self.x_hat = centred * self.inverse_std  # (n, i)
        if not self.affine:
            return self.x_hat
        return self.parameters["weight"] * self.x_hat + self.parameters["bias"]

    def backward(self, dout):
        self.dout = dx_hat = dout  # (n, i)
        self.gradients = {}
        if self.affine:
            self.gradients = {"weight": (dout * self.x_hat).sum(axis=0), "bias": dout.sum(axis=0)}
            dx_hat = dout * self.parameters["weight"]
        # The mean and the variance depend on every feature, so two averages over the row are taken away.
        through_mean = dx_hat.mean(axis=1, keepdims=True)  # (n, 1)
        through_var = self.x_hat * (dx_hat * self.x_hat).mean(axis=1, keepdims=True)  # (n, i)
        return self.inverse_std * (dx_hat - through_mean - through_var)


class Dropout:
    """In training each entry becomes zero with probability p and the others are divided by 1 − p."""

    def __init__(self, p=0.5):
        self.p = p

    def forward(self, x, training, seed, step):
        self.factor = None
        if not training or self.p == 0:
            return x
        kept = keep_mask(x.shape, self.p, seed, step, self.number)  # (n, i), true or false
        scale = 0.0 if self.p == 1 else 1 / (1 - self.p)
        self.factor = kept * x.dtype.type(scale)
        return x * self.factor

    def backward(self, dout):
        return dout if self.factor is None else dout * self.factor


class Residual:
    """out = x + scale · f(x), where f is a list of layers that keeps the number of features."""

    def __init__(self, layers, scale=1.0):
        self.layers = list(layers)
        self.scale = scale

    def build(self, in_features, dtype):
        features = in_features
        for layer in self.layers:
            if hasattr(layer, "build"):
                features = layer.build(features, dtype)
        assert features == in_features
        return features

    def forward(self, x, training, seed, step):
        return x + x.dtype.type(self.scale) * forward_through(self.layers, x, training, seed, step)

    def backward(self, dout):
        return dout + backward_through(self.layers, dout.dtype.type(self.scale) * dout)


def forward_through(layers, out, training, seed, step):
    for layer in layers:
        if isinstance(layer, Dropout | Residual):
            out = layer.forward(out, training, seed, step)
        elif isinstance(layer, BatchNorm):
            out = layer.forward(out, training)
        else:
            out = layer.forward(out)
    return out


def backward_through(layers, dout):
    for layer in reversed(layers):
        dout = layer.backward(dout)
    return dout


class Network:
    """A list of layers; its state has the keys of torch.nn.Sequential: "0.weight", "1.running_mean", "2.0.weight" …"""

    def __init__(self, in_features, layers, dtype=np.float64):
        self.layers = list(layers)
        self.dtype = np.dtype(dtype)
        features = in_features
        for layer in self.layers:
            if hasattr(layer, "build"):
                features = layer.build(features, self.dtype)
        self.out_features = features
        for number, layer in enumerate(self.leaves().values()):
            layer.number = number  # the dropout masks depend on it

    def walk(self, layers=None, prefix=""):
        """Name and layer of all layers; a residual connection comes after what is inside of it."""
        for index, layer in enumerate(self.layers if layers is None else layers):
            if isinstance(layer, Residual):
                yield from self.walk(layer.layers, f"{prefix}{index}.")
            yield f"{prefix}{index}", layer

    def leaves(self):
        """The layers that hold no others, by name and in order."""
        return {name: layer for name, layer in self.walk() if not isinstance(layer, Residual)}

    def forward(self, x, training=False, seed=0, step=0):
        self.out = forward_through(self.layers, np.asarray(x, self.dtype), training, seed, step)
        return self.out

    def backward(self, dout):
        return backward_through(self.layers, dout)

    def named(self, kind):
        """The arrays of all layers under their full names; kind is "parameters", "gradients" or "buffers"."""
        return {
            f"{place}.{name}": array
            for place, layer in self.leaves().items()
            if hasattr(layer, "parameters")
            for name, array in getattr(layer, kind).items()
        }

    def set_parameter(self, key, value):
        place, _, name = key.rpartition(".")
        self.leaves()[place].parameters[name] = np.array(value, self.dtype)

    def state_dict(self):
        everything = self.named("parameters") | self.named("buffers")
        order = list(self.leaves())
        in_order = sorted(everything, key=lambda key: order.index(key.rpartition(".")[0]))  # stable: by layer
        return {key: everything[key].copy() for key in in_order}

    def load_state_dict(self, state):
        leaves = self.leaves()
        for key, value in state.items():
            place, _, name = key.rpartition(".")
            layer = leaves[place]
            home = layer.parameters if name in layer.parameters else layer.buffers
            home[name] = np.array(value, home[name].dtype).reshape(home[name].shape)

    def dense_layers(self):
        """Every dense layer as [name, layer, activation].

        The activation is the first one that stands before the next dense layer and before the end of a residual
        connection (what comes after that acts on a sum); None if there is none.
        """
        found, waiting = [], False
        for name, layer in self.walk():
            if isinstance(layer, Dense):
                found.append([name, layer, None])
                waiting = True
            elif isinstance(layer, Activation) and waiting:
                found[-1][2] = layer
                waiting = False
            elif isinstance(layer, Residual):
                waiting = False
        return found


# Losses. Each returns the loss and dL/d(output of the network). `row_weights` (n,) are the shares of the
# rows in the mean: 1/n each, or sample weight ÷ sum of the sample weights.


def cross_entropy(logits, labels, row_weights):
    """−log softmax(logits)[label], averaged over rows. logits is (n, classes), labels is (n,) of integers."""
    rows = np.arange(len(labels))
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_probability = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))  # (n, classes)
    loss = -(row_weights * log_probability[rows, labels]).sum()
    dlogits = np.exp(log_probability)
    dlogits[rows, labels] -= 1
    return loss, dlogits * row_weights[:, None]


def bce_with_logits(logits, targets, row_weights):
    """−t log σ(z) − (1 − t) log(1 − σ(z)) = softplus(z) − t z, averaged over all elements; both (n, o)."""
    elements = softplus(logits) - targets * logits
    loss = (row_weights * elements.mean(axis=1)).sum()
    return loss, (sigmoid(logits) - targets) * row_weights[:, None] / logits.dtype.type(logits.shape[1])


def mse(out, targets, row_weights):
    """(out − target)², averaged over all elements; both (n, o)."""
    difference = out - targets
    loss = (row_weights * (difference**2).mean(axis=1)).sum()
    return loss, 2 * difference * row_weights[:, None] / out.dtype.type(out.shape[1])


LOSSES = {"cross_entropy": cross_entropy, "bce_with_logits": bce_with_logits, "mse": mse}


def row_weights(n, sample_weight, dtype):
    if sample_weight is None:
        return np.full(n, 1 / n, dtype)
    weights = np.asarray(sample_weight, dtype)
    return weights / weights.sum()
