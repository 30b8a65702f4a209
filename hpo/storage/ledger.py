"""The ledger: every change of a trial's state, each as one transaction.

A trial is RUNNING under a lease, a row with a secret token. Whoever writes it begins by touching
the lease with the token; no row touched means that the lease was taken away, and nothing is
written. A trial keeps its number for life: what was released or taken from a dead worker goes back
from RUNNING to WAITING in place. The budget counts rows under the study's lock, in the transaction
that makes one.

Functions take a connection inside a transaction; none commits.
"""

import json
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from optuna.distributions import distribution_to_json
from optuna.study import StudyDirection
from optuna.trial import TrialState
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection

from hpo.errors import LeaseLostError
from hpo.storage.reader import DrawnParam
from hpo.storage.schema import (
    BUDGETS,
    DIRECTIONS,
    LEASES,
    REPORT,
    REPORTS,
    STUDIES,
    STUDY_ATTRS,
    TRIAL_PARAMS,
    TRIAL_SYSTEM_ATTRS,
    TRIAL_USER_ATTRS,
    TRIAL_VALUES,
    TRIALS,
    VALUE,
    WORKERS,
)
from hpo.trial import Measurement

FIXED_PARAMS = "fixed_params"
"""Optuna's name for the params that an enqueued trial comes with."""


@dataclass(frozen=True, kw_only=True)
class Lease:
    """The right to write a trial."""

    trial_id: int
    number: int
    token: str
    attempt: int


@dataclass(frozen=True, kw_only=True)
class Expired:
    """A lease that ran out, as a look at the table found it."""

    trial_id: int
    number: int
    beat: int
    lease_ms: int


def now_ms(connection: Connection) -> int:
    """The database's time. SQLite has none of its own: there it is this process's clock."""
    if connection.dialect.name == "sqlite":
        return time.time_ns() // 1_000_000
    clock = sa.text("SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000 AS bigint)")
    return int(connection.execute(clock).scalar_one())


def create_study(
    connection: Connection,
    *,
    name: str,
    direction: str,
    attrs: Mapping[str, Any],
    n_trials: int,
    timeout: float | None,
) -> int:
    """Make a study; an IntegrityError means that there is one of that name."""
    insert = sa.insert(STUDIES).values(study_name=name).returning(STUDIES.c.study_id)
    study_id = int(connection.execute(insert).scalar_one())
    objective = {
        "study_id": study_id,
        "objective": 0,
        "direction": StudyDirection[direction.upper()],
    }
    connection.execute(sa.insert(DIRECTIONS).values(objective))
    for key, value in attrs.items():
        set_study_attr(connection, study_id, key, value)
    connection.execute(sa.delete(BUDGETS).where(BUDGETS.c.study_id == study_id))  # ids recur
    limits = {"n_trials": n_trials, "timeout_ms": _ms(timeout)}
    row = {"study_id": study_id, "busy_ms": 0, "seen_ms": 0, **limits}
    connection.execute(sa.insert(BUDGETS).values(row))
    return study_id


def set_study_attr(connection: Connection, study_id: int, key: str, value: Any) -> None:
    """Write a system attribute of a study."""
    own = (STUDY_ATTRS.c.study_id == study_id) & (STUDY_ATTRS.c.key == key)
    connection.execute(sa.delete(STUDY_ATTRS).where(own))
    row = {"study_id": study_id, "key": key, "value_json": json.dumps(value)}
    connection.execute(sa.insert(STUDY_ATTRS).values(row))


def lock_study(connection: Connection, study_id: int) -> sa.Row[Any] | None:
    """Wait for the study's lock; its budget's row, or None when the study is gone."""
    query = sa.select(BUDGETS).where(BUDGETS.c.study_id == study_id).with_for_update()
    return connection.execute(query).one_or_none()


def set_budget(connection: Connection, study_id: int, n_trials: int, timeout: float | None) -> None:
    """Change the budget; the caller holds the study's lock."""
    values = {"n_trials": n_trials, "timeout_ms": _ms(timeout)}
    connection.execute(sa.update(BUDGETS).where(BUDGETS.c.study_id == study_id).values(**values))


def count_trials(connection: Connection, study_id: int) -> int:
    """Trials ever created, of every state."""
    query = sa.select(sa.func.count()).where(TRIALS.c.study_id == study_id)
    return int(connection.execute(query).scalar_one())


def add_trial(
    connection: Connection, study_id: int, fixed_params: Mapping[str, Any]
) -> tuple[int, int]:
    """Create a waiting trial; the caller holds the study's lock. Returns its id and number."""
    number = count_trials(connection, study_id)
    values = {"study_id": study_id, "number": number, "state": TrialState.WAITING}
    insert = sa.insert(TRIALS).values(values).returning(TRIALS.c.trial_id)
    trial_id = int(connection.execute(insert).scalar_one())
    connection.execute(sa.delete(LEASES).where(LEASES.c.trial_id == trial_id))  # ids recur
    if fixed_params:
        attr = {"key": FIXED_PARAMS, "value_json": json.dumps(dict(fixed_params))}
        connection.execute(sa.insert(TRIAL_SYSTEM_ATTRS).values(trial_id=trial_id, **attr))
    return trial_id, number


