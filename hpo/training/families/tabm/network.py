"""TabM in PyTorch, in training and in use.

Source: Gorishniy, Kotelnikov, Babenko 2024, https://arxiv.org/abs/2410.24210.
"""

import math

import torch
from torch import nn

from hpo.training.families.activations import ACTIVATIONS
from hpo.training.families.embeddings.module import InputEmbedding
from hpo.training.families.embeddings.shape import EmbeddingShape
from hpo.training.families.tabm import TabMConfig
from hpo.training.inputs import Inputs


class TabM(nn.Module):
    """`k` MLPs with shared weight matrices, each with an output layer of its own.

    Outputs are (rows, k, n_outputs).

    Attributes:
        embedding: of the features, for all members; None if they enter as they are.
        factors: of the first layer's inputs in TabM-mini, (k, n_inputs); None in TabM.
        hidden: the hidden layers.
        heads: the output layers.
    """

    def __init__(self, inputs: Inputs, n_outputs: int, config: TabMConfig) -> None:
        """Build a network with fresh weights from torch's generator.

        The members begin with equal weights and biases of the hidden layers. The factors of the
        first layer's inputs, and the output layers, make them differ. All other factors begin at 1.

        As in the code of the paper, the first factors are normal if numbers are embedded, and
        random signs otherwise. Those of a column's embedding begin with the same number
        (`_init_first_adapter` in paper/bin/model.py of https://github.com/yandex-research/tabm).

        Args:
            inputs: columns of the preprocessed features.
            n_outputs: of a member.
            config: number of members, depth, width, activation, dropout and embedding.
        """
        super().__init__()
        shape = EmbeddingShape.of(config, inputs)
        self.embedding: InputEmbedding | None = None
        if not shape.is_trivial:
            seed = int(torch.randint(2**31, ()))
            self.embedding = InputEmbedding(config, inputs, shape, seed=seed)
        size = config.k, inputs.n_columns
        drawn = torch.randn(size) if shape.n_numbers else torch.randint(0, 2, size) * 2.0 - 1.0
        factors = drawn[:, shape.columns]
        sizes = [shape.n_outputs, *[config.width] * config.depth]
        n_factors = 0 if config.mini else config.k
        self.factors = nn.Parameter(factors) if config.mini else None
        self.hidden = nn.ModuleList(
            SharedLinear(sizes[index], config.width, n_factors) for index in range(config.depth)
        )
        if (first := self.layers[0].r) is not None:
            first.data.copy_(factors)
        self.heads = _Heads(config.k, config.width, n_outputs)
        self.activation = ACTIVATIONS[config.activation].module()
        self.dropout = nn.Dropout(config.dropout)

    @property
    def layers(self) -> list["SharedLinear"]:
        """The hidden layers."""
        return [layer for layer in self.hidden if isinstance(layer, SharedLinear)]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (rows, n_columns) features to (rows, k, n_outputs)."""
        if self.embedding is not None:
            with torch.autocast(x.device.type, enabled=False):  # see `EmbeddingPasses`
                x = self.embedding(x)
        x = x[:, None]
        if self.factors is not None:
            x = x * self.factors
        for layer in self.layers:
            x = self.dropout(self.activation(layer(x)))
        outputs: torch.Tensor = self.heads(x)
        return outputs


class SharedLinear(nn.Module):
    """A linear layer whose weights all members share.

    A member's weight matrix is the shared one times the outer product of its factors s and r, as
    in BatchEnsemble (Wen, Tran, Ba 2020, https://arxiv.org/abs/2002.06715).
    """

    def __init__(self, n_inputs: int, n_outputs: int, n_factors: int) -> None:
        """Draw the weights uniformly within 1 / sqrt(n_inputs).

        Args:
            n_inputs: units of the layer before.
            n_outputs: units of this layer.
            n_factors: members with factors and biases of their own; 0 shares all.
        """
        super().__init__()
        bound = 1 / math.sqrt(n_inputs)
        self.weight = nn.Parameter(torch.empty(n_outputs, n_inputs).uniform_(-bound, bound))
        bias = torch.empty(n_outputs).uniform_(-bound, bound)
        self.bias = nn.Parameter(bias.repeat(n_factors, 1) if n_factors else bias)
        self.r = nn.Parameter(torch.ones(n_factors, n_inputs)) if n_factors else None
        self.s = nn.Parameter(torch.ones(n_factors, n_outputs)) if n_factors else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (rows, k, n_inputs) to (rows, k, n_outputs)."""
        if self.r is None or self.s is None:
            return nn.functional.linear(x, self.weight, self.bias)
        return torch.addcmul(self.bias, nn.functional.linear(x * self.r, self.weight), self.s)


class _Heads(nn.Module):
    """An output layer for each member."""

    def __init__(self, k: int, n_inputs: int, n_outputs: int) -> None:
        """Draw the weights uniformly within 1 / sqrt(n_inputs)."""
        super().__init__()
        bound = 1 / math.sqrt(n_inputs)
        self.weight = nn.Parameter(torch.empty(k, n_inputs, n_outputs).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(k, n_outputs).uniform_(-bound, bound))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (rows, k, n_inputs) to (rows, k, n_outputs)."""
        outputs = torch.bmm(x.transpose(0, 1), self.weight).transpose(0, 1)
        return outputs + self.bias
