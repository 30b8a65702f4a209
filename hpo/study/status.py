"""A study's status: how far it is, and who works for it, in a few queries that lock nothing."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import sqlalchemy as sa
from optuna.distributions import json_to_distribution
from optuna.trial import TrialState
from sqlalchemy.engine import Connection, Row

from hpo.config.definition import Budget, StudyDefinition
from hpo.config.trial import Direction, MetricName, metric_label
from hpo.storage import leases
from hpo.storage.best import best_trial, complete, count_since_best
from hpo.storage.leases import WorkerId
from hpo.storage.schema import (
    LEASES,
    TRIAL_PARAMS,
    TRIAL_USER_ATTRS,
    TRIAL_VALUES,
    TRIALS,
    WORKERS,
)
from hpo.storage.trend import Trend

Standing = Literal["open", "paused", "stopped"]
"""Whether a study is open for workers: they wait while it is paused, and leave one that stopped."""
WINDOW = timedelta(minutes=5)
"""The last while, over which throughput is counted."""
N_FAILURES = 5
"""Failures that are told with their reasons, the latest ones."""


@dataclass(frozen=True, kw_only=True)
class Best:
    """The best COMPLETE trial."""

    number: int
    value: float
    params: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class WorkerRow:
    """A worker at work.

    Attributes:
        trials: numbers of those that it holds.
        silent_seconds: since it renewed its leases.
    """

    worker: WorkerId
    trials: tuple[int, ...]
    silent_seconds: float


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A trial that failed, and why."""

    number: int
    reason: str


@dataclass(frozen=True, kw_only=True)
class StudyStatus:
    """A study at one moment.

    Attributes:
        metric: the objective's.
        positive: the positive class of a binary task, as far as it is known.
        budget: as it is now.
        standing: whether it is open for workers.
        counts: trials by state; states without a trial are left out.
        busy_seconds: time in which at least one worker held a trial.
        device_seconds: the workers' time, added up, each by its share of a device.
        n_since_best: trials that ended since the best one did; counted where the budget asks.
        worker_rows: the workers that hold a trial.
        silent: numbers of the trials whose lease ran out: their workers are dead, or cut off.
        started: when the first of its trials was claimed, in UTC.
        per_minute: trials that ended a minute, in the last while.
        failures: the latest ones.
        curve: the best value so far after each trial that completed, where a trend was read.
        notes: what was taken otherwise than a person might expect of the study's table.
        n_points: of a finite search space all of whose points have a trial; None otherwise.
    """

    name: str
    metric: MetricName
    positive: str | None
    direction: Direction
    budget: Budget
    standing: Standing = "open"
    counts: dict[str, int]
    best: Best | None
    busy_seconds: float
    device_seconds: float
    n_since_best: int
    worker_rows: tuple[WorkerRow, ...] = ()
    silent: tuple[int, ...]
    started: datetime | None
    per_minute: float = 0.0
    failures: tuple[Failure, ...] = ()
    curve: tuple[float, ...] = ()
    notes: tuple[str, ...] = ()
    n_points: int | None = None

    @property
    def metric_label(self) -> str:
        """The objective's metric, with the class that it is of, if it is of one."""
        return metric_label(self.metric, self.positive)

    @property
    def workers(self) -> tuple[WorkerId, ...]:
        """Those that hold a trial."""
        return tuple(row.worker for row in self.worker_rows)

    @property
    def n_ended(self) -> int:
        """Trials that are over, however."""
        return sum(self.counts.get(state, 0) for state in ("COMPLETE", "PRUNED", "FAIL"))

    @property
    def is_out_of_time(self) -> bool:
        """Whether the study's time is used up."""
        return self.time_over is not None

    @property
    def time_over(self) -> Literal["timeout", "device_time"] | None:
        """The budget's key whose time is used up; None while there is time."""
        return self.budget.time_over(self.busy_seconds, self.device_seconds)

    @property
    def is_stalled(self) -> bool:
        """Whether so many trials brought no improvement that no further one is created."""
        patience = self.budget.no_improvement
        return patience is not None and self.n_since_best >= patience

    @property
    def is_used_up(self) -> bool:
        """Whether the budget leaves no trial to run, or no time."""
        is_open = self.counts.get("WAITING") or self.counts.get("RUNNING")
        is_at_end = self.is_stalled or self.n_points is not None
        has_room = not is_at_end and sum(self.counts.values()) < self.budget.n_trials
        return self.is_out_of_time or not (is_open or has_room)

    @property
    def reason(self) -> str:
        """Why the study is finished; empty while it is not, or was stopped."""
        budget = self.budget
        if not self.is_used_up:
            return ""
        if (key := self.time_over) is not None:
            return f"budget.{key} = {getattr(budget, key):g} s is used up"
        if self.n_points is not None:
            return f"all {self.n_points} configurations of the search space were tried"
        if self.is_stalled:
            return f"{self.n_since_best} trials in a row brought no improvement"
        return f"all {budget.n_trials} trials of its budget are over"

    @property
    def why_closed(self) -> str:
        """Why the study has no work for workers, and how to reopen it; empty while it is open."""
        if self.is_used_up:
            how = "" if self.n_points is not None else f"; hpo extend {self.name} raises its budget"
            return f"{self.name} is finished: {self.reason}{how}"
        if self.standing == "stopped":
            return f"{self.name} is stopped: hpo resume {self.name} opens it again"
        return ""

    @property
    def is_finished(self) -> bool:
        """Whether there is nothing left to do for workers, by the budget or by a stop."""
        return self.standing == "stopped" or self.is_used_up

    @property
    def state(self) -> Literal["finished", "stopped", "paused", "running", "waiting"]:
        """The study's state in a word: it waits while no worker is at it."""
        if self.is_used_up:
            return "finished"
        if self.standing != "open":
            return self.standing
        return "running" if self.worker_rows else "waiting"


