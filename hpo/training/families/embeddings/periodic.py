"""Periodic embeddings of numbers."""

from collections.abc import Sequence

import torch

from hpo.training.families.embeddings.numbers import (
    Draw,
    NumberEmbedding,
    NumberTrace,
    angles,
    angles_to_onnx,
    draw_frequencies,
    write_frequencies,
)
from hpo.training.families.embeddings.parts import NumberParts
from hpo.training.families.family import Graph
from hpo.training.families.leaves import EmbeddingConfig

aten = torch.ops.aten


class Periodic(NumberEmbedding):
    """e_j = relu(W_j [cos z_j, sin z_j] + b_j) with z_j = 2 pi f_j x_j.

    From Gorishniy, Rubachev and Babenko 2022 (arXiv:2203.05556). The entries are cosine and sine of
    each frequency in turn, so that the entries of fewer frequencies are the first ones.
    """

    def padded_sizes(self, config: EmbeddingConfig) -> tuple[int, ...]:
        """Size and frequencies."""
        return config.embedding_size, config.n_frequencies

    def n_entries(self, config: EmbeddingConfig) -> int:
        """Cosine and sine of each frequency."""
        return 2 * config.n_frequencies

    def shapes(self, n_numbers: int, n_entries: int, size: int) -> NumberParts[tuple[int, ...]]:
        """Weights, biases and frequencies."""
        return NumberParts(
            weight=(n_numbers, n_entries, size),
            bias=(n_numbers, 1, size),
            frequencies=(n_numbers, 1, n_entries // 2),
        )

    def initialize(self, parts: NumberParts[torch.Tensor], draw: Draw, sigma: float) -> None:
        """Weights and biases are uniform within 1 / sqrt(n_entries), frequencies normal."""
        bound = parts.weight.shape[-2] ** -0.5
        parts.bias.copy_(draw(parts.bias, 1, bound))
        parts.weight.copy_(draw(parts.weight, 0, bound))
        draw_frequencies(parts, draw, sigma)

    def forward(
        self, encoded: torch.Tensor, values: NumberParts[torch.Tensor], mask: torch.Tensor | None
    ) -> NumberTrace:
        """Cosines and sines, one matrix product, and a ReLU."""
        z = angles(encoded, values)
        entries = torch.stack([z.cos(), z.sin()], dim=-2).flatten(-3, -2)
        if mask is not None:
            entries = entries * mask
        embedded = torch.relu(values.weight.mT @ entries + values.bias.mT)
        return NumberTrace(embedded, encoded, entries)

    def backward(
        self,
        gradient: torch.Tensor,
        trace: NumberTrace,
        values: NumberParts[torch.Tensor],
        found: NumberParts[torch.Tensor],
    ) -> None:
        """Write the gradients of weights, biases and frequencies."""
        gradient = aten.threshold_backward(gradient, trace.embedded, 0)
        found.bias.copy_(gradient.sum(-1, keepdim=True).mT)
        found.weight.copy_((gradient @ trace.entries.mT).mT)
        of_entries = values.weight @ gradient
        of_angles = of_entries[..., 1::2, :] * trace.entries[..., ::2, :]
        of_angles = of_angles - of_entries[..., ::2, :] * trace.entries[..., 1::2, :]
        write_frequencies(of_angles, trace, found)

    def to_onnx(self, graph: Graph, encoded: str, parts: NumberParts[torch.Tensor]) -> str:
        """Append it with all cosines before all sines."""
        z = angles_to_onnx(graph, encoded, parts)
        waves = [graph.add(wave, z) for wave in ("Cos", "Sin")]
        weight = parts.weight.detach()
        weight = torch.cat([weight[:, ::2], weight[:, 1::2]], dim=1)
        entries = graph.add("Concat", *waves, axis=2)
        entries = graph.add("Transpose", entries, perm=[1, 0, 2])
        product = graph.add("MatMul", entries, graph.constant(weight))
        return graph.add("Relu", graph.add("Add", product, graph.constant(parts.bias.detach())))

    def padding(self, configs: Sequence[EmbeddingConfig]) -> torch.Tensor:
        """The cosine of a padded frequency is 1."""
        n_entries = torch.tensor([self.n_entries(config) for config in configs])
        return (torch.arange(int(n_entries.max())) < n_entries[:, None])[:, None, :, None]
