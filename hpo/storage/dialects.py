"""What each kind of database needs: its URL, its connections, its session, its creation lock.

SQLite: write-ahead logging, and a locking engine, whose transactions begin by taking the write lock
(`BEGIN IMMEDIATE`; `SELECT ... FOR UPDATE` is ignored there, and two workers would claim one
trial). PostgreSQL by psycopg 3, MariaDB and MySQL by PyMySQL: two connections a process, looked at
before use; the server ends the transaction of a worker that is stopped or cut off, so that it holds
no lock for long.
"""

import fcntl
import hashlib
import os
import random
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
"""What a URL may begin with, and the driver it stands for."""

POOL: dict[str, Any] = {
    "pool_size": 1,
    "max_overflow": 1,  # for the thread that renews leases
    "pool_pre_ping": True,
    "pool_recycle": 1800,
}
LOOKS_MS = 8  # SQLite looks for its lock after 1, 2 and 5 ms; then it would take ever longer
PRAGMAS = ("journal_mode = WAL", "synchronous = NORMAL", "foreign_keys = ON")
POSTGRESQL_SESSION = (
    "SET idle_in_transaction_session_timeout = '10s'",
    "SET tcp_keepalives_idle = 30",
    "SET tcp_keepalives_interval = 10",
    "SET tcp_keepalives_count = 3",
)
MYSQL_SESSION = (
    "SET time_zone = '+00:00'",
    "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
    "SET SESSION innodb_lock_wait_timeout = 10",
)
MARIADB_LETS_GO = "SET SESSION idle_transaction_timeout = 10"
MYSQL_LETS_GO = "SET SESSION wait_timeout = 60"  # MySQL has no such limit for transactions alone
UNKNOWN_VARIABLE = 1193

CONNECTIONS_LEFT = {
    "postgresql": (
        "SELECT current_setting('max_connections')::int"
        " - current_setting('superuser_reserved_connections')::int"
        " - (SELECT sum(numbackends) FROM pg_stat_database)"
    ),
    "mysql": "SELECT @@max_connections - count(*) FROM information_schema.processlist",
}

CREATION_LOCK = 7_305_804_401  # any number, as long as everybody takes the same
CREATION_SECONDS = 60


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """How to connect.

    Attributes:
        connect: what the driver is told.
        pool: how connections are kept.
        set_up: called with every new connection of the driver.
    """

    connect: dict[str, Any]
    pool: dict[str, Any]
    set_up: Callable[[Any, object], None]


def _set_up_sqlite(connection: sqlite3.Connection, record: object) -> None:
    for pragma in PRAGMAS:
        connection.execute(f"PRAGMA {pragma}")


def _set_up_postgresql(connection: Any, record: object) -> None:
    for statement in POSTGRESQL_SESSION:
        connection.execute(statement)
    connection.commit()


def _set_up_mysql(connection: Any, record: object) -> None:
    with connection.cursor() as cursor:
        for statement in MYSQL_SESSION:
            cursor.execute(statement)
        try:
            cursor.execute(MARIADB_LETS_GO)
        except connection.OperationalError as error:
            if error.args[0] != UNKNOWN_VARIABLE:
                raise
            cursor.execute(MYSQL_LETS_GO)


DIALECTS = {
    "sqlite": Dialect(
        connect={"timeout": 20},  # seconds to wait for the write lock
        pool={},
        set_up=_set_up_sqlite,
    ),
    "postgresql": Dialect(
        connect={
            "prepare_threshold": None,  # transaction poolers know no prepared statements
            "connect_timeout": 10,
            "keepalives_idle": 30,
            "keepalives_interval": 10,
            "keepalives_count": 3,
            "tcp_user_timeout": 15_000,
        },
        pool=POOL,
        set_up=_set_up_postgresql,
    ),
    "mysql": Dialect(
        # longer than any lock is waited for
        connect={"connect_timeout": 10, "read_timeout": 20, "write_timeout": 20},
        pool=POOL,
        set_up=_set_up_mysql,
    ),
}


