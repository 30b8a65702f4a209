"""What databases raise, and what is made of it."""

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pymysql
import pytest
import sqlalchemy as sa
from optuna.exceptions import StorageInternalError
from sqlalchemy.engine import Connection

from hpo.config.errors import StorageError, StorageUnavailableError
from hpo.storage import dialects
from hpo.storage.engine import Storage, open_storage
from hpo.storage.failures import is_conflict, translate
from hpo.storage.schema import WORKERS
from hpo.study.catalog import create_study
from tests.support.definitions import definition
from tests.support.servers import PostgresqlServer

ROW = {"worker_id": "x", "host": "h", "pid": 1, "device": "cpu"}


@pytest.fixture
def storage(postgresql_url: str) -> Iterator[Storage]:
    with closing(open_storage(postgresql_url)) as opened:
        yield opened


def wrapped(error: Exception) -> Exception:
    """As SQLAlchemy hands a driver's error on."""
    kind = getattr(sa.exc, type(error).__name__, sa.exc.OperationalError)
    return kind("SELECT 1", {}, error)  # type: ignore[no-any-return]


def of_optuna(error: Exception) -> Exception:
    """As Optuna hides one."""
    hidden = StorageInternalError("An exception is raised during the commit.")
    hidden.__cause__ = wrapped(error)
    return hidden


def of_sqlite(code: int) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("said")
    error.sqlite_errorcode = code
    return error


PASSING = [
    psycopg.errors.AdminShutdown("said"),
    psycopg.errors.CrashShutdown("said"),
    psycopg.errors.CannotConnectNow("said"),
    psycopg.errors.TooManyConnections("said"),
    psycopg.errors.ConnectionFailure("said"),
    psycopg.errors.DiskFull("said"),
    psycopg.errors.SerializationFailure("said"),
    psycopg.errors.ReadOnlySqlTransaction("said"),
    psycopg.OperationalError("connection to server failed: Connection refused"),
    psycopg.OperationalError("FATAL:  sorry, too many clients already"),
    psycopg.InterfaceError("the connection is closed"),
    psycopg.errors.ConnectionTimeout("connection timeout expired"),
    pymysql.err.OperationalError(1040, "Too many connections"),
    pymysql.err.OperationalError(1213, "Deadlock found", sqlstate="40001"),
    pymysql.err.OperationalError(2003, "Can't connect to MySQL server"),
    pymysql.err.OperationalError(2013, "Lost connection to MySQL server during query"),
    pymysql.err.OperationalError(4031, "The client was disconnected by the server"),
    pymysql.err.InterfaceError(0, ""),
    of_sqlite(sqlite3.SQLITE_BUSY_SNAPSHOT),
    of_sqlite(sqlite3.SQLITE_IOERR_WRITE),
    of_sqlite(sqlite3.SQLITE_FULL),
    of_sqlite(sqlite3.SQLITE_CANTOPEN),
]
LASTING = [
    psycopg.errors.UndefinedTable("said"),
    psycopg.errors.InvalidPassword("said"),
    psycopg.OperationalError('FATAL:  role "nobody" does not exist'),
    psycopg.OperationalError("FATAL:  password authentication failed for user"),
    pymysql.err.OperationalError(1045, "Access denied", sqlstate="28000"),
    pymysql.err.OperationalError(1049, "Unknown database"),
    pymysql.err.ProgrammingError(1146, "Table doesn't exist", sqlstate="42S02"),
    of_sqlite(sqlite3.SQLITE_ERROR),
    of_sqlite(sqlite3.SQLITE_READONLY),
    sqlite3.ProgrammingError("Cannot operate on a closed database."),
]


@pytest.mark.parametrize("how", [lambda error: error, wrapped, of_optuna])
@pytest.mark.parametrize("error", PASSING, ids=repr)
def test_what_may_be_over_soon_is_an_outage(error, how):
    assert type(translate(how(error), "safe")) is StorageUnavailableError


@pytest.mark.parametrize("how", [lambda error: error, wrapped, of_optuna])
@pytest.mark.parametrize("error", LASTING, ids=repr)
def test_what_comes_back_is_none(error, how):
    assert type(translate(how(error), "safe")) is StorageError


def test_other_errors_are_left_alone():
    assert translate(KeyError("x"), "safe") is None
    assert translate(StorageError("x"), "safe") is None


