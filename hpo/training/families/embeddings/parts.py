"""The parameters of an input embedding."""

from collections.abc import Sequence
from typing import Generic, NamedTuple, TypeVar

SCALE_RATE = 6.0
"""Factor of the learning rate of scales (arXiv:2407.04491)."""

Part = TypeVar("Part")
Other = TypeVar("Other")


class NumberParts(NamedTuple, Generic[Part]):
    """One value for each parameter of an embedding of numbers; as in `EmbeddingParts`."""

    weight: Part
    bias: Part
    frequencies: Part | None = None
    phases: Part | None = None


class EmbeddingParts(NamedTuple, Generic[Part]):
    """One value for each parameter of an embedding; None for a parameter that does not exist.

    Weight decay acts on the first two. Tensors of a pack have a leading dimension for the slots.

    Attributes:
        weight: weights of the numbers, (n_numbers, n_entries, size); of a cosine embedding
            (n_numbers, 1, size), a factor for each entry.
        categories: an embedding for each category of each column, and one for unseen categories
            after those of a column, (rows, category_size).
        bias: biases of the numbers, (n_numbers, 1, size).
        frequencies: (n_numbers, 1, n_entries / 2) of a periodic embedding, (n_numbers, 1, size - 1)
            of a cosine embedding.
        phases: of a cosine embedding, as its frequencies.
        scale: (1, n_outputs). Outputs are multiplied by 1 + `SCALE_RATE` * scale. This multiplies
            the learning rate in optimizers that normalize gradients, such as Adam; in these, a
            larger gradient would have no effect.
    """

    weight: Part | None = None
    categories: Part | None = None
    bias: Part | None = None
    frequencies: Part | None = None
    phases: Part | None = None
    scale: Part | None = None

    @property
    def numbers(self) -> NumberParts[Part] | None:
        """The parameters of numbers, if these are embedded."""
        if self.weight is None or self.bias is None:
            return None
        return NumberParts(self.weight, self.bias, self.frequencies, self.phases)

    @property
    def weights(self) -> list[Part]:
        """The parameters that weight decay acts on."""
        return [part for part in self[:2] if part is not None]

    @property
    def others(self) -> list[Part]:
        """The other parameters."""
        return [part for part in self[2:] if part is not None]

    def filled(self, parts: Sequence[Other]) -> "EmbeddingParts[Other]":
        """Other values for the parameters that exist, given as `weights` and then `others`."""
        left = iter(parts)
        return EmbeddingParts(*[None if part is None else next(left) for part in self])
