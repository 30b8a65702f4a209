"""TabM, an ensemble of MLPs that share their weights: its configuration."""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from hpo.config.trial import Range
from hpo.training.families.leaves import EmbeddingConfig, HiddenLayersConfig


@dataclass(frozen=True, kw_only=True)
class TabMConfig(EmbeddingConfig, HiddenLayersConfig):
    """TabM: `k` MLPs of `depth` layers of `width` units, which share their weight matrices.

    The members differ by factors of each layer's inputs and outputs, by biases, and by output
    layers. With `mini`, they differ by factors of the first layer's inputs and by output layers
    only. All members share the embeddings. Source: Gorishniy, Kotelnikov, Babenko 2024,
    https://arxiv.org/abs/2410.24210.
    """

    family: Literal["tabm"] = "tabm"
    k: Annotated[int, Range(ge=1, le=256)] = 32
    mini: bool = False

    implementation: ClassVar[str] = "hpo.training.families.tabm.family"
