"""Opening storages, and what transactions on them promise."""

import contextlib
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import optuna
import psycopg
import pytest
import sqlalchemy as sa
from optuna.trial import TrialState
from sqlalchemy import event
from sqlalchemy.engine import Connection

from hpo.config.errors import InputError, StorageError
from hpo.storage import dialects
from hpo.storage.engine import Storage, open_storage
from hpo.storage.leases import WorkerId
from hpo.storage.schema import WORKERS
from hpo.study.catalog import create_study, list_studies, open_study
from tests.support.definitions import definition
from tests.support.servers import PostgresqlServer

ME = WorkerId(host="here", pid=1, device="cpu")
OTHER = WorkerId(host="there", pid=2, device="cpu")


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("hpo.db", "must be a URL such as sqlite:///hpo.db"),
        ("postgresql://me:secret@host:port/db", "must be a URL such as"),
        ("oracle://me:secret@host/db", "but got oracle://"),
        ("postgresql://me:p@secret@host/db", "@ is %40"),
        ("mysql://me:p@sec/secret@host/db", "@ is %40"),
        ("mariadb://me:secret@host", "must name a database, as in mariadb://HOST/DATABASE"),
        ("sqlite://", "must name a file"),
        ("sqlite:///:memory:", "must name a file"),
    ],
)
def test_a_url_that_is_none_is_refused_without_its_password(url: str, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence) as caught:
        open_storage(url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("sqlite:////nowhere/hpo.db", "the folder /nowhere does not exist"),
        ("sqlite:////proc/hpo.db", "cannot be written"),
        ("postgresql://me:secret@127.0.0.1:1/db", r"me:\*\*\*@127.0.0.1:1/db: .*refused"),
        ("postgresql://127.0.0.1:1/db?password=secret", r"password=...: .*refused"),
        ("mysql://me:secret@127.0.0.1:1/db", r"me:\*\*\*@127.0.0.1:1/db: .*refused"),
    ],
)
def test_a_database_out_of_reach_is_said_in_a_sentence(url: str, sentence: str) -> None:
    with pytest.raises(StorageError, match=sentence) as caught:
        open_storage(url)
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text(
        "no database at all, but long enough to look like one\n" * 9
    )
    with pytest.raises(StorageError, match=r"notes.txt: file is not a database"):
        open_storage(f"sqlite:///{tmp_path}/notes.txt")
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_an_unknown_role_is_refused(postgresql: PostgresqlServer) -> None:
    with pytest.raises(StorageError, match=r'role "nobody" does not exist') as caught:
        open_storage(postgresql.url.replace("postgres:@", "nobody:secret@"))
    assert "secret" not in str(caught.value)


def test_to_look_makes_no_file(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"does not exist yet; hpo create or hpo run makes it"):
        open_storage(f"sqlite:///{tmp_path}/hpo.db", create=False)
    assert list(tmp_path.iterdir()) == []


def test_a_path_may_hold_braces_and_percents(tmp_path: Path) -> None:
    with closing(open_storage(f"sqlite:///{tmp_path}/{{a}} 100%.db")) as storage:
        create_study(storage, definition(), "store")
    with closing(open_storage(storage.url, create=False)) as again:
        assert open_study(again, "study").progress().counts == {"WAITING": 1}
    assert (tmp_path / "{a} 100%.db").exists()


def test_a_relative_path_is_the_same_for_workers_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with closing(open_storage("sqlite:///hpo.db")) as storage:
        assert storage.url == f"sqlite:///{tmp_path}/hpo.db"


def test_the_short_name_of_postgresql_and_passwords(postgresql_url: str) -> None:
    url = postgresql_url.replace("postgresql://postgres:", "postgres://postgres:secret")
    with closing(open_storage(url)) as storage:
        assert "secret" in storage.url
        assert "secret" not in storage.safe_url + repr(storage)
        with pytest.raises(StorageError, match=r"postgres:\*\*\*@.*no_such_table") as caught:
            storage.write(lambda connection: connection.exec_driver_sql("TABLE no_such_table"))
        assert "secret" not in str(caught.value)


def test_sqlite_connections_are_set_up(tmp_path: Path) -> None:
    def settings(connection: Connection) -> list[object]:
        names = ("journal_mode", "synchronous", "foreign_keys")
        return [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in names]

    with closing(open_storage(f"sqlite:///{tmp_path}/hpo.db")) as storage:
        assert storage.write(settings) == ["wal", 1, 1]
        with storage.read() as connection:
            assert settings(connection) == ["wal", 1, 1]


