"""JAX: the whole step under `jit` with its buffers donated; `vmap` of it for a sweep."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from numpy.typing import NDArray

from gradiometer.bench.peers import Stepwise
from gradiometer.bench.workloads import MAX_NORM, State, Workload

ACTIVATIONS = {"relu": jax.nn.relu, "tanh": jnp.tanh, "sigmoid": jax.nn.sigmoid}


def _parameters(state: State) -> dict[str, Any]:
    return {
        "dense": [(jnp.asarray(w.T), jnp.asarray(b)) for w, b in zip(state.weights, state.biases, strict=True)],
        "norm": [(jnp.asarray(gamma), jnp.asarray(beta)) for gamma, beta in state.norms],
    }


class Jitted(Stepwise):
    """One compiled function for a step of all networks."""

    def __init__(self, workload: Workload, states: list[State], x: NDArray[Any], y: NDArray[Any]) -> None:
        self.x, self.y = jnp.asarray(x), jnp.asarray(y)
        activation = ACTIVATIONS[workload.activation]
        optimizer = optax.sgd(workload.rate) if workload.optimizer == "sgd" else optax.adam(workload.rate)

        def loss(parameters: dict[str, Any], x: Any, y: Any) -> Any:
            h = x
            axis = 1 if workload.layer_norm else 0
            for i, (weight, bias) in enumerate(parameters["dense"]):
                before = h
                h = h @ weight + bias
                if i < workload.depth:
                    if parameters["norm"]:
                        gamma, beta = parameters["norm"][i]
                        variance = h.var(axis, keepdims=True)
                        h = (h - h.mean(axis, keepdims=True)) * jax.lax.rsqrt(variance + 1e-5) * gamma + beta
                    h = activation(h)
                    if workload.residual and i > 0:
                        h = before + h
            return optax.softmax_cross_entropy_with_integer_labels(h, y).mean()

        def step(parameters: Any, memory: Any, x: Any, y: Any) -> tuple[Any, Any, Any, Any]:
            value, gradients = jax.value_and_grad(loss)(parameters, x, y)
            norms = jnp.stack([jnp.sqrt(jnp.sum(weight * weight)) for weight, _ in gradients["dense"]])
            total = jnp.sqrt(sum(jnp.vdot(g, g) for g in jax.tree.leaves(gradients)))
            coefficient = jnp.minimum(1.0, MAX_NORM / (total + 1e-6))
            gradients = jax.tree.map(lambda g: g * coefficient, gradients)
            updates, memory = optimizer.update(gradients, memory, parameters)
            return optax.apply_updates(parameters, updates), memory, value, norms

        each = [_parameters(state) for state in states]
        if workload.copies == 1:
            self.parameters = each[0]
            self.memory = optimizer.init(each[0])
            self.run = jax.jit(step, donate_argnums=(0, 1))
        else:
            self.parameters = jax.tree.map(lambda *leaves: jnp.stack(leaves), *each)
            self.memory = jax.vmap(optimizer.init)(self.parameters)
            self.run = jax.jit(jax.vmap(step, in_axes=(0, 0, None, None)), donate_argnums=(0, 1))
        self.copies = workload.copies
        self.value: Any = None
        self.last: Any = None

    def step(self) -> None:
        """Take one step."""
        self.parameters, self.memory, self.value, self.last = self.run(self.parameters, self.memory, self.x, self.y)
        jax.block_until_ready((self.parameters, self.value, self.last))

    def losses(self) -> NDArray[np.float64]:
        """Return the losses of the last step."""
        return np.asarray(self.value, np.float64).reshape(self.copies)

    def norms(self) -> NDArray[np.float64]:
        """Return the norms of the last step."""
        return np.asarray(self.last, np.float64).reshape(self.copies, -1)

    def first_weight(self) -> NDArray[Any]:
        """Return a weight."""
        weight = np.asarray(self.parameters["dense"][0][0])
        return np.array((weight if self.copies == 1 else weight[0]).T)
