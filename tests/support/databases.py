"""Kinds of databases that studies are kept in."""

import functools

import pytest
from alembic.util import pyfiles

DATABASES = (
    "sqlite",
    pytest.param("postgresql", marks=pytest.mark.slow),
    pytest.param("mariadb", marks=pytest.mark.slow),
)
every_database = pytest.mark.parametrize("database", DATABASES, indirect=True)
"""Run a test that uses `storage` or `storage_url` on each kind of database."""


def keep_migrations() -> None:
    """Load Optuna's migration scripts once, not at each opening of a storage: 20 of its 30 ms."""
    pyfiles.load_module_py = functools.cache(pyfiles.load_module_py)
