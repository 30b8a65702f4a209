"""Databases for tests: a SQLite file each, a schema each in a real PostgreSQL, a database each in a
real MariaDB; and an S3 server.
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


@pytest.fixture(scope="session")
def s3_server() -> Iterator[servers.S3Server]:
    """An S3 server of this test process's own."""
    with servers.s3_server() as server:
        yield server


@pytest.fixture
def s3(s3_server: servers.S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[servers.S3Server]:
    """It, as the environment names it; it is up again afterwards."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", s3_server.url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a-secret-that-no-text-holds")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    yield s3_server
    s3_server.start()
    s3_server.n_refused = s3_server.n_cut = s3_server.n_spoilt = 0
    s3_server.requests.clear()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, this machine's as far as a test and its processes know."""
    monkeypatch.setenv("HPO_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try again at once what may pass."""
    monkeypatch.setattr("hpo.files.remote.FIRST_SECONDS", 0.01)


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
