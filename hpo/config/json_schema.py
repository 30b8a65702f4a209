"""JSON Schemas of study files and search spaces, for completion and validation in editors.

The schemas are generated from the types that `hpo.config.definition` and `hpo.config.space`
validate with. Rules between keys (`low` below `high`, a metric that suits the task) are not part of
a schema.
"""

from functools import reduce
from operator import or_
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import ConfigDict, TypeAdapter, create_model
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from hpo.config.definition import StudyFile
from hpo.config.families import DEFAULT_FAMILY, family_names
from hpo.config.leaves import FAMILY, SECTIONS, START, leaf_defaults, leaf_types
from hpo.config.ranges import Categorical, FloatRange, IntRange

DIALECT = "https://json-schema.org/draft/2020-12/schema"


class _TomlSchema(GenerateJsonSchema):
    """Omits null, which TOML lacks, and the titles of fields, which repeat their names."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        if schema.get("default", 0) is None:
            return self.generate_inner(schema["schema"])
        return super().default_schema(schema)

    def encode_default(self, dft: Any) -> Any:
        default = super().encode_default(dft)
        if isinstance(default, dict):
            return {key: value for key, value in default.items() if value is not None}
        return default

    def generate(self, schema: CoreSchema, mode: Any = "validation") -> JsonSchemaValue:
        return {"$schema": DIALECT, **super().generate(schema, mode)}


def study_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of a study file."""
    model = create_model(
        "Study",
        __base__=StudyFile,
        __doc__="A study file: what to search, on which table, by which metric, for how long.",
        search_space=str | _space(),
    )
    return TypeAdapter(model).json_schema(schema_generator=_TomlSchema)


def search_space_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of a search-space file."""
    return TypeAdapter(_space()).json_schema(schema_generator=_TomlSchema)


def _space() -> Any:
    """A model of the trial config's sections in which each leaf may be tunable, and of starts."""
    start = create_model(
        "Start",
        __config__=ConfigDict(extra="forbid"),
        __doc__="Leaves of a configuration that a study tries early; others have their defaults.",
        **_sections(is_tunable=False),
    )
    return create_model(
        "SearchSpace",
        __config__=ConfigDict(extra="forbid"),
        __doc__="A trial config in which some leaves are tunable; a constant is written as itself.",
        **{**_sections(is_tunable=True), START: (list[start], [])},  # type: ignore[valid-type]
    )


def _sections(*, is_tunable: bool) -> dict[str, Any]:
    """Models of all sections, as fields of another model."""
    return {name: (_section(name, config, is_tunable), {}) for name, config in SECTIONS.items()}


def _section(name: str, config: Any, is_tunable: bool) -> Any:
    """A model of a section; that of `[model]` has the leaves of every installed family."""
    families = family_names()
    defaults: dict[str, Any] = {}
    for family in reversed(families):  # where families differ, the default of the first
        defaults |= leaf_defaults(family)
    defaults[FAMILY] = DEFAULT_FAMILY
    leaves: dict[str, Any] = {}
    for path, types in leaf_types(tuple(families)).items():
        section, leaf = path.split(".")
        if section == name:
            ranges = [_ranges(type_) for type_ in types if is_tunable]
            default = defaults[path] if is_tunable else None  # a start has the space's defaults
            leaves[leaf] = (reduce(or_, [*types, *ranges]), default)
    return create_model(
        f"{'Tunable' if is_tunable else 'Start'}{name.capitalize()}Config",
        __config__=ConfigDict(extra="forbid"),
        __doc__=config.__doc__,
        **leaves,
    )


def _ranges(leaf: Any) -> Any:
    """The types of range that suit the type of a leaf."""
    if get_origin(leaf) in (Union, UnionType):  # an optional value
        leaf = get_args(leaf)[0]
    value_type = leaf.__origin__ if get_origin(leaf) is Annotated else leaf
    if value_type is float:
        return FloatRange | IntRange | Categorical
    return IntRange | Categorical if value_type is int else Categorical
