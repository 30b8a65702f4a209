"""The MLP: as a module for prediction, and as flat parameters with a backward pass for training.

Training keeps all weight matrices in one flat buffer and all biases in another, so that an optimizer
step is a few kernels whatever the depth. The backward pass is written out: a small network's step is
mostly overhead, and autograd would be most of that.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from hpo.training.random import hash_key, keep_mask, uniform
from hpo.trial import Activation, ModelConfig

aten = torch.ops.aten
Backward = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]

ACTIVATIONS: dict[Activation, Callable[[torch.Tensor], torch.Tensor]] = {
    "relu": torch.relu,
    "leaky_relu": nn.functional.leaky_relu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "silu": nn.functional.silu,
    "gelu": nn.functional.gelu,
    "mish": nn.functional.mish,
}

FROM_OUTPUT: dict[Activation, Backward] = {
    "relu": lambda grad, out: aten.threshold_backward(grad, out, 0),
    "leaky_relu": lambda grad, out: aten.leaky_relu_backward(grad, out, 0.01, True),
    "tanh": aten.tanh_backward,
    "sigmoid": aten.sigmoid_backward,
}
"""Derivatives of activations that need their own output alone."""

FROM_INPUT: dict[Activation, Backward] = {
    "silu": aten.silu_backward,
    "gelu": aten.gelu_backward,
    "mish": aten.mish_backward,
}
"""Derivatives of activations that need their input."""


class MLP(nn.Module):
    """`depth` hidden layers of `width` units, each with activation and dropout, and an output layer.

    Maps (rows, n_inputs) to logits: (rows,) for one output, else (rows, n_outputs).
    """

    def __init__(self, n_inputs: int, n_outputs: int, config: ModelConfig) -> None:
        """Make the layers; their weights are set by whoever loads them."""
        super().__init__()
        widths = [n_inputs, *[config.width] * config.depth]
        self.hidden = nn.ModuleList(
            nn.Linear(fan_in, fan_out) for fan_in, fan_out in zip(widths, widths[1:], strict=False)
        )
        self.output = nn.Linear(widths[-1], n_outputs)
        self.activation = ACTIVATIONS[config.activation]
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits of rows."""
        for layer in self.hidden:
            x = self.dropout(self.activation(layer(x)))
        logits: torch.Tensor = self.output(x)
        return logits.squeeze(1) if logits.shape[1] == 1 else logits


