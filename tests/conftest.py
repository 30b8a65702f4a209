"""Databases for tests: a SQLite file each, a schema each in a real PostgreSQL, a database each in a
real MariaDB.
"""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import servers

from hpo.storage.engine import Storage, open_storage

MARIADB_OPTIONS = (
    "--default-time-zone=+09:00",  # as far as it tells, it is in Tokyo
    "--innodb-flush-log-at-trx-commit=0",
    "--innodb-buffer-pool-size=32M",
    "--innodb-log-file-size=16M",
)


@pytest.fixture(scope="session")
def postgresql() -> Iterator[servers.PostgresqlServer]:
    """A PostgreSQL server of this test process's own."""
    with servers.postgresql_server() as server:
        server.set(fsync="off")  # its data need not outlive the tests
        yield server


@pytest.fixture(scope="session")
def postgresql_server(postgresql: servers.PostgresqlServer) -> str:
    """The URL of its first database."""
    return postgresql.url


@pytest.fixture
def postgresql_url(postgresql: servers.PostgresqlServer) -> str:
    """A fresh schema in it."""
    return postgresql.database()


@pytest.fixture(scope="session")
def mariadb() -> Iterator[servers.MariadbServer]:
    """A MariaDB server of this test process's own."""
    with servers.mariadb_server(*MARIADB_OPTIONS) as server:
        if server is None:
            pytest.skip("no MariaDB server here: apt-get install mariadb-server-core")
        yield server


@pytest.fixture
def mariadb_url(mariadb: servers.MariadbServer) -> Iterator[str]:
    """A fresh database in it."""
    url = mariadb.database()
    yield url
    mariadb.drop(url)


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def storage_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A fresh database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/hpo.db"
    url: Any = request.getfixturevalue(f"{request.param}_url")
    return str(url)


@pytest.fixture
def storage(storage_url: str) -> Iterator[Storage]:
    """A new storage in it."""
    with closing(open_storage(storage_url)) as opened:
        yield opened


@pytest.fixture
def rival(storage: Storage) -> Iterator[Storage]:
    """The same database, seen by another process."""
    with closing(open_storage(storage.url)) as opened:
        yield opened
