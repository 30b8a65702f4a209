"""Cosine embeddings of numbers."""

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


class Cosine(NumberEmbedding):
    """e_j = w_j * [x_j, cos z_j] + b_j with z_j = 2 pi (f_j x_j + p_j), entry by entry.

    From Gorishniy, Kotelnikov, Rubachev and Babenko 2026 (arXiv:2607.05380). In a pack, the weights
    of padded entries are 0 and stay 0.
    """

    def padded_sizes(self, config: EmbeddingConfig) -> tuple[int, ...]:
        """The size."""
        return (config.embedding_size,)

    def n_entries(self, config: EmbeddingConfig) -> int:
        """The number and its cosines: an entry for each component."""
        return config.embedding_size

    def shapes(self, n_numbers: int, n_entries: int, size: int) -> NumberParts[tuple[int, ...]]:
        """Factors, biases, frequencies and phases."""
        factors, turns = (n_numbers, 1, size), (n_numbers, 1, size - 1)
        return NumberParts(weight=factors, bias=factors, frequencies=turns, phases=turns)

    def initialize(self, parts: NumberParts[torch.Tensor], draw: Draw, sigma: float) -> None:
        """Frequencies are normal; factors, biases and phases start at 0."""
        draw_frequencies(parts, draw, sigma)

    def forward(
        self, encoded: torch.Tensor, values: NumberParts[torch.Tensor], mask: torch.Tensor | None
    ) -> NumberTrace:
        """Cosines, factors and biases."""
        z = angles(encoded, values)
        entries = torch.cat([encoded, z.cos()], dim=-2)
        embedded = torch.addcmul(values.bias.mT, values.weight.mT, entries)
        return NumberTrace(embedded, encoded, entries, z)

    def backward(
        self,
        gradient: torch.Tensor,
        trace: NumberTrace,
        values: NumberParts[torch.Tensor],
        found: NumberParts[torch.Tensor],
    ) -> None:
        """Write the gradients of all parameters."""
        assert trace.angles is not None
        found.bias.copy_(gradient.sum(-1, keepdim=True).mT)
        found.weight.copy_((gradient * trace.entries).sum(-1, keepdim=True).mT)
        of_angles = (values.weight.mT * gradient)[..., 1:, :] * -trace.angles.sin()
        write_frequencies(of_angles, trace, found)

    def to_onnx(self, graph: Graph, encoded: str, parts: NumberParts[torch.Tensor]) -> str:
        """Append cosines, factors and biases."""
        z = angles_to_onnx(graph, encoded, parts)
        entries = graph.add("Concat", encoded, graph.add("Cos", z), axis=2)
        entries = graph.add("Transpose", entries, perm=[1, 0, 2])
        product = graph.add("Mul", entries, graph.constant(parts.weight.detach()))
        return graph.add("Add", product, graph.constant(parts.bias.detach()))
