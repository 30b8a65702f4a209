"""A study's status: how far it is, and who works for it, in a few queries that lock nothing."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import sqlalchemy as sa
from optuna.distributions import json_to_distribution
from optuna.trial import TrialState
from sqlalchemy.engine import Connection, Row

from hpo.definition import Budget, StudyDefinition
from hpo.storage import leases, ledger
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
        budget: as it is now.
        counts: trials by state; states without a trial are left out.
        busy_seconds: time in which at least one worker held a trial.
        device_seconds: the workers' time, added up, each by its share of a device.
        n_since_best: trials that ended since the best one did; counted where the budget asks.
        workers: those that hold a trial.
        silent: numbers of the trials whose lease ran out: their workers are dead, or cut off.
        started: when the first of its trials was claimed, in UTC.
    """

    name: str
    direction: Direction
    budget: Budget
    counts: dict[str, int]
    best: Best | None
    busy_seconds: float
    device_seconds: float
    n_since_best: int
    workers: tuple[WorkerId, ...]
    silent: tuple[int, ...]
    started: datetime | None

    @property
    def is_out_of_time(self) -> bool:
        """Whether the study's time is used up."""
        return self.budget.is_out_of_time(self.busy_seconds, self.device_seconds)

    @property
    def is_stalled(self) -> bool:
        """Whether so many trials brought no improvement that no further one is created."""
        patience = self.budget.no_improvement
        return patience is not None and self.n_since_best >= patience

    @property
    def is_finished(self) -> bool:
        """Whether no trial is left to run, or no time."""
        is_open = self.counts.get("WAITING") or self.counts.get("RUNNING")
        has_room = not self.is_stalled and sum(self.counts.values()) < self.budget.n_trials
        return self.is_out_of_time or not (is_open or has_room)

    @property
    def state(self) -> Literal["finished", "running", "waiting"]:
        """The study's state in a word: it waits while no worker is at it."""
        if self.is_finished:
            return "finished"
        return "running" if self.workers else "waiting"


def read_status(connection: Connection, study_id: int, definition: StudyDefinition) -> StudyStatus:
    """Look at a study's trials and leases; the definition says its name, direction and budget."""
    own = TRIALS.c.study_id == study_id
    budget, clock = definition.budget, leases.read_clock(connection, study_id)
    n_since_best = 0
    if budget.no_improvement is not None:
        n_since_best = ledger.count_since_best(connection, study_id, definition.direction)
    counted = sa.select(TRIALS.c.state, sa.func.count()).where(own).group_by(TRIALS.c.state)
    first = sa.select(sa.func.min(TRIALS.c.datetime_start)).where(own)
    return StudyStatus(
        name=definition.name,
        direction=definition.direction,
        budget=budget,
        counts={state.name: n for state, n in connection.execute(counted)},
        best=_best(connection, study_id, definition.direction),
        busy_seconds=clock.busy_ms / 1000,
        device_seconds=clock.device_ms / 1000,
        n_since_best=n_since_best,
        workers=live_workers(connection, study_id),
        silent=tuple(found.number for found in leases.expired(connection, study_id)),
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


def live_workers(connection: Connection, study_id: int) -> tuple[WorkerId, ...]:
    """The workers that hold a live lease on a trial of the study."""
    query = (
        sa.select(WORKERS.c.host, WORKERS.c.pid, WORKERS.c.device, WORKERS.c.share)
        .join(LEASES, LEASES.c.worker_id == WORKERS.c.worker_id)
        .where(LEASES.c.study_id == study_id, LEASES.c.expires_ms > leases.now(connection))
        .distinct()
        .order_by(WORKERS.c.host, WORKERS.c.pid)
    )
    return tuple(WorkerId(**row._mapping) for row in connection.execute(query))