def test_only_transactions_in_the_way_are_tried_again_at_once():
    deadlock = pymysql.err.OperationalError(1213, "Deadlock found", sqlstate="40001")
    assert is_conflict(wrapped(deadlock))
    assert is_conflict(wrapped(psycopg.errors.DeadlockDetected("said")))
    assert not is_conflict(wrapped(psycopg.errors.AdminShutdown("said")))
    assert not is_conflict(None)


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (
            wrapped(pymysql.err.OperationalError(2003, "Can't connect")),
            "storage safe: Can't connect",
        ),
        (wrapped(pymysql.err.InterfaceError(0, "")), "storage safe: the connection is closed"),
        (psycopg.OperationalError("server closed\n\tThis means"), "storage safe: server closed"),
        (psycopg.OperationalError(), "storage safe: OperationalError"),
    ],
)
def test_it_is_said_in_one_line(error, sentence):
    assert str(translate(error, "safe")) == sentence


def end_all_others(connection: Connection) -> None:
    """End every connection of the schema, this one apart, as a restarting server does."""
    connection.exec_driver_sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
    )


def test_a_connection_that_ends_in_a_transaction_is_an_outage_and_then_over(
    storage: Storage,
) -> None:
    def work(connection: Connection) -> None:
        connection.execute(sa.insert(WORKERS).values(ROW))
        with closing(open_storage(storage.url)) as other:
            other.write(end_all_others)
        connection.execute(sa.select(WORKERS))

    with pytest.raises(StorageUnavailableError, match=r"terminating connection"):
        storage.write(work)
    storage.write(lambda connection: connection.execute(sa.insert(WORKERS).values(ROW)))
    with storage.read() as connection:
        assert len(connection.execute(sa.select(WORKERS)).all()) == 1


def test_optuna_reading_over_a_connection_that_ended_goes_on(storage: Storage) -> None:
    study = create_study(storage, definition(), "store")
    with closing(open_storage(storage.url)) as other:
        other.write(end_all_others)
    assert len(study.trials()) == 1


def test_a_lock_that_is_not_had_in_time_is_an_outage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(dialects.DIALECTS["sqlite"].connect, "timeout", 0.1)
    url = f"sqlite:///{tmp_path}/hpo.db"
    with closing(open_storage(url)) as storage, closing(open_storage(url)) as other:

        def work(connection: Connection) -> None:
            with pytest.raises(StorageUnavailableError, match=r"database is locked"):
                other.write(lambda connection: None)

        storage.write(work)
        other.write(lambda connection: connection.execute(sa.insert(WORKERS).values(ROW)))


def test_a_full_disk_is_an_outage(tmp_path: Path) -> None:
    with closing(open_storage(f"sqlite:///{tmp_path}/hpo.db")) as storage:

        def fill(connection: Connection) -> None:
            connection.exec_driver_sql("PRAGMA max_page_count = 1")
            rows = [{**ROW, "worker_id": f"{n:064}"} for n in range(1000)]
            connection.execute(sa.insert(WORKERS), rows)

        with pytest.raises(StorageUnavailableError, match=r"database or disk is full"):
            storage.write(fill)


class TestPatience:
    URL = "postgresql://me:secret@127.0.0.1:1/db"

    def test_ends_when_it_is_used_up(self) -> None:
        started = time.monotonic()
        with pytest.raises(StorageUnavailableError, match=r"refused"):
            open_storage(self.URL, patience=0.5)
        assert time.monotonic() - started >= 0.5

    def test_is_not_spent_on_what_lasts(self, postgresql: PostgresqlServer) -> None:
        started = time.monotonic()
        with pytest.raises(StorageError, match=r'role "nobody" does not exist') as caught:
            open_storage(postgresql.url.replace("postgres:@", "nobody:@"), patience=200)
        assert type(caught.value) is StorageError
        assert time.monotonic() - started < 100

    def test_waits_for_a_database_that_comes_back(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(dialects.DIALECTS["sqlite"].connect, "timeout", 0.05)
        url = f"sqlite:///{tmp_path}/hpo.db"
        open_storage(url).close()
        blocker = sqlite3.connect(tmp_path / "hpo.db", check_same_thread=False)
        blocker.execute("PRAGMA locking_mode = EXCLUSIVE")
        blocker.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StorageUnavailableError):
            open_storage(url)
        timer = threading.Timer(0.5, blocker.close)
        timer.start()
        open_storage(url, patience=20).close()
        timer.join()
