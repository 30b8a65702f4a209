"""The leaves of a trial configuration by dotted path: types, defaults, and how spaces hold them.

A leaf is one key of a section. What a file holds of a leaf is read here; which leaves exist beside
each other is known to `hpo.config.space`.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import fields
from functools import cache
from typing import Any, Literal

from hpo.config.errors import DefinitionError, nearest
from hpo.config.families import DEFAULT_FAMILY, ModelConfig, config_type, owners, unknown_leaf
from hpo.config.parsing import Key, dotted, format_value, validate
from hpo.config.ranges import Categorical, Leaf, Value
from hpo.config.trial import OptimizerConfig, PreprocessingConfig, TrainingConfig

SECTIONS: dict[str, type[Any]] = {
    "preprocessing": PreprocessingConfig,
    "model": ModelConfig,
    "optimizer": OptimizerConfig,
    "training": TrainingConfig,
}
FAMILY = "model.family"
START = "start"
"""The key of a space's starts; all other keys are sections."""


@cache
def leaf_types(families: tuple[str, ...]) -> dict[str, tuple[Any, ...]]:
    """The types of all leaves by dotted path; in `[model]`, one for each family that has the leaf.

    Raises:
        DefinitionError: a family is not installed.
    """
    types: dict[str, tuple[Any, ...]] = {FAMILY: (Literal[families],)}
    for family in families:
        for path, leaf in _fields(family).items():
            if path != FAMILY:
                known = types.get(path, ())
                types[path] = known if leaf.type in known else (*known, leaf.type)
    return types


@cache
def leaf_defaults(family: str) -> dict[str, Value]:
    """The defaults of all leaves of a family by dotted path."""
    return {path: leaf.default for path, leaf in _fields(family).items()}


def _fields(family: str) -> dict[str, Any]:
    return {
        f"{section}.{field.name}": field
        for section, kind in SECTIONS.items()
        for field in fields(config_type(family) if kind is ModelConfig else kind)
    }


def read_families(tree: Mapping[str, Any], where: str) -> tuple[str, ...]:
    """The model families of a space, whose leaves it may have."""
    model = tree.get("model")
    node = model.get("family", DEFAULT_FAMILY) if isinstance(model, Mapping) else DEFAULT_FAMILY
    if isinstance(node, Mapping):
        if "when" in node:
            raise DefinitionError(f"{where}: {FAMILY}.when: every trial must have a family")
        named = validate(Leaf, node, where, (FAMILY,))
        node = list(named.choices) if isinstance(named, Categorical) else [DEFAULT_FAMILY]
    families = tuple(validate(str, name, where, (FAMILY,)) for name in listed(node))
    for family in families:
        try:
            config_type(family)
        except DefinitionError as error:
            raise DefinitionError(f"{where}: {FAMILY}: {error}") from None
    return families


def read_leaves(
    tree: Mapping[str, Any], families: Sequence[str], where: str, prefix: Key = ()
) -> Iterator[tuple[str, Any]]:
    """The content of each leaf by dotted path; `prefix` is the key of `tree` in its file."""
    for section, table in tree.items():
        if section not in SECTIONS:
            hint = nearest(section, SECTIONS if prefix else [*SECTIONS, START])
            raise DefinitionError(
                f"{where}: {dotted((*prefix, section))}: unknown section{hint}; "
                f"known sections are {', '.join(SECTIONS)}"
            )
        if not isinstance(table, Mapping):
            key = dotted((*prefix, section))
            raise DefinitionError(f"{where}: {key}: must be a table, but got {format_value(table)}")
        for name, node in table.items():
            if section == "model" and not owners(name, families):
                problem = unknown_leaf(name, families)
                raise DefinitionError(f"{where}: {dotted((*prefix, section, name))}: {problem}")
            known = [field.name for field in fields(SECTIONS[section])]
            if section != "model" and name not in known:
                problem = f"unknown key{nearest(name, known)}; known keys are {', '.join(known)}"
                raise DefinitionError(f"{where}: {dotted((*prefix, section, name))}: {problem}")
            yield f"{section}.{name}", node


def read_tunable(path: str, node: Mapping[str, Any], families: tuple[str, ...], where: str) -> Leaf:
    """Validate a tunable leaf, and its values against the type of the leaf."""
    leaf: Leaf = validate(Leaf, node, where, (path,))
    if isinstance(leaf, Categorical):
        choices, default = suited(path, leaf.choices, families, where, (path, "choices")), None
        if leaf.default is not None:
            (default,) = suited(path, (leaf.default,), families, where, (path, "default"))
        leaf = leaf.model_copy(update={"choices": choices, "default": default})
    else:
        suited(path, (leaf.low,), families, where, (path, "low"))
        suited(path, (leaf.high,), families, where, (path, "high"))
    if leaf.or_zero:
        suited(path, (0,), families, where, (path, "or_zero"))
    types = leaf_types(families)
    for other, wanted in leaf.when.items():
        if other not in types or other == path:
            hint = nearest(other, types)
            raise DefinitionError(
                f"{where}: {path}.when: {format_value(other)} is not another leaf{hint}"
            )
        if wanted == []:
            raise DefinitionError(f"{where}: {path}.when.{other}: must hold a value, but got []")
        suited(other, listed(wanted), families, where, (path, "when", other))
    return _within_families(path, leaf, families, where)


def _within_families(path: str, leaf: Leaf, families: tuple[str, ...], where: str) -> Leaf:
    """Restrict a leaf of `[model]` to the trials whose family has it."""
    section, name = path.split(".")
    if section != "model" or len(own := owners(name, families)) == len(families):
        return leaf
    for family in listed(leaf.when.get(FAMILY, [*own])):
        if family not in own:
            raise DefinitionError(
                f"{where}: {path}.when.{FAMILY}: must be one of {', '.join(own)}, "
                f"but got {format_value(family)}"
            )
    condition = own[0] if len(own) == 1 else [*own]
    return leaf.model_copy(update={"when": {FAMILY: condition, **leaf.when}})


def suited(
    path: str,
    values: Iterable[Value],
    families: tuple[str, ...],
    where: str,
    key: tuple[str, ...],
) -> tuple[Value, ...]:
    """Convert values to the types of a leaf: 0 becomes 0.0 for a real number."""
    found = tuple(values)
    for type_ in leaf_types(families)[path]:
        found = tuple(validate(type_, value, where, key) for value in found)
    return found


def read_start_value(
    path: str, leaf: Leaf, value: Any, families: tuple[str, ...], where: str
) -> Value:
    """The value of a leaf in a start, as trials have it: 1 becomes 1.0 for a real number."""
    if leaf.or_zero and not isinstance(value, bool) and value == 0:
        return 0
    found = value
    if isinstance(leaf, Categorical):
        with suppress(DefinitionError):  # the message names the choices
            (found,) = suited(path, (value,), families, where, (path,))
    if not leaf.admits(found):
        raise DefinitionError(
            f"{where}.{path}: must be {leaf.allowed()}, but got {format_value(value)}"
        )
    return float(found) if leaf.n_values is None else leaf.value(leaf.place(found))


def listed(wanted: Value | list[Value]) -> list[Value]:
    """The values that a condition allows."""
    return wanted if isinstance(wanted, list) else [wanted]