@dataclass(frozen=True, kw_only=True)
class Shape:
    """The layers of an MLP: `(fan_out, fan_in)` each, the output layer last."""

    layers: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, n_inputs: int, n_outputs: int, config: ModelConfig) -> "Shape":
        """The shape that `MLP` has for the same arguments."""
        widths = [n_inputs, *[config.width] * config.depth, n_outputs]
        return cls(layers=tuple(zip(widths[1:], widths, strict=False)))

    @property
    def n_weights(self) -> int:
        """Entries of all weight matrices."""
        return sum(fan_out * fan_in for fan_out, fan_in in self.layers)

    @property
    def n_biases(self) -> int:
        """Entries of all biases."""
        return sum(fan_out for fan_out, _ in self.layers)

    def weights(self, flat: torch.Tensor) -> list[torch.Tensor]:
        """Views of a flat buffer as the weight matrices."""
        parts = flat.split_with_sizes([fan_out * fan_in for fan_out, fan_in in self.layers])
        return [part.view(size) for part, size in zip(parts, self.layers, strict=True)]

    def biases(self, flat: torch.Tensor) -> list[torch.Tensor]:
        """Views of a flat buffer as the biases."""
        return list(flat.split_with_sizes([fan_out for fan_out, _ in self.layers]))

    def state_dict(self, weights: torch.Tensor, biases: torch.Tensor) -> dict[str, torch.Tensor]:
        """Copies of flat parameters on the CPU, under the names that `MLP` gives them."""
        names = [f"hidden.{index}" for index in range(len(self.layers) - 1)] + ["output"]
        state = {}
        for name, weight, bias in zip(
            names, self.weights(weights.cpu()), self.biases(biases.cpu()), strict=True
        ):
            state[f"{name}.weight"] = weight.clone()
            state[f"{name}.bias"] = bias.clone()
        return state

    def initial(self, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Flat weights and biases, float32, uniform within 1 / sqrt(fan_in), as `nn.Linear`'s."""
        weights, biases = torch.empty(self.n_weights), torch.empty(self.n_biases)
        views = zip(self.weights(weights), self.biases(biases), strict=True)
        for index, (weight, bias) in enumerate(views):
            fan_out, fan_in = weight.shape
            bound = 1 / math.sqrt(fan_in)
            weight.copy_(uniform(hash_key(seed, 1, index), fan_out, fan_in) * bound)
            bias.copy_(uniform(hash_key(seed, 2, index), 1, fan_out)[0] * bound)
        return weights, biases


def evaluate_layers(
    config: ModelConfig,
    weights: list[torch.Tensor],
    biases: list[torch.Tensor],
    x: torch.Tensor,
) -> torch.Tensor:
    """Logits as `MLP` gives them in evaluation, from flat parameters."""
    activate = ACTIVATIONS[config.activation]
    for weight, bias in zip(weights[:-1], biases[:-1], strict=True):
        x = activate(torch.addmm(bias, x, weight.t()))
    logits = torch.addmm(biases[-1], x, weights[-1].t())
    return logits.squeeze(1) if logits.shape[1] == 1 else logits


class Passes:
    """Forward and backward passes over given weights and biases, into given gradients."""

    def __init__(
        self,
        config: ModelConfig,
        weights: list[torch.Tensor],
        biases: list[torch.Tensor],
        weight_grads: list[torch.Tensor],
        bias_grads: list[torch.Tensor],
        grid: torch.Tensor,
    ) -> None:
        """Bind the passes to buffers; `grid` is `random.mask_grid` of (batch_size, width)."""
        self._weights, self._biases = weights, biases
        self._weight_grads, self._bias_grads = weight_grads, bias_grads
        self._grid = grid
        self._dropout = config.dropout
        self._activate = ACTIVATIONS[config.activation]
        self._backward = {**FROM_OUTPUT, **FROM_INPUT}[config.activation]
        self._kept = biases[0].new_tensor(1 / (1 - config.dropout))
        self._dropped = torch.zeros_like(self._kept)
        self._keeps_input = config.activation in FROM_INPUT
        self._saved: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]] = []

    def forward(self, x: torch.Tensor, seed: int, step: int) -> torch.Tensor:
        """Logits of a batch in training, (rows, n_outputs); what `backward` needs is kept."""
        self._saved = []
        for layer in range(len(self._weights) - 1):
            z = torch.addmm(self._biases[layer], x, self._weights[layer].t())
            h = self._activate(z)
            mask = self._mask(len(x), hash_key(seed, 3, step, layer)) if self._dropout else None
            self._saved.append((x, z if self._keeps_input else h, mask))
            x = h if mask is None else h * mask
        self._last = x
        return torch.addmm(self._biases[-1], x, self._weights[-1].t())

    def backward(self, grad: torch.Tensor) -> None:
        """Write the gradients that follow from those of the logits."""
        torch.mm(grad.t(), self._last, out=self._weight_grads[-1])
        torch.sum(grad, dim=0, out=self._bias_grads[-1])
        grad = grad @ self._weights[-1]
        for layer in range(len(self._weights) - 2, -1, -1):
            x, kept, mask = self._saved[layer]
            if mask is not None:
                grad = grad * mask
            grad = self._backward(grad, kept)
            torch.mm(grad.t(), x, out=self._weight_grads[layer])
            torch.sum(grad, dim=0, out=self._bias_grads[layer])
            if layer:
                grad = grad @ self._weights[layer]

    def _mask(self, n_rows: int, key: int) -> torch.Tensor:
        """What a dropout multiplies by: 0, or what makes up for the zeros."""
        keep = keep_mask(self._grid[:n_rows], key, self._dropout)
        return torch.where(keep, self._kept, self._dropped)
