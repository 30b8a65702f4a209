"""Databases for tests: a SQLite file each, a schema each in a real PostgreSQL, a database each in a
real MariaDB; and an S3 server. The header of a run names what the machine lacks.
"""

import os
import signal
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from hpo.storage.engine import Storage, open_storage
from tests.support import machine, servers
from tests.support.paths import ROOT
from tests.support.started import Started, started

MARIADB_OPTIONS = (
    "--default-time-zone=+09:00",  # as far as it tells, it is in Tokyo
    "--innodb-flush-log-at-trx-commit=0",
    "--innodb-buffer-pool-size=32M",
    "--innodb-log-file-size=16M",
)


def pytest_configure() -> None:
    """Let tests and their processes be free of what this process was started with."""
    for name in [name for name in os.environ if name.startswith("HPO_")]:
        del os.environ[name]
    os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in a script's background


def pytest_report_header() -> list[str]:
    """Name what this machine has and lacks."""
    return machine.report()


@contextmanager
def quick_postgresql_server() -> Iterator[servers.PostgresqlServer]:
    """A PostgreSQL server whose data need not outlive the tests."""
    with servers.postgresql_server() as server:
        server.set(fsync="off")
        yield server


@pytest.fixture(scope="session")
def started_postgresql() -> Iterator[Started[servers.PostgresqlServer]]:
    """This test process's own, once a test wants it."""
    with started("PostgreSQL", quick_postgresql_server()) as server:
        yield server


@pytest.fixture
def postgresql(started_postgresql: Started[servers.PostgresqlServer]) -> servers.PostgresqlServer:
    """A PostgreSQL server of this test process's own."""
    return started_postgresql.get()


@pytest.fixture
def postgresql_server(postgresql: servers.PostgresqlServer) -> str:
    """The URL of its first database."""
    return postgresql.url


@pytest.fixture
def postgresql_url(postgresql: servers.PostgresqlServer) -> str:
    """A fresh schema in it."""
    return postgresql.database()


@pytest.fixture(scope="session")
def started_mariadb() -> Iterator[Started[servers.MariadbServer]]:
    """This test process's own, once a test wants it."""
    machine.MARIADB.or_skip()
    with started("MariaDB", servers.mariadb_server(*MARIADB_OPTIONS)) as server:
        yield server


@pytest.fixture
def mariadb(started_mariadb: Started[servers.MariadbServer]) -> servers.MariadbServer:
    """A MariaDB server of this test process's own."""
    return started_mariadb.get()


@pytest.fixture
def mariadb_url(mariadb: servers.MariadbServer) -> Iterator[str]:
    """A fresh database in it."""
    url = mariadb.database()
    yield url
    mariadb.drop(url)


@pytest.fixture(scope="session")
def started_s3() -> Iterator[Started[servers.S3Server]]:
    """This test process's own, once a test wants it."""
    with started("the S3 server", servers.s3_server()) as server:
        yield server


@pytest.fixture
def s3_server(started_s3: Started[servers.S3Server]) -> servers.S3Server:
    """An S3 server of this test process's own."""
    return started_s3.get()


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
