"""Private names of other packages that hpo uses, which their authors may change at any time.

`docs/development.md` lists them with the reason. These tests keep the list complete and current.
"""

import ast
import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

from tests.support.paths import ROOT

SOURCES = {path: ast.parse(path.read_text()) for path in sorted((ROOT / "hpo").rglob("*.py"))}
PUBLIC = {"_asdict", "_fields", "_exit"}
"""Documented in spite of their names: those of named tuples, and `os._exit`."""


def is_private(name: str) -> bool:
    parts = [part for part in name.split(".") if not part.endswith("_")]  # enums use _name_
    return any(part.startswith("_") for part in parts)


def imported(tree: ast.Module) -> Iterator[str]:
    """Private modules and names of other packages that a module imports."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and not str(node.module).startswith("hpo"):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def defined(tree: ast.Module) -> set[str]:
    """Names of functions, classes, variables and attributes that a module defines."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Attribute | ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.attr if isinstance(node, ast.Attribute) else node.id)
    return found


def read(tree: ast.Module) -> Iterator[str]:
    """Private attributes that a module reads and does not define."""
    own = defined(tree) | PUBLIC
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr not in own:
            yield node.attr


def overridden() -> Iterator[str]:
    """Private methods of other packages' classes that a class of hpo replaces."""
    for path, tree in SOURCES.items():
        if not any(isinstance(node, ast.ClassDef) and node.bases for node in tree.body):
            continue
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for _, kind in inspect.getmembers(importlib.import_module(name), inspect.isclass):
            for base in kind.__mro__[1:] if kind.__module__ == name else ():
                own = {name for name, each in vars(kind).items() if inspect.isfunction(each)}
                if not base.__module__.startswith("hpo."):
                    yield from own & vars(base).keys()


def used() -> set[str]:
    """All private names that hpo imports, with their modules, and that it reads or overrides."""
    found = {name for tree in SOURCES.values() for name in (*imported(tree), *read(tree))}
    return {name for name in found | set(overridden()) if is_private(name)}


def listed() -> dict[str, str]:
    """The reason for each name in the documentation."""
    text = Path(ROOT / "docs" / "development.md").read_text()
    section = text.partition("## Private names of other packages\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (`[^|]+) \| ([^|]+) \|$", section, re.MULTILINE)
    return {name: reason for names, reason in rows for name in re.findall(r"`([\w.]+)`", names)}


def test_every_private_name_is_listed_with_its_reason() -> None:
    found = listed()
    named = found.keys() | {name.rpartition(".")[2] for name in found}
    assert used() - named == set()
    assert all(reason.strip() for reason in found.values())


def test_every_listed_name_is_still_used() -> None:
    text = "\n".join(path.read_text() for path in SOURCES)
    last = {name: name.rpartition(".")[2] for name in listed()}
    assert [name for name, part in last.items() if not re.search(rf"\b{part}\b", text)] == []
