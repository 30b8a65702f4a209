"""TabM in PyTorch, in training and in use.

Source: Gorishniy, Kotelnikov, Babenko 2024, https://arxiv.org/abs/2410.24210.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from hpo.training.families.activations import ACTIVATIONS
from hpo.training.families.embeddings.module import InputEmbedding
from hpo.training.families.embeddings.shape import EmbeddingShape
from hpo.training.families.tabm import TabMConfig
from hpo.training.inputs import Inputs
from hpo.training.random import DropoutMasks


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
        """Build a network with fresh weights from torch's generator, and from its seed.

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
            self.embedding = InputEmbedding(config, inputs, shape, seed=torch.initial_seed())
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
        self.dropout = Dropout(config.dropout, config.depth, config.width)

    @property
    def layers(self) -> list["SharedLinear"]:
        """The hidden layers."""
        return [layer for layer in self.hidden if isinstance(layer, SharedLinear)]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (rows, n_columns) features to (rows, k, n_outputs).

        Activations are (k, rows, width), so that output layers need no copies. Under autocast,
        they have its type throughout: autocast alone would leave most of them in float32.
        """
        device = x.device.type
        is_mixed = torch.is_autocast_enabled(device)
        working = torch.get_autocast_dtype(device) if is_mixed else x.dtype
        with torch.autocast(device, enabled=False):
            if self.embedding is not None:
                x = self.embedding(x)
            x = x.to(working)
            if self.factors is not None:
                x = x * self.factors[:, None].to(working)
            masks = self.dropout.draw(len(self.heads.bias), x)
            for layer, mask in zip(self.layers, masks, strict=True):
                x = self.dropout(self.activation(layer(x)), mask)
            outputs: torch.Tensor = self.heads(x)
        return outputs.transpose(0, 1)


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
        """Map (k, rows, n_inputs), or (rows, n_inputs) for all members, to (k, rows, n_outputs)."""
        weight, bias = self.weight.to(x.dtype), self.bias.to(x.dtype)
        if self.r is None or self.s is None:
            return nn.functional.linear(x, weight, bias)
        r, s = self.r[:, None].to(x.dtype), self.s[:, None].to(x.dtype)
        return torch.addcmul(bias[:, None], nn.functional.linear(x * r, weight), s)


class _Heads(nn.Module):
    """An output layer for each member."""

    def __init__(self, k: int, n_inputs: int, n_outputs: int) -> None:
        """Draw the weights uniformly within 1 / sqrt(n_inputs)."""
        super().__init__()
        bound = 1 / math.sqrt(n_inputs)
        self.weight = nn.Parameter(torch.empty(k, n_inputs, n_outputs).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(k, n_outputs).uniform_(-bound, bound))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (k, rows, n_inputs) to (k, rows, n_outputs), in the type of the parameters."""
        return torch.bmm(x, self.weight.to(x.dtype)) + self.bias[:, None]


class Dropout(nn.Module):
    """Dropout of all hidden layers, by the masks of `hpo.training.random`.

    On CPUs these take a tenth of the time that torch's own dropout takes.
    """

    def __init__(self, rate: float, n_layers: int, n_units: int) -> None:
        """Set the rate, for `n_layers` layers of `n_units` units."""
        super().__init__()
        self._rate = rate
        self._n_layers = n_layers
        self._masks = {
            dtype: DropoutMasks(0, rate, n_layers, n_units, dtype)
            for dtype in (torch.float32, torch.bfloat16, torch.float64)
        }

    def draw(self, k: int, x: torch.Tensor) -> Sequence[torch.Tensor | None]:
        """Draw the masks of a step, which depend on a number from torch's generator.

        The next step overwrites them.

        Args:
            k: members, each with masks of its own.
            x: (..., rows, n_inputs), the first layer's inputs.

        Returns:
            A mask for each layer, (k, rows, n_units); None where nothing is dropped.
        """
        if not (self.training and self._rate):
            return [None] * self._n_layers
        n_rows = x.shape[-2]
        step = int(torch.randint(2**31, ()))
        kept = self._masks[x.dtype].draw(step, k * n_rows, x.device)
        return kept.view(self._n_layers, k, n_rows, -1).unbind()

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        """Apply a layer's mask."""
        if mask is None:
            return x
        scale = self._masks[x.dtype].scale
        dropped: torch.Tensor = _Masked.apply(x, mask, scale)  # type: ignore[no-untyped-call]
        return dropped


class _Masked(torch.autograd.Function):
    """Multiplies by a mask and a number in one kernel; so does the backward pass."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, mask: torch.Tensor, scale: float) -> torch.Tensor:
        ctx.save_for_backward(mask)
        ctx.scale = scale
        return torch.addcmul(x.new_zeros(()), x, mask, value=scale)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        (mask,) = ctx.saved_tensors
        return torch.addcmul(gradient.new_zeros(()), gradient, mask, value=ctx.scale), None, None
