"""Storages of older versions: refused in a sentence, and brought up to date."""

import sqlite3
from contextlib import closing
from pathlib import Path

import optuna
import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from hpo.cli import main
from hpo.config.errors import StorageError
from hpo.config.trial import Measurement
from hpo.storage import schema
from hpo.storage import upgrade as upgrades
from hpo.storage.engine import Storage, open_storage
from hpo.storage.leases import WorkerId
from hpo.storage.upgrade import upgrade
from hpo.storage.waiting import read_waiting
from hpo.study.catalog import create_study, open_study
from tests.support.definitions import definition
from tests.support.paths import EARLIER_VERSIONS

ME = WorkerId(host="here", pid=1, device="cpu")
STORAGES = EARLIER_VERSIONS / "storages"


@pytest.fixture
def version_1(tmp_path: Path) -> str:
    """A study that hpo 0.1 was at: a COMPLETE, a PRUNED, a RUNNING and a WAITING trial."""
    with closing(sqlite3.connect(tmp_path / "old.db")) as connection:
        connection.executescript((STORAGES / "version_1.sql").read_text())
    return f"sqlite:///{tmp_path}/old.db"


def to_version_1(connection: Connection) -> None:
    """Undo what came after it."""
    connection.exec_driver_sql("ALTER TABLE hpo_clocks DROP COLUMN device_ms")
    connection.exec_driver_sql("ALTER TABLE hpo_workers DROP COLUMN share")
    on = " ON trials" if connection.dialect.name == "mysql" else ""
    connection.exec_driver_sql(f"DROP INDEX hpo_open_trials{on}")
    schema.DELETED.drop(connection)
    connection.execute(sa.update(schema.VERSIONS).values(version=1))


def columns(storage: Storage) -> dict[str, set[str]]:
    with storage.read() as connection:
        look = sa.inspect(connection)
        found = {
            table: {f"{c['name']} {c['type']} {c['nullable']}" for c in look.get_columns(table)}
            for table in {*schema.metadata.tables, "trials"} & set(look.get_table_names())
        }
        return {**found, "indexes": {str(i["name"]) for i in look.get_indexes("trials")}}


def test_a_study_of_version_1_goes_on(version_1: str) -> None:
    assert upgrade(version_1) == [f"hpo's tables: from version 1 to {schema.VERSION}"]
    with closing(open_storage(version_1, create=False)) as storage:
        study = open_study(storage, "study")
        assert study.progress().counts == {"COMPLETE": 1, "PRUNED": 1, "RUNNING": 1, "WAITING": 1}
        assert study.trials()[0].intermediate_values == {1: 2.5, 2: 2.0, 3: 1.5}
        claim = study.ask(ME, 60.0)
        assert claim is not None
        assert (claim.number, claim.attempt) == (3, 2)
        study.report({claim: [Measurement(step=1, value=1.0)]})
        study.finish(claim, "COMPLETE", 1.0, {})
        assert study.progress().counts["COMPLETE"] == 2


def test_what_comes_of_it_is_what_is_made_anew(storage: Storage) -> None:
    anew = columns(storage)
    storage.write(to_version_1)
    assert columns(storage) != anew
    upgrade(storage.url)
    assert columns(storage) == anew
    assert upgrade(storage.url) == []


@pytest.mark.slow
def test_a_step_that_was_cut_off_is_taken_again(storage: Storage) -> None:
    """MySQL keeps what was changed before."""
    anew = columns(storage)
    storage.write(to_version_1)
    storage.write(
        lambda c: c.exec_driver_sql(
            "ALTER TABLE hpo_clocks ADD COLUMN device_ms BIGINT NOT NULL DEFAULT 0"
        )
    )
    upgrade(storage.url)
    assert columns(storage) == anew


