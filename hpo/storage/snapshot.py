"""A study's trials as Optuna's samplers and pruners need them, read in few statements.

A finished trial is read once; one that is taken up again, or changed by hand, which the study's
revision tells, makes all be read anew. Of an unfinished trial they look at its state, its params,
which are written together and once, and its system attributes; what it reports is not read. So a
look costs what is new, and not what is there: neither ten thousand finished trials nor a thousand
that dead workers left behind.
"""

import json
from array import array
from collections import defaultdict
from collections.abc import Container, Hashable, Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any

import sqlalchemy as sa
from optuna.distributions import BaseDistribution, json_to_distribution
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.engine import Connection, Row

from hpo.storage.schema import (
    NOT_FINITE_REPORT,
    NOT_FINITE_VALUE,
    NOT_FOUND,
    REPORTS,
    REVISION,
    STUDIES,
    STUDY_ATTRS,
    TRIAL_PARAMS,
    TRIAL_SYSTEM_ATTRS,
    TRIAL_USER_ATTRS,
    TRIAL_VALUES,
    TRIALS,
)

OPEN = (TrialState.RUNNING, TrialState.WAITING)
CHUNK = 1000
"""Trials whose rows are read by one statement."""

Params = dict[str, tuple[BaseDistribution, Any]]
"""By name in their order: a distribution, and the value as the trial's own code sees it."""

_IDS: sa.BindParameter[Any] = sa.bindparam("ids", expanding=True, literal_execute=True)
"""Ids are written into the statement: databases limit how many parameters one may have."""
_HEADS = sa.select(
    *(
        TRIALS.c[name]
        for name in ("trial_id", "number", "state", "datetime_start", "datetime_complete")
    )
)
"""The trials' own rows."""
_distribution = lru_cache(maxsize=4096)(json_to_distribution)


class Snapshot:
    """What is known of a study's trials since the last look.

    Attributes:
        n_complete: how many are COMPLETE.
        of_complete: what whoever reads it has computed of the COMPLETE ones; emptied when there are
            others.
        ended: the finished trials in the order in which they were read; another list when all of
            them were read anew.
        open: the unfinished ones by id.
    """

    ended: list[FrozenTrial]
    open: dict[int, FrozenTrial]
    of_complete: dict[Hashable, Any]

    def __init__(self, study_id: int) -> None:
        """Know nothing yet."""
        self._study_id = study_id
        self._revision = 0
        self._clear()

    def _clear(self) -> None:
        self._finished: dict[int, FrozenTrial] = {}
        self.ended, self.open = [], {}
        self._last_id = -1
        self._curves: defaultdict[int, array[float]] = defaultdict(lambda: array("d"))
        self._lists: dict[frozenset[TrialState], list[FrozenTrial]] = {}
        self.n_complete = 0
        self.of_complete = {}

    def refresh(self, connection: Connection) -> None:
        """Bring it up to date.

        Raises:
            KeyError: the study is gone; it says what Optuna's does.
        """
        if (revision := read_revision(connection, self._study_id)) != self._revision:
            self._revision = revision  # read before the trials: a later change is seen next time
            self._clear()
        own = TRIALS.c.study_id == self._study_id
        new = connection.execute(_HEADS.where(own, TRIALS.c.trial_id > self._last_id)).all()
        opened = connection.execute(_HEADS.where(own, TRIALS.c.state.in_(OPEN))).all()
        if not new and not opened:
            check_exists(connection, self._study_id)
        if any(head.trial_id in self._finished for head in opened):  # one was taken up again
            self._clear()
            return self.refresh(connection)
        finished = list(self._read_ended(connection, new, {head.trial_id for head in opened}))
        self.open = self._read_open(connection, opened)
        for trial in finished:
            self._finish(trial)
        self._last_id = max((self._last_id, *(head.trial_id for head in new)))
        self._lists.clear()

    def trials(self, states: Container[TrialState] | None = None) -> list[FrozenTrial]:
        """The trials of some states, or all of them, by number."""
        wanted = frozenset(s for s in TrialState if states is None or s in states)
        if wanted not in self._lists:
            known = (*self._finished.values(), *self.open.values())
            chosen = (trial for trial in known if trial.state in wanted)
            self._lists[wanted] = sorted(chosen, key=lambda trial: trial.number)
        return list(self._lists[wanted])

    def reported(self, step: int) -> Sequence[float]:
        """What COMPLETE trials reported at a step; those that did not reach it are left out."""
        return self._curves.get(step, ())

    def _read_ended(
        self, connection: Connection, new: Sequence[Row[Any]], still: Container[int]
    ) -> Iterator[FrozenTrial]:
        """Trials that were unfinished, or unknown, at the last look and are finished now."""
        known = {head.trial_id: head for head in new}
        ended = [own for own in {**self.open, **known} if own not in still]
        unsure = [own for own in ended if own not in known or known[own].state in OPEN]
        if unsure:
            again = connection.execute(_HEADS.where(TRIALS.c.trial_id.in_(_IDS)), {"ids": unsure})
            known |= {head.trial_id: head for head in again}
        heads = [known[own] for own in ended if own in known]  # the others were deleted
        return read_trials(connection, heads, user_attrs=False)

    def _read_open(
        self, connection: Connection, heads: Sequence[Row[Any]]
    ) -> dict[int, FrozenTrial]:
        """Unfinished trials by id, those that did not change as they were."""
        query = (
            sa.select(*(TRIAL_SYSTEM_ATTRS.c[name] for name in ("trial_id", "key", "value_json")))
            .join(TRIALS, TRIALS.c.trial_id == TRIAL_SYSTEM_ATTRS.c.trial_id)
            .where(TRIALS.c.study_id == self._study_id, TRIALS.c.state.in_(OPEN))
        )
        attrs = _by_trial(connection.execute(query)) if heads else {}
        found = {
            head.trial_id: before
            for head in heads
            if (before := self.open.get(head.trial_id)) is not None
            and before.params
            and before.state == head.state
            and before.system_attrs == attrs.get(head.trial_id, {})
        }
        changed = [head for head in heads if head.trial_id not in found]
        params = _params(connection, [head.trial_id for head in changed])
        for head in changed:
            own = head.trial_id
            found[own] = _frozen(head, params.get(own, {}), system_attrs=attrs.get(own, {}))
        return found

    def _finish(self, trial: FrozenTrial) -> None:
        self._finished[trial._trial_id] = trial
        self.ended.append(trial)
        if trial.state == TrialState.COMPLETE:
            self.n_complete += 1
            self.of_complete.clear()
            for step, value in trial.intermediate_values.items():
                self._curves[step].append(value)