def read_status(
    connection: Connection,
    study_id: int,
    definition: StudyDefinition,
    standing: Standing,
    trend: Trend | None = None,
) -> StudyStatus:
    """Look at a study's trials and leases.

    Args:
        connection: to read with.
        study_id: whose.
        definition: says its name, direction and budget.
        standing: as its row says.
        trend: brought up to date as well.
    """
    if trend is not None:
        trend.refresh(connection, study_id, definition.direction)
    budget, clock = definition.budget, leases.read_clock(connection, study_id)
    n_since_best = 0
    if budget.no_improvement is not None:
        n_since_best = count_since_best(connection, study_id, definition.direction)
    started, per_minute = _pace(connection, study_id)
    return StudyStatus(
        name=definition.name,
        metric=definition.objective.metric,
        positive=None if definition.data.positive is None else str(definition.data.positive),
        direction=definition.direction,
        budget=budget,
        standing=standing,
        counts=_counts(connection, study_id),
        best=_best(connection, study_id, definition.direction, trend.leader if trend else None),
        busy_seconds=clock.busy_seconds,
        device_seconds=clock.device_seconds,
        n_since_best=n_since_best,
        worker_rows=_worker_rows(connection, study_id),
        silent=tuple(found.number for found in leases.expired(connection, study_id)),
        started=started,
        per_minute=per_minute,
        failures=_failures(connection, study_id),
        curve=tuple(trend.best) if trend else (),
    )


def live_workers(connection: Connection, study_id: int) -> tuple[WorkerId, ...]:
    """The workers that hold a live lease on a trial of the study."""
    return tuple(row.worker for row in _worker_rows(connection, study_id))


def _counts(connection: Connection, study_id: int) -> dict[str, int]:
    """Trials by state; an index answers."""
    own = TRIALS.c.study_id == study_id
    query = sa.select(TRIALS.c.state, sa.func.count()).where(own).group_by(TRIALS.c.state)
    return {state.name: n for state, n in connection.execute(query)}


def _pace(connection: Connection, study_id: int) -> tuple[datetime | None, float]:
    """When the first trial began; trials that ended a minute in the last while, in one pass.

    A while that began without a trial is counted from its first one on.
    """
    ms = connection.execute(sa.select(leases.now(connection))).scalar_one()
    now = datetime.fromtimestamp(int(ms) / 1000, UTC).replace(tzinfo=None)
    start, end = TRIALS.c.datetime_start, TRIALS.c.datetime_complete
    is_recent = end > now - WINDOW
    at_work = sa.or_(is_recent, TRIALS.c.state == TrialState.RUNNING)
    query = sa.select(
        sa.func.min(start),
        sa.func.sum(sa.case((is_recent, 1), else_=0)),
        sa.func.min(sa.case((at_work, start), else_=None)),
    )
    started, n_recent, since = connection.execute(query.where(TRIALS.c.study_id == study_id)).one()
    if not n_recent or since is None:
        return started, 0.0
    seconds = (now - max(now - WINDOW, since)).total_seconds()
    return started, 60 * int(n_recent) / max(seconds, 1.0)


def _best(
    connection: Connection, study_id: int, direction: Direction, leader: int | None
) -> Best | None:
    """The best trial; `leader` is its number where that is known."""
    if leader is None:
        best = best_trial(connection, study_id, direction)
    else:
        query = complete(study_id, TRIALS.c.trial_id, TRIALS.c.number, TRIAL_VALUES.c.value)
        best = connection.execute(query.where(TRIALS.c.number == leader)).one_or_none()
    if best is None:
        return None
    params = sa.select(TRIAL_PARAMS).where(TRIAL_PARAMS.c.trial_id == best.trial_id)
    rows = connection.execute(params.order_by(TRIAL_PARAMS.c.param_id))
    return Best(
        number=best.number, value=best.value, params={row.param_name: _param(row) for row in rows}
    )


def _param(row: Row[Any]) -> Any:
    return json_to_distribution(row.distribution_json).to_external_repr(row.param_value)


def _worker_rows(connection: Connection, study_id: int) -> tuple[WorkerRow, ...]:
    now = leases.now(connection)
    worker = [WORKERS.c[name] for name in ("host", "pid", "device", "share")]
    renewed_ms = LEASES.c.expires_ms - LEASES.c.lease_ms
    query = (
        sa.select(*worker, TRIALS.c.number, (now - renewed_ms).label("silent_ms"))
        .join(LEASES, LEASES.c.worker_id == WORKERS.c.worker_id)
        .join(TRIALS, TRIALS.c.trial_id == LEASES.c.trial_id)
        .where(LEASES.c.study_id == study_id, LEASES.c.expires_ms > now)
        .order_by(WORKERS.c.host, WORKERS.c.pid, WORKERS.c.worker_id, TRIALS.c.number)
    )
    found: dict[WorkerId, dict[int, int]] = {}
    for row in connection.execute(query):
        worker_id = WorkerId(host=row.host, pid=row.pid, device=row.device, share=row.share)
        found.setdefault(worker_id, {})[row.number] = int(row.silent_ms)
    return tuple(
        WorkerRow(
            worker=worker_id,
            trials=tuple(held),
            silent_seconds=max(0.0, min(held.values()) / 1000),
        )
        for worker_id, held in found.items()
    )


def _failures(connection: Connection, study_id: int) -> tuple[Failure, ...]:
    """The latest trials that failed, by number."""
    reason = (TRIAL_USER_ATTRS.c.trial_id == TRIALS.c.trial_id) & (
        TRIAL_USER_ATTRS.c.key == "reason"
    )
    query = (
        sa.select(TRIALS.c.number, TRIAL_USER_ATTRS.c.value_json)
        .join(TRIAL_USER_ATTRS, reason, isouter=True)
        .where(TRIALS.c.study_id == study_id, TRIALS.c.state == TrialState.FAIL)
        .order_by(TRIALS.c.number.desc())
        .limit(N_FAILURES)
    )
    return tuple(
        Failure(number=number, reason="unknown" if text is None else str(json.loads(text)))
        for number, text in connection.execute(query)
    )
