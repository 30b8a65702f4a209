"""From a storage URL to database connections that suit it.

SQLite: write-ahead logging, and two engines: one begins every transaction by taking the write lock
(`BEGIN IMMEDIATE`; `SELECT ... FOR UPDATE` is ignored there, and two workers would claim one
trial), the other reads and waits for nobody. PostgreSQL: psycopg 3, two connections a process,
kept alive. The tables are made under a lock, so that many processes may open a new storage at once.

Owns passwords: no message that leaves this room holds one.
"""

import errno
import fcntl
import itertools
import os
import random
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import optuna
import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import URL, Connection, Engine, make_url

from hpo.errors import InputError, StorageError, StorageUnavailableError
from hpo.storage import schema
from hpo.storage.failures import is_in_the_way, translate
from hpo.storage.reader import Reader

Result = TypeVar("Result")

EXAMPLES = "sqlite:///hpo.db or postgresql://USER:PASSWORD@HOST/DATABASE"

CONNECT: dict[str, dict[str, Any]] = {
    "sqlite": {"timeout": 60},  # seconds to wait for the write lock
    "postgresql": {
        "prepare_threshold": None,  # transaction poolers know no prepared statements
        "connect_timeout": 10,
        "keepalives_idle": 30,
        "keepalives_interval": 10,
        "keepalives_count": 3,
    },
}
POOL: dict[str, dict[str, Any]] = {
    "sqlite": {},
    "postgresql": {
        "pool_size": 1,
        "max_overflow": 1,  # for the thread that renews leases
        "pool_pre_ping": True,
        "pool_recycle": 1800,
    },
}
PRAGMAS = ("journal_mode = WAL", "synchronous = NORMAL", "foreign_keys = ON")
POSTGRESQL_SESSION = (
    "SET idle_in_transaction_session_timeout = '10s'",
    "SET tcp_keepalives_idle = 30",
    "SET tcp_keepalives_interval = 10",
    "SET tcp_keepalives_count = 3",
)
"""A worker that is stopped or cut off must not hold a lock."""

CREATION_LOCK = 7_305_804_401  # any number, as long as everybody takes the same

MAX_TRIES = 5
PASSING = {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EAGAIN, errno.EMFILE, errno.ENFILE}
"""What the folder of a SQLite file says that may be over at the next try."""
LONGEST_PAUSE = 5.0
"""Seconds between two tries to open a storage that is out of reach."""


@dataclass(frozen=True, kw_only=True)
class Storage:
    """An open storage.

    Attributes:
        url: with its password; for the environment of worker processes, never for a message.
        safe_url: without.
        reader: Optuna's storage over it, for samplers, pruners and the dashboard.
    """

    url: str = field(repr=False)
    safe_url: str
    reader: Reader
    _reads: Engine
    _writes: Engine

    def write(self, work: Callable[[Connection], Result]) -> Result:
        """Do some work in one write transaction.

        Args:
            work: the statements; called again from its start when another transaction got in the
                way, which PostgreSQL may say at any statement.

        Raises:
            StorageError: the database refused it.
            StorageUnavailableError: it is out of reach; nothing was written, or, where it went
                away at the very end, all of it.
        """
        for attempt in range(MAX_TRIES):
            try:
                with self.errors(), self._writes.begin() as connection:
                    return work(connection)
            except StorageError as error:
                if not is_in_the_way(error.__cause__) or attempt == MAX_TRIES - 1:
                    raise
                time.sleep(random.uniform(0, 0.05 * 2**attempt))
        raise AssertionError("unreachable")

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection to read with, which waits for no writer.

        Raises:
            StorageUnavailableError: the database is out of reach.
        """
        with self.errors(), self._reads.connect() as connection:
            yield connection

    def close(self) -> None:
        """Close its connections."""
        self.reader.close()
        self._reads.dispose()
        self._writes.dispose()

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Let what databases raise out as a StorageError of one sentence, integrity apart."""
        try:
            yield
        except sa.exc.IntegrityError:
            raise
        except Exception as error:
            if (ours := translate(error, self.safe_url)) is None:
                raise
            raise ours from error


