"""Copying of a study's rows from one storage to another.

The copy holds everything that Optuna and hpo keep of a study: numbers, params, values, intermediate
values, attributes, states, times and the clock. The target assigns new ids. Leases are not copied,
so that a RUNNING trial waits in the copy.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from optuna.trial import TrialState
from sqlalchemy.engine import Connection

from hpo.storage import attributes, leases, ledger
from hpo.storage.engine import Storage
from hpo.storage.schema import (
    CLOCKS,
    LEASES,
    OF_A_STUDY,
    OF_A_TRIAL,
    STUDIES,
    TRIAL_USER_ATTRS,
    TRIALS,
)
from hpo.storage.trials import read_heads

_N_TRIALS = 100
"""Number of trials to read at once."""
_N_ROWS = 5000
"""Number of rows that one statement writes."""
_RUNNING = TrialState.RUNNING
_WAITING: dict[str, Any] = {"state": TrialState.WAITING, "datetime_start": None}

_Values = dict[str, Any]
Rewrite = Callable[[str, str], str]


@contextmanager
def repeatable_read(storage: Storage) -> Iterator[Connection]:
    """A connection whose queries all see the storage at one moment."""
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
    """Copy a study's rows within a transaction of the target.

    Args:
        source: connection of `repeatable_read`.
        target: connection in a transaction that writes.
        study_id: id of the study in the source.
        attrs: system attributes that replace those of the study; None drops one.
        rewrite: maps the key and the JSON value of a trial's user attribute to the JSON value in
            the copy.

    Returns:
        The number of trials.

    Raises:
        StudyConflictError: the target has a study of this name.
    """
    named = sa.select(STUDIES.c.study_name).where(STUDIES.c.study_id == study_id)
    copy_id = ledger.insert_study(target, source.execute(named).scalar_one())
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
    """End all leases and make running trials wait; the caller holds the study's lock."""
    leases.tick(connection, study_id)
    connection.execute(sa.delete(LEASES).where(LEASES.c.study_id == study_id))
    running = (TRIALS.c.study_id == study_id) & (TRIALS.c.state == _RUNNING)
    connection.execute(sa.update(TRIALS).where(running).values(_WAITING))


def _copy_clock(source: Connection, target: Connection, study_id: int, copy_id: int) -> None:
    """Copy the study's clock, which runs on from now in the target."""
    for table in (CLOCKS, LEASES):  # SQLite reuses ids
        target.execute(sa.delete(table).where(table.c.study_id == copy_id))
    for row in _read(source, CLOCKS, "study_id", {study_id: copy_id}):
        clock = {**row, "seen_ms": leases.now(target)}
        target.execute(sa.insert(CLOCKS).values(clock))


def _copy_trials(
    source: Connection, target: Connection, study_id: int, copy_id: int, rewrite: Rewrite
) -> int:
    found = read_heads(source, study_id)
    for first in range(0, len(found), _N_TRIALS):
        batch = {row.trial_id: row.number for row in found[first : first + _N_TRIALS]}
        rows = _read(source, TRIALS, "trial_id", batch)
        for row in rows:  # the target assigns new ids and holds no lease
            del row["trial_id"]
            row |= {"study_id": copy_id, **(_WAITING if row["state"] == _RUNNING else {})}
        _write(target, TRIALS, rows)
        made = read_heads(target, copy_id, TRIALS.c.number.in_(list(batch.values())))
        copied = {row.number: row.trial_id for row in made}
        ids = {trial_id: copied[number] for trial_id, number in batch.items()}
        for table in OF_A_TRIAL:
            rows = _read(source, table, "trial_id", ids)
            if table is TRIAL_USER_ATTRS:
                rows = [{**r, "value_json": rewrite(r["key"], r["value_json"])} for r in rows]
            _write(target, table, rows)
    return len(found)


def _read(source: Connection, table: sa.Table, owner: str, ids: Mapping[int, int]) -> list[_Values]:
    """The rows of some owners in order, without primary keys and with the owners' new ids."""
    own = sa.select(table).where(table.c[owner].in_(list(ids))).order_by(*table.primary_key)
    keys = {column.key for column in table.primary_key}
    return [
        {key: value for key, value in row.items() if key not in keys} | {owner: ids[row[owner]]}
        for row in source.execute(own).mappings()
    ]


def _write(target: Connection, table: sa.Table, rows: Sequence[_Values]) -> None:
    for first in range(0, len(rows), _N_ROWS):
        target.execute(sa.insert(table), rows[first : first + _N_ROWS])
