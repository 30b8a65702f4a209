"""What a person changes of single trials: ends early, runs again, takes out of the search.

A finished trial that is changed raises the study's revision, by which every process that keeps
finished trials learns to read them anew.

Functions take a connection inside a transaction that holds the study's lock; none commits.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from optuna.trial import TrialState
from sqlalchemy.engine import Connection

from hpo.config.trial import Direction
from hpo.storage import attributes, ledger
from hpo.storage.best import best_first
from hpo.storage.ledger import EARLIER, FIXED_PARAMS, FORGIVEN, Outcome
from hpo.storage.schema import (
    FINITE_VALUE,
    REPORTS,
    REVISION,
    TRIAL_SYSTEM_ATTRS,
    TRIAL_USER_ATTRS,
    TRIAL_VALUES,
    TRIALS,
)
from hpo.storage.snapshot import read_open, read_revision

BY_HAND = "by hand"
"""The reason of a trial that a person ended."""
QUARANTINED = "quarantined"
"""User attribute of a trial that guides nothing, and its reason: what it was before."""
RETRIED = "retried"
"""User attribute: why a trial failed before each time that it was retried."""
COPY_OF = "copy_of"
"""User attribute: the number of the trial whose params are run again."""
KEPT = ("attempt", "worker", "device", EARLIER, RETRIED, COPY_OF)
"""What a failed trial keeps when it is retried: attempts count on, each has files of its own."""


@dataclass(frozen=True, kw_only=True)
class TrialRow:
    """A trial's row."""

    id: int
    state: str


def find(connection: Connection, study_id: int, number: int) -> TrialRow | None:
    """A trial by its number."""
    own = (TRIALS.c.study_id == study_id) & (TRIALS.c.number == number)
    row = connection.execute(sa.select(TRIALS.c.trial_id, TRIALS.c.state).where(own)).one_or_none()
    return None if row is None else TrialRow(id=row.trial_id, state=row.state.name)


def prune(connection: Connection, study_id: int, trial_id: int, direction: Direction) -> None:
    """End an unfinished trial with the best that it measured; its lease ends with it."""
    value = REPORTS.c.intermediate_value
    measured = sa.select(value).where(REPORTS.c.trial_id == trial_id, value.is_not(None))
    best = connection.scalar(measured.order_by(best_first(value, direction)).limit(1))
    outcome = Outcome(state="PRUNED", value=best, user_attrs={"reason": BY_HAND})
    ledger.finish(connection, {trial_id: outcome})
    never = (TRIALS.c.trial_id == trial_id) & TRIALS.c.datetime_start.is_(None)
    began = {"datetime_start": TRIALS.c.datetime_complete}  # a finished trial has both
    connection.execute(sa.update(TRIALS).where(never).values(began))


def retry(connection: Connection, study_id: int, trial_id: int) -> None:
    """Let a failed trial wait again under its number; workers that it cost do not count."""
    attrs = attributes.read_trial(connection, TRIAL_USER_ATTRS, trial_id)
    dropped = attrs.keys() - set(KEPT)
    own = TRIAL_USER_ATTRS.c.trial_id == trial_id
    connection.execute(sa.delete(TRIAL_USER_ATTRS).where(own, TRIAL_USER_ATTRS.c.key.in_(dropped)))
    earlier = [{**attempt, FORGIVEN: True} for attempt in attrs.get(EARLIER, [])]
    notes = {EARLIER: earlier} if earlier else {}
    reasons = [*attrs.get(RETRIED, []), attrs.get("reason", "unknown")]
    attributes.write_trials(connection, TRIAL_USER_ATTRS, {trial_id: {**notes, RETRIED: reasons}})
    waiting = {"state": TrialState.WAITING, "datetime_start": None, "datetime_complete": None}
    connection.execute(sa.update(TRIALS).where(TRIALS.c.trial_id == trial_id).values(waiting))
    _revise(connection, study_id)


def repeat(connection: Connection, study_id: int, trial_id: int, number: int) -> int:
    """Queue a trial with another one's params, under the next number, which is returned."""
    again = ledger.count_trials(connection, study_id)
    noted = attributes.read_trial(connection, TRIAL_SYSTEM_ATTRS, trial_id)
    drawn = read_open(connection, [trial_id])[trial_id].params
    ledger.add_trial(connection, study_id, again, {**noted.get(FIXED_PARAMS, {}), **drawn})
    added = find(connection, study_id, again)
    assert added is not None
    attributes.write_trials(connection, TRIAL_USER_ATTRS, {added.id: {COPY_OF: number}})
    return again


def count_copies(connection: Connection, study_id: int) -> int:
    """Trials that run another one's params again."""
    query = (
        sa.select(sa.func.count())
        .select_from(TRIAL_USER_ATTRS)
        .join(TRIALS, TRIALS.c.trial_id == TRIAL_USER_ATTRS.c.trial_id)
        .where(TRIALS.c.study_id == study_id, TRIAL_USER_ATTRS.c.key == COPY_OF)
    )
    return int(connection.execute(query).scalar_one())


def quarantine(connection: Connection, study_id: int, found: TrialRow) -> None:
    """Take a COMPLETE or PRUNED trial out of the search: it is FAIL, and remembers what it was."""
    attrs = attributes.read_trial(connection, TRIAL_USER_ATTRS, found.id)
    own = TRIAL_VALUES.c.trial_id == found.id
    value = connection.execute(sa.select(TRIAL_VALUES.c.value).where(own)).scalar()
    connection.execute(sa.delete(TRIAL_VALUES).where(own))  # Optuna's failed trials have none
    before = {"state": found.state, "value": value, "reason": attrs.get("reason")}
    notes = {QUARANTINED: before, "reason": QUARANTINED}
    attributes.write_trials(connection, TRIAL_USER_ATTRS, {found.id: notes})
    _set_state(connection, found.id, TrialState.FAIL)
    _revise(connection, study_id)


def is_quarantined(connection: Connection, found: TrialRow) -> bool:
    """Whether a trial was taken out of the search."""
    is_failed = found.state == "FAIL"
    return is_failed and QUARANTINED in attributes.read_trial(
        connection, TRIAL_USER_ATTRS, found.id
    )


def restore(connection: Connection, study_id: int, trial_id: int) -> str:
    """Put a quarantined trial back as it was; returns its state."""
    attrs = attributes.read_trial(connection, TRIAL_USER_ATTRS, trial_id)
    before: Mapping[str, Any] = attrs[QUARANTINED]
    own = TRIAL_USER_ATTRS.c.trial_id == trial_id
    notes = (QUARANTINED, "reason")
    connection.execute(sa.delete(TRIAL_USER_ATTRS).where(own, TRIAL_USER_ATTRS.c.key.in_(notes)))
    if before["reason"] is not None:
        reason = {"reason": before["reason"]}
        attributes.write_trials(connection, TRIAL_USER_ATTRS, {trial_id: reason})
    if before["value"] is not None:
        row = {"objective": 0, "value": before["value"], "value_type": FINITE_VALUE}
        connection.execute(sa.insert(TRIAL_VALUES).values(trial_id=trial_id, **row))
    _set_state(connection, trial_id, TrialState[before["state"]])
    _revise(connection, study_id)
    return str(before["state"])


def _set_state(connection: Connection, trial_id: int, state: TrialState) -> None:
    own = TRIALS.c.trial_id == trial_id
    connection.execute(sa.update(TRIALS).where(own).values(state=state))


def _revise(connection: Connection, study_id: int) -> None:
    """Have every process read the study's finished trials anew."""
    revision = read_revision(connection, study_id) + 1
    attributes.set_study(connection, study_id, REVISION, revision)
