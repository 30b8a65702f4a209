"""The sizes of an input embedding."""

from dataclasses import dataclass

from hpo.training.families.embeddings.cosine import Cosine
from hpo.training.families.embeddings.numbers import NumberEmbedding
from hpo.training.families.embeddings.parts import EmbeddingParts
from hpo.training.families.embeddings.periodic import Periodic
from hpo.training.families.embeddings.piecewise_linear import PiecewiseLinear
from hpo.training.families.leaves import Embedding, EmbeddingConfig
from hpo.training.inputs import Inputs

NUMBER_EMBEDDINGS: dict[Embedding, NumberEmbedding] = {
    "piecewise_linear": PiecewiseLinear(),
    "periodic": Periodic(),
    "cosine": Cosine(),
}


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
        return cls(
            kind=config.embedding,
            has_scale=has_scale,
            n_numbers=n_numbers,
            n_plain=inputs.n_numbers - n_numbers + inputs.n_others,
            sizes=inputs.sizes,
            n_entries=NUMBER_EMBEDDINGS[config.embedding].n_entries(config) if n_numbers else 1,
            size=config.embedding_size,
            category_size=config.category_size,
        )

    @property
    def number_embedding(self) -> NumberEmbedding:
        """The embedding of the numbers.

        Raises:
            KeyError: the kind is "none".
        """
        return NUMBER_EMBEDDINGS[self.kind]

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
        n_rows = sum(self.sizes) + len(self.sizes)
        of_numbers = {}
        if self.n_numbers:
            found = self.number_embedding.shapes(self.n_numbers, self.n_entries, self.size)
            of_numbers = found._asdict()
        return EmbeddingParts(
            **of_numbers,
            categories=(n_rows, self.category_size) if n_rows else None,
            scale=(1, self.n_outputs) if self.has_scale else None,
        )
