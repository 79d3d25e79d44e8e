"""PyTorch: eager, compiled, and `torch.func.vmap` for a sweep."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from gradiometer.bench.peers import Stepwise
from gradiometer.bench.workloads import MAX_NORM, State, Workload

ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid}


class _Skip(nn.Sequential):
    """A residual connection."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + super().forward(x)


def _model(workload: Workload, state: State) -> nn.Sequential:
    layers: list[nn.Module] = []
    for i, (fan_in, fan_out) in enumerate(workload.sizes):
        dense = nn.Linear(fan_in, fan_out)
        with torch.no_grad():
            dense.weight.copy_(torch.from_numpy(state.weights[i]))
            dense.bias.copy_(torch.from_numpy(state.biases[i]))
        hidden: list[nn.Module] = [dense]
        if i < workload.depth:
            if workload.batch_norm:
                hidden.append(nn.BatchNorm1d(fan_out))
            if workload.layer_norm:
                hidden.append(nn.LayerNorm(fan_out))
            hidden.append(ACTIVATIONS[workload.activation]())
        layers += [_Skip(*hidden)] if workload.residual and 0 < i < workload.depth else hidden
    return nn.Sequential(*layers)


class _Single(Stepwise):
    """One network, with a training loop's usual lines."""

    fused = True
    """Of the optimizers' variants, the fastest where nothing is compiled."""

    def __init__(self, workload: Workload, state: State, x: NDArray[Any], y: NDArray[Any]) -> None:
        self.x, self.y = torch.from_numpy(x), torch.from_numpy(y)
        self.model = _model(workload, state)
        self.loss = nn.CrossEntropyLoss()
        self.parameters = list(self.model.parameters())
        self.weights = [layer.weight for layer in self.model.modules() if isinstance(layer, nn.Linear)]
        kind = torch.optim.SGD if workload.optimizer == "sgd" else torch.optim.Adam
        self.optimizer = kind(self.parameters, lr=workload.rate, fused=self.fused or None)
        self.value = torch.zeros(())
        self.last: list[torch.Tensor] = []

    def evaluate(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return self.loss(self.model(x), y)

    def finish(self) -> list[torch.Tensor]:
        with torch.no_grad():
            norms = torch._foreach_norm([weight.grad for weight in self.weights])
        nn.utils.clip_grad_norm_(self.parameters, MAX_NORM)
        self.optimizer.step()
        return list(norms)

    def step(self) -> None:
        self.optimizer.zero_grad(set_to_none=True)
        self.value = self.evaluate(self.x, self.y)
        self.value.backward()
        self.last = self.finish()

    def losses(self) -> NDArray[np.float64]:
        return np.array([self.value.item()])

    def norms(self) -> NDArray[np.float64]:
        return np.array([[float(norm) for norm in self.last]])

    def first_weight(self) -> NDArray[Any]:
        return self.weights[0].detach().numpy().copy()


class _Many(Stepwise):
    """`vmap` of the gradient over stacked parameters."""

    def __init__(self, workload: Workload, states: list[State], x: NDArray[Any], y: NDArray[Any]) -> None:
        models = [_model(workload, state) for state in states]
        stacked, buffers = torch.func.stack_module_state(models)
        self.parameters = {name: value.detach() for name, value in stacked.items()}
        self.weight_names = [
            f"{name}.weight" for name, layer in models[0].named_modules() if isinstance(layer, nn.Linear)
        ]
        self.x, self.y = torch.from_numpy(x), torch.from_numpy(y)
        self.rate = workload.rate
        base = models[0]
        criterion = nn.CrossEntropyLoss()

        def loss(parameters: dict[str, torch.Tensor], x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            return criterion(torch.func.functional_call(base, (parameters, {}), (x,)), y)

        assert not buffers, "batch norm keeps running statistics, which a sweep here does not"
        self.gradient = torch.func.vmap(torch.func.grad_and_value(loss), in_dims=(0, None, None))
        self.value = self.last = torch.empty(0)

    def step(self) -> None:
        gradients, self.value = self.gradient(self.parameters, self.x, self.y)
        norms = {name: g.flatten(1).norm(dim=1) for name, g in gradients.items()}
        total = torch.stack(list(norms.values())).norm(dim=0)
        factor = self.rate * torch.clamp(MAX_NORM / (total + 1e-6), max=1.0)
        for name, g in gradients.items():
            self.parameters[name] -= g * factor.view(-1, *[1] * (g.ndim - 1))
        self.last = torch.stack([norms[name] for name in self.weight_names], dim=1)

    def losses(self) -> NDArray[np.float64]:
        return self.value.double().numpy()

    def norms(self) -> NDArray[np.float64]:
        return self.last.double().numpy()

    def first_weight(self) -> NDArray[Any]:
        return self.parameters["0.weight"][0].numpy().copy()


def Eager(workload: Workload, states: list[State], x: NDArray[Any], y: NDArray[Any]) -> _Single | _Many:  # noqa: N802
    """Return the step as PyTorch runs it line by line."""
    return _Single(workload, states[0], x, y) if workload.copies == 1 else _Many(workload, states, x, y)


class Compiled(_Single):
    """Model and loss compiled together (their backward pass too), and norms, clipping and update together."""

    fused = False  # the compiler does that

    def __init__(self, workload: Workload, states: list[State], x: NDArray[Any], y: NDArray[Any]) -> None:
        torch._logging.set_logs(all=logging.ERROR)  # what the compiler passes over is of no use here
        super().__init__(workload, states[0], x, y)
        self.evaluate = torch.compile(self.evaluate)  # type: ignore[method-assign]
        self.finish = torch.compile(self.finish)  # type: ignore[method-assign]
