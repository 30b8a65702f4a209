"""How far studies are and who works on them, in few queries that take no lock.

All functions take a connection inside a transaction and write nothing.
"""

import json
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from optuna.trial import TrialState
from sqlalchemy.engine import Connection

from hpo.storage import attributes, leases
from hpo.storage.leases import WorkerId
from hpo.storage.schema import LEASES, STUDIES, TRIAL_USER_ATTRS, TRIALS, WORKERS

_WINDOW = timedelta(minutes=5)
"""The recent period over which throughput is counted."""
_N_FAILURES = 5


@dataclass(frozen=True, kw_only=True)
class TrialCounts:
    """The trials of a study in numbers.

    Attributes:
        n_trials: all trials ever created.
        n_waiting: trials that wait for a worker.
        n_running: trials under a live lease.
        n_silent: trials under an expired lease.
    """

    n_trials: int
    n_waiting: int
    n_running: int
    n_silent: int


@dataclass(frozen=True, kw_only=True)
class WorkerRow:
    """A worker and the trials of one study that it holds.

    Attributes:
        study: name of the study.
        trials: numbers of the trials.
        silent_seconds: time since the worker last renewed its leases.
        is_silent: whether all leases have expired: the worker is dead or cut off.
    """

    worker: WorkerId
    study: str
    trials: tuple[int, ...]
    silent_seconds: float
    is_silent: bool


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A failed trial and the reason."""

    number: int
    reason: str


def count_by_state(connection: Connection, study_id: int) -> dict[str, int]:
    """The number of a study's trials by state; states without trials are left out."""
    own = TRIALS.c.study_id == study_id
    query = sa.select(TRIALS.c.state, sa.func.count()).where(own).group_by(TRIALS.c.state)
    return {state.name: n for state, n in connection.execute(query)}


def count_trials(connection: Connection, ids: Collection[int]) -> dict[int, TrialCounts]:
    """The trial counts of many studies by study id, in one query; deleted studies are left out."""

    def count(table: sa.Table, *conditions: sa.ColumnElement[bool]) -> sa.ScalarSelect[int]:
        own = table.c.study_id == STUDIES.c.study_id
        if table is LEASES:  # SQLite may hold leases whose trial another program deleted
            own &= sa.exists().where(TRIALS.c.trial_id == LEASES.c.trial_id).correlate(LEASES)
        return sa.select(sa.func.count()).where(own, *conditions).scalar_subquery()

    is_live = LEASES.c.expires_ms > leases.now(connection)
    query = sa.select(
        STUDIES.c.study_id,
        count(TRIALS).label("n_trials"),
        count(TRIALS, TRIALS.c.state == TrialState.WAITING).label("n_waiting"),
        count(LEASES, is_live).label("n_running"),
        count(LEASES, ~is_live).label("n_silent"),
    ).where(STUDIES.c.study_id.in_(ids))
    rows = [dict(row) for row in connection.execute(query).mappings()]
    return {row.pop("study_id"): TrialCounts(**row) for row in rows}


def read_workers(connection: Connection, study_id: int) -> list[WorkerRow]:
    """The workers that hold trials of a study, ordered by host and process id."""
    query = (
        sa.select(WORKERS, STUDIES.c.study_name, TRIALS.c.number)
        .add_columns(LEASES.c.expires_ms, LEASES.c.lease_ms)
        .add_columns(leases.now(connection).label("now_ms"))
        .join(LEASES, LEASES.c.worker_id == WORKERS.c.worker_id)
        .join(TRIALS, TRIALS.c.trial_id == LEASES.c.trial_id)
        .join(STUDIES, STUDIES.c.study_id == LEASES.c.study_id)
        .where(LEASES.c.study_id == study_id)
        .order_by(WORKERS.c.host, WORKERS.c.pid, WORKERS.c.worker_id, TRIALS.c.number)
    )
    held: dict[str, list[sa.Row[Any]]] = {}
    for row in connection.execute(query):
        held.setdefault(row.worker_id, []).append(row)
    return [_worker_row(rows) for rows in held.values()]


def read_pace(connection: Connection, study_id: int) -> tuple[datetime | None, float]:
    """The time in UTC at which the first trial started, and trials finished per minute.

    The rate covers the last `_WINDOW`, or the time since its first trial if that is shorter.
    """
    ms = connection.execute(sa.select(leases.now(connection))).scalar_one()
    now = datetime.fromtimestamp(int(ms) / 1000, UTC).replace(tzinfo=None)
    start, end = TRIALS.c.datetime_start, TRIALS.c.datetime_complete
    is_recent = end > now - _WINDOW
    at_work = sa.or_(is_recent, TRIALS.c.state == TrialState.RUNNING)
    query = sa.select(
        sa.func.min(start),
        sa.func.sum(sa.case((is_recent, 1), else_=0)),
        sa.func.min(sa.case((at_work, start), else_=None)),
    )
    started, n_recent, since = connection.execute(query.where(TRIALS.c.study_id == study_id)).one()
    if not n_recent or since is None:
        return started, 0.0
    seconds = (now - max(now - _WINDOW, since)).total_seconds()
    return started, 60 * int(n_recent) / max(seconds, 1.0)


def read_failures(connection: Connection, study_id: int) -> tuple[Failure, ...]:
    """The last few failed trials, highest number first."""
    query = (
        sa.select(TRIALS.c.number, TRIAL_USER_ATTRS.c.value_json)
        .join(TRIAL_USER_ATTRS, attributes.of_trial(attributes.REASON), isouter=True)
        .where(TRIALS.c.study_id == study_id, TRIALS.c.state == TrialState.FAIL)
        .order_by(TRIALS.c.number.desc())
        .limit(_N_FAILURES)
    )
    return tuple(
        Failure(number=number, reason="unknown" if text is None else str(json.loads(text)))
        for number, text in connection.execute(query)
    )


def _worker_row(rows: list[sa.Row[Any]]) -> WorkerRow:
    first = rows[0]
    seen_ms = max(row.expires_ms - row.lease_ms for row in rows)
    return WorkerRow(
        worker=leases.read_worker(first),
        study=first.study_name,
        trials=tuple(row.number for row in rows),
        silent_seconds=max(0, first.now_ms - seen_ms) / 1000,
        is_silent=all(row.expires_ms <= row.now_ms for row in rows),
    )
