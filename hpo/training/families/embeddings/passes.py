"""What an input embedding computes, and its gradients, written out.

Formulas of Gorishniy, Rubachev and Babenko 2022 (arXiv:2203.05556):

    piecewise-linear (version B): e_j = w_j x_j + c_j + V_j encoding(x_j)
    periodic: e_j = relu(W_j [cos z_j, sin z_j] + b_j), z_j = 2 pi f_j x_j

and of Gorishniy, Kotelnikov, Rubachev and Babenko 2026 (arXiv:2607.05380):

    cosine: e_j = w_j * [x_j, cos z_j] + b_j, z_j = 2 pi (f_j x_j + p_j)

The first two are one matrix product of entries and weights: x_j is the entry before its encoding.
The third multiplies each entry by its weight. Tensors may have a leading dimension for the slots of
a pack, so that both engines and the module share this code. It computes in the type of the master
parameters: bfloat16 has too few digits for category codes and angles.

Rows are the last dimension of all tensors of numbers. Embeddings are small: products whose last
dimension is the embedding take three times as long on a CPU.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch.nn import functional

from hpo.training.families.embeddings.shape import SCALE_RATE, EmbeddingParts, EmbeddingShape
from hpo.training.families.leaves import EmbeddingConfig
from hpo.training.inputs import Inputs

LIMIT = 16.0
"""Numbers are clamped this many ranges of their column beyond the training part. Entries of the
first and the last bin are clamped this many widths beyond the bin."""

aten = torch.ops.aten


class Encoding(NamedTuple):
    """The encoding of numbers: entries (x - start) * slope, clamped to [low, high].

    Shapes are (n_numbers, n_entries, 1). Without bins there is only the first entry, x itself.
    """

    start: torch.Tensor
    slope: torch.Tensor
    low: torch.Tensor
    high: torch.Tensor


def encoding(knots: torch.Tensor, *, has_bins: bool) -> Encoding:
    """The encoding of numbers by their knots, (n_numbers, n_knots) as from `Inputs.knots`.

    The first entry is x. Entry t is the share of bin t that is below x, in [0, 1]; the first bin
    extends to -`LIMIT` and the last one to `LIMIT`. Entries of repeated knots are 0.
    """
    first, last = knots[:, :1], knots[:, -1:]
    far = LIMIT * (last - first)
    zero = torch.zeros_like(first)
    own = [zero, zero + 1, first - far, last + far]
    if not has_bins:
        return Encoding(*[part[..., None] for part in own])
    start, width = knots[:, :-1], knots.diff(dim=1)
    is_bin = width > 0
    place, n_bins = torch.arange(start.shape[1], device=knots.device), is_bin.sum(1, keepdim=True)
    ones = is_bin.to(knots.dtype)
    bins = [
        start,
        torch.where(is_bin, 1 / width, 0.0),
        torch.where(place == 0, -LIMIT, 0.0) * ones,
        torch.where(place == n_bins - 1, LIMIT, 1.0) * ones,
    ]
    return Encoding(*[torch.cat(pair, dim=1)[..., None] for pair in zip(own, bins, strict=True)])


class EmbeddingTrace(NamedTuple):
    """What the backward pass needs from the forward pass; None for parts that do not exist.

    Attributes:
        outputs: inputs of the first layer, (..., rows, n_outputs).
        unscaled: outputs before scaling.
        rows: rows of the table of categories, (..., rows, columns of codes).
        numbers: clamped numbers of an embedding with frequencies, (..., n_numbers, 1, rows).
        entries: entries of the numbers, (..., n_numbers, n_entries, rows).
        embedded: embeddings of the numbers, (..., n_numbers, size, rows).
    """

    outputs: torch.Tensor
    unscaled: torch.Tensor
    rows: torch.Tensor | None
    numbers: torch.Tensor | None
    entries: torch.Tensor | None
    embedded: torch.Tensor | None


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
            mask: 0 for padded entries of a periodic pack, (slots, 1, n_entries, 1).
        """
        self._shape = shape
        self._encoding = None
        if knots is not None:
            flat = encoding(knots.flatten(0, -2), has_bins=shape.kind == "piecewise_linear")
            self._encoding = Encoding(*[e.view(*knots.shape[:-1], *e.shape[1:]) for e in flat])
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
        rows = numbers = entries = embedded = None
        if values.categories is not None:
            rows = self._rows(x[..., n_plain:], values.categories)
            table = values.categories.reshape(-1, shape.category_size)
            parts.append(functional.embedding(rows, table).flatten(-2))
        if values.weight is not None and values.bias is not None:
            numbers, entries = self._entries(x[..., : shape.n_numbers], values)
            if shape.kind == "cosine":
                embedded = torch.addcmul(values.bias.mT, values.weight.mT, entries)
            else:
                embedded = values.weight.mT @ entries + values.bias.mT
            if shape.kind == "periodic":
                embedded = torch.relu(embedded)
            parts.append(embedded.movedim(-1, -3).mT.flatten(-2))
        outputs = unscaled = torch.cat(parts, dim=-1)
        if values.scale is not None:
            outputs = unscaled * (1 + SCALE_RATE * values.scale)
        return EmbeddingTrace(outputs, unscaled, rows, numbers, entries, embedded)

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
        if trace.entries is not None and trace.embedded is not None:
            own = gradient[..., end:].reshape(*gradient.shape[:-1], shape.size, shape.n_numbers)
            self._write_numbers(own.mT.movedim(-3, -1).contiguous(), trace, values, found)

    def _write_numbers(
        self,
        gradient: torch.Tensor,
        trace: EmbeddingTrace,
        values: EmbeddingParts[torch.Tensor],
        found: EmbeddingParts[torch.Tensor],
    ) -> None:
        """Write the gradients of the numbers' parameters, from (..., n_numbers, size, rows)."""
        entries, numbers = trace.entries, trace.numbers
        assert entries is not None
        assert numbers is not None
        assert values.weight is not None
        assert found.weight is not None
        assert found.bias is not None
        if self._shape.kind == "periodic":
            gradient = aten.threshold_backward(gradient, trace.embedded, 0)
        found.bias.copy_(gradient.sum(-1, keepdim=True).mT)
        if self._shape.kind == "cosine":
            found.weight.copy_((gradient * entries).sum(-1, keepdim=True).mT)
            of_angles = (values.weight.mT * gradient)[..., 1:, :] * -_angles(numbers, values).sin()
        else:
            found.weight.copy_((gradient @ entries.mT).mT)
        if self._shape.kind == "periodic":
            of_entries = values.weight @ gradient
            of_angles = of_entries[..., 1::2, :] * entries[..., ::2, :]
            of_angles = of_angles - of_entries[..., ::2, :] * entries[..., 1::2, :]
        if found.frequencies is not None:
            of_turns = 2 * math.pi * of_angles
            found.frequencies.copy_((of_turns * numbers).sum(-1, keepdim=True).mT)
            if found.phases is not None:
                found.phases.copy_(of_turns.sum(-1, keepdim=True).mT)

    def _entries(
        self, x: torch.Tensor, values: EmbeddingParts[torch.Tensor]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Clamped numbers (..., n_numbers, 1, rows) and their entries (..., n_entries, rows).

        The entries of a periodic embedding are cosine and sine of each frequency in turn, so that
        the entries of fewer frequencies are the first ones. Those of a cosine embedding are the
        number itself and the cosines.
        """
        assert self._encoding is not None
        start, slope, low, high = self._encoding
        found = (x.mT.contiguous()[..., None, :] - start).mul_(slope)
        found = found.clamp_min_(low).clamp_max_(high)  # `clamp` is slow with two tensors
        if values.frequencies is None:
            return found, found
        angles = _angles(found, values)
        if self._shape.kind == "cosine":
            return found, torch.cat([found, angles.cos()], dim=-2)
        entries = torch.stack([angles.cos(), angles.sin()], dim=-2).flatten(-3, -2)
        return found, entries if self._mask is None else entries * self._mask

    def _rows(self, codes: torch.Tensor, categories: torch.Tensor) -> torch.Tensor:
        """Rows of the flat table of categories, (..., rows, n_columns)."""
        rows = codes.long() + self._offsets
        if categories.ndim == 2:
            return rows
        slots = torch.arange(len(categories), device=codes.device) * categories.shape[1]
        return rows + slots[:, None, None]


def _angles(numbers: torch.Tensor, values: EmbeddingParts[torch.Tensor]) -> torch.Tensor:
    """Angles of the frequencies, (..., n_numbers, n_frequencies, rows)."""
    assert values.frequencies is not None
    angles = numbers * (2 * math.pi * values.frequencies.mT)
    return angles if values.phases is None else angles + 2 * math.pi * values.phases.mT


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
    if shape.kind == "piecewise_linear":
        all_knots = [inputs.knots(config.n_bins) for config in configs]
        missing = [shape.n_entries - knots.shape[1] for knots in all_knots]
        padded = [
            torch.cat([knots, knots[:, -1:].expand(-1, n)], dim=1)
            for knots, n in zip(all_knots, missing, strict=True)
        ]
        return EmbeddingPasses(shape, torch.stack(padded).to(device, dtype), device)
    knots = inputs.knots(1).expand(len(configs), -1, -1).to(device, dtype)
    if shape.kind == "cosine":  # the weights of padded entries are 0 and stay 0
        return EmbeddingPasses(shape, knots, device)
    n_entries = torch.tensor([2 * config.n_frequencies for config in configs])
    mask = torch.arange(shape.n_entries) < n_entries[:, None]
    return EmbeddingPasses(shape, knots, device, mask[:, None, :, None].to(device, dtype))
