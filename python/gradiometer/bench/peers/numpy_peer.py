"""NumPy, with its arrays allocated once and written in place."""

from __future__ import annotations

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
        self.weights = [weight.T.copy() for weight in state.weights]  # (fan_in, fan_out): x @ w
        self.biases = [bias.copy() for bias in state.biases]
        self.gammas = [gamma.copy() for gamma, _ in state.norms]
        self.betas = [beta.copy() for _, beta in state.norms]
        self.outputs = [np.empty((len(x), len(bias)), np.float32) for bias in self.biases]
        self.deltas = [np.empty_like(output) for output in self.outputs]
        self.normalized = [np.empty_like(output) for output in self.outputs[:-1]]
        self.inverse: list[Array] = [np.empty(0)] * workload.depth
        self.parameters = [*self.weights, *self.biases, *self.gammas, *self.betas]
        self.gradients = [np.empty_like(parameter) for parameter in self.parameters]
        self.first = [np.zeros_like(parameter) for parameter in self.parameters]
        self.second = [np.zeros_like(parameter) for parameter in self.parameters]
        self.updates = 0
        self.weight_norms: list[float] = []

    def step(self) -> None:
        self.backward(self.forward())
        squares = [float(np.dot(g, g)) for g in (gradient.ravel() for gradient in self.gradients)]
        self.weight_norms = [square**0.5 for square in squares[: len(self.weights)]]
        coefficient = min(1.0, MAX_NORM / (sum(squares) ** 0.5 + 1e-6))
        (self.sgd if self.workload.optimizer == "sgd" else self.adam)(coefficient)

    def forward(self) -> Array:
        """Return softmax minus one-hot, divided by the batch."""
        h = self.x
        for i, (weight, bias, out) in enumerate(zip(self.weights, self.biases, self.outputs, strict=True)):
            np.matmul(h, weight, out=out)
            out += bias
            if i < self.workload.depth:
                if self.gammas:
                    self.normalize(i, out)
                self.activate(out)
            h = out
        h -= h.max(axis=1, keepdims=True)
        np.exp(h, out=h)
        h /= h.sum(axis=1, keepdims=True)
        h[self.rows, self.y] -= 1
        h /= len(self.y)
        return h

    def normalize(self, i: int, z: Array) -> None:
        z -= z.mean(axis=0)
        self.inverse[i] = 1 / np.sqrt((z * z).mean(axis=0) + 1e-5)
        np.multiply(z, self.inverse[i], out=self.normalized[i])
        np.multiply(self.normalized[i], self.gammas[i], out=z)
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

    def derivative(self, h: Array) -> Array:
        if self.workload.activation == "relu":
            return h > 0
        return 1 - h * h if self.workload.activation == "tanh" else h * (1 - h)

    def backward(self, delta: Array) -> None:
        layers, depth = len(self.weights), self.workload.depth
        for i in range(depth, -1, -1):
            if i < depth:
                delta *= self.derivative(self.outputs[i])
                if self.gammas:
                    self.normalize_backward(i, delta)
            np.matmul((self.outputs[i - 1] if i else self.x).T, delta, out=self.gradients[i])
            np.sum(delta, axis=0, out=self.gradients[layers + i])
            if i:
                np.matmul(delta, self.weights[i].T, out=self.deltas[i - 1])
                delta = self.deltas[i - 1]

    def normalize_backward(self, i: int, delta: Array) -> None:
        layers, depth, x = len(self.weights), self.workload.depth, self.normalized[i]
        gamma_gradient, beta_gradient = self.gradients[2 * layers + i], self.gradients[2 * layers + depth + i]
        np.sum(delta, axis=0, out=beta_gradient)
        np.einsum("ij,ij->j", delta, x, out=gamma_gradient)
        delta -= (beta_gradient + x * gamma_gradient) / len(delta)
        delta *= self.gammas[i] * self.inverse[i]

    def sgd(self, coefficient: float) -> None:
        factor = np.float32(self.workload.rate * coefficient)
        for parameter, gradient in zip(self.parameters, self.gradients, strict=True):
            gradient *= factor
            parameter -= gradient

    def adam(self, coefficient: float) -> None:
        self.updates += 1
        step = np.float32(self.workload.rate / (1 - 0.9**self.updates))
        root = np.float32((1 - 0.999**self.updates) ** 0.5)
        for parameter, gradient, mean, square in zip(
            self.parameters, self.gradients, self.first, self.second, strict=True
        ):
            gradient *= np.float32(coefficient)
            mean *= np.float32(0.9)
            mean += np.float32(0.1) * gradient
            square *= np.float32(0.999)
            gradient *= gradient
            square += np.float32(0.001) * gradient
            parameter -= step * mean / (np.sqrt(square) / root + np.float32(1e-8))
