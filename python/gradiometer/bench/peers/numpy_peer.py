"""NumPy, with its arrays allocated once and written in place, and all parameters views of one array."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradiometer.bench.peers import Stepwise
from gradiometer.bench.workloads import MAX_NORM, State, Workload

Array = NDArray[Any]


class NumPy(Stepwise):
    """A loop over the layers; over the networks too, in a sweep."""

    def __init__(self, workload: Workload, states: list[State], x: Array, y: Array) -> None:
        self._nets = [_Net(workload, state, x, y) for state in states]

    def step(self) -> None:
        """Take one step."""
        for net in self._nets:
            net.step()

    def losses(self) -> NDArray[np.float64]:
        """Return the losses of the last step."""
        return np.array([net.loss for net in self._nets])

    def norms(self) -> NDArray[np.float64]:
        """Return the norms of the last step."""
        return np.array([net.weight_norms for net in self._nets])

    def first_weight(self) -> Array:
        """Return a weight."""
        return self._nets[0].weights[0].T.copy()


class _Net:
    def __init__(self, workload: Workload, state: State, x: Array, y: Array) -> None:
        self.workload, self.x, self.y = workload, x, y
        self.rows = np.arange(len(y))
        weights = [weight.T for weight in state.weights]  # (fan_in, fan_out): x @ w
        gammas, betas = [gamma for gamma, _ in state.norms], [beta for _, beta in state.norms]
        groups = [weights, state.biases, gammas, betas]
        start = list(itertools.chain(*groups))
        self.parameters = np.concatenate([np.ravel(array) for array in start])
        self.gradient = np.zeros_like(self.parameters)
        self.weights, self.biases, self.gammas, self.betas = _views(self.parameters, groups)
        self.d_weights, self.d_biases, self.d_gammas, self.d_betas = _views(self.gradient, groups)

        self.outputs = [np.empty((len(x), len(bias)), np.float32) for bias in self.biases]
        self.deltas = [np.empty_like(output) for output in self.outputs]
        self.axis = 1 if workload.layer_norm else 0  # of the averages of a norm
        if gammas:
            self.normalized = [np.empty_like(output) for output in self.outputs[:-1]]
            self.inverse: list[Array] = list(gammas)
        # What goes into the next layer: a sum where there are residual connections.
        self.streams = [np.empty_like(out) if self.adds(i) else out for i, out in enumerate(self.outputs)]
        if workload.optimizer == "adam":
            self.mean, self.square, self.scratch = (np.zeros_like(self.parameters) for _ in range(3))
        self.updates = 0
        self.loss = float("nan")
        self.weight_norms: list[float] = []

    def adds(self, i: int) -> bool:
        """Tell whether layer i is added to what goes into it."""
        return self.workload.residual and 0 < i < self.workload.depth

    def step(self) -> None:
        self.backward(self.forward())
        self.weight_norms = [float(np.dot(g, g)) ** 0.5 for g in (weight.ravel() for weight in self.d_weights)]
        norm = float(np.dot(self.gradient, self.gradient)) ** 0.5
        self.gradient *= np.float32(min(1.0, MAX_NORM / (norm + 1e-6)))
        (self.sgd if self.workload.optimizer == "sgd" else self.adam)()

    def forward(self) -> Array:
        """Return the gradient of the logits: softmax minus one-hot, divided by the batch."""
        h = self.x
        for i, (weight, bias, out) in enumerate(zip(self.weights, self.biases, self.outputs, strict=True)):
            np.matmul(h, weight, out=out)
            out += bias
            if i < self.workload.depth:
                if self.gammas:
                    self.normalize(i, out)
                self.activate(out)
            h = np.add(h, out, out=self.streams[i]) if self.adds(i) else out
        h -= h.max(axis=1, keepdims=True)
        chosen = h[self.rows, self.y]
        np.exp(h, out=h)
        total = h.sum(axis=1, keepdims=True)
        self.loss = float(np.mean(np.log(total[:, 0]) - chosen))
        h /= total
        h[self.rows, self.y] -= 1
        h /= len(self.y)
        return h

    def normalize(self, i: int, z: Array) -> None:
        normalized = self.normalized[i]
        np.subtract(z, z.mean(axis=self.axis, keepdims=True), out=normalized)
        squares = np.einsum("ij,ij->i" if self.axis else "ij,ij->j", normalized, normalized)
        variance = np.expand_dims(squares / np.float32(z.shape[self.axis]), self.axis)
        self.inverse[i] = 1 / np.sqrt(variance + np.float32(1e-5))
        normalized *= self.inverse[i]
        np.multiply(normalized, self.gammas[i], out=z)
        z += self.betas[i]

    def activate(self, z: Array) -> None:
        if self.workload.activation == "relu":
            np.maximum(z, 0, out=z)
        elif self.workload.activation == "tanh":
            np.tanh(z, out=z)
        else:
            np.negative(z, out=z)
            np.exp(z, out=z)
            z += 1
            np.reciprocal(z, out=z)

    def times_slope(self, delta: Array, h: Array) -> None:
        """Multiply delta by φ′; the layer's output is not needed any more and is written over."""
        if self.workload.activation == "relu":
            delta *= h > 0
        elif self.workload.activation == "tanh":
            h *= h
            np.subtract(1, h, out=h)
            delta *= h
        else:
            delta *= h
            np.subtract(1, h, out=h)
            delta *= h

    def backward(self, delta: Array) -> None:
        for i in range(self.workload.depth, -1, -1):
            skipped = delta.copy() if self.adds(i) else None
            if i < self.workload.depth:
                self.times_slope(delta, self.outputs[i])
                if self.gammas:
                    self.normalize_backward(i, delta)
            np.matmul((self.streams[i - 1] if i else self.x).T, delta, out=self.d_weights[i])
            np.sum(delta, axis=0, out=self.d_biases[i])
            if i:
                np.matmul(delta, self.weights[i].T, out=self.deltas[i - 1])
                delta = self.deltas[i - 1]
            if skipped is not None:
                delta += skipped

    def normalize_backward(self, i: int, delta: Array) -> None:
        normalized = self.normalized[i]
        np.sum(delta, axis=0, out=self.d_betas[i])
        np.einsum("ij,ij->j", delta, normalized, out=self.d_gammas[i])
        if self.axis:
            delta *= self.gammas[i]
            normalized *= np.einsum("ij,ij->i", delta, normalized)[:, None] / np.float32(delta.shape[1])
            normalized += delta.mean(axis=1, keepdims=True)
            delta -= normalized
            delta *= self.inverse[i]
            return
        normalized *= self.d_gammas[i] / np.float32(len(delta))
        normalized += self.d_betas[i] / np.float32(len(delta))
        delta -= normalized
        delta *= self.gammas[i] * self.inverse[i]

    def sgd(self) -> None:
        self.gradient *= np.float32(self.workload.rate)
        self.parameters -= self.gradient

    def adam(self) -> None:
        self.updates += 1
        step = np.float32(self.workload.rate / (1 - 0.9**self.updates))
        root = np.float32((1 - 0.999**self.updates) ** 0.5)
        self.mean *= np.float32(0.9)
        np.multiply(self.gradient, np.float32(0.1), out=self.scratch)
        self.mean += self.scratch
        self.square *= np.float32(0.999)
        self.gradient *= self.gradient
        self.gradient *= np.float32(0.001)
        self.square += self.gradient
        np.sqrt(self.square, out=self.scratch)
        self.scratch /= root
        self.scratch += np.float32(1e-8)
        np.divide(self.mean, self.scratch, out=self.scratch)
        self.scratch *= step
        self.parameters -= self.scratch


def _views(flat: Array, groups: list[list[Array]]) -> list[list[Array]]:
    """Cut one array into arrays of these shapes, in this order."""
    views: list[list[Array]] = []
    begin = 0
    for group in groups:
        views.append([])
        for like in group:
            views[-1].append(flat[begin : begin + like.size].reshape(like.shape))
            begin += like.size
    return views