def test_postgresql_lets_go_of_a_worker_that_stopped(postgresql_url: str) -> None:
    with closing(open_storage(postgresql_url)) as storage, storage.read() as connection:
        shown = connection.exec_driver_sql("SHOW idle_in_transaction_session_timeout").scalar()
        assert shown == "10s"


def test_mariadb_sessions_are_set_up(mariadb_url: str) -> None:
    with closing(open_storage(mariadb_url)) as storage, storage.read() as connection:
        names = "@@time_zone, @@tx_isolation, @@idle_transaction_timeout"
        shown = connection.exec_driver_sql(f"SELECT {names}").one()
        assert tuple(shown) == ("+00:00", "READ-COMMITTED", 10)


def test_every_connection_is_set_up(storage: Storage) -> None:
    """The first one, which Optuna made, and those that follow."""
    setting = {
        "sqlite": "PRAGMA foreign_keys",
        "postgresql": "SHOW idle_in_transaction_session_timeout",
        "mysql": "SELECT @@idle_transaction_timeout",
    }
    said = []
    for _ in range(2):
        with storage.read() as one, storage.read() as two:
            name = one.dialect.name
            said += [c.exec_driver_sql(setting[name]).scalar() for c in (one, two)]
        storage.close()
    expected = {"sqlite": 1, "postgresql": "10s", "mysql": 10}[name]
    assert said == [expected] * 4


def test_a_process_takes_two_connections_of_postgresql(
    postgresql: PostgresqlServer, postgresql_url: str
) -> None:
    clients = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"
    with psycopg.connect(postgresql.url) as looking:

        def count() -> int:
            (n,) = looking.execute(clients).fetchone() or (0,)
            return int(n)

        before = count()
        with closing(open_storage(postgresql_url)) as storage:
            study = create_study(storage, definition(), "store")
            claim = study.ask(ME, 60.0)
            assert claim is not None
            heart = threading.Thread(target=study.renew, args=([claim], 60.0))
            with storage.read():  # the worker is at it while its heart beats
                heart.start()
                heart.join(10)
            assert not heart.is_alive()
            study.trials()
            assert count() - before <= 2


def test_a_transaction_is_whole_or_not_at_all(storage: Storage) -> None:
    def half(connection: Connection) -> None:
        row = {"worker_id": "x", "host": "h", "pid": 1, "device": "cpu"}
        connection.execute(sa.insert(WORKERS).values(row))
        connection.exec_driver_sql("SELECT * FROM no_such_table")

    with pytest.raises(StorageError, match=r"no_such_table"):
        storage.write(half)
    with storage.read() as connection:
        assert connection.execute(sa.select(WORKERS)).all() == []


def test_reading_waits_for_no_writer(storage: Storage) -> None:
    study = create_study(storage, definition(), "store")
    with closing(open_storage(storage.url)) as other:

        def look(connection: Connection) -> dict[str, int]:
            connection.execute(sa.delete(WORKERS))
            return open_study(other, "study").progress().counts

        assert study.storage.write(look) == {"WAITING": 1}


@pytest.mark.slow
def test_who_waits_for_sqlite_gets_a_turn_between_writes_without_end(tmp_path: Path) -> None:
    is_taken, is_over, turns = threading.Event(), threading.Event(), list[None]()

    def write_on() -> None:
        with closing(sqlite3.connect(tmp_path / "hpo.db", isolation_level=None)) as hog:
            while not is_over.wait(0.004):
                hog.execute("BEGIN IMMEDIATE")
                turns.append(None)
                is_taken.set()
                is_over.wait(0.25)
                is_taken.clear()
                hog.execute("COMMIT")

    with closing(open_storage(f"sqlite:///{tmp_path}/hpo.db")) as storage:
        writes = threading.Thread(target=write_on)
        writes.start()
        try:
            for _ in range(4):
                assert is_taken.wait(60)
                storage.write(lambda connection: None)
            assert len(turns) < 32
        finally:
            is_over.set()
            writes.join()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["postgresql", "mariadb"])
