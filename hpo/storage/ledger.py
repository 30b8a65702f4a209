"""The ledger: every change of a study's and a trial's state.

A trial is RUNNING under a lease, and its worker touches the lease before it writes. A trial keeps
its number for life: a trial that was released, or taken back from a dead worker, goes from RUNNING
to WAITING in place, with its params, its intermediate values and a record of the attempt. The
budget counts rows under the study's lock, in the transaction that adds one.

All functions take a connection inside a transaction; none commits. A transaction locks rows in this
order: study, clock, leases, trials.
"""

import json
import math
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

import sqlalchemy as sa
from optuna.distributions import distribution_to_json
from optuna.study import StudyDirection
from optuna.trial import TrialState
from sqlalchemy.engine import Connection

from hpo.config.errors import StudyConflictError
from hpo.config.metrics import Direction
from hpo.config.trial import Measurement
from hpo.storage import attributes, leases
from hpo.storage.attributes import ATTEMPT, DEVICE, WORKER
from hpo.storage.leases import Lease, WorkerId
from hpo.storage.reader import DrawnParam
from hpo.storage.rows import upsert, write_rows
from hpo.storage.schema import (
    CLOCKS,
    DIRECTIONS,
    FINITE_REPORT,
    FINITE_VALUE,
    REPORTS,
    STUDIES,
    TRIAL_PARAMS,
    TRIAL_SYSTEM_ATTRS,
    TRIAL_USER_ATTRS,
    TRIAL_VALUES,
    TRIALS,
)
from hpo.storage.trials import read_heads

_UTC_CLOCK = {
    "postgresql": "(clock_timestamp() AT TIME ZONE 'UTC')",
    "mysql": "UTC_TIMESTAMP(6)",
}
FIXED_PARAMS = "fixed_params"
"""Optuna's system attribute for the params of an enqueued trial."""
EARLIER = "earlier_attempts"
"""User attribute: worker, device and end of each earlier attempt."""
FORGIVEN = "forgiven"
"""Marks the attempts before a retry by hand."""
_N_EARLIER = 20
"""Number of latest attempts to record; of the attempts before them, only losses are kept."""
RELEASED = "released"
"""How an attempt ends if the worker gives the trial back. Any other end is a lost worker."""
FinalState = Literal["COMPLETE", "PRUNED", "FAIL"]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a trial ended.

    Attributes:
        value: the objective at the best epoch; None if nothing was measured.
        user_attrs: further results as plain JSON.
    """

    state: FinalState
    value: float | None
    user_attrs: Mapping[str, Any]


def create_study(
    connection: Connection, name: str, direction: Direction, attrs: Mapping[str, Any]
) -> int:
    """Create a study with its system attributes; return its id.

    Raises:
        StudyConflictError: the name is taken.
    """
    study_id = insert_study(connection, name)
    objective = {"objective": 0, "direction": StudyDirection[direction.name]}
    connection.execute(sa.insert(DIRECTIONS).values(study_id=study_id, **objective))
    for key, value in attrs.items():
        attributes.set_study(connection, study_id, key, value)
    connection.execute(sa.delete(CLOCKS).where(CLOCKS.c.study_id == study_id))  # SQLite reuses ids
    clock = {"busy_ms": 0, "device_ms": 0, "seen_ms": leases.now(connection)}
    connection.execute(sa.insert(CLOCKS).values(study_id=study_id, **clock))
    return study_id


def insert_study(connection: Connection, name: str) -> int:
    """Insert the row of a study; return its id.

    Raises:
        StudyConflictError: the name is taken.
    """
    try:
        return _insert(connection, STUDIES, study_name=name)
    except sa.exc.IntegrityError:
        raise StudyConflictError(f"the storage has a study {name} already") from None


def lock_study(connection: Connection, study_id: int) -> bool:
    """Wait for the study's lock, which Optuna takes as well; return whether the study exists."""
    query = sa.select(STUDIES.c.study_id).where(STUDIES.c.study_id == study_id).with_for_update()
    return connection.execute(query).one_or_none() is not None


