"""What every embedding of numbers does, and the encoding in front of it.

Tensors may have a leading dimension for the slots of a pack, so that both engines and the module
share this code. All is computed in the type of the master parameters: bfloat16 has too few digits
for angles.

Rows are the last dimension of all tensors of numbers. Embeddings are small: products whose last
dimension is the embedding take three times as long on a CPU.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch

from hpo.training.families.embeddings.parts import NumberParts
from hpo.training.families.family import Graph
from hpo.training.families.leaves import EmbeddingConfig
from hpo.training.inputs import Inputs

LIMIT = 16.0
"""Numbers are clamped this many ranges of their column beyond the training part. Entries of the
first and the last bin are clamped this many widths beyond the bin."""

Draw = Callable[[torch.Tensor, int, float], torch.Tensor]
"""Random values for a parameter, given a stream and a bound."""


class Encoding(NamedTuple):
    """The encoding of numbers: (x - start) * slope, clamped to [low, high].

    Shapes are (..., n_numbers, n_encoded, 1). The first encoded value is x, clamped. Only
    piecewise-linear embeddings have more, one for each bin.
    """

    start: torch.Tensor
    slope: torch.Tensor
    low: torch.Tensor
    high: torch.Tensor

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Encode (..., rows, n_numbers) as (..., n_numbers, n_encoded, rows)."""
        found = (x.mT.contiguous()[..., None, :] - self.start).mul_(self.slope)
        # `clamp` is slow with two tensors
        return found.clamp_min_(self.low).clamp_max_(self.high)


class NumberTrace(NamedTuple):
    """What the backward pass needs from the forward pass.

    Attributes:
        embedded: embeddings of the numbers, (..., n_numbers, size, rows).
        encoded: (..., n_numbers, n_encoded, rows).
        entries: what the weights act on, (..., n_numbers, n_entries, rows).
        angles: of an embedding with frequencies, (..., n_numbers, n_frequencies, rows).
    """

    embedded: torch.Tensor
    encoded: torch.Tensor
    entries: torch.Tensor
    angles: torch.Tensor | None = None


class NumberEmbedding(ABC):
    """A kind of embedding of numbers; the parameters are kept elsewhere."""

    def knots(self, config: EmbeddingConfig, inputs: Inputs) -> torch.Tensor:
        """What an encoding is made of, (n_numbers, n_knots): the ends of each column's range."""
        return inputs.knots(1)

    def encoding(self, knots: torch.Tensor) -> Encoding:
        """The encoding of numbers by their knots, (..., n_numbers, n_knots): x itself, clamped."""
        first, last = knots[..., :1], knots[..., -1:]
        far = LIMIT * (last - first)
        zero = torch.zeros_like(first)
        own = [zero, zero + 1, first - far, last + far]
        return Encoding(*[part[..., None] for part in own])

    @abstractmethod
    def padded_sizes(self, config: EmbeddingConfig) -> tuple[int, ...]:
        """The sizes that networks of a pack may have different values of."""

    @abstractmethod
    def n_entries(self, config: EmbeddingConfig) -> int:
        """The number of values from which a number's embedding is computed."""

    @abstractmethod
    def shapes(self, n_numbers: int, n_entries: int, size: int) -> NumberParts[tuple[int, ...]]:
        """Shapes of the parameters of one network."""

    @abstractmethod
    def initialize(self, parts: NumberParts[torch.Tensor], draw: Draw, sigma: float) -> None:
        """Write initial values to parameters that are 0.

        Args:
            parts: of one network.
            draw: stream 0 is for weights, 1 for biases, 2 for frequencies.
            sigma: standard deviation of frequencies.
        """

    @abstractmethod
    def forward(
        self, encoded: torch.Tensor, values: NumberParts[torch.Tensor], mask: torch.Tensor | None
    ) -> NumberTrace:
        """Embed encoded numbers.

        Args:
            encoded: (..., n_numbers, n_encoded, rows).
            values: the parameters.
            mask: from `padding`.
        """

    @abstractmethod
    def backward(
        self,
        gradient: torch.Tensor,
        trace: NumberTrace,
        values: NumberParts[torch.Tensor],
        found: NumberParts[torch.Tensor],
    ) -> None:
        """Write the gradients of the parameters to `found`.

        Args:
            gradient: of the embeddings, (..., n_numbers, size, rows).
            trace: of the forward pass.
            values: the parameters.
            found: receives their gradients.
        """

    @abstractmethod
    def to_onnx(self, graph: Graph, encoded: str, parts: NumberParts[torch.Tensor]) -> str:
        """Append the embedding to an ONNX graph, from (rows, n_numbers, n_encoded).

        Returns:
            The name of (n_numbers, rows, size).
        """

    def padded_knots(self, configs: Sequence[EmbeddingConfig], inputs: Inputs) -> torch.Tensor:
        """The knots of a pack's networks, (slots, n_numbers, n_knots)."""
        return self.knots(configs[0], inputs).expand(len(configs), -1, -1)

    def padding(self, configs: Sequence[EmbeddingConfig]) -> torch.Tensor | None:
        """0 for padded entries of a pack, (slots, 1, n_entries, 1); None if they need no mask."""
        return None


def angles(encoded: torch.Tensor, values: NumberParts[torch.Tensor]) -> torch.Tensor:
    """2 pi (f x + p), (..., n_numbers, n_frequencies, rows)."""
    assert values.frequencies is not None
    found = encoded * (2 * math.pi * values.frequencies.mT)
    return found if values.phases is None else found + 2 * math.pi * values.phases.mT


def draw_frequencies(parts: NumberParts[torch.Tensor], draw: Draw, sigma: float) -> None:
    """Write normal frequencies."""
    assert parts.frequencies is not None
    shares = draw(parts.frequencies, 2, 1.0).double()
    parts.frequencies.copy_(torch.erfinv(shares) * (math.sqrt(2) * sigma))


def write_frequencies(
    of_angles: torch.Tensor, trace: NumberTrace, found: NumberParts[torch.Tensor]
) -> None:
    """Write the gradients of frequencies and phases, given those of the angles."""
    assert found.frequencies is not None
    of_turns = 2 * math.pi * of_angles
    found.frequencies.copy_((of_turns * trace.encoded).sum(-1, keepdim=True).mT)
    if found.phases is not None:
        found.phases.copy_(of_turns.sum(-1, keepdim=True).mT)


def angles_to_onnx(graph: Graph, encoded: str, parts: NumberParts[torch.Tensor]) -> str:
    """Append `angles` to an ONNX graph, as (rows, n_numbers, n_frequencies)."""
    assert parts.frequencies is not None
    turns = graph.constant(2 * math.pi * parts.frequencies.detach()[:, 0])
    found = graph.add("Mul", encoded, turns)
    if parts.phases is None:
        return found
    return graph.add("Add", found, graph.constant(2 * math.pi * parts.phases.detach()[:, 0]))
