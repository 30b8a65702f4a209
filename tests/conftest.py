"""Fixtures for databases and object stores.

Tests run on SQLite. Those of `tests/storage`, and those marked `every_database`, run on PostgreSQL
and MariaDB too: one server for each pytest process, and a fresh schema or database for each test.
Tests that use a server are slow. The header of a run names what the machine lacks.
"""

import gc
import os
import signal
import subprocess
from collections.abc import Generator, Iterator
from contextlib import closing
from pathlib import Path

import hypothesis
import pytest

from hpo.storage.engine import Storage, open_storage
from tests.support import forked, machine, servers
from tests.support.databases import keep_tables
from tests.support.paths import ROOT

MARIADB_OPTIONS = (
    "--default-time-zone=+09:00",  # tests must not depend on the server's time zone
    "--innodb-flush-log-at-trx-commit=0",
    "--innodb-buffer-pool-size=32M",
    "--innodb-log-file-size=16M",
)
SERVERS = {"postgresql", "mariadb", "s3_server"}
LONG = {"faults", "launch"}
"""Folders of the longest tests."""


def pytest_configure() -> None:
    """Isolate tests from the environment and the clock; let their processes import `tests`."""
    for name in [name for name in os.environ if name.startswith("HPO_")]:
        del os.environ[name]
    os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in a script's background
    hypothesis.settings.register_profile("untimed", deadline=None)
    hypothesis.settings.load_profile("untimed")
    keep_tables()


@pytest.hookimpl(tryfirst=True)  # before `-m` selects
def pytest_collection_modifyitems(items: list[pytest.Function]) -> None:
    """Mark tests that use a server as slow; begin with the longest tests."""
    for item in items:
        if SERVERS.intersection(item.fixturenames):
            item.add_marker(pytest.mark.slow)
    items.sort(key=lambda item: LONG.isdisjoint(item.path.parts))


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Keep the garbage collector from searching all that is imported, now and during tests."""
    gc.disable()
    collected = yield
    gc.freeze()
    gc.enable()
    return collected


def pytest_report_header() -> list[str]:
    """Name what this machine has and lacks."""
    return machine.report()


@pytest.fixture(scope="session", autouse=True)
def forking() -> Iterator[None]:
    """Fork the processes of `hpo`, which spares them their imports."""
    with forked.forking():
        yield


@pytest.fixture
def new_interpreters(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start the processes of `hpo` as usual, for tests of their start."""
    monkeypatch.setattr(subprocess, "Popen", forked.Popen.__base__)


@pytest.fixture(scope="session")
def postgresql() -> Iterator[servers.PostgresqlServer]:
    """The PostgreSQL server of this pytest process."""
    with servers.postgresql_server() as server:
        server.set(fsync="off")
        yield server


@pytest.fixture
def postgresql_url(postgresql: servers.PostgresqlServer) -> str:
    """URL of a fresh schema in PostgreSQL."""
    return postgresql.database()


@pytest.fixture(scope="session")
def mariadb() -> Iterator[servers.MariadbServer]:
    """The MariaDB server of this pytest process."""
    machine.MARIADB.or_skip()
    with servers.mariadb_server(*MARIADB_OPTIONS) as server:
        assert server is not None
        yield server


@pytest.fixture
def mariadb_url(mariadb: servers.MariadbServer) -> Iterator[str]:
    """URL of a fresh database in MariaDB."""
    url = mariadb.database()
    yield url
    mariadb.drop(url)


@pytest.fixture(scope="session")
def s3_server() -> Iterator[servers.S3Server]:
    """The S3 server of this pytest process."""
    with servers.s3_server() as server:
        yield server


@pytest.fixture
def s3(s3_server: servers.S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[servers.S3Server]:
    """The S3 server, named by the environment, and running again after the test."""
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
    """An empty cache of remote files for the test and its processes."""
    monkeypatch.setenv("HPO_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retry transient errors at once."""
    monkeypatch.setattr("hpo.files.remote.FIRST_SECONDS", 0.01)


@pytest.fixture
def database(request: pytest.FixtureRequest) -> str:
    """The kind of database: SQLite, unless `every_database` names another."""
    return str(getattr(request, "param", "sqlite"))


@pytest.fixture
def storage_url(database: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL of a fresh database."""
    if database == "sqlite":
        return f"sqlite:///{tmp_path}/hpo.db"
    return str(request.getfixturevalue(f"{database}_url"))


@pytest.fixture
def storage(storage_url: str) -> Iterator[Storage]:
    """A new storage."""
    with closing(open_storage(storage_url)) as opened:
        yield opened


@pytest.fixture
def rival(storage: Storage) -> Iterator[Storage]:
    """The same storage as another process opens it."""
    with closing(open_storage(storage.url)) as opened:
        yield opened
