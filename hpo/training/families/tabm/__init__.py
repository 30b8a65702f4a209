"""TabM, an ensemble of MLPs that share their weights: its configuration."""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from hpo.config.families import ModelConfig
from hpo.config.trial import Activation, Range


@dataclass(frozen=True, kw_only=True)
class TabMConfig(ModelConfig):
    """TabM: `k` MLPs of `depth` layers of `width` units, which share their weight matrices.

    The members differ by factors of each layer's inputs and outputs, by biases, and by output
    layers. With `mini`, they differ by factors of the features and by output layers only. Source:
    Gorishniy, Kotelnikov, Babenko 2024, https://arxiv.org/abs/2410.24210.
    """

    family: Literal["tabm"] = "tabm"
    k: Annotated[int, Range(ge=1, le=256)] = 32
    depth: Annotated[int, Range(ge=1, le=64)] = 3
    width: Annotated[int, Range(ge=1, le=65536)] = 256
    activation: Activation = "relu"
    dropout: Annotated[float, Range(ge=0, lt=1)] = 0.0
    mini: bool = False

    implementation: ClassVar[str] = "hpo.training.families.tabm.family"
