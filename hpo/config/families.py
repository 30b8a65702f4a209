"""Model families by name, and the base of their configurations.

A family is a kind of network, such as the MLP. Its configuration is a dataclass that needs no
torch, so that studies are read, searched and shown without it. What builds and trains its networks
is imported when it is first needed.

Installed packages add families by entry points of the group `hpo.families`.
"""

import dataclasses
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint
from typing import Any, ClassVar

from hpo.config.entry_points import Registry
from hpo.config.errors import DefinitionError, nearest

GROUP = "hpo.families"
"""The group of entry points, `name = "module:ConfigClass"`, that add families."""
DEFAULT_FAMILY = "mlp"
BUILT_IN = {
    "mlp": "hpo.training.families.mlp:MLPConfig",
    "tabm": "hpo.training.families.tabm:TabMConfig",
}
"""The configurations of the built-in families, as `module:class`."""
REGISTRY = Registry(
    group=GROUP, kind="model family", short="family", several="families", built_in=BUILT_IN
)


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The section `[model]`: the model family and its leaves, which subclasses add.

    Attributes:
        family: the family's name, which each subclass gives as the default.
        implementation: the module whose `FAMILY` is the `hpo.training.families.family.Family` of
            these networks; by default the module of the subclass itself.
    """

    family: str = DEFAULT_FAMILY

    implementation: ClassVar[str]
    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    def __init_subclass__(cls) -> None:
        """Look for the family in the module of the subclass unless it names another."""
        cls.implementation = cls.__dict__.get("implementation", cls.__module__)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        """Read the section as the configuration of the family that it names."""
        if cls is not ModelConfig:
            return handler(source)
        from pydantic_core import core_schema  # here: training needs no pydantic

        return core_schema.no_info_plain_validator_function(_read)


def model_tree(model: ModelConfig) -> dict[str, Any]:
    """The section `[model]` as files hold it: the default family is not named."""
    tree = dataclasses.asdict(model)
    if model.family == DEFAULT_FAMILY:
        del tree["family"]
    return tree


def family_names() -> list[str]:
    """The names of the built-in families, then of the installed ones."""
    return REGISTRY.names()


@cache
def config_type(family: str) -> type[ModelConfig]:
    """The configuration class of a family.

    Raises:
        DefinitionError: no such family is installed, or its entry point is unusable.
    """
    if (point := REGISTRY.find(family)) is not None:
        return _loaded(point)
    module, _, name = BUILT_IN[family].partition(":")
    built_in: type[ModelConfig] = getattr(import_module(module), name)
    return built_in


def leaf_fields(family: str) -> dict[str, dataclasses.Field[Any]]:
    """The leaves of a family by name; the first is `family` itself."""
    return {field.name: field for field in dataclasses.fields(config_type(family))}


def owners(leaf: str, families: Iterable[str]) -> list[str]:
    """The families that have a leaf."""
    return [family for family in families if leaf in leaf_fields(family)]


def unknown_leaf(leaf: str, families: Sequence[str]) -> str:
    """The sentence about a leaf that none of the families has."""
    known = list(dict.fromkeys(name for family in families for name in leaf_fields(family)))
    others = " and ".join(owners(leaf, BUILT_IN))
    what = f"unknown key{nearest(leaf, known)}"
    if others:
        what = f"not a leaf of the family {' or '.join(families)}, but of {others}"
    return f"{what}; known keys are {', '.join(known)}"


def package_of(family: str) -> str:
    """The installed package that adds a family; empty for a built-in one."""
    return REGISTRY.package_of(family)


def _loaded(point: EntryPoint) -> type[ModelConfig]:
    kind = REGISTRY.load(point)
    is_config = isinstance(kind, type) and issubclass(kind, ModelConfig)
    if not (is_config and "__dataclass_fields__" in vars(kind)):
        raise DefinitionError(
            f"{REGISTRY.describe(point)} must be a dataclass derived from "
            "hpo.config.families.ModelConfig"
        )
    if (named := kind.__dict__.get("family")) != point.name:
        raise DefinitionError(
            f"{REGISTRY.describe(point)} must have the default family = {json.dumps(point.name)}, "
            f"but got {json.dumps(named, default=str)}"
        )
    found: type[ModelConfig] = kind
    return found


@cache
def _adapter(family: str) -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(config_type(family))


def _read(tree: Any) -> ModelConfig:
    """Build the configuration of the family that a table names, strictly."""
    from pydantic_core import PydanticKnownError

    if not isinstance(tree, dict):
        raise PydanticKnownError("dict_type")
    family = tree.get("family", DEFAULT_FAMILY)
    if not isinstance(family, str):
        raise _located("family", family)
    try:
        config_type(family)
    except DefinitionError as error:
        raise _located("family", family, str(error)) from None
    for name, value in tree.items():
        if not owners(name, [family]):
            raise _located(name, value, unknown_leaf(name, [family]))
    found: ModelConfig = _adapter(family).validate_json(json.dumps(tree), strict=True)
    return found


def _located(key: str, value: Any, problem: str | None = None) -> Exception:
    """An error of pydantic's at a key of the section; without a problem, "must be a string"."""
    from pydantic_core import InitErrorDetails, PydanticCustomError, ValidationError

    type_ = PydanticCustomError("value_error", "{error}", {"error": problem}) if problem else None
    details = InitErrorDetails(type=type_ or "string_type", loc=(key,), input=value)
    return ValidationError.from_exception_data("model", [details])
