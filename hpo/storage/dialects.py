"""What each kind of database needs: URL, connections, session settings, creation lock.

SQLite uses write-ahead logging. Writes use a locking engine, whose transactions begin by taking the
write lock (`BEGIN IMMEDIATE`): SQLite ignores `SELECT ... FOR UPDATE`, and two workers would claim
the same trial.

PostgreSQL uses psycopg 3; MariaDB and MySQL use PyMySQL. A process keeps two connections, which are
tested before use. The server ends idle transactions, so that a stopped or disconnected worker holds
no lock for long.
"""

import fcntl
import hashlib
import os
import random
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import URL, Connection, Engine, make_url

from hpo.config.errors import InputError, StorageUnavailableError

EXAMPLES = (
    "sqlite:///hpo.db, postgresql://USER:PASSWORD@HOST/DATABASE "
    "or mariadb://USER:PASSWORD@HOST/DATABASE"
)
DRIVERS = {
    "sqlite": "sqlite",
    "postgres": "postgresql+psycopg",
    "postgresql": "postgresql+psycopg",
    "postgresql+psycopg": "postgresql+psycopg",
    "mysql": "mysql+pymysql",
    "mysql+pymysql": "mysql+pymysql",
    "mariadb": "mysql+pymysql",  # Optuna knows MariaDB by this name
    "mariadb+pymysql": "mysql+pymysql",
}
"""Drivers by the scheme of a URL."""

_POOL: dict[str, Any] = {
    "pool_size": 1,
    "max_overflow": 1,  # for the thread that renews leases
    "pool_pre_ping": True,
    "pool_recycle": 1800,
}
_BUSY_MS = 8  # SQLite retries its lock after 1, 2 and 5 ms, and then at growing intervals
_PRAGMAS = ("journal_mode = WAL", "synchronous = NORMAL", "foreign_keys = ON")
_POSTGRESQL_SESSION = (
    "SET idle_in_transaction_session_timeout = '10s'",
    "SET tcp_keepalives_idle = 30",
    "SET tcp_keepalives_interval = 10",
    "SET tcp_keepalives_count = 3",
)
_MYSQL_SESSION = (
    "SET time_zone = '+00:00'",
    "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
    "SET SESSION innodb_lock_wait_timeout = 10",
)
_MARIADB_TIMEOUT = "SET SESSION idle_transaction_timeout = 10"
_MYSQL_TIMEOUT = "SET SESSION wait_timeout = 60"  # MySQL has no timeout for idle transactions
_UNKNOWN_VARIABLE = 1193

_CONNECTIONS_LEFT = {
    "postgresql": (
        "SELECT current_setting('max_connections')::int"
        " - current_setting('superuser_reserved_connections')::int"
        " - (SELECT sum(numbackends) FROM pg_stat_database)"
    ),
    "mysql": "SELECT @@max_connections - count(*) FROM information_schema.processlist",
}

_CREATION_LOCK = 7_305_804_401  # an arbitrary number that all processes share
_CREATION_SECONDS = 60


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """How to connect to a kind of database.

    Attributes:
        connect: arguments of the driver.
        pool: arguments of the connection pool.
        set_up: called with each new connection of the driver.
    """

    connect: dict[str, Any]
    pool: dict[str, Any]
    set_up: Callable[[Any, object], None]


def _set_up_sqlite(connection: sqlite3.Connection, record: object) -> None:
    for pragma in _PRAGMAS:
        connection.execute(f"PRAGMA {pragma}")


def _set_up_postgresql(connection: Any, record: object) -> None:
    for statement in _POSTGRESQL_SESSION:
        connection.execute(statement)
    connection.commit()


def _set_up_mysql(connection: Any, record: object) -> None:
    with connection.cursor() as cursor:
        for statement in _MYSQL_SESSION:
            cursor.execute(statement)
        try:
            cursor.execute(_MARIADB_TIMEOUT)
        except connection.OperationalError as error:
            if error.args[0] != _UNKNOWN_VARIABLE:
                raise
            cursor.execute(_MYSQL_TIMEOUT)


DIALECTS = {
    "sqlite": Dialect(
        connect={"timeout": 20},  # seconds to wait for the write lock
        pool={},
        set_up=_set_up_sqlite,
    ),
    "postgresql": Dialect(
        connect={
            "prepare_threshold": None,  # transaction poolers support no prepared statements
            "connect_timeout": 10,
            "keepalives_idle": 30,
            "keepalives_interval": 10,
            "keepalives_count": 3,
            "tcp_user_timeout": 15_000,
        },
        pool=_POOL,
        set_up=_set_up_postgresql,
    ),
    "mysql": Dialect(
        # longer than any lock timeout
        connect={"connect_timeout": 10, "read_timeout": 20, "write_timeout": 20},
        pool=_POOL,
        set_up=_set_up_mysql,
    ),
}


def parse(url: str) -> URL:
    """Parse a storage URL, adding the driver and the absolute path of a SQLite file.

    Raises:
        InputError: the URL is invalid, or of an unsupported database.
    """
    try:
        parsed = make_url(url)
    except (sa.exc.ArgumentError, ValueError):  # ValueError: a bad port
        raise InputError(f"--storage must be a URL such as {EXAMPLES}") from None
    kind = parsed.drivername
    if parsed.password is not None and "@" in f"{parsed.host}{parsed.database}":
        raise InputError(
            "--storage must quote special characters of the password: @ is %40, % is %25, / is %2F"
        )
    if kind not in DRIVERS:
        raise InputError(
            "--storage must begin with sqlite:///, postgresql://, mariadb:// or mysql://, "
            f"but got {kind}://"
        )
    if kind == "sqlite":
        if not parsed.database or parsed.database == ":memory:":
            raise InputError("--storage sqlite:/// must name a file: worker processes share it")
        return parsed.set(database=os.path.abspath(parsed.database))
    if DRIVERS[kind] == "mysql+pymysql" and not parsed.database:
        raise InputError(f"--storage {kind}:// must name a database, as in {kind}://HOST/DATABASE")
    return parsed.set(drivername=DRIVERS[kind])