def count_trials(connection: Connection, study_id: int) -> int:
    """Number of trials of every state: the last number and one, which an index finds."""
    number, own = TRIALS.c.number, TRIALS.c.study_id == study_id
    last = (
        sa.select(sa.func.max(number)).where(own, TRIALS.c.state == state).scalar_subquery()
        for state in TrialState
    )
    found = connection.execute(sa.select(*last)).one()
    return 1 + max((n for n in found if n is not None), default=-1)


def has_completed(connection: Connection, study_id: int) -> bool:
    """Whether a COMPLETE trial was trained to its end; one that ran out of time has a reason."""
    query = (
        sa.select(TRIALS.c.trial_id)
        .join(TRIAL_USER_ATTRS, attributes.of_trial(attributes.REASON), isouter=True)
        .where(TRIALS.c.study_id == study_id, TRIALS.c.state == TrialState.COMPLETE)
        .where(TRIAL_USER_ATTRS.c.key.is_(None))
        .limit(1)
    )
    return connection.execute(query).one_or_none() is not None


def add_trial(
    connection: Connection,
    study_id: int,
    number: int,
    fixed_params: Mapping[str, Any],
) -> int:
    """Create a WAITING trial with the next number; return its id.

    The caller holds the study's lock.
    """
    values = {"study_id": study_id, "number": number, "state": TrialState.WAITING}
    trial_id = _insert(connection, TRIALS, **values)
    if fixed_params:
        attrs = {trial_id: {FIXED_PARAMS: dict(fixed_params)}}
        attributes.write_trials(connection, TRIAL_SYSTEM_ATTRS, attrs)
    return trial_id


def enqueue(
    connection: Connection, study_id: int, first: Sequence[Mapping[str, Any]], n_trials: int
) -> None:
    """Create the missing ones of a study's first trials; the caller holds the study's lock.

    Args:
        connection: in a transaction.
        study_id: id of the study.
        first: params of the first trials.
        n_trials: the budget. Trials that a person enqueued count as well.
    """
    n_there = count_trials(connection, study_id)
    if n_there >= n_trials:
        return
    queued = _fixed_params(connection, study_id) if n_there else []
    missing = [params for params in first if params not in queued]
    for number, params in zip(range(n_there, n_trials), missing, strict=False):
        add_trial(connection, study_id, number, params)


def claim(
    connection: Connection,
    study_id: int,
    n_trials: int,
    worker: WorkerId,
    lease_seconds: float,
    n: int,
) -> list[Lease]:
    """Claim the oldest waiting trials, and new trials within the budget, for a worker.

    The caller holds the study's lock. Reports of an earlier attempt stay until `rewind`.

    Args:
        connection: in a transaction.
        study_id: id of the study.
        n_trials: the budget.
        worker: the worker that claims the trials.
        lease_seconds: time after which a lease expires unless it is renewed.
        n: number of trials to claim at most.

    Returns:
        Leases on the trials, by number.
    """
    found = _waiting(connection, study_id, n)
    attempts = _attempts(connection, list(found))
    found |= _create(connection, study_id, n_trials, n - len(found))
    claimed = [
        Lease(trial_id=own, number=number, token=uuid.uuid4().hex, attempt=1 + attempts.get(own, 0))
        for own, number in found.items()
    ]
    if not claimed:
        return []
    leases.grant(connection, study_id, claimed, worker, lease_seconds)
    running = {"state": TrialState.RUNNING, "datetime_start": _utc(connection)}
    connection.execute(sa.update(TRIALS).where(TRIALS.c.trial_id.in_(found)).values(running))
    about = {WORKER: worker.key, DEVICE: worker.device}
    visible = {lease.trial_id: {ATTEMPT: lease.attempt, **about} for lease in claimed}
    attributes.write_trials(connection, TRIAL_USER_ATTRS, visible)
    return claimed


def write_params(connection: Connection, params: Mapping[int, Sequence[DrawnParam]]) -> None:
    """Write the params of trials by trial id, in the order in which they were drawn."""
    rows = [
        {
            "trial_id": trial_id,
            "param_name": param.name,
            "param_value": param.value,
            "distribution_json": distribution_to_json(param.distribution),
        }
        for trial_id, drawn in params.items()
        for param in drawn
    ]
    write_rows(connection, sa.insert(TRIAL_PARAMS), rows)


