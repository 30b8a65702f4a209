"""The differences between two studies' definitions."""

from collections.abc import Mapping
from typing import Any

from hpo.config.definition import StudyDefinition
from hpo.config.parsing import format_value
from hpo.config.trial import data_tree


def difference(stored: StudyDefinition, given: StudyDefinition) -> list[str]:
    """How a given definition differs from the stored one, a line for each key."""
    before, after = _flat(stored.identity()), _flat(given.identity())
    keys = [
        key for key in sorted(before.keys() | after.keys()) if before.get(key) != after.get(key)
    ]
    return [_changed(key, before.get(key), after.get(key)) for key in keys]


def differing_keys(one: StudyDefinition, other: StudyDefinition) -> list[str]:
    """The keys of `[data]` and `[objective]` that make the values of two studies incomparable."""
    first, second = (
        _flat({"data": data_tree(each.data.for_trials()), "objective": each.objective.to_tree()})
        for each in (one, other)
    )
    keys = sorted((first.keys() | second.keys()) - {"data.source"})
    return [key for key in keys if first.get(key) != second.get(key)]


def _changed(key: str, before: Any, after: Any) -> str:
    if key == "data.fingerprint":
        return f"the table's content has changed: SHA-256 {before[:16]}… -> {after[:16]}…"
    return f"{key}: {format_value(before)} -> {format_value(after)}"


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            flat.update(_flat(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat
