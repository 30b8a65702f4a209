"""A study's status: how far it is, and who works for it, in a few queries."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

import sqlalchemy as sa
from optuna.trial import TrialState

from hpo.storage import ledger
from hpo.storage.schema import BUDGETS, TRIAL_VALUES, TRIALS, WORKERS
from hpo.trial import Direction


@dataclass(frozen=True, kw_only=True)
class Best:
    """The best COMPLETE trial."""

    number: int
    value: float
    params: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class WorkerStatus:
    """A worker that showed a sign of life within its lease."""

    host: str
    pid: int
    device: str


@dataclass(frozen=True, kw_only=True)
class StudyStatus:
    """A study at one moment.

    Attributes:
        counts: trials by state; states without a trial are left out.
        busy_seconds: time in which at least one worker held a trial.
        started: when the first trial was claimed, in UTC.
        state: `finished` when nothing is left to do, `running` while a worker is at it.
    """

    name: str
    direction: Direction
    n_trials: int
    timeout: float | None
    counts: dict[str, int]
    best: Best | None
    busy_seconds: float
    workers: tuple[WorkerStatus, ...]
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
        """The study's state in a word."""
        if self.is_finished:
            return "finished"
        return "running" if self.workers else "waiting"

    def with_params(self, params: Mapping[str, Any]) -> "StudyStatus":
        """The same, with the best trial's params."""
        if self.best is None:
            return self
        return replace(self, best=replace(self.best, params=dict(params)))


def read_status(
    connection: sa.Connection, study_id: int, name: str, direction: Direction
) -> tuple[StudyStatus, int | None]:
    """The status without the best trial's params, and that trial's id."""
    budget = connection.execute(sa.select(BUDGETS).where(BUDGETS.c.study_id == study_id)).one()
    own = TRIALS.c.study_id == study_id
    counted = sa.select(TRIALS.c.state, sa.func.count()).where(own).group_by(TRIALS.c.state)
    order = TRIAL_VALUES.c.value.asc() if direction == "minimize" else TRIAL_VALUES.c.value.desc()
    leader = (
        sa.select(TRIALS.c.trial_id, TRIALS.c.number, TRIAL_VALUES.c.value)
        .join(TRIAL_VALUES, TRIAL_VALUES.c.trial_id == TRIALS.c.trial_id)
        .where(own, TRIALS.c.state == TrialState.COMPLETE)
        .order_by(order, TRIALS.c.number)
        .limit(1)
    )
    best = connection.execute(leader).one_or_none()
    alive = sa.select(WORKERS.c.host, WORKERS.c.pid, WORKERS.c.device).where(
        WORKERS.c.study_id == study_id, WORKERS.c.expires_ms > ledger.now_ms(connection)
    )
    status = StudyStatus(
        name=name,
        direction=direction,
        n_trials=budget.n_trials,
        timeout=None if budget.timeout_ms is None else budget.timeout_ms / 1000,
        counts={state.name: n for state, n in connection.execute(counted)},
        best=None if best is None else Best(number=best.number, value=best.value, params={}),
        busy_seconds=ledger.busy_ms(connection, study_id) / 1000,
        workers=tuple(WorkerStatus(**row._mapping) for row in connection.execute(alive)),
        started=connection.execute(
            sa.select(sa.func.min(TRIALS.c.datetime_start)).where(own)
        ).scalar(),
    )
    return status, None if best is None else best.trial_id