def safe(parsed: URL) -> str:
    """The URL without passwords, for messages."""
    hidden = {key: "..." for key in parsed.query if "pass" in key.lower()}
    return parsed.update_query_dict(hidden).render_as_string(hide_password=True)


def of(parsed: URL) -> Dialect:
    """The dialect of a URL."""
    return DIALECTS[parsed.get_backend_name()]


def connections_left(connection: Connection) -> int | None:
    """Number of further connections to the server; None if it has no limit that counts."""
    query = _CONNECTIONS_LEFT.get(connection.dialect.name)
    if query is None or is_pooled(connection):
        return None
    return int(connection.execute(sa.text(query)).scalar_one())


def is_pooled(connection: Connection) -> bool:
    """Whether a connection pooler such as pgbouncer is between this process and the server.

    A pooler reports a process id that is not the server's.
    """
    if connection.dialect.name != "postgresql":
        return False
    pid = connection.connection.driver_connection.info.backend_pid  # type: ignore[union-attr]
    return bool(pid != connection.scalar(sa.select(sa.func.pg_backend_pid())))


def read_only_engine(parsed: URL) -> Engine:
    """An engine without a pool that changes nothing, not even SQLite's journal mode."""
    return sa.create_engine(parsed, connect_args=of(parsed).connect, poolclass=sa.pool.NullPool)


def locking_engine(parsed: URL, **pool: Any) -> Engine:
    """An engine whose transactions begin by taking SQLite's write lock."""
    engine = sa.create_engine(parsed, connect_args=of(parsed).connect, **pool)
    event.listen(engine, "connect", of(parsed).set_up)
    if parsed.drivername == "sqlite":
        event.listen(engine, "connect", _disable_implicit_begin)
        event.listen(engine, "begin", _begin_immediate)
    return engine


def _disable_implicit_begin(connection: sqlite3.Connection, record: object) -> None:
    connection.isolation_level = None


def _begin_immediate(connection: Connection) -> None:
    """Take the write lock, retrying every few milliseconds.

    SQLite itself soon retries only ten times a second, and would hardly ever find the lock free
    while another process writes continuously.
    """
    driver: Any = connection.connection.driver_connection
    seconds = DIALECTS["sqlite"].connect["timeout"]
    give_up = time.monotonic() + seconds
    driver.execute(f"PRAGMA busy_timeout = {_BUSY_MS}")
    try:
        while True:
            try:
                driver.execute("BEGIN IMMEDIATE")
                return
            except sqlite3.OperationalError as error:
                is_taken = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
                if not is_taken or time.monotonic() > give_up:
                    raise
            time.sleep(0.001)
    finally:
        driver.execute(f"PRAGMA busy_timeout = {int(1000 * seconds)}")


@contextmanager
def shared_lock(parsed: URL) -> Iterator[None]:
    """Keep SQLite's tables from being created meanwhile; servers need no such lock.

    SQLite can switch its journal mode only while no other connection reads.
    """
    is_sqlite = parsed.drivername == "sqlite"
    with _file_lock(parsed, fcntl.LOCK_SH) if is_sqlite else nullcontext():
        yield


@contextmanager
def creation_lock(parsed: URL) -> Iterator[None]:
    """Let one process at a time create or change the tables."""
    if parsed.drivername == "sqlite":
        with _file_lock(parsed, fcntl.LOCK_EX):
            yield
        return
    with read_only_engine(parsed).connect() as holder:
        if parsed.get_backend_name() == "postgresql":
            _lock_postgresql(holder)
        else:
            _lock_mysql(holder, str(parsed.database))
        yield


def lock_file(parsed: URL) -> Path:
    """The lock file next to a SQLite file."""
    return Path(f"{parsed.database}.lock")


@contextmanager
def _file_lock(parsed: URL, kind: int) -> Iterator[None]:
    """Lock a separate file: closing SQLite's own file would release SQLite's locks."""
    with lock_file(parsed).open("w") as file:
        fcntl.flock(file, kind)
        yield


def _lock_postgresql(holder: Connection) -> None:
    """Take the lock until the transaction ends.

    A pooler may share sessions, so that the lock cannot belong to one. Waiting inside a transaction
    could keep the last connection from the process that creates the tables.
    """
    while True:
        holder.execute(sa.text("SET LOCAL idle_in_transaction_session_timeout = 0"))
        if holder.scalar(sa.select(sa.func.pg_try_advisory_xact_lock(_CREATION_LOCK))):
            return
        holder.rollback()
        time.sleep(random.uniform(0.02, 0.1))


def _lock_mysql(holder: Connection, database: str) -> None:
    """Named locks span all databases of a server, and their names have up to 64 characters."""
    name = "hpo:" + hashlib.sha256(database.encode()).hexdigest()[:40]
    if not holder.execute(sa.select(sa.func.get_lock(name, _CREATION_SECONDS))).scalar():
        raise StorageUnavailableError(
            f"another process has been creating its tables for {_CREATION_SECONDS} s"
        )
