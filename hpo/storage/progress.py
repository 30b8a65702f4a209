"""All studies of a storage at once: what they have to do, and who is at it.

However many studies there are, each function is one statement that locks nothing. Functions take a
connection inside a transaction and write nothing.
"""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from optuna.trial import TrialState
from sqlalchemy.engine import Connection

from hpo.storage import leases
from hpo.storage.schema import LEASES, STUDIES, STUDY_ATTRS, TRIALS, WORKERS


@dataclass(frozen=True, kw_only=True)
class TrialCounts:
    """How a study's trials stand.

    Attributes:
        n_trials: ever created.
        n_waiting: for a worker.
        n_running: under a live lease.
        n_silent: under one that ran out.
    """

    n_trials: int
    n_waiting: int
    n_running: int
    n_silent: int


@dataclass(frozen=True, kw_only=True)
class ActiveWorker:
    """A worker at a study.

    Attributes:
        device: the model of its GPU, or of its processor.
        share: the part of the device that is this worker's.
        study: the study's name.
        trials: numbers of those that it holds.
        silent_seconds: since its last sign of life.
        is_silent: whether its leases ran out: it is dead, or cut off.
    """

    host: str
    pid: int
    device: str
    share: float
    study: str
    trials: tuple[int, ...]
    silent_seconds: float
    is_silent: bool


def read_attrs(
    connection: Connection, keys: Sequence[str]
) -> list[tuple[int, str, dict[str, Any]]]:
    """Each study's id, name and those of these system attributes that it has, oldest first.

    A study without any is left out.
    """
    query = (
        sa.select(
            STUDIES.c.study_id, STUDIES.c.study_name, STUDY_ATTRS.c.key, STUDY_ATTRS.c.value_json
        )
        .join(STUDY_ATTRS, STUDY_ATTRS.c.study_id == STUDIES.c.study_id)
        .where(STUDY_ATTRS.c.key.in_(keys))
        .order_by(STUDIES.c.study_id)
    )
    found: dict[int, tuple[str, dict[str, Any]]] = {}
    for study_id, name, key, text in connection.execute(query):
        found.setdefault(study_id, (name, {}))[1][key] = json.loads(text)
    return [(study_id, name, attrs) for study_id, (name, attrs) in found.items()]


def count_trials(connection: Connection, ids: Collection[int]) -> dict[int, TrialCounts]:
    """How the trials of studies stand, by the studies' ids; one that was deleted is left out."""

    def count(table: sa.Table, *conditions: sa.ColumnElement[bool]) -> sa.ScalarSelect[int]:
        own = table.c.study_id == STUDIES.c.study_id
        return sa.select(sa.func.count()).where(own, *conditions).scalar_subquery()

    is_live = LEASES.c.expires_ms > leases.now(connection)
    query = sa.select(
        STUDIES.c.study_id,
        count(TRIALS).label("n_trials"),
        count(TRIALS, TRIALS.c.state == TrialState.WAITING).label("n_waiting"),
        count(LEASES, is_live).label("n_running"),
        count(LEASES, ~is_live).label("n_silent"),
    ).where(STUDIES.c.study_id.in_(ids))
    return {study_id: TrialCounts(**row) for study_id, row in _by_id(connection, query).items()}


def read_workers(connection: Connection) -> list[ActiveWorker]:
    """Every worker that holds a trial, for each study that it is at, by its host."""
    query = (
        sa.select(WORKERS, STUDIES.c.study_name, TRIALS.c.number)
        .add_columns(LEASES.c.expires_ms, LEASES.c.lease_ms)
        .add_columns(leases.now(connection).label("now_ms"))
        .join(LEASES, LEASES.c.worker_id == WORKERS.c.worker_id)
        .join(TRIALS, TRIALS.c.trial_id == LEASES.c.trial_id)
        .join(STUDIES, STUDIES.c.study_id == LEASES.c.study_id)
        .order_by(WORKERS.c.host, WORKERS.c.worker_id, STUDIES.c.study_id, TRIALS.c.number)
    )
    held: dict[tuple[str, str], list[sa.Row[Any]]] = {}
    for row in connection.execute(query):
        held.setdefault((row.worker_id, row.study_name), []).append(row)
    return [_active_worker(rows) for rows in held.values()]


def _active_worker(rows: list[sa.Row[Any]]) -> ActiveWorker:
    first = rows[0]
    seen_ms = max(row.expires_ms - row.lease_ms for row in rows)
    return ActiveWorker(
        host=first.host,
        pid=first.pid,
        device=first.device,
        share=first.share,
        study=first.study_name,
        trials=tuple(row.number for row in rows),
        silent_seconds=max(0, first.now_ms - seen_ms) / 1000,
        is_silent=all(row.expires_ms <= row.now_ms for row in rows),
    )


def _by_id(connection: Connection, query: sa.Select[Any]) -> dict[int, dict[str, int]]:
    rows = (dict(row._mapping) for row in connection.execute(query))
    return {row.pop("study_id"): row for row in rows}