def open_storage(url: str, *, create: bool = True, patience: float = 0.0) -> Storage:
    """Open a storage, and make its tables where they are missing.

    Args:
        url: sqlite:///FILE or postgresql://USER:PASSWORD@HOST/DATABASE.
        create: whether a SQLite file that is not there may be made.
        patience: seconds for which a database out of reach is tried again.

    Raises:
        InputError: the URL is none, or of a kind unknown here.
        StorageError: its tables are of another version, or the database refused.
        StorageUnavailableError: the database is out of reach.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    parsed = _parse(url)
    give_up = time.monotonic() + patience
    for attempt in itertools.count():
        try:
            return _open(parsed, create=create)
        except StorageUnavailableError:
            left = give_up - time.monotonic()
            if left <= 0:
                raise
            time.sleep(min(left, random.uniform(0.0, min(LONGEST_PAUSE, 0.2 * 2**attempt))))
    raise AssertionError("unreachable")


def _open(parsed: URL, *, create: bool) -> Storage:
    safe = parsed.render_as_string(hide_password=True)
    if parsed.drivername == "sqlite":
        _check_file(parsed, safe, create=create)
    try:
        backend = _open_tables(parsed)
    except OSError as error:
        kind = StorageUnavailableError if error.errno in PASSING else StorageError
        raise kind(f"storage {safe}: cannot be written ({error.strerror})") from None
    except StorageError as error:  # the tables are of another version
        raise StorageError(f"storage {safe}: {error}") from None
    except Exception as error:
        if (ours := translate(error, safe)) is None:
            raise
        raise ours from error
    return Storage(
        url=parsed.render_as_string(hide_password=False),
        safe_url=safe,
        reader=Reader(backend),
        _reads=backend.engine,
        _writes=_locking_engine(parsed) if parsed.drivername == "sqlite" else backend.engine,
    )


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
    except (sa.exc.ArgumentError, ValueError):  # a port that is no number is a ValueError
        raise InputError(f"--storage must be a URL such as {EXAMPLES}") from None
    if parsed.drivername in ("postgres", "postgresql", "postgresql+psycopg"):
        return parsed.set(drivername="postgresql+psycopg")
    if parsed.drivername != "sqlite":
        raise InputError(
            f"--storage must begin with sqlite:/// or postgresql://, but got {parsed.drivername}://"
        )
    if not parsed.database or parsed.database == ":memory:":
        raise InputError("--storage sqlite:/// must name a file: worker processes share it")
    return parsed.set(database=os.path.abspath(parsed.database))


def _check_file(parsed: URL, safe: str, *, create: bool) -> None:
    path = Path(parsed.database or "")
    if not path.parent.is_dir():
        raise StorageError(f"storage {safe}: the folder {path.parent} does not exist")
    if not create and not path.exists():
        raise StorageError(f"storage {safe}: does not exist yet; hpo create or hpo run makes it")


def _open_tables(parsed: URL) -> optuna.storages.RDBStorage:
    """Optuna's storage over tables that are all there; they are made under a lock."""
    if not _has_tables(parsed):
        with _creation_lock(parsed):
            if not _has_tables(parsed):  # another process was first
                _make_tables(parsed)
    return _open_optuna(parsed, create=False)


def _has_tables(parsed: URL) -> bool:
    """Look, over a connection that changes nothing: not even SQLite's journal."""
    if parsed.drivername == "sqlite" and not Path(parsed.database or "").exists():
        return False
    dialect = parsed.get_backend_name()
    engine = sa.create_engine(parsed, connect_args=CONNECT[dialect], poolclass=sa.pool.NullPool)
    with engine.connect() as connection:
        return schema.is_complete(connection)


def _make_tables(parsed: URL) -> None:
    engine = _locking_engine(parsed, poolclass=sa.pool.NullPool)
    with engine.connect():
        pass  # SQLite's journal is switched before anybody else looks
    backend = _open_optuna(parsed, create=True)
    backend.remove_session()
    backend.engine.dispose()
    with engine.begin() as connection:
        schema.create(connection)


def _open_optuna(parsed: URL, *, create: bool) -> optuna.storages.RDBStorage:
    """Optuna's own storage, on connections that are set up as ours are."""
    url = parsed.render_as_string(hide_password=False)
    dialect = parsed.get_backend_name()
    backend = optuna.storages.RDBStorage(
        # Optuna calls str.format on it; SQLAlchemy 2.1 escapes braces, 2.0 leaves them
        url.replace("{", "{{").replace("}", "}}"),
        engine_kwargs={"connect_args": CONNECT[dialect], **POOL[dialect]},
        skip_compatibility_check=True,  # it would leave its connection open
        skip_table_creation=not create,
    )
    found, needed = backend.get_current_version(), backend.get_head_version()
    if found != needed:
        backend.engine.dispose()
        raise StorageError(
            f"its tables are of Optuna's version {found}, and this Optuna needs {needed}: "
            "optuna storage upgrade may help"
        )
    with backend.engine.connect() as connection:  # the one it made before it could be told
        SET_UP[dialect](connection.connection.dbapi_connection, None)
    event.listen(backend.engine, "connect", SET_UP[dialect])
    return backend


def _locking_engine(parsed: URL, **pool: Any) -> Engine:
    """An engine whose transactions take SQLite's write lock at once."""
    dialect = parsed.get_backend_name()
    engine = sa.create_engine(parsed, connect_args=CONNECT[dialect], **pool)
    event.listen(engine, "connect", SET_UP[dialect])
    if dialect == "sqlite":
        event.listen(engine, "connect", _leave_transactions_to_us)
        event.listen(engine, "begin", _begin_immediate)
    return engine


def _set_up_sqlite(connection: sqlite3.Connection, record: object) -> None:
    for pragma in PRAGMAS:
        connection.execute(f"PRAGMA {pragma}")


def _leave_transactions_to_us(connection: sqlite3.Connection, record: object) -> None:
    connection.isolation_level = None


def _begin_immediate(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _set_up_postgresql(connection: Any, record: object) -> None:
    for statement in POSTGRESQL_SESSION:
        connection.execute(statement)
    connection.commit()


SET_UP = {"sqlite": _set_up_sqlite, "postgresql": _set_up_postgresql}


@contextmanager
def _creation_lock(parsed: URL) -> Iterator[None]:
    """Let one process at a time look for the tables and make them.

    SQLite's journal, too, can be switched only while nobody else is looking.
    """
    if parsed.drivername == "sqlite":
        with open(f"{parsed.database}.lock", "w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
        return
    engine = sa.create_engine(parsed, poolclass=sa.pool.NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(sa.select(sa.func.pg_advisory_lock(CREATION_LOCK)))
        yield