def read_study(
    connection: Connection, study_id: int, states: Container[TrialState] | None
) -> list[FrozenTrial]:
    """The trials of some states by number, whole and as they are now.

    Raises:
        KeyError: the study is gone; it says what Optuna's does.
    """
    heads = read_heads(connection, study_id)
    wanted = [head for head in heads if states is None or head.state in states]
    return list(read_trials(connection, wanted))


def read_heads(connection: Connection, study_id: int) -> Sequence[Row[Any]]:
    """The trials' own rows, by number: `trial_id`, `number`, `state` and when it began and ended.

    Raises:
        KeyError: the study is gone; it says what Optuna's does.
    """
    query = _HEADS.where(TRIALS.c.study_id == study_id).order_by(TRIALS.c.number)
    heads = connection.execute(query).all()
    if not heads:
        check_exists(connection, study_id)
    return heads


def read_open(connection: Connection, trial_ids: Sequence[int]) -> dict[int, FrozenTrial]:
    """Unfinished trials by id: their state, params and system attributes.

    Raises:
        KeyError: one of them is gone; it says what Optuna's does.
    """
    heads = connection.execute(_HEADS.where(TRIALS.c.trial_id.in_(_IDS)), {"ids": trial_ids}).all()
    if len(heads) < len(trial_ids):
        raise KeyError(NOT_FOUND)
    params = _params(connection, trial_ids)
    attrs = _attrs(connection, TRIAL_SYSTEM_ATTRS, trial_ids)
    return {
        head.trial_id: _frozen(
            head, params.get(head.trial_id, {}), system_attrs=attrs.get(head.trial_id, {})
        )
        for head in heads
    }