def write_reports(connection: Connection, reports: Mapping[int, Sequence[Measurement]]) -> None:
    """Write intermediate values by trial id; a value of the same step is replaced."""
    rows = [
        {
            "trial_id": trial_id,
            "step": measured.step,
            "intermediate_value": measured.value,
            "intermediate_value_type": FINITE_REPORT,
        }
        for trial_id, measurements in reports.items()
        for measured in measurements
    ]
    insert = upsert(connection, REPORTS, ["trial_id", "step"], ["intermediate_value"])
    write_rows(connection, insert, rows)


def rewind(connection: Connection, trial_id: int, measurements: Sequence[Measurement]) -> None:
    """Set a trial's intermediate values to those that an attempt resumes from.

    A trial that starts from scratch also loses the system attributes that pruners wrote.
    """
    last = measurements[-1].step if measurements else 0
    beyond = (REPORTS.c.trial_id == trial_id) & (REPORTS.c.step > last)
    connection.execute(sa.delete(REPORTS).where(beyond))
    write_reports(connection, {trial_id: measurements})
    if not measurements:
        by_pruner = TRIAL_SYSTEM_ATTRS.c.key != FIXED_PARAMS
        own = TRIAL_SYSTEM_ATTRS.c.trial_id == trial_id
        connection.execute(sa.delete(TRIAL_SYSTEM_ATTRS).where(own & by_pruner))


def finish(connection: Connection, endings: Mapping[int, Outcome]) -> None:
    """Finish trials, by trial id, and end their leases."""
    for state in {ending.state for ending in endings.values()}:
        ids = [own for own, ending in endings.items() if ending.state == state]
        _end(connection, ids, TrialState[state])
    rows = [
        {"trial_id": own, "objective": 0, "value": ending.value, "value_type": FINITE_VALUE}
        for own, ending in endings.items()
        if ending.value is not None
    ]
    write_rows(connection, sa.insert(TRIAL_VALUES), rows)
    attrs = {own: ending.user_attrs for own, ending in endings.items()}
    attributes.write_trials(connection, TRIAL_USER_ATTRS, attrs)


def has_ended(connection: Connection, lease: Lease, state: FinalState) -> bool:
    """Whether the attempt of this lease finished the trial in this state."""
    own = (TRIALS.c.trial_id == lease.trial_id) & (TRIALS.c.state == TrialState[state])
    is_there = connection.execute(sa.select(TRIALS.c.trial_id).where(own)).one_or_none()
    attempts = _attempts(connection, [lease.trial_id])
    return is_there is not None and attempts.get(lease.trial_id) == lease.attempt


def give_back(connection: Connection, trial_id: int, how: str, max_attempts: int) -> int:
    """End a trial's attempt and lease: the trial waits again, or fails if it lost too many workers.

    Args:
        connection: in a transaction.
        trial_id: id of a RUNNING trial.
        how: how the attempt ended, in a few words.
        max_attempts: number of lost workers at which the trial fails.

    Returns:
        The number of the attempt that ended.
    """
    leases.end(connection, [trial_id])
    attrs = attributes.read_trial(connection, TRIAL_USER_ATTRS, trial_id)
    attempt = {"worker": attrs[WORKER], "device": attrs[DEVICE], "ended": how}
    before = attrs.get(EARLIER, [])
    losses = [ended for ended in before[:-_N_EARLIER] if _is_loss(ended)]
    earlier = [*losses, *before[-_N_EARLIER:], attempt]  # MySQL limits a value to 64 KiB
    attributes.write_trials(connection, TRIAL_USER_ATTRS, {trial_id: {EARLIER: earlier}})
    n_lost = sum(_is_loss(attempt) for attempt in earlier)
    if how != RELEASED and n_lost >= max_attempts:
        _end(connection, [trial_id], TrialState.FAIL)
        reason = {attributes.REASON: f"cost {n_lost} workers, the last one {how}"}
        attributes.write_trials(connection, TRIAL_USER_ATTRS, {trial_id: reason})
    else:
        waiting = {"state": TrialState.WAITING, "datetime_start": None}
        connection.execute(sa.update(TRIALS).where(TRIALS.c.trial_id == trial_id).values(waiting))
    return int(attrs[ATTEMPT])


