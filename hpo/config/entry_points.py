"""Entry points, by which installed packages add model families and metrics.

A name that a study or a file gives is only ever looked up here: among the built-in ones, then among
the entry points that are installed. Nothing else is imported.
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from hpo.config.errors import DefinitionError, first_line, nearest
from hpo.config.urls import hide_passwords


@dataclass(frozen=True, kw_only=True)
class Registry:
    """The built-in and the installed things of a kind.

    Attributes:
        group: of the entry points.
        kind: the thing in messages, such as `model family`.
        short: the same in one word, and `several` of them.
        built_in: the names of the built-in ones.
    """

    group: str
    kind: str
    short: str
    several: str
    built_in: Collection[str]

    def names(self) -> list[str]:
        """The built-in names, then the installed ones."""
        added = (name for name in sorted(installed(self.group)) if name not in self.built_in)
        return [*self.built_in, *added]

    def find(self, name: str) -> EntryPoint | None:
        """The entry point of a name; None for a built-in one.

        Raises:
            DefinitionError: there is none of that name, or there are several.
        """
        found = installed(self.group).get(name, [])
        if len(found) + (name in self.built_in) > 1:
            is_ours = name in self.built_in
            taken = (
                f"a built-in {self.short}" if is_ours else f"the {self.short} of another package"
            )
            raise DefinitionError(f"{self.describe(found[-1])} takes the name of {taken}")
        if not found and name not in self.built_in:
            names, given = self.names(), json.dumps(hide_passwords(name))
            raise DefinitionError(
                f"the {self.kind} {given} is not installed{nearest(name, names)}; "
                f"installed {self.several} are {', '.join(names)}"
            )
        return found[0] if found else None

    def load(self, point: EntryPoint) -> Any:
        """Import what an entry point names.

        Raises:
            DefinitionError: it cannot be imported.
        """
        try:
            return point.load()
        except Exception as error:  # a stranger's module may raise anything
            said = f"{type(error).__name__}: {first_line(error)}"
            raise DefinitionError(f"{self.describe(point)} cannot be imported ({said})") from error

    def describe(self, point: EntryPoint) -> str:
        """An entry point in messages."""
        package = f" of the package {point.dist.name}" if point.dist else ""
        return f"the {self.kind} {point.name} ({point.value}{package})"

    def package_of(self, name: str) -> str:
        """The installed package that adds a name; empty for a built-in one."""
        found = installed(self.group).get(name, []) if name not in self.built_in else []
        return found[0].dist.name if found and found[0].dist else ""


@cache
def installed(group: str) -> Mapping[str, list[EntryPoint]]:
    """The installed entry points of a group by name."""
    found: dict[str, list[EntryPoint]] = {}
    for point in entry_points(group=group):
        if all(point.value != other.value for other in found.get(point.name, [])):
            found.setdefault(point.name, []).append(point)
    return found