def claim(connection: Connection, study_id: int, worker_id: str, lease: float) -> Lease | None:
    """Take the oldest waiting trial, or create one if the budget has room.

    Returns:
        None when there is nothing to claim now.
    """
    budget = lock_study(connection, study_id)
    now = now_ms(connection)
    if budget is None or is_out_of_time(budget, _count_busy(connection, study_id, now)):
        return None
    waiting = (
        sa.select(TRIALS.c.trial_id, TRIALS.c.number)
        .where(TRIALS.c.study_id == study_id, TRIALS.c.state == TrialState.WAITING)
        .order_by(TRIALS.c.number)
        .limit(1)
    )
    if (found := connection.execute(waiting).one_or_none()) is not None:
        trial_id, number = found
    elif count_trials(connection, study_id) < budget.n_trials:
        trial_id, number = add_trial(connection, study_id, {})
    else:
        return None
    start = {"state": TrialState.RUNNING, "datetime_start": _utc()}
    connection.execute(sa.update(TRIALS).where(TRIALS.c.trial_id == trial_id).values(start))
    connection.execute(sa.delete(REPORTS).where(REPORTS.c.trial_id == trial_id))  # it starts over
    taken = Lease(
        trial_id=trial_id,
        number=number,
        token=uuid.uuid4().hex,
        attempt=_attempt(connection, trial_id) + 1,
    )
    row = {"study_id": study_id, "beat": 0, "lease_ms": _ms(lease), "expires_ms": now + _ms(lease)}
    connection.execute(sa.insert(LEASES).values(trial_id=trial_id, token=taken.token, **row))
    attrs = {"attempt": taken.attempt, "worker": worker_id}
    set_user_attrs(connection, trial_id, attrs)
    return taken


def is_out_of_time(budget: sa.Row[Any], busy_ms: int) -> bool:
    """Whether a study's time is used up."""
    return budget.timeout_ms is not None and busy_ms >= budget.timeout_ms


def busy_ms(connection: Connection, study_id: int) -> int:
    """Milliseconds in which a worker held a lease of the study, up to now; writes nothing."""
    row = connection.execute(sa.select(BUDGETS).where(BUDGETS.c.study_id == study_id)).one()
    now = now_ms(connection)
    alive = sa.select(sa.func.count()).where(
        LEASES.c.study_id == study_id, LEASES.c.expires_ms > now
    )
    running = connection.execute(alive).scalar_one() > 0
    return int(row.busy_ms + (max(0, now - row.seen_ms) if running else 0))


def fence(connection: Connection, lease: Lease) -> None:
    """Touch the lease that the following writes rest on.

    Raises:
        LeaseLostError: it is another worker's now.
    """
    own = (LEASES.c.trial_id == lease.trial_id) & (LEASES.c.token == lease.token)
    touched = connection.execute(sa.update(LEASES).where(own).values(beat=LEASES.c.beat + 1))
    if touched.rowcount != 1:
        raise LeaseLostError(f"trial {lease.number} belongs to another worker now")


def write_params(connection: Connection, trial_id: int, params: Sequence[DrawnParam]) -> None:
    """Write a trial's params in their order."""
    rows = [
        {
            "trial_id": trial_id,
            "param_name": param.name,
            "param_value": param.value,
            "distribution_json": distribution_to_json(param.distribution),
        }
        for param in params
    ]
    if rows:
        connection.execute(sa.insert(TRIAL_PARAMS), rows)


def report(connection: Connection, trial_id: int, measurements: Sequence[Measurement]) -> None:
    """Write intermediate values; a step that is there already is replaced."""
    rows = [
        {
            "trial_id": trial_id,
            "step": measured.step,
            "intermediate_value": measured.value,
            "intermediate_value_type": REPORT,
        }
        for measured in measurements
    ]
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    insert = dialect.insert(REPORTS)
    replace = {"intermediate_value": insert.excluded.intermediate_value}
    connection.execute(
        insert.on_conflict_do_update(index_elements=["trial_id", "step"], set_=replace), rows
    )


def finish(
    connection: Connection,
    lease: Lease,
    state: TrialState,
    value: float | None,
    user_attrs: Mapping[str, Any],
) -> None:
    """End a trial and its lease."""
    done = {"state": state, "datetime_complete": _utc()}
    connection.execute(sa.update(TRIALS).where(TRIALS.c.trial_id == lease.trial_id).values(done))
    if value is not None:
        row = {"objective": 0, "value": value, "value_type": VALUE}
        connection.execute(sa.insert(TRIAL_VALUES).values(trial_id=lease.trial_id, **row))
    set_user_attrs(connection, lease.trial_id, user_attrs)
    _end_lease(connection, lease.trial_id)