def read_trials(
    connection: Connection, heads: Sequence[Row[Any]], *, user_attrs: bool = True
) -> Iterator[FrozenTrial]:
    """Trials with all that belongs to them; `user_attrs` only where they are asked for."""
    for first in range(0, len(heads), CHUNK):
        chunk = heads[first : first + CHUNK]
        ids = [head.trial_id for head in chunk]
        params, values = _params(connection, ids), _values(connection, ids)
        reports = _reports(connection, ids)
        system = _attrs(connection, TRIAL_SYSTEM_ATTRS, ids)
        user = _attrs(connection, TRIAL_USER_ATTRS, ids if user_attrs else [])
        for head in chunk:
            own = head.trial_id
            yield _frozen(
                head,
                params.get(own, {}),
                values=values.get(own),
                intermediate_values=reports.get(own, {}),
                system_attrs=system.get(own, {}),
                user_attrs=user.get(own, {}),
            )


def read_revision(connection: Connection, study_id: int) -> int:
    """How often finished trials of a study were changed."""
    own = (STUDY_ATTRS.c.study_id == study_id) & (STUDY_ATTRS.c.key == REVISION)
    text = connection.execute(sa.select(STUDY_ATTRS.c.value_json).where(own)).scalar()
    return 0 if text is None else int(text)


def check_exists(connection: Connection, study_id: int) -> None:
    """Raise what Optuna does when a study is gone."""
    query = sa.select(STUDIES.c.study_id).where(STUDIES.c.study_id == study_id)
    if connection.execute(query).one_or_none() is None:
        raise KeyError(NOT_FOUND)


def _frozen(
    head: Row[Any],
    params: Params,
    *,
    system_attrs: dict[str, Any],
    values: list[float] | None = None,
    intermediate_values: dict[int, float] | None = None,
    user_attrs: dict[str, Any] | None = None,
) -> FrozenTrial:
    return FrozenTrial(
        number=head.number,
        trial_id=head.trial_id,
        state=head.state,
        value=None,
        values=values,
        datetime_start=head.datetime_start,
        datetime_complete=head.datetime_complete,
        params={name: value for name, (_, value) in params.items()},
        distributions={name: distribution for name, (distribution, _) in params.items()},
        user_attrs=user_attrs or {},
        system_attrs=system_attrs,
        intermediate_values=intermediate_values or {},
    )


def _rows(
    connection: Connection, table: sa.Table, ids: Sequence[int], *names: str
) -> Iterable[Any]:
    """Some columns of the rows that belong to trials, each row behind its trial's id."""
    if not ids:
        return ()
    columns = [table.c.trial_id, *(table.c[name] for name in names)]
    query = sa.select(*columns).where(table.c.trial_id.in_(_IDS))
    if table is TRIAL_PARAMS:
        query = query.order_by(table.c.param_id)
    return connection.execute(query, {"ids": ids})


def _params(connection: Connection, ids: Sequence[int]) -> dict[int, Params]:
    names = ("param_name", "param_value", "distribution_json")
    found: defaultdict[int, Params] = defaultdict(dict)
    for trial_id, name, value, text in _rows(connection, TRIAL_PARAMS, ids, *names):
        distribution = _distribution(text)
        found[trial_id][name] = (distribution, distribution.to_external_repr(value))
    return found


def _values(connection: Connection, ids: Sequence[int]) -> dict[int, list[float]]:
    found: defaultdict[int, dict[int, float]] = defaultdict(dict)
    names = ("objective", "value", "value_type")
    for trial_id, objective, value, kind in _rows(connection, TRIAL_VALUES, ids, *names):
        found[trial_id][objective] = NOT_FINITE_VALUE[kind] if value is None else value
    return {own: [by[objective] for objective in sorted(by)] for own, by in found.items()}


def _reports(connection: Connection, ids: Sequence[int]) -> dict[int, dict[int, float]]:
    found: defaultdict[int, dict[int, float]] = defaultdict(dict)
    names = ("step", "intermediate_value", "intermediate_value_type")
    for trial_id, step, value, kind in _rows(connection, REPORTS, ids, *names):
        found[trial_id][step] = NOT_FINITE_REPORT[kind] if value is None else value
    return found


def _attrs(
    connection: Connection, table: sa.Table, ids: Sequence[int]
) -> dict[int, dict[str, Any]]:
    return _by_trial(_rows(connection, table, ids, "key", "value_json"))


def _by_trial(rows: Iterable[Any]) -> dict[int, dict[str, Any]]:
    found: defaultdict[int, dict[str, Any]] = defaultdict(dict)
    for trial_id, key, text in rows:
        found[trial_id][key] = json.loads(text)
    return found
