"""Kinds of databases that studies are kept in."""

import pytest

DATABASES = (
    "sqlite",
    pytest.param("postgresql", marks=pytest.mark.slow),
    pytest.param("mariadb", marks=pytest.mark.slow),
)
every_database = pytest.mark.parametrize("database", DATABASES, indirect=True)
"""Run a test that uses `storage` or `storage_url` on each kind of database."""
