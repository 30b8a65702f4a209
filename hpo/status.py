"""A study's status: how far it is, and who works for it, in a few queries that lock nothing."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import sqlalchemy as sa
from optuna.distributions import json_to_distribution
from optuna.trial import TrialState
from sqlalchemy.engine import Connection, Row

from hpo.definition import StudyDefinition
from hpo.storage import leases
from hpo.storage.leases import WorkerId
from hpo.storage.schema import LEASES, TRIAL_PARAMS, TRIAL_VALUES, TRIALS, WORKERS
from hpo.trial import Direction


@dataclass(frozen=True, kw_only=True)
class Best:
    """The best COMPLETE trial."""

    number: int
    value: float
    params: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class StudyStatus:
    """A study at one moment.

    Attributes:
        counts: trials by state; states without a trial are left out.
        busy_seconds: time in which at least one worker held a trial.
        workers: those that hold a trial.
        started: when the first of its trials was claimed, in UTC.
    """

    name: str
    direction: Direction
    n_trials: int
    timeout: float | None
    counts: dict[str, int]
    best: Best | None
    busy_seconds: float
    workers: tuple[WorkerId, ...]
    started: datetime | None

    @property
    def is_out_of_time(self) -> bool:
        """Whether the study's time is used up."""
        return self.timeout is not None and self.busy_seconds >= self.timeout

    @property
    def is_finished(self) -> bool:
        """Whether no trial is left to run, or no time."""
        is_open = self.counts.get("WAITING") or self.counts.get("RUNNING")
        return self.is_out_of_time or not (is_open or sum(self.counts.values()) < self.n_trials)

    @property
    def state(self) -> Literal["finished", "running", "waiting"]:
        """The study's state in a word: it waits while no worker is at it."""
        if self.is_finished:
            return "finished"
        return "running" if self.workers else "waiting"


def read_status(connection: Connection, study_id: int, definition: StudyDefinition) -> StudyStatus:
    """Look at a study's trials and leases; the definition says its name, direction and budget."""
    own = TRIALS.c.study_id == study_id
    counted = sa.select(TRIALS.c.state, sa.func.count()).where(own).group_by(TRIALS.c.state)
    first = sa.select(sa.func.min(TRIALS.c.datetime_start)).where(own)
    return StudyStatus(
        name=definition.name,
        direction=definition.direction,
        n_trials=definition.budget.n_trials,
        timeout=definition.budget.timeout,
        counts={state.name: n for state, n in connection.execute(counted)},
        best=_best(connection, study_id, definition.direction),
        busy_seconds=leases.read_clock(connection, study_id) / 1000,
        workers=_workers(connection, study_id),
        started=connection.execute(first).scalar(),
    )


def _best(connection: Connection, study_id: int, direction: Direction) -> Best | None:
    value = TRIAL_VALUES.c.value
    query = (
        sa.select(TRIALS.c.trial_id, TRIALS.c.number, value)
        .join(TRIAL_VALUES, TRIAL_VALUES.c.trial_id == TRIALS.c.trial_id)
        .where(TRIALS.c.study_id == study_id, TRIALS.c.state == TrialState.COMPLETE)
        .order_by(value.asc() if direction == "minimize" else value.desc(), TRIALS.c.number)
        .limit(1)
    )
    best = connection.execute(query).one_or_none()
    if best is None:
        return None
    params = sa.select(TRIAL_PARAMS).where(TRIAL_PARAMS.c.trial_id == best.trial_id)
    rows = connection.execute(params.order_by(TRIAL_PARAMS.c.param_id))
    return Best(
        number=best.number, value=best.value, params={row.param_name: _param(row) for row in rows}
    )


def _param(row: Row[Any]) -> Any:
    return json_to_distribution(row.distribution_json).to_external_repr(row.param_value)


def _workers(connection: Connection, study_id: int) -> tuple[WorkerId, ...]:
    query = (
        sa.select(WORKERS.c.host, WORKERS.c.pid, WORKERS.c.device)
        .join(LEASES, LEASES.c.worker_id == WORKERS.c.worker_id)
        .where(LEASES.c.study_id == study_id, LEASES.c.expires_ms > leases.now_ms(connection))
        .distinct()
        .order_by(WORKERS.c.host, WORKERS.c.pid)
    )
    return tuple(WorkerId(**row._mapping) for row in connection.execute(query))
