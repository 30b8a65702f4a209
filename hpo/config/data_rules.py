"""Rules between the keys of `[data]`, which need no table."""

from collections.abc import Mapping
from typing import Any

from hpo.config.errors import DefinitionError
from hpo.config.parsing import format_value
from hpo.config.trial import DataConfig


def check_data(data: DataConfig, tree: Mapping[str, Any], where: str) -> None:
    """Make sure that the keys of `[data]` suit each other.

    Args:
        data: the validated section.
        tree: the section as the file holds it.
        where: the file's name, which opens each message.

    Raises:
        DefinitionError: they do not.
    """
    _check_split(data, tree.get("split", {}), where)
    _check_columns(data, where)


def _check_split(data: DataConfig, given: Mapping[str, Any], where: str) -> None:
    split = data.split
    for key, excluded in split.excluded.items():
        if found := sorted(excluded & given.keys()):
            raise DefinitionError(f"{where}: data.split: {key} excludes {', '.join(found)}")
    if split.folds is None and split.val + split.test >= 1:
        raise DefinitionError(
            f"{where}: data.split: val + test must stay below 1, but got {split.val + split.test:g}"
        )


def _check_columns(data: DataConfig, where: str) -> None:
    """Make sure that each column has at most one role; groups and times may be features."""
    roles = {"target": data.target}
    if data.split.column is not None:
        roles["split.column"] = data.split.column
    if data.weight is not None:
        roles["weight"] = data.weight
    roles |= {f"drop[{at}]": name for at, name in enumerate(data.drop)}
    features = {
        f"{key}[{at}]": name
        for key in ("numeric", "categorical")
        for at, name in enumerate(getattr(data, key))
    }
    for key in ("groups", "time"):
        if (name := getattr(data.split, key)) is not None:
            _check_roles({**roles, f"split.{key}": name}, where)
    _check_roles({**roles, **features}, where)


def _check_roles(roles: Mapping[str, str], where: str) -> None:
    taken: dict[str, str] = {}
    for role, column in roles.items():
        if column in taken:
            raise DefinitionError(
                f"{where}: data.{role}: must be a column of its own, "
                f"but got {format_value(column)}, which is data.{taken[column]}"
            )
        taken[column] = role