def give_back(connection: Connection, trial_id: int) -> None:
    """Return a trial to the study, and end its lease."""
    values = {"state": TrialState.WAITING}
    connection.execute(sa.update(TRIALS).where(TRIALS.c.trial_id == trial_id).values(values))
    _end_lease(connection, trial_id)


def renew(connection: Connection, leases: Sequence[Lease], lease: float) -> set[int]:
    """Renew leases by one statement; ids of the trials whose lease was still held."""
    tokens = [held.token for held in leases]
    renewed = (
        sa.update(LEASES)
        .where(LEASES.c.token.in_(tokens))
        .values(beat=LEASES.c.beat + 1, expires_ms=now_ms(connection) + _ms(lease))
        .returning(LEASES.c.trial_id)
    )
    return set(connection.execute(renewed).scalars())


def expired(connection: Connection, study_id: int) -> list[Expired]:
    """The study's leases that have run out."""
    query = (
        sa.select(LEASES.c.trial_id, TRIALS.c.number, LEASES.c.beat, LEASES.c.lease_ms)
        .join(TRIALS, TRIALS.c.trial_id == LEASES.c.trial_id)
        .where(LEASES.c.study_id == study_id, LEASES.c.expires_ms < now_ms(connection))
    )
    return [Expired(**row._mapping) for row in connection.execute(query)]


def take_back(connection: Connection, seen: Expired) -> bool:
    """Return a dead worker's trial to the study, if its lease is still as it was seen."""
    still = (
        (LEASES.c.trial_id == seen.trial_id)
        & (LEASES.c.beat == seen.beat)
        & (LEASES.c.expires_ms < now_ms(connection))
    )
    if connection.execute(sa.delete(LEASES).where(still)).rowcount != 1:
        return False
    give_back(connection, seen.trial_id)
    return True


def count_busy(connection: Connection, study_id: int) -> None:
    """Count the time since the last look, in which the caller has held a lease, as busy."""
    now = now_ms(connection)
    own = BUDGETS.c.study_id == study_id
    passed = sa.case((BUDGETS.c.seen_ms < now, now - BUDGETS.c.seen_ms), else_=0)
    connection.execute(
        sa.update(BUDGETS).where(own).values(busy_ms=BUDGETS.c.busy_ms + passed, seen_ms=now)
    )


def sign_on(
    connection: Connection, study_id: int, worker_id: str, about: Mapping[str, Any], lease: float
) -> None:
    """Note a worker's sign of life."""
    connection.execute(sa.delete(WORKERS).where(WORKERS.c.worker_id == worker_id))
    values = {"study_id": study_id, "expires_ms": now_ms(connection) + _ms(lease)}
    connection.execute(sa.insert(WORKERS).values(worker_id=worker_id, **values, **about))


def set_user_attrs(connection: Connection, trial_id: int, attrs: Mapping[str, Any]) -> None:
    """Write user attributes of a trial."""
    keys = TRIAL_USER_ATTRS.c.key.in_(list(attrs))
    own = (TRIAL_USER_ATTRS.c.trial_id == trial_id) & keys
    connection.execute(sa.delete(TRIAL_USER_ATTRS).where(own))
    rows = [
        {"trial_id": trial_id, "key": key, "value_json": json.dumps(value)}
        for key, value in attrs.items()
    ]
    if rows:
        connection.execute(sa.insert(TRIAL_USER_ATTRS), rows)


def _count_busy(connection: Connection, study_id: int, now: int) -> int:
    """Before a claim: count the time as busy if anybody holds a lease, and start from now."""
    busy = busy_ms(connection, study_id)
    own = BUDGETS.c.study_id == study_id
    connection.execute(sa.update(BUDGETS).where(own).values(busy_ms=busy, seen_ms=now))
    return busy


def _attempt(connection: Connection, trial_id: int) -> int:
    """How often the trial was claimed before."""
    own = (TRIAL_USER_ATTRS.c.trial_id == trial_id) & (TRIAL_USER_ATTRS.c.key == "attempt")
    text = connection.execute(sa.select(TRIAL_USER_ATTRS.c.value_json).where(own)).scalar()
    return 0 if text is None else int(text)


def _end_lease(connection: Connection, trial_id: int) -> None:
    connection.execute(sa.delete(LEASES).where(LEASES.c.trial_id == trial_id))


def _utc() -> datetime:
    """Now, in UTC and without a zone, as Optuna stores it."""
    return datetime.now(UTC).replace(tzinfo=None)


def _ms(seconds: float | None) -> Any:
    return None if seconds is None else round(seconds * 1000)
