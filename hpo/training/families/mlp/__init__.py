"""The multilayer perceptron (MLP): its configuration."""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from hpo.config.families import ModelConfig
from hpo.config.trial import Activation, Range


@dataclass(frozen=True, kw_only=True)
class MLPConfig(ModelConfig):
    """An MLP: `depth` hidden layers of `width` units, each followed by activation and dropout."""

    family: Literal["mlp"] = "mlp"
    depth: Annotated[int, Range(ge=1, le=64)] = 3
    width: Annotated[int, Range(ge=1, le=65536)] = 256
    activation: Activation = "relu"
    dropout: Annotated[float, Range(ge=0, lt=1)] = 0.0

    implementation: ClassVar[str] = "hpo.training.families.mlp.family"