def n_chances(connection: Connection, trial_id: int, max_attempts: int) -> float:
    """Number of workers that a trial can still lose before it fails; infinite before a first loss.

    Args:
        connection: in a transaction.
        trial_id: id of a trial that was claimed before.
        max_attempts: number of lost workers at which the trial fails.
    """
    attrs = attributes.read_trial(connection, TRIAL_USER_ATTRS, trial_id)
    n_lost = sum(_is_loss(attempt) for attempt in attrs.get(EARLIER, []))
    return max_attempts - n_lost if n_lost else math.inf


def _is_loss(attempt: Mapping[str, Any]) -> bool:
    """Whether an attempt counts as a lost worker; attempts before a retry by hand do not."""
    return attempt["ended"] != RELEASED and not attempt.get(FORGIVEN, False)


def _end(connection: Connection, trial_ids: Sequence[int], state: TrialState) -> None:
    done = {"state": state, "datetime_complete": _utc(connection)}
    connection.execute(sa.update(TRIALS).where(TRIALS.c.trial_id.in_(trial_ids)).values(done))
    leases.end(connection, trial_ids)


def _insert(connection: Connection, table: sa.Table, **values: Any) -> int:
    """Insert a row; return its id."""
    key = connection.execute(sa.insert(table).values(values)).inserted_primary_key
    assert key is not None
    return int(key[0])


def _waiting(connection: Connection, study_id: int, n: int) -> dict[int, int]:
    """Numbers of up to `n` of the oldest waiting trials, by id."""
    waiting = (
        sa.select(TRIALS.c.trial_id, TRIALS.c.number)
        .where(TRIALS.c.study_id == study_id, TRIALS.c.state == TrialState.WAITING)
        .order_by(TRIALS.c.number)
        .limit(n)
    )
    return {row.trial_id: row.number for row in connection.execute(waiting)}


def _create(connection: Connection, study_id: int, n_trials: int, n: int) -> dict[int, int]:
    """Create up to `n` trials within a budget of `n_trials`; return their numbers by id."""
    first = count_trials(connection, study_id) if n > 0 else n_trials
    numbers = range(first, min(n_trials, first + n))
    if not numbers:
        return {}
    row = {"study_id": study_id, "state": TrialState.WAITING}
    rows = [{**row, "number": number} for number in numbers]
    write_rows(connection, sa.insert(TRIALS), rows)
    is_waiting = TRIALS.c.state == TrialState.WAITING  # with it, an index finds the numbers
    made = read_heads(connection, study_id, is_waiting, TRIALS.c.number.in_(numbers))
    return {row.trial_id: row.number for row in made}


def _fixed_params(connection: Connection, study_id: int) -> list[dict[str, Any]]:
    """The fixed params of a study's enqueued trials."""
    query = (
        sa.select(TRIAL_SYSTEM_ATTRS.c.value_json)
        .join(TRIALS, TRIALS.c.trial_id == TRIAL_SYSTEM_ATTRS.c.trial_id)
        .where(TRIALS.c.study_id == study_id, TRIAL_SYSTEM_ATTRS.c.key == FIXED_PARAMS)
    )
    return [json.loads(text) for text in connection.execute(query).scalars()]


def _attempts(connection: Connection, trial_ids: Sequence[int]) -> dict[int, int]:
    """Number of attempts by trial id; trials that were never claimed are left out."""
    if not trial_ids:
        return {}
    own = TRIAL_USER_ATTRS.c.trial_id.in_(trial_ids) & (TRIAL_USER_ATTRS.c.key == ATTEMPT)
    rows = connection.execute(
        sa.select(TRIAL_USER_ATTRS.c.trial_id, TRIAL_USER_ATTRS.c.value_json).where(own)
    )
    return {trial_id: int(text) for trial_id, text in rows}


def _utc(connection: Connection) -> sa.ColumnElement[datetime]:
    """The database's time in UTC without a time zone, as Optuna stores it."""
    if (clock := _UTC_CLOCK.get(connection.dialect.name)) is not None:
        return sa.literal_column(clock, sa.DateTime)
    return sa.literal(datetime.now(UTC).replace(tzinfo=None), sa.DateTime)
