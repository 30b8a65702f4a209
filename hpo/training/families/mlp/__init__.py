"""The multilayer perceptron (MLP): its configuration."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from hpo.training.families.leaves import EmbeddingConfig, HiddenLayersConfig


@dataclass(frozen=True, kw_only=True)
class MLPConfig(EmbeddingConfig, HiddenLayersConfig):
    """An MLP: `depth` hidden layers of `width` units, each followed by activation and dropout.

    Attributes:
        scale: whether the first layer's inputs are multiplied by learned factors
            (arXiv:2407.04491).
    """

    family: Literal["mlp"] = "mlp"
    scale: bool = False

    implementation: ClassVar[str] = "hpo.training.families.mlp.family"
