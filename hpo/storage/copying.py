"""A study's rows, copied from one storage to another.

Everything that Optuna and we keep of a study goes along: numbers, params, values, intermediate
values, attributes, states, times and our clock. Ids are the target's own. Leases stay behind, so
that a RUNNING trial waits in the copy.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from optuna.trial import TrialState
from sqlalchemy.engine import Connection

from hpo.storage import attributes, leases
from hpo.storage.engine import Storage
from hpo.storage.schema import (
    CLOCKS,
    DIRECTIONS,
    LEASES,
    REPORTS,
    STUDIES,
    STUDY_ATTRS,
    STUDY_USER_ATTRS,
    TRIAL_PARAMS,
    TRIAL_SYSTEM_ATTRS,
    TRIAL_USER_ATTRS,
    TRIAL_VALUES,
    TRIALS,
)

OF_A_TRIAL = (TRIAL_PARAMS, TRIAL_VALUES, TRIAL_USER_ATTRS, TRIAL_SYSTEM_ATTRS, REPORTS)
OF_A_STUDY = (DIRECTIONS, STUDY_ATTRS, STUDY_USER_ATTRS)
N_TRIALS = 100
"""Trials that are read at once."""
N_ROWS = 5000
"""Rows that one statement writes."""
RUNNING = TrialState.RUNNING
WAITS: dict[str, Any] = {"state": TrialState.WAITING, "datetime_start": None}

Values = dict[str, Any]
Rewrite = Callable[[str, str], str]


@contextmanager
def snapshot(storage: Storage) -> Iterator[Connection]:
    """A connection on which all that is read is of one moment."""
    with storage.read() as connection:
        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql("BEGIN")
        else:
            connection = connection.execution_options(isolation_level="REPEATABLE READ")
        yield connection


def copy_study(
    source: Connection,
    target: Connection,
    study_id: int,
    attrs: Mapping[str, Any],
    rewrite: Rewrite,
) -> int:
    """Copy a study's rows within a transaction of the target's.

    Args:
        source: a snapshot, from which is read.
        target: in a transaction that writes.
        study_id: the study's in the source.
        attrs: system attributes that the copy gets besides, or instead of, the study's; those
            that are None it does not get.
        rewrite: gives the value, as JSON, of a trial's user attribute in the copy, from its key
            and its value.

    Returns:
        How many trials were copied; an IntegrityError says that the target has a study of that
        name.
    """
    named = sa.select(STUDIES.c.study_name).where(STUDIES.c.study_id == study_id)
    row = {"study_name": source.execute(named).scalar_one()}
    key = target.execute(sa.insert(STUDIES).values(row)).inserted_primary_key
    assert key is not None
    copy_id = int(key[0])
    for table in OF_A_STUDY:
        _write(target, table, _read(source, table, "study_id", {study_id: copy_id}))
    for name, value in attrs.items():
        if value is None:
            attributes.drop_study(target, copy_id, name)
        else:
            attributes.set_study(target, copy_id, name, value)
    _copy_clock(source, target, study_id, copy_id)
    return _copy_trials(source, target, study_id, copy_id, rewrite)


def freeze(connection: Connection, study_id: int) -> None:
    """Take every trial back from whoever holds it; the caller holds the study's lock."""
    leases.tick(connection, study_id)
    connection.execute(sa.delete(LEASES).where(LEASES.c.study_id == study_id))
    running = (TRIALS.c.study_id == study_id) & (TRIALS.c.state == RUNNING)
    connection.execute(sa.update(TRIALS).where(running).values(WAITS))


def _copy_clock(source: Connection, target: Connection, study_id: int, copy_id: int) -> None:
    """The time that the study was worked on; the target's clock goes on from now."""
    for table in (CLOCKS, LEASES):  # SQLite reuses ids
        target.execute(sa.delete(table).where(table.c.study_id == copy_id))
    for row in _read(source, CLOCKS, "study_id", {study_id: copy_id}):
        clock = {**row, "seen_ms": leases.now(target)}
        target.execute(sa.insert(CLOCKS).values(clock))


def _copy_trials(
    source: Connection, target: Connection, study_id: int, copy_id: int, rewrite: Rewrite
) -> int:
    own = sa.select(TRIALS.c.trial_id, TRIALS.c.number).where(TRIALS.c.study_id == study_id)
    found = source.execute(own.order_by(TRIALS.c.number)).all()
    for first in range(0, len(found), N_TRIALS):
        batch = {row.trial_id: row.number for row in found[first : first + N_TRIALS]}
        rows = _read(source, TRIALS, "trial_id", batch)
        _write(target, TRIALS, [_released(row, copy_id) for row in rows])
        made = sa.select(TRIALS.c.number, TRIALS.c.trial_id).where(
            TRIALS.c.study_id == copy_id, TRIALS.c.number.in_(list(batch.values()))
        )
        copied = {row.number: row.trial_id for row in target.execute(made)}
        ids = {trial_id: copied[number] for trial_id, number in batch.items()}
        for table in OF_A_TRIAL:
            rows = _read(source, table, "trial_id", ids)
            if table is TRIAL_USER_ATTRS:
                rows = [{**r, "value_json": rewrite(r["key"], r["value_json"])} for r in rows]
            _write(target, table, rows)
    return len(found)


def _read(source: Connection, table: sa.Table, owner: str, ids: Mapping[int, int]) -> list[Values]:
    """The rows of some owners in their order: without keys of their own, under the new owners."""
    own = sa.select(table).where(table.c[owner].in_(list(ids))).order_by(*table.primary_key)
    keys = {column.key for column in table.primary_key}
    return [
        {key: value for key, value in row.items() if key not in keys} | {owner: ids[row[owner]]}
        for row in source.execute(own).mappings()
    ]


def _write(target: Connection, table: sa.Table, rows: Sequence[Values]) -> None:
    for first in range(0, len(rows), N_ROWS):
        target.execute(sa.insert(table), rows[first : first + N_ROWS])


def _released(trial: Values, study_id: int) -> Values:
    """A trial's row for another study, under no lease."""
    row = {**trial, "study_id": study_id, **(WAITS if trial["state"] == RUNNING else {})}
    del row["trial_id"]  # the target gives it its own
    return row
