"""The status of a study: how far it is and who works on it, in few queries that take no lock."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from hpo.config.definition import Budget, StudyDefinition
from hpo.config.metrics import Direction, MetricName, metric_label
from hpo.storage import leases, progress
from hpo.storage.best import Best, OptimizationHistory, count_since_best, read_best
from hpo.storage.engine import Connection
from hpo.storage.leases import WorkerId
from hpo.storage.progress import Failure, WorkerRow
from hpo.study.row import Standing, StudyRow


@dataclass(frozen=True, kw_only=True)
class StudyStatus:
    """The state of a study at one moment.

    Attributes:
        metric: metric of the objective.
        positive: positive class of a binary task, if known.
        budget: the current budget.
        standing: whether the study accepts workers.
        counts: number of trials by state; states without trials are left out.
        busy_seconds: time during which at least one worker held a trial.
        device_seconds: time of all workers together, each times its share of a device.
        n_since_best: number of trials that ended after the best one; counted if the budget has
            `no_improvement`.
        worker_rows: workers that hold a trial under a live lease.
        silent: numbers of trials whose lease expired: their workers are dead or cut off.
        started: when the first trial was claimed, in UTC.
        per_minute: trials that recently ended per minute.
        failures: the latest failed trials.
        curve: best value so far after each COMPLETE trial, if a history was read.
        notes: remarks on how the table was read that may surprise a person, and on the warm start.
        n_points: size of a finite search space if all of its points have a trial; else None.
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
        """The metric of the objective, with its class if it has one."""
        return metric_label(self.metric, self.positive)

    @property
    def workers(self) -> tuple[WorkerId, ...]:
        """The workers that hold a trial under a live lease."""
        return tuple(row.worker for row in self.worker_rows)

    @property
    def counts_text(self) -> str:
        """Number of trials in each state, as in `12 complete, 3 pruned`."""
        states = ("COMPLETE", "PRUNED", "FAIL", "RUNNING", "WAITING")
        present = [(state, self.counts[state]) for state in states if self.counts.get(state)]
        text = ", ".join(f"{n:,} {state.lower()}" for state, n in present) or "none yet"
        return text.replace("fail", "failed")

    @property
    def n_ended(self) -> int:
        """Number of finished trials."""
        return sum(self.counts.get(state, 0) for state in ("COMPLETE", "PRUNED", "FAIL"))

    @property
    def time_over(self) -> Literal["timeout", "device_time"] | None:
        """The budget's key whose time is used up; None if there is time left."""
        return self.budget.time_over(self.busy_seconds, self.device_seconds)

    @property
    def is_stalled(self) -> bool:
        """Whether `no_improvement` trials in a row brought no improvement."""
        patience = self.budget.no_improvement
        return patience is not None and self.n_since_best >= patience

    @property
    def is_used_up(self) -> bool:
        """Whether the budget leaves no trial or no time."""
        is_open = self.counts.get("WAITING") or self.counts.get("RUNNING")
        is_at_end = self.is_stalled or self.n_points is not None
        has_room = not is_at_end and sum(self.counts.values()) < self.budget.n_trials
        return self.time_over is not None or not (is_open or has_room)

    @property
    def reason(self) -> str:
        """Why the budget is used up; empty if it is not."""
        budget = self.budget
        if not self.is_used_up:
            return ""
        if (key := self.time_over) is not None:
            return f"budget.{key} = {getattr(budget, key):g} s is used up"
        if self.n_points is not None:
            return f"all {self.n_points} configurations of the search space were tried"
        if self.is_stalled:
            return f"{self.n_since_best} trials in a row brought no improvement"
        return f"all {budget.n_trials} trials of its budget are finished"

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
        """Whether nothing is left to do: the study was stopped or its budget is used up."""
        return self.standing == "stopped" or self.is_used_up

    @property
    def state(self) -> Literal["finished", "stopped", "paused", "running", "waiting"]:
        """The state of the study in a word; it is `waiting` while it has no worker."""
        if self.is_used_up:
            return "finished"
        if self.standing != "open":
            return self.standing
        return "running" if self.worker_rows else "waiting"


def read_status(
    connection: Connection,
    definition: StudyDefinition,
    row: StudyRow,
    history: OptimizationHistory | None = None,
) -> StudyStatus:
    """Read the status of a study from its trials and leases.

    Args:
        connection: to read with.
        definition: definition of the study.
        row: current row of the study.
        history: brought up to date as well.
    """
    study_id, budget = row.id, row.budget
    if history is not None:
        history.refresh(connection, study_id, definition.direction)
    clock = leases.read_clock(connection, study_id)
    n_since_best = 0
    if budget.no_improvement is not None:
        n_since_best = count_since_best(connection, study_id, definition.direction)
    started, per_minute = progress.read_pace(connection, study_id)
    workers = progress.read_workers(connection, study_id)
    leader = None if history is None else history.leader
    return StudyStatus(
        name=definition.name,
        metric=definition.objective.metric,
        positive=None if definition.data.positive is None else str(definition.data.positive),
        direction=definition.direction,
        budget=budget,
        standing=row.standing,
        counts=progress.count_by_state(connection, study_id),
        best=read_best(connection, study_id, definition.direction, leader),
        busy_seconds=clock.busy_seconds,
        device_seconds=clock.device_seconds,
        n_since_best=n_since_best,
        worker_rows=tuple(row for row in workers if not row.is_silent),
        silent=tuple(row.number for row in leases.expired(connection, study_id)),
        started=started,
        per_minute=per_minute,
        failures=progress.read_failures(connection, study_id),
        curve=() if history is None else tuple(history.best),
        notes=(*row.notes, *row.warm_start_notes),
    )
