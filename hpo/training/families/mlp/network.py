"""The network: a multilayer perceptron in plain PyTorch, as it is saved, exported and used.

Training computes the same function by hand-written passes (`hpo.training.families.mlp.passes`) over the same
parameters.
"""

import math
from collections.abc import Callable, Mapping
from itertools import pairwise

import torch
from torch import nn

from hpo.config.trial import Activation, ModelConfig
from hpo.training.random import uniform

ACTIVATIONS: dict[Activation, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "silu": nn.SiLU,
    "gelu": nn.GELU,
    "mish": nn.Mish,
}


class MLP(nn.Module):
    """`depth` hidden layers of `width` units, with activation and dropout, and a linear output.

    Outputs are logits for classes, and the standardised target in a regression: (rows, n_outputs).
    """

    def __init__(
        self, n_inputs: int, n_outputs: int, config: ModelConfig, *, seed: int | None = 0
    ) -> None:
        """Make a network with fresh weights.

        Weights and biases are uniform within 1 / sqrt(fan-in), the default of PyTorch's `Linear`,
        with which the published results of tuned MLPs were obtained; drawn by `seed` alone.

        Args:
            n_inputs: preprocessed features.
            n_outputs: logits: one for a binary task, one a class for several; 1 in a regression.
            config: depth, width, activation and dropout.
            seed: of the initial weights; None for a network without any, see `trained`.
        """
        super().__init__()
        sizes = [n_inputs, *[config.width] * config.depth]
        self.hidden = nn.ModuleList(
            _linear(sizes[index], config.width, seed, index) for index in range(config.depth)
        )
        self.output = _linear(config.width, n_outputs, seed, config.depth)
        self.activation = ACTIVATIONS[config.activation]()
        self.dropout = nn.Dropout(config.dropout)

    @classmethod
    def trained(
        cls,
        n_inputs: int,
        n_outputs: int,
        config: ModelConfig,
        weights: Mapping[str, torch.Tensor],
    ) -> "MLP":
        """A network that takes over the weights of a `state_dict`, and draws none."""
        network = cls(n_inputs, n_outputs, config, seed=None)
        network.load_state_dict(weights, assign=True)
        return network

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (rows, n_inputs) features to (rows, n_outputs)."""
        for layer in self.hidden:
            x = self.dropout(self.activation(layer(x)))
        outputs: torch.Tensor = self.output(x)
        return outputs


def n_parameters(n_inputs: int, n_outputs: int, config: ModelConfig) -> int:
    """How many weights and biases an `MLP` has."""
    sizes = [n_inputs, *[config.width] * config.depth, n_outputs]
    return sum((n + 1) * m for n, m in pairwise(sizes))


def _linear(n_inputs: int, n_outputs: int, seed: int | None, layer: int) -> nn.Linear:
    linear = nn.Linear(n_inputs, n_outputs, device="meta")  # torch's own draw is not wanted
    if seed is None:
        return linear
    bound = 1 / math.sqrt(n_inputs)
    linear.weight = nn.Parameter(uniform(seed, 2 * layer, (n_outputs, n_inputs), bound))
    linear.bias = nn.Parameter(uniform(seed, 2 * layer + 1, (n_outputs,), bound))
    return linear
