"""The multilayer perceptron (MLP): its configuration."""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from hpo.config.families import ModelConfig
from hpo.config.trial import STRICT, Range

Activation = Literal["relu", "leaky_relu", "tanh", "sigmoid", "silu", "gelu", "mish"]


@dataclass(frozen=True, kw_only=True)
class MLPConfig(ModelConfig):
    """An MLP: `depth` hidden layers of `width` units, each followed by activation and dropout."""

    depth: Annotated[int, Range(ge=1, le=64)] = 3
    width: Annotated[int, Range(ge=1, le=65536)] = 256
    activation: Activation = "relu"
    dropout: Annotated[float, Range(ge=0, lt=1)] = 0.0

    implementation: ClassVar[str] = "hpo.training.families.mlp.family"
    __pydantic_config__ = STRICT
