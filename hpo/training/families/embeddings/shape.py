"""The parameters of an input embedding, and their shapes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

from hpo.training.families.leaves import Embedding, EmbeddingConfig
from hpo.training.inputs import Inputs

SCALE_RATE = 6.0
"""Factor of the learning rate of scales (arXiv:2407.04491)."""

Part = TypeVar("Part")
Other = TypeVar("Other")


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

    weight: Part | None
    categories: Part | None
    bias: Part | None
    frequencies: Part | None
    phases: Part | None
    scale: Part | None

    @classmethod
    def none(cls) -> "EmbeddingParts[Part]":
        """The parts of a network without an embedding."""
        return EmbeddingParts(*[None] * len(cls._fields))

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


@dataclass(frozen=True, kw_only=True)
class EmbeddingShape:
    """The sizes of an embedding.

    The outputs are the plain features, the embeddings of categories, and the embeddings of numbers:
    the first component of every number, then the second, and so on. The outputs of a network with
    smaller embeddings of numbers are therefore the first ones in a pack.

    Attributes:
        kind: embedding of the numbers.
        has_scale: whether outputs are scaled.
        n_numbers: number of embedded numbers, which are the first columns.
        n_plain: number of features that are not embedded, which are the next columns.
        sizes: number of categories of each column of codes, which are the last columns.
        n_entries: number of entries that encode a number.
        size: size of a number's embedding.
        category_size: size of a category's embedding.
    """

    kind: Embedding
    has_scale: bool
    n_numbers: int
    n_plain: int
    sizes: tuple[int, ...]
    n_entries: int
    size: int
    category_size: int

    @classmethod
    def of(
        cls, config: EmbeddingConfig, inputs: Inputs, *, has_scale: bool = False
    ) -> "EmbeddingShape":
        """The shape for a network's inputs."""
        n_numbers = 0 if config.embedding == "none" else inputs.n_numbers
        n_entries = {
            "none": 1,
            "piecewise_linear": 1 + config.n_bins,
            "periodic": 2 * config.n_frequencies,
            "cosine": config.embedding_size,
        }[config.embedding]
        return cls(
            kind=config.embedding,
            has_scale=has_scale,
            n_numbers=n_numbers,
            n_plain=inputs.n_numbers - n_numbers + inputs.n_others,
            sizes=inputs.sizes,
            n_entries=n_entries,
            size=config.embedding_size,
            category_size=config.category_size,
        )

    @property
    def n_outputs(self) -> int:
        """Features for the first layer."""
        return self.n_plain + len(self.sizes) * self.category_size + self.n_numbers * self.size

    @property
    def columns(self) -> list[int]:
        """The column of the input that each output is computed from."""
        n_uncoded = self.n_numbers + self.n_plain
        codes = range(n_uncoded, n_uncoded + len(self.sizes))
        return [
            *range(self.n_numbers, n_uncoded),
            *[column for column in codes for _ in range(self.category_size)],
            *[*range(self.n_numbers)] * self.size,
        ]

    @property
    def is_trivial(self) -> bool:
        """Whether features are neither embedded nor scaled."""
        return not (self.n_numbers or self.sizes or self.has_scale)

    @property
    def shapes(self) -> EmbeddingParts[tuple[int, ...]]:
        """Shapes of the parameters of one network."""
        n = self.n_numbers
        n_rows = sum(self.sizes) + len(self.sizes)
        is_cosine = self.kind == "cosine"
        n_frequencies = {"periodic": self.n_entries // 2, "cosine": self.size - 1}.get(self.kind)
        frequencies = (n, 1, n_frequencies) if n and n_frequencies is not None else None
        return EmbeddingParts(
            weight=(n, 1 if is_cosine else self.n_entries, self.size) if n else None,
            categories=(n_rows, self.category_size) if n_rows else None,
            bias=(n, 1, self.size) if n else None,
            frequencies=frequencies,
            phases=frequencies if is_cosine else None,
            scale=(1, self.n_outputs) if self.has_scale else None,
        )
