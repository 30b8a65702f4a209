"""Tests of the storage run on every kind of database."""

import pytest

from hpo.storage import engine
from tests.support.databases import DATABASES, create_tables


@pytest.fixture(params=DATABASES)
def database(request: pytest.FixtureRequest) -> str:
    """The kind of database."""
    return str(request.param)


@pytest.fixture(autouse=True)
def new_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Create the tables of each storage."""
    monkeypatch.setattr(engine, "_create_tables", create_tables)
