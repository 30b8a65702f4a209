"""Kinds of databases that studies are kept in."""

import functools
import tempfile
from pathlib import Path

import pytest
from alembic.util import pyfiles
from sqlalchemy import URL

from hpo.storage import dialects, engine

DATABASES = (
    "sqlite",
    pytest.param("postgresql", marks=pytest.mark.slow),
    pytest.param("mariadb", marks=pytest.mark.slow),
)
every_database = pytest.mark.parametrize("database", DATABASES, indirect=True)
"""Run a test that uses `storage` or `storage_url` on each kind of database."""


create_tables = engine._create_tables


def keep_tables() -> None:
    """Make what a new storage holds once in a process, which takes 40 of the 50 ms that it needs.

    A new SQLite storage is a copy of an empty one, except in `tests/storage`.
    """
    pyfiles.load_module_py = functools.cache(pyfiles.load_module_py)  # Optuna's migrations
    engine._create_tables = _copy_tables


def _copy_tables(parsed: URL) -> None:
    file = Path(parsed.database or "")
    if parsed.drivername == "sqlite" and not file.exists():
        file.write_bytes(empty_storage())
    else:
        create_tables(parsed)


@functools.cache
def empty_storage() -> bytes:
    """A SQLite file with all tables."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "hpo.db")
        create_tables(dialects.parse(f"sqlite:///{file}"))
        return file.read_bytes()
