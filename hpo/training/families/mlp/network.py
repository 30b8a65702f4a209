"""The MLP in plain PyTorch, as it is saved, exported and used.

Training computes the same function of the same parameters by hand-written passes.
"""

import math

import torch
from torch import nn

from hpo.training.families.activations import ACTIVATIONS
from hpo.training.families.embeddings.module import InputEmbedding
from hpo.training.families.embeddings.parts import EmbeddingParts
from hpo.training.families.embeddings.shape import EmbeddingShape
from hpo.training.families.mlp import MLPConfig
from hpo.training.inputs import Inputs
from hpo.training.random import uniform


class MLP(nn.Module):
    """`depth` hidden layers of `width` units, with activation and dropout, and a linear output.

    Outputs are logits for classes, and the standardized target in a regression: (rows, n_outputs).
    """

    def __init__(
        self, inputs: Inputs, n_outputs: int, config: MLPConfig, *, seed: int | None = 0
    ) -> None:
        """Build a network with fresh weights.

        Weights and biases are uniform within 1 / sqrt(fan-in), the default of PyTorch's `Linear`,
        with which the published results of tuned MLPs were obtained. They depend on `seed` alone.

        Args:
            inputs: columns of the preprocessed features.
            n_outputs: logits: one for a binary task, one a class for several; 1 in a regression.
            config: depth, width, activation, dropout and embedding.
            seed: of the initial weights; None leaves the parameters on the meta device.
        """
        super().__init__()
        shape = EmbeddingShape.of(config, inputs, has_scale=config.scale)
        self.embedding: InputEmbedding | None = None
        if not shape.is_trivial:
            self.embedding = InputEmbedding(config, inputs, shape, seed=seed)
        sizes = [shape.n_outputs, *[config.width] * config.depth]
        self.hidden = nn.ModuleList(
            _linear(sizes[index], config.width, seed, index) for index in range(config.depth)
        )
        self.output = _linear(config.width, n_outputs, seed, config.depth)
        self.activation = ACTIVATIONS[config.activation].module()
        self.dropout = nn.Dropout(config.dropout)

    @property
    def embedding_parts(self) -> EmbeddingParts[torch.Tensor]:
        """Parameters of the embedding; None for those that there are not."""
        return EmbeddingParts() if self.embedding is None else self.embedding.parts

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (rows, n_columns) features to (rows, n_outputs)."""
        if self.embedding is not None:
            x = self.embedding(x)
        for layer in self.hidden:
            x = self.dropout(self.activation(layer(x)))
        outputs: torch.Tensor = self.output(x)
        return outputs


def _linear(n_inputs: int, n_outputs: int, seed: int | None, layer: int) -> nn.Linear:
    linear = nn.Linear(n_inputs, n_outputs, device="meta")  # skips torch's own random weights
    if seed is None:
        return linear
    bound = 1 / math.sqrt(n_inputs)
    linear.weight = nn.Parameter(uniform(seed, 2 * layer, (n_outputs, n_inputs), bound))
    linear.bias = nn.Parameter(uniform(seed, 2 * layer + 1, (n_outputs,), bound))
    return linear
