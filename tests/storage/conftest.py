"""Tests of the storage run on every kind of database."""

import pytest

from tests.support.databases import DATABASES


@pytest.fixture(params=DATABASES)
def database(request: pytest.FixtureRequest) -> str:
    """The kind of database."""
    return str(request.param)
