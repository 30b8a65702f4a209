"""The tables that we write, and the promise to fail loudly when they are others."""

from contextlib import closing

import optuna
import pytest
import sqlalchemy as sa

from hpo.config.errors import StudyNotFoundError
from hpo.config.trial import Measurement
from hpo.storage import schema
from hpo.storage.engine import Storage, open_storage
from hpo.storage.leases import WorkerId
from hpo.study.catalog import create_study, open_study
from tests.support.definitions import definition

ME = WorkerId(host="here", pid=1, device="cpu")

OPTUNA_5_0 = {
    "studies": "study_id INTEGER!, study_name VARCHAR(512)!",
    "study_directions": (
        "study_direction_id INTEGER!, direction VARCHAR(8)!, study_id INTEGER!, objective INTEGER!"
    ),
    "study_system_attributes": (
        "study_system_attribute_id INTEGER!, study_id INTEGER, key VARCHAR(512), value_json TEXT"
    ),
    "study_user_attributes": (
        "study_user_attribute_id INTEGER!, study_id INTEGER, key VARCHAR(512), value_json TEXT"
    ),
    "trials": (
        "trial_id INTEGER!, number INTEGER, study_id INTEGER, state VARCHAR(8)!, "
        "datetime_start DATETIME, datetime_complete DATETIME"
    ),
    "trial_params": (
        "param_id INTEGER!, trial_id INTEGER, param_name VARCHAR(512), param_value FLOAT, "
        "distribution_json TEXT"
    ),
    "trial_values": (
        "trial_value_id INTEGER!, trial_id INTEGER!, objective INTEGER!, value FLOAT, "
        "value_type VARCHAR(7)!"
    ),
    "trial_user_attributes": (
        "trial_user_attribute_id INTEGER!, trial_id INTEGER, key VARCHAR(512), value_json TEXT"
    ),
    "trial_system_attributes": (
        "trial_system_attribute_id INTEGER!, trial_id INTEGER, key VARCHAR(512), value_json TEXT"
    ),
    "trial_intermediate_values": (
        "trial_intermediate_value_id INTEGER!, trial_id INTEGER!, step INTEGER!, "
        "intermediate_value FLOAT, intermediate_value_type VARCHAR(7)!"
    ),
    "trial_heartbeats": ("trial_heartbeat_id INTEGER!, trial_id INTEGER!, heartbeat DATETIME!"),
}
"""Columns of the tables that we write; `!` marks those that are never NULL."""


def test_optunas_columns_are_those_that_are_written_here() -> None:
    tables = [value for value in vars(schema).values() if isinstance(value, sa.Table)]
    found = {
        table.name: ", ".join(
            f"{column.name} {column.type}{'' if column.nullable else '!'}" for column in table.c
        )
        for table in tables
        if not table.name.startswith("hpo_")
    }
    assert found == OPTUNA_5_0


def test_every_table_of_ours_is_there(storage: Storage) -> None:
    with storage.read() as connection:
        names = sa.inspect(connection).get_table_names()
    assert {"hpo_version", "hpo_clocks", "hpo_workers", "hpo_leases", "hpo_deleted"} <= set(names)


def test_trials_times_are_finer_than_a_second(storage: Storage) -> None:
    """MySQL's are not, as Optuna makes them: which of two trials ended first would be lost."""
    study = create_study(storage, definition(), "store")
    for _ in range(3):
        claim = study.ask(ME, 60.0)
        assert claim is not None
        study.finish(claim, "COMPLETE", 1.0, {})
    ended = [trial.datetime_complete for trial in study.trials()]
    assert ended == sorted(ended)
    assert len(set(ended)) == 3


def test_optuna_deletes_a_study_with_all_that_is_ours(storage: Storage) -> None:
    study = create_study(storage, definition(), "store")
    claim = study.ask(ME, 60.0)
    assert claim is not None
    study.report({claim: [Measurement(step=1, value=1.0)]})
    with closing(open_storage(storage.url)) as dashboard:
        optuna.delete_study(study_name="study", storage=dashboard.plain)
    with storage.read() as connection:
        assert connection.execute(sa.select(schema.LEASES)).all() == []
        assert connection.execute(sa.select(schema.CLOCKS)).all() == []
    assert study.report({claim: [Measurement(step=2, value=1.0)]}).lost == {claim}
    assert study.renew([claim], 60.0) == {claim.token}
    assert study.ask(ME, 60.0) is None
    with pytest.raises(StudyNotFoundError, match=r"study study is no longer in"):
        study.progress()
    with pytest.raises(StudyNotFoundError, match=r"study study is no longer in"):
        study.trials()


def test_sqlite_ids_that_come_again_bring_no_old_lease(tmp_path: object) -> None:
    """Other tools delete without looking at our tables, and SQLite gives ids out again."""
    url = f"sqlite:///{tmp_path}/hpo.db"
    with closing(open_storage(url)) as storage:
        create_study(storage, definition(), "store").ask(ME, 0.01)
        plain = optuna.storages.RDBStorage(url)
        optuna.delete_study(study_name="study", storage=plain)
        plain.remove_session()
        plain.engine.dispose()
        again = create_study(storage, definition(), "store")
        claim = again.ask(ME, 60.0)
        assert claim is not None
        assert (claim.trial_id, claim.attempt) == (1, 1)
        assert open_study(storage, "study").reaper.reap() == []


def test_who_holds_a_deleted_study_does_not_work_for_the_one_that_has_its_id(
    tmp_path: object,
) -> None:
    """SQLite gives a study's id out again, too."""
    with closing(open_storage(f"sqlite:///{tmp_path}/hpo.db")) as storage:
        old = create_study(storage, definition(), "store")
        optuna.delete_study(study_name="study", storage=storage.plain)
        new = create_study(storage, definition(objective={"metric": "mae"}), "store")
        assert old.ask(ME, 60.0) is None
        assert new.ask(ME, 60.0) is not None