def test_a_step_that_fails_changes_nothing(
    storage_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if storage_url.startswith("mariadb"):
        pytest.skip("it rolls no change of a table back")

    def half(connection: Connection) -> None:
        upgrades._to_2(connection)
        connection.exec_driver_sql("ALTER TABLE no_such_table ADD COLUMN x INTEGER")

    with closing(open_storage(storage_url)) as storage:
        storage.write(to_version_1)
        before = columns(storage)
        with monkeypatch.context() as patched:
            patched.setitem(upgrades.STEPS, 1, half)
            with pytest.raises(StorageError, match=r"no_such_table"):
                upgrade(storage_url)
        assert columns(storage) == before
        assert upgrade(storage_url) != []


def test_an_older_storage_is_refused_and_the_remedy_named(storage: Storage) -> None:
    storage.write(to_version_1)
    with pytest.raises(StorageError) as caught:
        open_storage(storage.url)
    assert str(caught.value) == (
        f"storage {storage.safe_url}: its tables are of version 1, and this hpo needs version "
        f"{schema.VERSION}: hpo storage upgrade --storage {storage.safe_url} brings them up to date"
    )


def test_a_newer_storage_wants_a_newer_hpo(storage: Storage) -> None:
    storage.write(lambda c: c.execute(sa.update(schema.VERSIONS).values(version=99)))
    for attempt in (open_storage, upgrade):
        with pytest.raises(StorageError, match=r"version 99, .* knows version 2: use a newer hpo"):
            attempt(storage.url)


def test_an_older_optunas_storage_is_brought_up_to_date(tmp_path: Path) -> None:
    """Its own migration adds what its first versions did not have."""
    url = f"sqlite:///{tmp_path}/plain.db"
    plain = optuna.storages.RDBStorage(url)
    optuna.create_study(storage=plain, study_name="plain").add_trial(
        optuna.trial.create_trial(value=1.0, intermediate_values={0: 2.0})
    )
    plain.remove_session()
    plain.engine.dispose()
    with closing(sqlite3.connect(tmp_path / "plain.db")) as connection:
        connection.execute("DROP INDEX ix_trials_study_id")
        connection.execute("UPDATE alembic_version SET version_num = 'v3.0.0.d'")
        connection.commit()
    with pytest.raises(StorageError, match=r"Optuna's version v3.0.0.d, .*hpo storage upgrade"):
        open_storage(url)
    assert upgrade(url) == ["Optuna's tables: from v3.0.0.d to v3.2.0.a"]
    with closing(open_storage(url)) as storage:
        (trial,) = optuna.load_study(study_name="plain", storage=storage.plain).trials
        assert trial.intermediate_values == {0: 2.0}


def test_a_newer_optunas_storage_wants_a_newer_hpo(storage: Storage) -> None:
    storage.write(lambda c: c.exec_driver_sql("UPDATE alembic_version SET version_num = 'v9.9'"))
    for attempt in (open_storage, upgrade):
        with pytest.raises(StorageError, match=r"Optuna's version v9.9, .*: use a newer hpo"):
            attempt(storage.url)


def test_where_nothing_is_nothing_is_made(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"does not exist yet"):
        upgrade(f"sqlite:///{tmp_path}/none.db")
    (tmp_path / "empty.db").touch()
    with pytest.raises(StorageError, match=r"empty.db: holds no tables yet"):
        upgrade(f"sqlite:///{tmp_path}/empty.db")
    assert {path.name for path in tmp_path.iterdir()} == {"empty.db", "empty.db.lock"}


def test_the_command_says_what_it_did(version_1: str, capsys: pytest.CaptureFixture[str]) -> None:
    for said in (f"hpo's tables: from version 1 to {schema.VERSION}", "nothing to do"):
        with pytest.raises(SystemExit) as ended:
            main(["storage", "upgrade", "--storage", version_1])
        assert ended.value.code == 0
        assert said in capsys.readouterr().out


def test_a_storage_without_the_table_of_waiting_workers_gets_it(storage: Storage) -> None:
    create_study(storage, definition(), "store")
    storage.write(lambda connection: schema.WAITING.drop(connection))
    with closing(open_storage(storage.url, create=False)) as again:
        assert columns(again).keys() >= {"hpo_waiting"}
        with again.read() as connection:
            assert read_waiting(connection) == []
        assert open_study(again, "study").progress().counts == {"WAITING": 1}