def parse(url: str) -> URL:
    """The URL with its driver, and a SQLite file's whole path.

    Raises:
        InputError: it is none, or of a kind unknown here.
    """
    try:
        parsed = make_url(url)
    except (sa.exc.ArgumentError, ValueError):  # a port that is no number is a ValueError
        raise InputError(f"--storage must be a URL such as {EXAMPLES}") from None
    kind = parsed.drivername
    if parsed.password is not None and "@" in f"{parsed.host}{parsed.database}":
        raise InputError(
            "--storage must hold its password quoted: an @ in it is %40, a % is %25, a / is %2F"
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
    """The URL as it may be shown: without a password, in its query neither."""
    hidden = {key: "..." for key in parsed.query if "pass" in key.lower()}
    return parsed.update_query_dict(hidden).render_as_string(hide_password=True)


def of(parsed: URL) -> Dialect:
    """The dialect of a URL."""
    return DIALECTS[parsed.get_backend_name()]


def connections_left(connection: Connection) -> int | None:
    """How many more connections the server takes; None where its limit does not count."""
    query = CONNECTIONS_LEFT.get(connection.dialect.name)
    if query is None or is_pooled(connection):
        return None
    return int(connection.execute(sa.text(query)).scalar_one())


def is_pooled(connection: Connection) -> bool:
    """Whether a pooler such as pgbouncer shares the server's connections among its clients.

    It tells each of them a process that is none of the server's.
    """
    if connection.dialect.name != "postgresql":
        return False
    pid = connection.connection.driver_connection.info.backend_pid  # type: ignore[union-attr]
    return bool(pid != connection.scalar(sa.select(sa.func.pg_backend_pid())))


def read_only_engine(parsed: URL) -> Engine:
    """An engine that changes nothing, not even SQLite's journal, and keeps no connection."""
    return sa.create_engine(parsed, connect_args=of(parsed).connect, poolclass=sa.pool.NullPool)


def locking_engine(parsed: URL, **pool: Any) -> Engine:
    """An engine whose transactions take SQLite's write lock at once."""
    engine = sa.create_engine(parsed, connect_args=of(parsed).connect, **pool)
    event.listen(engine, "connect", of(parsed).set_up)
    if parsed.drivername == "sqlite":
        event.listen(engine, "connect", _leave_transactions_to_us)
        event.listen(engine, "begin", _begin_immediate)
    return engine


def _leave_transactions_to_us(connection: sqlite3.Connection, record: object) -> None:
    connection.isolation_level = None


def _begin_immediate(connection: Connection) -> None:
    """Take the write lock, looking for it every few milliseconds.

    Who waits long is made by SQLite to look ten times a second only, and would hardly ever meet the
    moment in which a process that writes again and again does not hold it.
    """
    driver: Any = connection.connection.driver_connection
    seconds = DIALECTS["sqlite"].connect["timeout"]
    give_up = time.monotonic() + seconds
    driver.execute(f"PRAGMA busy_timeout = {LOOKS_MS}")
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
    """Keep those off who make the tables; on a server they do not mind being watched.

    SQLite's journal can be switched only while nobody else is looking.
    """
    if parsed.drivername != "sqlite":
        yield
        return
    with _file_lock(parsed, fcntl.LOCK_SH):
        yield


@contextmanager
def creation_lock(parsed: URL) -> Iterator[None]:
    """Let one process at a time make or change the tables."""
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
    """The file beside SQLite's own that is locked in its place."""
    return Path(f"{parsed.database}.lock")


@contextmanager
def _file_lock(parsed: URL, kind: int) -> Iterator[None]:
    """A file of ours, for locks on SQLite's own would be lost when it is closed."""
    with lock_file(parsed).open("w") as file:
        fcntl.flock(file, kind)
        yield


def _lock_postgresql(holder: Connection) -> None:
    """Take the lock for as long as a transaction lasts.

    Behind a pooler no session is one's own, and who waits in a transaction keeps a connection from
    the one that makes the tables.
    """
    while True:
        holder.execute(sa.text("SET LOCAL idle_in_transaction_session_timeout = 0"))
        if holder.scalar(sa.select(sa.func.pg_try_advisory_xact_lock(CREATION_LOCK))):
            return
        holder.rollback()
        time.sleep(random.uniform(0.02, 0.1))


def _lock_mysql(holder: Connection, database: str) -> None:
    """A server's locks are for all of its databases, and their names 64 letters at most."""
    name = "hpo:" + hashlib.sha256(database.encode()).hexdigest()[:40]
    if not holder.execute(sa.select(sa.func.get_lock(name, CREATION_SECONDS))).scalar():
        raise StorageUnavailableError(
            f"another process is making its tables for {CREATION_SECONDS} s already"
        )
