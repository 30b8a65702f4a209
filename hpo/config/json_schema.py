"""JSON Schema of study files and search spaces, which editors complete and check TOML by.

Everything is read off the types that `hpo.config.definition` and `hpo.config.space` check by, so
that the two cannot drift apart. Rules between keys (`low` below `high`, a metric that suits the
task) are beyond a schema and stay with those modules.
"""

from dataclasses import fields
from typing import Annotated, Any, get_origin

from pydantic import ConfigDict, Field, TypeAdapter, create_model
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from hpo.config.definition import Budget, StudyData, StudyFile
from hpo.config.ranges import Categorical, FloatRange, IntRange
from hpo.config.space import SECTIONS
from hpo.config.strategies import Pruner, Sampler
from hpo.config.trial import ObjectiveConfig, TrainingConfig

DIALECT = "https://json-schema.org/draft/2020-12/schema"


class _TomlSchema(GenerateJsonSchema):
    """Without what TOML does not have (null) and what says nothing new (titles of fields)."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        if schema.get("default", 0) is None:
            return self.generate_inner(schema["schema"])
        return super().default_schema(schema)

    def generate(self, schema: CoreSchema, mode: Any = "validation") -> JsonSchemaValue:
        return {"$schema": DIALECT, **super().generate(schema, mode)}


def study_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of a study file."""
    model = create_model(
        "Study",
        __base__=StudyFile,
        __doc__="A study file: what to search, on which table, by which metric, for how long.",
        search_space=str | _space(),
        data=StudyData,
        objective=ObjectiveConfig,
        training=(TrainingConfig, {}),
        sampler=Annotated[Sampler, Field(discriminator="name", default={"name": "tpe"})],
        pruner=Annotated[Pruner, Field(discriminator="name", default={"name": "median"})],
        budget=(Budget, {}),
    )
    return TypeAdapter(model).json_schema(schema_generator=_TomlSchema)


def search_space_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of a search-space file."""
    return TypeAdapter(_space()).json_schema(schema_generator=_TomlSchema)


def _space() -> Any:
    """A model of the trial config's sections in which every leaf may be tunable."""
    sections: dict[str, Any] = {name: (_section(name, kind), {}) for name, kind in SECTIONS.items()}
    return create_model(
        "SearchSpace",
        __config__=ConfigDict(extra="forbid"),
        __doc__="A trial config in which some leaves are tunable; a constant is written as itself.",
        **sections,
    )


def _section(name: str, kind: Any) -> Any:
    leaves: dict[str, Any] = {
        field.name: (field.type | _ranges(field.type), field.default) for field in fields(kind)
    }
    return create_model(
        f"Tunable{name.capitalize()}Config",
        __config__=ConfigDict(extra="forbid"),
        __doc__=kind.__doc__,
        **leaves,
    )


def _ranges(leaf: Any) -> Any:
    """The kinds of range that suit a leaf's type."""
    match leaf.__origin__ if get_origin(leaf) is Annotated else leaf:
        case kind if kind is float:
            return FloatRange | IntRange | Categorical
        case kind if kind is int:
            return IntRange | Categorical
    return Categorical