def test_transactions_that_lock_each_other_out_are_tried_again(
    kind: str, request: pytest.FixtureRequest
) -> None:
    """Two threads lock two rows crosswise: the server ends one of the transactions."""
    both_hold = threading.Barrier(2)
    tries: list[int] = []
    with closing(open_storage(request.getfixturevalue(f"{kind}_url"))) as storage:
        rows = [{"worker_id": f"w{n}", "host": "h", "pid": n, "device": "cpu"} for n in (0, 1)]
        storage.write(lambda connection: connection.execute(sa.insert(WORKERS), rows))

        def lock(first: int) -> None:
            def crosswise(connection: Connection) -> None:
                tries.append(first)
                for n in (first, 1 - first):
                    own = WORKERS.c.worker_id == f"w{n}"
                    add = {"pid": WORKERS.c.pid + 10}
                    connection.execute(sa.update(WORKERS).where(own).values(add))
                    if n == first and len(tries) <= 2:
                        both_hold.wait(10)

            storage.write(crosswise)

        threads = [threading.Thread(target=lock, args=(n,)) for n in (0, 1)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(tries) == 3
        with storage.read() as connection:
            pids = connection.execute(sa.select(WORKERS.c.pid).order_by(WORKERS.c.pid))
            assert list(pids.scalars()) == [20, 21]


class TestTheRaceOnSqlite:
    """`SELECT ... FOR UPDATE` locks nothing there: another worker may come between."""

    def test_lets_plain_optuna_claim_a_trial_twice(self, tmp_path: Path) -> None:
        url = f"sqlite:///{tmp_path}/plain.db"
        one, two = optuna.storages.RDBStorage(url), optuna.storages.RDBStorage(url)
        study = optuna.create_study(storage=one)
        study.enqueue_trial({})
        claims: list[bool] = []

        @event.listens_for(one.engine, "before_cursor_execute", named=True)
        def come_between(statement: str, **rest: object) -> None:
            if statement.startswith("UPDATE trials") and not claims:
                claims.append(two.set_trial_state_values(1, TrialState.RUNNING))

        claims.append(one.set_trial_state_values(1, TrialState.RUNNING))
        assert claims == [True, True]
        for plain in (one, two):
            plain.remove_session()
            plain.engine.dispose()

    def test_is_closed_here(self, tmp_path: Path) -> None:
        url = f"sqlite:///{tmp_path}/hpo.db"
        with closing(open_storage(url)) as one, closing(open_storage(url)) as two:
            study = create_study(one, definition(), "store")
            study.enqueue({})
            rival = open_study(two, "study")
            numbers: list[int] = []

            def claim_too() -> None:
                if claimed := rival.ask(OTHER, 60.0):
                    numbers.append(claimed.number)

            thread = threading.Thread(target=claim_too)

            @event.listens_for(one._writes, "before_cursor_execute", named=True)
            def come_between(statement: str, **rest: object) -> None:
                if statement.startswith("UPDATE trials") and not thread.ident:
                    thread.start()
                    thread.join(0.3)
                    assert thread.is_alive()  # it waits for the lock

            claimed = study.ask(ME, 60.0)
            thread.join(30)
            assert claimed is not None
            assert [claimed.number, *numbers] == [0, 1]


def test_a_storage_of_plain_optuna_gets_our_tables(storage_url: str, tmp_path: Path) -> None:
    plain = optuna.storages.RDBStorage(dialects.parse(storage_url).render_as_string(False))
    optuna.create_study(storage=plain, study_name="plain").enqueue_trial({"x": 1})
    plain.remove_session()
    plain.engine.dispose()
    with closing(open_storage(storage_url)) as storage:
        create_study(storage, definition(), "store")
        assert [status.name for status in list_studies(storage)] == ["study"]
        assert len(optuna.load_study(study_name="plain", storage=storage.plain).trials) == 1


def test_64_processes_fit_a_postgresql_of_100_connections(
    postgresql: PostgresqlServer, postgresql_url: str
) -> None:
    """As threads here, each with connections of its own, that all open it at the same moment."""
    with psycopg.connect(postgresql.url) as looking:
        assert looking.execute("SHOW max_connections").fetchone() == ("100",)
    open_storage(postgresql_url).close()
    start, opened, failed = threading.Barrier(64), threading.Barrier(65), list[Exception]()

    def work(pid: int) -> None:
        start.wait(60)
        try:
            with closing(open_storage(postgresql_url, patience=60)) as storage:
                open_study(storage, "study").renew([], 60.0)
                opened.wait(120)
        except Exception as error:
            failed.append(error)
            opened.abort()

    with closing(open_storage(postgresql_url)) as storage:
        create_study(storage, definition(), "store")
        threads = [threading.Thread(target=work, args=(pid,)) for pid in range(64)]
        for thread in threads:
            thread.start()
        with contextlib.suppress(threading.BrokenBarrierError):
            opened.wait(120)
        for thread in threads:
            thread.join()
    assert failed == []


def test_more_workers_than_the_server_has_connections_for_are_refused(storage: Storage) -> None:
    storage.check_room(8)
    if storage.safe_url.startswith("sqlite"):
        storage.check_room(10_000)
        return
    with pytest.raises(InputError, match=r"has \d+ connections left, and 10000 workers need one"):
        storage.check_room(10_000)
