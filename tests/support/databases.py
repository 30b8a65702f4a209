"""Kinds of databases that studies are kept in."""

import pytest

DATABASES = ("sqlite", "postgresql", "mariadb")
every_database = pytest.mark.parametrize("database", DATABASES, indirect=True)
"""Run a test that uses `storage` or `storage_url` on each kind of database."""
