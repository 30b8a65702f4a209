"""What is said about damaged studies, and what is no damage."""

import optuna
import pytest
import sqlalchemy as sa
from optuna.study import StudyDirection

from hpo.config.errors import DamagedStudyError, InputError
from hpo.dashboard.view import DashboardStorage
from hpo.storage import attributes
from hpo.storage.engine import Connection, Storage
from hpo.storage.progress import count_trials
from hpo.storage.schema import (
    DIRECTIONS,
    LEASES,
    STUDY_ATTRS,
    STUDY_USER_ATTRS,
    TRIAL_PARAMS,
    TRIAL_SYSTEM_ATTRS,
    TRIAL_USER_ATTRS,
    TRIALS,
)
from hpo.study.catalog import delete_study, find, list_studies, open_study
from hpo.study.damage import find_damage
from tests.support.damage import ME, make_study, work_on


@pytest.mark.parametrize(
    ("table", "key", "value", "named"),
    [
        (STUDY_ATTRS, "hpo:uuid", "7", "its attribute hpo:uuid must be a string, but got 7"),
        (STUDY_ATTRS, "hpo:definition", '"{"', "stored definition: is not JSON"),
        (STUDY_USER_ATTRS, "a note", "{", "study_user_attributes.value_json of key a note must be"),
        (TRIAL_USER_ATTRS, "metrics", "[", "of trial 0, key metrics must be JSON, but got"),
        (TRIAL_USER_ATTRS, "metrics", "[1]", "key metrics must be numbers by name, but got"),
        (TRIAL_SYSTEM_ATTRS, "fixed_params", "3", "of trial 0, key fixed_params must be an object"),
    ],
)
def test_what_is_damaged_is_said(
    storage: Storage, table: sa.Table, key: str, value: str, named: str
) -> None:
    make_study(storage, "hurt")
    update = sa.update(table).where(table.c.key == key).values(value_json=value)
    storage.write(lambda connection: connection.execute(update))
    row = find(storage, "hurt")
    with storage.read() as connection:
        (flaw,) = find_damage(connection, row, at_most=1)
    assert named in flaw
    if table is not STUDY_USER_ATTRS:  # which hpo does not read
        with pytest.raises(DamagedStudyError, match=r"delete the study with: hpo delete hurt$"):
            open_study(storage, "hurt").trials()
    assert delete_study(storage, "hurt", force=True) == 5


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (
            sa.update(DIRECTIONS).values(direction=StudyDirection.MAXIMIZE),
            "study_directions must be MINIMIZE, but got MAXIMIZE",
        ),
        (
            sa.insert(DIRECTIONS).values(
                study_id=1, objective=1, direction=StudyDirection.MAXIMIZE
            ),
            "study_directions must be MINIMIZE, but got MINIMIZE, MAXIMIZE",
        ),
        (
            sa.update(TRIALS).where(TRIALS.c.number == 2).values(number=1),
            "trials.number must be unique, but 2 trials have the number 1",
        ),
        (
            sa.update(TRIALS).where(TRIALS.c.number == 2).values(number=99),
            "trials.number must be without gaps, but no trial has the number 2",
        ),
    ],
)
def test_rows_that_contradict_each_other_are_damage(
    storage: Storage, change: sa.Executable, named: str
) -> None:
    make_study(storage, "hurt")
    storage.write(lambda connection: connection.execute(change))
    with storage.read() as connection:
        assert find_damage(connection, find(storage, "hurt"))[0] == named


def test_an_error_without_damage_is_a_bug(storage: Storage) -> None:
    study, _ = make_study(storage, "study")
    with pytest.raises(TypeError, match="a bug"), study.read():
        raise TypeError("a bug")


def test_a_definition_of_a_newer_version_is_no_damage(storage: Storage) -> None:
    make_study(storage, "study")
    with storage.read() as connection:
        ((study_id, _, attrs),) = attributes.read_studies(connection)
    newer = attrs["hpo:definition"].replace('"seed":0', '"seed":0,"novelty":1', 1)
    assert newer != attrs["hpo:definition"]

    def write(connection: Connection) -> None:
        attributes.set_study(connection, study_id, "hpo:definition", newer)
        attributes.set_study(connection, study_id, "hpo:version", "99.0")

    storage.write(write)
    with pytest.raises(InputError, match=r"made by hpo 99.0, and .* cannot read it \(.*novelty"):
        open_study(storage, "study")


def test_studies_of_other_programs_and_lost_leases_disturb_nobody(storage: Storage) -> None:
    well, claim = make_study(storage, "well")
    foreign = optuna.create_study(study_name="foreign", storage=storage.plain)
    foreign.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=2)
    row = {"trial_id": 999, "study_id": well.id, "worker_id": "gone", "token": "t"}
    times = {"beat": 0, "lease_ms": 60_000, "expires_ms": 2**50}
    with storage.plain.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA foreign_keys = OFF")
        connection.execute(sa.insert(LEASES).values(**row, **times))
        connection.commit()
        connection.exec_driver_sql("PRAGMA foreign_keys = ON")
    bad = sa.update(TRIAL_PARAMS).where(TRIAL_PARAMS.c.param_name == "x")
    storage.write(lambda c: c.execute(bad.values(distribution_json="{")))
    with storage.read() as connection:
        assert count_trials(connection, [well.id])[well.id].n_running == 1
    view = DashboardStorage(storage, None)
    assert [study.study_name for study in view.get_all_studies()] == ["well", "foreign"]
    assert view.get_all_trials(foreign._study_id) == []
    note = view.get_study_system_attrs(foreign._study_id).items()
    assert any("study foreign in" in str(text) for _, text in note)
    assert [status.name for status in list_studies(storage)] == ["well"]
    assert list(work_on(storage, "well", claim, ME)) == 8 * [None]
