"""Model families by name, and the base of their configurations.

A family is a kind of network, such as the MLP. Its configuration is a dataclass that needs no
torch, so that studies are read, searched and shown without it. What builds and trains its networks
is imported when it is first needed.

Installed packages add families by entry points of the group `hpo.families`. A family's name is only
ever looked up here: among the built-in families, then among the entry points that are installed.
"""

import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any, ClassVar

from hpo.config.errors import DefinitionError, first_line, nearest

GROUP = "hpo.families"
"""The group of entry points, `name = "module:ConfigClass"`, that add families."""
DEFAULT_FAMILY = "mlp"
BUILT_IN = {
    "mlp": "hpo.training.families.mlp:MLPConfig",
    "tabm": "hpo.training.families.tabm:TabMConfig",
}
"""The configurations of the built-in families, as `module:class`."""


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
    return [*BUILT_IN, *(name for name in sorted(_installed()) if name not in BUILT_IN)]


@cache
def config_type(family: str) -> type[ModelConfig]:
    """The configuration class of a family.

    Raises:
        DefinitionError: no such family is installed, or its entry point is unusable.
    """
    if len(found := _installed().get(family, [])) + (family in BUILT_IN) > 1:
        taken = "a built-in family" if family in BUILT_IN else "the family of another package"
        raise DefinitionError(f"{_said(found[-1])} takes the name of {taken}")
    if family in BUILT_IN:
        module, _, name = BUILT_IN[family].partition(":")
        built_in: type[ModelConfig] = getattr(import_module(module), name)
        return built_in
    if not found:
        names = family_names()
        raise DefinitionError(
            f"the model family {json.dumps(family)} is not installed{nearest(family, names)}; "
            f"installed families are {', '.join(names)}"
        )
    return _loaded(found[0])


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
    found = _installed().get(family, []) if family not in BUILT_IN else []
    return found[0].dist.name if found and found[0].dist else ""


@cache
def _installed() -> Mapping[str, list[EntryPoint]]:
    """The installed entry points by family."""
    found: dict[str, list[EntryPoint]] = {}
    for point in entry_points(group=GROUP):
        if all(point.value != other.value for other in found.get(point.name, [])):
            found.setdefault(point.name, []).append(point)
    return found


def _loaded(point: EntryPoint) -> type[ModelConfig]:
    try:
        kind = point.load()
    except Exception as error:  # a stranger's module may raise anything
        said = f"{type(error).__name__}: {first_line(error)}"
        raise DefinitionError(f"{_said(point)} cannot be imported ({said})") from error
    is_config = isinstance(kind, type) and issubclass(kind, ModelConfig)
    if not (is_config and "__dataclass_fields__" in vars(kind)):
        raise DefinitionError(
            f"{_said(point)} must be a dataclass derived from hpo.config.families.ModelConfig"
        )
    if (named := kind.__dict__.get("family")) != point.name:
        raise DefinitionError(
            f"{_said(point)} must have the default family = {json.dumps(point.name)}, "
            f"but got {json.dumps(named, default=str)}"
        )
    found: type[ModelConfig] = kind
    return found


def _said(point: EntryPoint) -> str:
    package = f" of the package {point.dist.name}" if point.dist else ""
    return f"the model family {point.name} ({point.value}{package})"


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
