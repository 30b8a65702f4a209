"""From a storage URL to database connections that suit it.

SQLite: write-ahead logging, and two engines: one begins every transaction by taking the write
lock (`BEGIN IMMEDIATE`; Optuna's `SELECT ... FOR UPDATE` is ignored there, and two workers would
claim one trial), the other reads. PostgreSQL: psycopg 3, few connections, kept alive. The tables
are made under a lock, so that many processes may open a new storage at once.

Owns passwords: no message that leaves this room holds one.
"""

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import URL, Connection, Engine, make_url

from hpo.errors import InputError, StorageError
from hpo.storage import schema
from hpo.storage.reader import Reader

BUSY_SECONDS = 60
"""How long a SQLite transaction waits for the write lock."""

ADVISORY_LOCK = 7_305_804_401  # any number, as long as everybody takes the same

POSTGRESQL: dict[str, Any] = {
    "pool_size": 1,
    "max_overflow": 1,  # Optuna opens a second connection while it holds one
    "pool_pre_ping": True,
    "pool_recycle": 1800,
    "connect_args": {
        "prepare_threshold": None,  # transaction poolers know no prepared statements
        "connect_timeout": 10,
        "keepalives_idle": 30,
        "keepalives_interval": 10,
        "keepalives_count": 3,
        "options": "-c idle_in_transaction_session_timeout=10s -c timezone=UTC",
    },
}


@dataclass(frozen=True, kw_only=True)
class Storage:
    """An open storage.

    Attributes:
        url: with its password; for the environment of worker processes, never for a message.
        safe_url: without.
        reader: Optuna's storage over it, for samplers, pruners and everything else that reads.
    """

    url: str
    safe_url: str
    reader: Reader
    _writer: Engine

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """One write transaction, committed at the end of the block.

        Raises:
            StorageError: the database refused it or is out of reach.
        """
        try:
            with self._writer.begin() as connection:
                yield connection
        except sa.exc.OperationalError as error:
            raise StorageError(_sentence(self.safe_url, error)) from None

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection to read with, which waits for no writer.

        Raises:
            StorageError: the database is out of reach.
        """
        try:
            with self.reader.engine.connect() as connection:
                yield connection
        except sa.exc.OperationalError as error:
            raise StorageError(_sentence(self.safe_url, error)) from None

    def close(self) -> None:
        """Close its connections."""
        self._writer.dispose()
        self.reader._backend.remove_session()
        self.reader.engine.dispose()


def open_storage(url: str, *, create: bool = True) -> Storage:
    """Open a storage, and make its tables when it is new.

    Args:
        url: sqlite:///FILE or postgresql://USER:PASSWORD@HOST/DATABASE.
        create: whether a SQLite file that is not there may be made.

    Raises:
        InputError: the URL is none, or of a kind unknown here.
        StorageError: the database is out of reach, or its tables are of another version.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    parsed = _parse(url)
    safe = parsed.render_as_string(hide_password=True)
    if parsed.drivername == "sqlite":
        _check_file(parsed, safe, create=create)
    text = parsed.render_as_string(hide_password=False)
    try:
        writer = _make_engine(parsed, immediate=True)
        with _creation_lock(parsed, writer):
            is_new = not sa.inspect(writer).has_table("trials")
            backend = optuna.storages.RDBStorage(
                text.replace("{", "{{").replace("}", "}}"),  # Optuna calls str.format on it
                engine_kwargs=_engine_options(parsed),
                skip_table_creation=not is_new,
            )
            _prepare_connections(backend.engine, parsed, immediate=False)
            schema.create_or_check(writer)
    except sa.exc.OperationalError as error:
        raise StorageError(_sentence(safe, error)) from None
    except OSError as error:
        raise StorageError(f"storage {safe}: cannot be written ({error.strerror})") from None
    except RuntimeError as error:  # Optuna's tables are of another version
        raise StorageError(f"storage {safe}: {error}") from None
    return Storage(url=text, safe_url=safe, reader=Reader(backend, writer), _writer=writer)


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
    except sa.exc.ArgumentError:
        raise InputError(
            "--storage must be a URL such as sqlite:///hpo.db or "
            "postgresql://USER:PASSWORD@HOST/DATABASE"
        ) from None
    if parsed.drivername in ("postgres", "postgresql", "postgresql+psycopg"):
        return parsed.set(drivername="postgresql+psycopg")
    if parsed.drivername != "sqlite":
        raise InputError(
            f"--storage must begin with sqlite:/// or postgresql://, but got {parsed.drivername}://"
        )
    if not parsed.database or parsed.database == ":memory:":
        raise InputError("--storage sqlite:/// must name a file: workers share it")
    return parsed.set(database=os.path.abspath(parsed.database))


def _check_file(parsed: URL, safe: str, *, create: bool) -> None:
    path = Path(parsed.database or "")
    if not path.parent.is_dir():
        raise StorageError(f"storage {safe}: the folder {path.parent} does not exist")
    if not create and not path.exists():
        raise StorageError(f"storage {safe}: does not exist yet; hpo create or hpo run makes it")


def _engine_options(parsed: URL) -> dict[str, Any]:
    if parsed.drivername == "sqlite":
        return {"connect_args": {"timeout": BUSY_SECONDS}}
    return dict(POSTGRESQL)


def _make_engine(parsed: URL, *, immediate: bool) -> Engine:
    engine = sa.create_engine(parsed, **_engine_options(parsed))
    _prepare_connections(engine, parsed, immediate=immediate)
    return engine


def _prepare_connections(engine: Engine, parsed: URL, *, immediate: bool) -> None:
    """Set SQLite's connections up; those to PostgreSQL bring what they need."""
    if parsed.drivername != "sqlite":
        return

    @event.listens_for(engine, "connect")
    def connect(connection: sqlite3.Connection, record: object) -> None:
        if immediate:
            connection.isolation_level = None  # the driver must not begin transactions itself
        for pragma in ("journal_mode = WAL", "synchronous = NORMAL", "foreign_keys = ON"):
            connection.execute(f"PRAGMA {pragma}")

    if immediate:

        @event.listens_for(engine, "begin")
        def begin(connection: Connection) -> None:
            connection.exec_driver_sql("BEGIN IMMEDIATE")


@contextmanager
def _creation_lock(parsed: URL, writer: Engine) -> Iterator[None]:
    """Let one process at a time look for the tables and make them."""
    if parsed.drivername == "sqlite":
        with open(f"{parsed.database}.lock", "w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
        return
    lock = sa.text("SELECT pg_advisory_lock(:number)").bindparams(number=ADVISORY_LOCK)
    engine = sa.create_engine(parsed, poolclass=sa.pool.NullPool)
    with engine.connect() as connection:
        connection.execute(lock)
        yield


def _sentence(safe_url: str, error: sa.exc.OperationalError) -> str:
    """What the driver said, in one line; drivers do not repeat passwords, and neither do we."""
    return f"storage {safe_url}: {str(error.orig).splitlines()[0]}"
