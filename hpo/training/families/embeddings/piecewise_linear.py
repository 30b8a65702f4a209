"""Piecewise-linear embeddings of numbers."""

from collections.abc import Sequence

import torch

from hpo.training.families.embeddings.numbers import (
    LIMIT,
    Draw,
    Encoding,
    NumberEmbedding,
    NumberTrace,
)
from hpo.training.families.embeddings.parts import NumberParts
from hpo.training.families.family import Graph
from hpo.training.families.leaves import EmbeddingConfig
from hpo.training.inputs import Inputs


class PiecewiseLinear(NumberEmbedding):
    """e_j = w_j x_j + c_j + V_j encoding(x_j).

    This is version B of Gorishniy, Rubachev and Babenko 2022 (arXiv:2203.05556). The entries are
    x_j and its encoding, so that w_j and V_j are one weight.
    """

    def knots(self, config: EmbeddingConfig, inputs: Inputs) -> torch.Tensor:
        """The ends of each column's bins."""
        return inputs.knots(config.n_bins)

    def encoding(self, knots: torch.Tensor) -> Encoding:
        """The clamped number, and of each bin the share that is below it, in [0, 1].

        The first bin extends to -`LIMIT` and the last one to `LIMIT`. Entries of repeated knots
        are 0.
        """
        start, width = knots[..., :-1], knots.diff(dim=-1)
        is_bin = width > 0
        place = torch.arange(start.shape[-1], device=knots.device)
        n_bins, ones = is_bin.sum(-1, keepdim=True), is_bin.to(knots.dtype)
        bins = [
            start,
            torch.where(is_bin, 1 / width, 0.0),
            torch.where(place == 0, -LIMIT, 0.0) * ones,
            torch.where(place == n_bins - 1, LIMIT, 1.0) * ones,
        ]
        pairs = zip(super().encoding(knots), bins, strict=True)
        return Encoding(*[torch.cat([own, part[..., None]], dim=-2) for own, part in pairs])

    def padded_sizes(self, config: EmbeddingConfig) -> tuple[int, ...]:
        """Size and bins."""
        return config.embedding_size, config.n_bins

    def n_entries(self, config: EmbeddingConfig) -> int:
        """The number and its bins."""
        return 1 + config.n_bins

    def shapes(self, n_numbers: int, n_entries: int, size: int) -> NumberParts[tuple[int, ...]]:
        """Weights and biases."""
        weight, bias = (n_numbers, n_entries, size), (n_numbers, 1, size)
        return NumberParts(weight=weight, bias=bias)

    def initialize(self, parts: NumberParts[torch.Tensor], draw: Draw, sigma: float) -> None:
        """Linear terms and biases are uniform within 1 / sqrt(size); the encoding weighs 0."""
        bound = parts.bias.shape[-1] ** -0.5
        parts.bias.copy_(draw(parts.bias, 1, bound))
        parts.weight[:, :1] = draw(parts.weight, 0, bound)[:, :1]

    def forward(
        self, encoded: torch.Tensor, values: NumberParts[torch.Tensor], mask: torch.Tensor | None
    ) -> NumberTrace:
        """One matrix product."""
        return NumberTrace(values.weight.mT @ encoded + values.bias.mT, encoded, encoded)

    def backward(
        self,
        gradient: torch.Tensor,
        trace: NumberTrace,
        values: NumberParts[torch.Tensor],
        found: NumberParts[torch.Tensor],
    ) -> None:
        """Write the gradients of weights and biases."""
        found.bias.copy_(gradient.sum(-1, keepdim=True).mT)
        found.weight.copy_((gradient @ trace.entries.mT).mT)

    def to_onnx(self, graph: Graph, encoded: str, parts: NumberParts[torch.Tensor]) -> str:
        """Append one matrix product."""
        entries = graph.add("Transpose", encoded, perm=[1, 0, 2])
        product = graph.add("MatMul", entries, graph.constant(parts.weight.detach()))
        return graph.add("Add", product, graph.constant(parts.bias.detach()))

    def padded_knots(self, configs: Sequence[EmbeddingConfig], inputs: Inputs) -> torch.Tensor:
        """Repeat the last knot: the added bins are empty."""
        found = [self.knots(config, inputs) for config in configs]
        n_knots = 1 + max(config.n_bins for config in configs)
        return torch.stack(
            [
                torch.cat([knots, knots[:, -1:].expand(-1, n_knots - knots.shape[1])], dim=1)
                for knots in found
            ]
        )
