"""Leaves that several families share, as bases of their configurations."""

from dataclasses import dataclass
from typing import Annotated, Literal

from hpo.config.families import ModelConfig
from hpo.config.trial import Activation, Range

Embedding = Literal["none", "piecewise_linear", "periodic", "cosine"]


@dataclass(frozen=True, kw_only=True)
class HiddenLayersConfig(ModelConfig):
    """`depth` hidden layers of `width` units, each followed by activation and dropout."""

    depth: Annotated[int, Range(ge=1, le=64)] = 3
    width: Annotated[int, Range(ge=1, le=65536)] = 256
    activation: Activation = "relu"
    dropout: Annotated[float, Range(ge=0, lt=1)] = 0.0

    def describe_layers(self) -> str:
        """The hidden layers in a few words, for model cards."""
        layers = "1 hidden layer" if self.depth == 1 else f"{self.depth} hidden layers"
        dropout = f", dropout {self.dropout:.3g}" if self.dropout else ""
        return f"{layers} of {self.width} units ({self.activation}{dropout})"


@dataclass(frozen=True, kw_only=True)
class EmbeddingConfig(ModelConfig):
    """How numbers and categories enter the first layer.

    Attributes:
        embedding: learned embedding of each number (arXiv:2203.05556; cosine: arXiv:2607.05380).
        embedding_size: size of a number's embedding; of a cosine embedding, the number itself and
            one cosine for each further component.
        n_bins: bins of a piecewise-linear embedding, between quantiles of the training part. A
            column with fewer distinct values has fewer bins.
        n_frequencies: frequencies of a periodic embedding.
        sigma: standard deviation of the initial frequencies of a periodic or cosine embedding.
        category_size: size of the learned embedding of a category that is not one-hot.
    """

    embedding: Embedding = "none"
    embedding_size: Annotated[int, Range(ge=1, le=1024)] = 8
    n_bins: Annotated[int, Range(ge=1, le=4096)] = 48
    n_frequencies: Annotated[int, Range(ge=1, le=4096)] = 24
    sigma: Annotated[float, Range(gt=0, le=100)] = 0.1
    category_size: Annotated[int, Range(ge=1, le=1024)] = 8

    def describe_embedding(self) -> str:
        """The embedding of numbers in a few words, for model cards; empty without one."""
        kind = {
            "none": "",
            "piecewise_linear": f"piecewise-linear embeddings of up to {self.n_bins} bins",
            "periodic": f"periodic embeddings of {self.n_frequencies} frequencies",
            "cosine": "cosine embeddings",
        }[self.embedding]
        return f"{kind} and size {self.embedding_size} for numbers" if kind else ""
