"""What an input embedding computes, and its gradients, written out.

Tensors may have a leading dimension for the slots of a pack. All is computed in the type of the
master parameters: bfloat16 has too few digits for category codes.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch.nn import functional

from hpo.training.families.embeddings.numbers import NumberTrace
from hpo.training.families.embeddings.parts import SCALE_RATE, EmbeddingParts
from hpo.training.families.embeddings.shape import EmbeddingShape
from hpo.training.families.leaves import EmbeddingConfig
from hpo.training.inputs import Inputs

aten = torch.ops.aten


class EmbeddingTrace(NamedTuple):
    """What the backward pass needs from the forward pass; None for parts that do not exist.

    Attributes:
        outputs: inputs of the first layer, (..., rows, n_outputs).
        unscaled: outputs before scaling.
        rows: rows of the table of categories, (..., rows, columns of codes).
        numbers: of the embedding of numbers.
    """

    outputs: torch.Tensor
    unscaled: torch.Tensor
    rows: torch.Tensor | None
    numbers: NumberTrace | None


class EmbeddingPasses:
    """The forward and backward pass of an embedding, for one network or the slots of a pack."""

    def __init__(
        self,
        shape: EmbeddingShape,
        knots: torch.Tensor | None,
        device: torch.device,
        mask: torch.Tensor | None = None,
    ) -> None:
        """Prepare for batches.

        Args:
            shape: shape of the embedding, padding included.
            knots: (n_numbers, n_knots), with a leading dimension for the slots of a pack; None if
                numbers are not embedded.
            device: device of the parameters.
            mask: of padded entries, as from `NumberEmbedding.padding`.
        """
        self._shape = shape
        self._encoding = None
        if knots is not None:
            self._encoding = shape.number_embedding.encoding(knots)
        self._mask = mask
        sizes = torch.tensor(shape.sizes, dtype=torch.int64) + 1
        self._offsets = (sizes.cumsum(0) - sizes).to(device)

    def forward(self, x: torch.Tensor, values: EmbeddingParts[torch.Tensor]) -> EmbeddingTrace:
        """Embed a batch.

        Args:
            x: (..., rows, n_columns) in the type of the parameters.
            values: the parameters.
        """
        shape = self._shape
        n_plain = shape.n_numbers + shape.n_plain
        parts = [x[..., shape.n_numbers : n_plain]]
        rows = numbers = None
        if values.categories is not None:
            rows = self._rows(x[..., n_plain:], values.categories)
            table = values.categories.reshape(-1, shape.category_size)
            parts.append(functional.embedding(rows, table).flatten(-2))
        if self._encoding is not None and values.numbers is not None:
            encoded = self._encoding(x[..., : shape.n_numbers])
            numbers = shape.number_embedding.forward(encoded, values.numbers, self._mask)
            parts.append(numbers.embedded.movedim(-1, -3).mT.flatten(-2))
        outputs = unscaled = torch.cat(parts, dim=-1)
        if values.scale is not None:
            outputs = unscaled * (1 + SCALE_RATE * values.scale)
        return EmbeddingTrace(outputs, unscaled, rows, numbers)

    def backward(
        self,
        gradient: torch.Tensor,
        trace: EmbeddingTrace,
        values: EmbeddingParts[torch.Tensor],
        found: EmbeddingParts[torch.Tensor],
    ) -> None:
        """Write the gradients of the parameters.

        Args:
            gradient: of the outputs, (..., rows, n_outputs).
            trace: of the forward pass.
            values: the parameters.
            found: receives their gradients.
        """
        shape = self._shape
        if values.scale is not None and found.scale is not None:
            found.scale.copy_(SCALE_RATE * (gradient * trace.unscaled).sum(-2, keepdim=True))
            gradient = gradient * (1 + SCALE_RATE * values.scale)
        n_categories = len(shape.sizes) * shape.category_size
        end = shape.n_plain + n_categories
        if trace.rows is not None and found.categories is not None:
            own = gradient[..., shape.n_plain : end].reshape(-1, shape.category_size)
            n_rows = found.categories.numel() // shape.category_size
            own = aten.embedding_dense_backward(own, trace.rows.flatten(), n_rows, -1, False)
            found.categories.copy_(own.view_as(found.categories))
        if trace.numbers is not None and values.numbers is not None and found.numbers is not None:
            own = gradient[..., end:].reshape(*gradient.shape[:-1], shape.size, shape.n_numbers)
            own = own.mT.movedim(-3, -1).contiguous()
            shape.number_embedding.backward(own, trace.numbers, values.numbers, found.numbers)

    def _rows(self, codes: torch.Tensor, categories: torch.Tensor) -> torch.Tensor:
        """Rows of the flat table of categories, (..., rows, n_columns)."""
        rows = codes.long() + self._offsets
        if categories.ndim == 2:
            return rows
        slots = torch.arange(len(categories), device=codes.device) * categories.shape[1]
        return rows + slots[:, None, None]


def packed_embedding(
    shape: EmbeddingShape,
    configs: Sequence[EmbeddingConfig],
    inputs: Inputs,
    dtype: torch.dtype,
    device: torch.device,
) -> EmbeddingPasses | None:
    """The passes of a pack's embeddings; None if features enter as they are.

    Args:
        shape: padding included.
        configs: of the networks, by slot.
        inputs: of all of them.
        dtype: the master type.
        device: to compute on.
    """
    if shape.is_trivial:
        return None
    if not shape.n_numbers:
        return EmbeddingPasses(shape, None, device)
    knots, mask = (
        shape.number_embedding.padded_knots(configs, inputs),
        shape.number_embedding.padding(configs),
    )
    if mask is not None:
        mask = mask.to(device, dtype)
    return EmbeddingPasses(shape, knots.to(device, dtype), device, mask)
