"""Model families by name, and the base of their configurations.

A family is a kind of network, such as the MLP. Its configuration is a dataclass that needs no
torch, so that studies are read, searched and shown without it; what builds and trains its networks
is imported when it is first needed.
"""

from dataclasses import dataclass
from importlib import import_module
from typing import Any, ClassVar

DEFAULT_FAMILY = "mlp"
FAMILIES = {"mlp": "hpo.training.families.mlp:MLPConfig"}
"""Each family's configuration, as `module:class`."""


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Base class of the `[model]` section; each family adds its own leaves.

    Attributes:
        implementation: the module whose `FAMILY` is the `hpo.training.families.family.Family` of
            these networks.
    """

    implementation: ClassVar[str]

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        """Read the section as the default family's configuration where only the base is named."""
        return handler(config_type(DEFAULT_FAMILY) if cls is ModelConfig else source)


def config_type(family: str) -> type[ModelConfig]:
    """The configuration class of a family."""
    module, _, name = FAMILIES[family].partition(":")
    found: type[ModelConfig] = getattr(import_module(module), name)
    return found
