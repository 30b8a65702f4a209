"""The import graph of `hpo`: floors, circles, and who may know what."""

import ast
import graphlib
import subprocess
import sys
from collections.abc import Iterator
from functools import cache

import pytest

from tests.support.paths import ROOT

PACKAGE = ROOT / "hpo"

FLOORS = [
    "config",  # pure values
    "files",  # written whole, fetched from URLs, stored
    "data storage training",  # tables in, tensors out; all SQL; tensors to weights
    "study models",  # what persists; what is taken home
    "worker results lifecycle dashboard",  # the loop; what comes out; a study with its files
    "launch",  # where workers run
    "cli api sklearn",  # what a person types
    "__main__",
]
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms.split()}

STRANGERS = {
    "config": "torch optuna polars signal",
    "files": "optuna torch polars signal",
    "data": "optuna signal",
    "training": "optuna polars pydantic signal",
    "storage": "torch polars",
    "study": "torch polars",
    "models": "optuna signal",
    "worker": "optuna",
    "lifecycle": "optuna",
    "dashboard": "torch",
    "sklearn": "signal",
}
"""Packages that a room has nothing to do with."""

OPTUNA = {"storage", "study", "results", "dashboard", "sklearn"}
RUNS_CODE = {"pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve", "pty", "code"}


@cache
def sources() -> dict[str, ast.Module]:
    """Every module of the package by dotted name, parsed."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        name = ".".join(part for part in parts if part != "__init__")
        found[name] = ast.parse(path.read_text(encoding="utf-8"), str(path))
    return found


def room(module: str) -> str:
    """`storage` of `hpo.storage.engine`; the front door `hpo` itself is no room."""
    return module.split(".")[1] if "." in module else ""


def imported(tree: ast.AST) -> Iterator[str]:
    """Dotted names of what is imported anywhere below a node."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in sources() else str(node.module)


def at_import(tree: ast.Module) -> Iterator[str]:
    """What is imported as soon as the module is."""
    for node in tree.body:
        if not isinstance(node, ast.If | ast.FunctionDef | ast.ClassDef):
            yield from imported(node)


def arrows() -> dict[str, set[str]]:
    """Each module with those of this package that it imports, the front door apart."""
    return {
        module: {name for name in imported(tree) if name.startswith("hpo.")} - {module}
        for module, tree in sources().items()
        if module != "hpo"
    }


def test_every_room_has_a_floor():
    assert {room(module) for module in sources()} - {""} == set(FLOOR)


def test_every_arrow_points_down():
    """Rooms of one floor do not know each other."""
    level = [
        f"{module} imports {name}"
        for module, names in arrows().items()
        for name in names
        if room(name) != room(module) and FLOOR[room(name)] >= FLOOR[room(module)]
    ]
    assert level == []


def test_the_floors_hold_what_the_folder_does():
    entries = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or path.is_dir()}
    assert entries - {"__init__", "__pycache__", "search_spaces"} == set(FLOOR)
    assert len(FLOOR) - 1 <= 15
    assert len(FLOORS) <= 8


def test_there_is_no_circle():
    try:
        graphlib.TopologicalSorter(arrows()).prepare()
    except graphlib.CycleError as error:
        pytest.fail(" <- ".join(error.args[1]))


def test_rooms_do_not_know_their_strangers():
    known = [
        f"{module} imports {name}"
        for module, tree in sources().items()
        for name in imported(tree)
        for stranger in STRANGERS.get(room(module), "").split()
        if f"{name}.".startswith((f"{stranger}.", f"hpo.{stranger}."))
    ]
    assert known == []


@pytest.mark.parametrize("name", STRANGERS)
def test_the_table_of_strangers_names_rooms(name):
    assert name in FLOOR


def importers(package: str) -> set[str]:
    """The modules that import a package, at once or later."""
    return {
        module
        for module, tree in sources().items()
        if any(f"{name}.".startswith(f"{package}.") for name in imported(tree))
    }


def test_optuna_stays_where_studies_are_kept_and_shown():
    assert {room(module) for module in importers("optuna")} <= OPTUNA


@pytest.mark.parametrize("name", ["mlp", "tabm"])
def test_a_model_family_is_reached_by_its_interface(name):
    family = f"hpo.training.families.{name}"
    assert all(f"{module}.".startswith(f"{family}.") for module in importers(family))


def test_sql_stays_in_the_storage():
    assert {room(module) for module in importers("sqlalchemy")} == {"storage"}


def test_optunas_private_tables_are_known_in_one_place():
    assert importers("optuna.storages._rdb") == {"hpo.storage.schema"}


def test_pure_values_know_no_tensors_and_no_tables():
    for package in ("torch", "optuna", "polars", "sqlalchemy"):
        pure = {module for module in importers(package) if room(module) == "config"}
        assert pure == set(), package


def test_the_command_line_loads_what_it_needs_when_it_runs():
    heavy = ("torch", "optuna", "polars", "sqlalchemy")
    early = [
        f"{module} imports {name} at once"
        for module, tree in sources().items()
        if room(module) == "cli"
        for name in at_import(tree)
        if f"{name}.".startswith(tuple(f"{package}." for package in heavy))
    ]
    assert early == []


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("hpo.api", {"onnx", "onnxruntime"}),
        ("hpo", {"torch", "optuna", "polars", "pydantic"}),
        ("hpo.cli", {"torch", "optuna", "polars", "pydantic", "sqlalchemy", "sklearn"}),
        ("hpo.config.definition", {"torch", "optuna", "polars", "sqlalchemy"}),
        ("hpo.study.study", {"torch", "polars", "sklearn"}),
        ("hpo.data.table", {"torch", "optuna", "sqlalchemy", "sklearn", "pandas"}),
        ("hpo.training.families.mlp", {"torch", "pydantic"}),
        ("hpo.training.packs.trainer", {"optuna", "polars", "sqlalchemy", "pydantic"}),
    ],
)
def test_what_an_import_does_not_load(module, absent):
    code = f"import sys, {module}; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert absent & set(run.stdout.split()) == set()


def test_nothing_that_is_loaded_runs_code():
    for module, tree in sources().items():
        assert not {name.split(".")[0] for name in imported(tree)} & RUNS_CODE, module
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                assert called not in ("eval", "exec", "compile", "__import__", "torch.load"), module
                assert "allow_pickle" not in {word.arg for word in node.keywords}, module


def test_text_is_written_in_utf_8_whatever_the_locale():
    for module, tree in sources().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(".write_text"):
                assert "encoding" in {word.arg for word in node.keywords}, module
