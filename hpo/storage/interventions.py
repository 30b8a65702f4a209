"""Changes that a person makes to single trials: prune, retry, repeat, quarantine, restore.

Changing a finished trial raises the study's revision, so that every process that caches finished
trials reads them again.

All functions take a connection inside a transaction that holds the study's lock; none commits.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from optuna.trial import TrialState
from sqlalchemy.engine import Connection

from hpo.config.metrics import Direction
from hpo.storage import attributes, ledger
from hpo.storage.attributes import ATTEMPT, DEVICE, REASON, WORKER, raise_revision
from hpo.storage.best import best_first
from hpo.storage.ledger import EARLIER, FIXED_PARAMS, FORGIVEN, Outcome
from hpo.storage.schema import (
    FINITE_VALUE,
    REPORTS,
    TRIAL_SYSTEM_ATTRS,
    TRIAL_USER_ATTRS,
    TRIAL_VALUES,
    TRIALS,
)
from hpo.storage.trials import read_heads, read_params

_BY_HAND = "by hand"
QUARANTINED = "quarantined"
"""User attribute of a quarantined trial, and its reason: the state, value and reason it had."""
RETRIED = "retried"
"""User attribute: why a trial failed, before each retry."""
_COPY_OF = "copy_of"
"""User attribute: number of the trial whose params this trial repeats."""
_KEPT = (ATTEMPT, WORKER, DEVICE, EARLIER, RETRIED, _COPY_OF)
"""User attributes that a retried trial keeps. Attempts stay counted: each has its own files."""


@dataclass(frozen=True, kw_only=True)
class TrialRow:
    """Id and state of a trial."""

    id: int
    state: str


def find(connection: Connection, study_id: int, number: int) -> TrialRow | None:
    """A trial by its number; None if there is none."""
    found = read_heads(connection, study_id, TRIALS.c.number == number)
    return TrialRow(id=found[0].trial_id, state=found[0].state.name) if found else None


def prune(connection: Connection, trial_id: int, direction: Direction) -> None:
    """End an unfinished trial, and its lease, with the best value that it reported."""
    value = REPORTS.c.intermediate_value
    measured = sa.select(value).where(REPORTS.c.trial_id == trial_id, value.is_not(None))
    best = connection.scalar(measured.order_by(best_first(value, direction)).limit(1))
    outcome = Outcome(state="PRUNED", value=best, user_attrs={REASON: _BY_HAND})
    ledger.finish(connection, {trial_id: outcome})
    never = (TRIALS.c.trial_id == trial_id) & TRIALS.c.datetime_start.is_(None)
    began = {"datetime_start": TRIALS.c.datetime_complete}  # Optuna requires both times
    connection.execute(sa.update(TRIALS).where(never).values(began))


def retry(connection: Connection, study_id: int, trial_id: int) -> None:
    """Make a failed trial wait again under its number; its earlier losses no longer count."""
    attrs = attributes.read_trial(connection, TRIAL_USER_ATTRS, trial_id)
    dropped = attrs.keys() - set(_KEPT)
    own = TRIAL_USER_ATTRS.c.trial_id == trial_id
    connection.execute(sa.delete(TRIAL_USER_ATTRS).where(own, TRIAL_USER_ATTRS.c.key.in_(dropped)))
    earlier = [{**attempt, FORGIVEN: True} for attempt in attrs.get(EARLIER, [])]
    kept = {EARLIER: earlier} if earlier else {}
    reasons = [*attrs.get(RETRIED, []), attrs.get(REASON, "unknown")]
    attributes.write_trials(connection, TRIAL_USER_ATTRS, {trial_id: {**kept, RETRIED: reasons}})
    waiting = {"state": TrialState.WAITING, "datetime_start": None, "datetime_complete": None}
    connection.execute(sa.update(TRIALS).where(TRIALS.c.trial_id == trial_id).values(waiting))
    raise_revision(connection, study_id)


def repeat(connection: Connection, study_id: int, trial_id: int, number: int) -> int:
    """Queue a new trial with the params of trial `number`; return the new trial's number."""
    again = ledger.count_trials(connection, study_id)
    attrs = attributes.read_trial(connection, TRIAL_SYSTEM_ATTRS, trial_id)
    params = {**attrs.get(FIXED_PARAMS, {}), **read_params(connection, trial_id)}
    added = ledger.add_trial(connection, study_id, again, params)
    attributes.write_trials(connection, TRIAL_USER_ATTRS, {added: {_COPY_OF: number}})
    return again


def count_copies(connection: Connection, study_id: int) -> int:
    """Number of trials that repeat another trial's params."""
    query = (
        sa.select(sa.func.count())
        .join_from(TRIALS, TRIAL_USER_ATTRS, attributes.of_trial(_COPY_OF))
        .where(TRIALS.c.study_id == study_id)
    )
    return int(connection.execute(query).scalar_one())


def quarantine(connection: Connection, study_id: int, found: TrialRow) -> None:
    """Turn a COMPLETE or PRUNED trial into a FAIL; an attribute keeps what it was."""
    attrs = attributes.read_trial(connection, TRIAL_USER_ATTRS, found.id)
    own = TRIAL_VALUES.c.trial_id == found.id
    value = connection.execute(sa.select(TRIAL_VALUES.c.value).where(own)).scalar()
    connection.execute(sa.delete(TRIAL_VALUES).where(own))  # Optuna's failed trials have none
    before = {"state": found.state, "value": value, "reason": attrs.get(REASON)}
    after = {QUARANTINED: before, REASON: QUARANTINED}
    attributes.write_trials(connection, TRIAL_USER_ATTRS, {found.id: after})
    _set_state(connection, found.id, TrialState.FAIL)
    raise_revision(connection, study_id)


def is_quarantined(connection: Connection, found: TrialRow) -> bool:
    """Whether a trial is quarantined."""
    attrs = attributes.read_trial(connection, TRIAL_USER_ATTRS, found.id)
    return found.state == "FAIL" and QUARANTINED in attrs


def restore(connection: Connection, study_id: int, trial_id: int) -> str:
    """Undo the quarantine of a trial; return its state."""
    attrs = attributes.read_trial(connection, TRIAL_USER_ATTRS, trial_id)
    before: Mapping[str, Any] = attrs[QUARANTINED]
    own = TRIAL_USER_ATTRS.c.trial_id == trial_id
    keys = (QUARANTINED, REASON)
    connection.execute(sa.delete(TRIAL_USER_ATTRS).where(own, TRIAL_USER_ATTRS.c.key.in_(keys)))
    if before["reason"] is not None:
        reason = {REASON: before["reason"]}
        attributes.write_trials(connection, TRIAL_USER_ATTRS, {trial_id: reason})
    if before["value"] is not None:
        row = {"objective": 0, "value": before["value"], "value_type": FINITE_VALUE}
        connection.execute(sa.insert(TRIAL_VALUES).values(trial_id=trial_id, **row))
    _set_state(connection, trial_id, TrialState[before["state"]])
    raise_revision(connection, study_id)
    return str(before["state"])


def _set_state(connection: Connection, trial_id: int, state: TrialState) -> None:
    own = TRIALS.c.trial_id == trial_id
    connection.execute(sa.update(TRIALS).where(own).values(state=state))
