"""Trials read from their rows as Optuna's `FrozenTrial`, many with a few statements.

All functions take a connection and write nothing. They fail on damaged rows: SQLite stores text in
columns of numbers.
"""

import json
from collections import defaultdict
from collections.abc import Container, Iterable, Iterator, Sequence
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
    STUDIES,
    TRIAL_PARAMS,
    TRIAL_SYSTEM_ATTRS,
    TRIAL_USER_ATTRS,
    TRIAL_VALUES,
    TRIALS,
)

OPEN = (TrialState.RUNNING, TrialState.WAITING)
_CHUNK = 1000
"""Trials whose rows one statement reads."""

_Params = dict[str, tuple[BaseDistribution, Any]]
"""Distribution and external value by param name."""

_IDS: sa.BindParameter[Any] = sa.bindparam("ids", expanding=True, literal_execute=True)
"""Trial ids are written into the statement because databases limit the number of parameters."""
_HEADS = sa.select(
    *(
        TRIALS.c[name]
        for name in ("trial_id", "number", "state", "datetime_start", "datetime_complete")
    )
)
_distribution = lru_cache(maxsize=4096)(json_to_distribution)


def read_heads(
    connection: Connection, study_id: int, *conditions: sa.ColumnElement[bool]
) -> Sequence[Row[Any]]:
    """The rows of a study's trials by number: `trial_id`, `number`, `state`, start and end."""
    query = _HEADS.where(TRIALS.c.study_id == study_id, *conditions)
    return connection.execute(query.order_by(TRIALS.c.number)).all()


def read_heads_by_id(connection: Connection, trial_ids: Sequence[int]) -> Sequence[Row[Any]]:
    """The rows of these trials in any order; deleted trials are left out."""
    query = _HEADS.where(TRIALS.c.trial_id.in_(_IDS))
    return connection.execute(query, {"ids": trial_ids}).all()


def read_study_trials(
    connection: Connection, study_id: int, states: Container[TrialState] | None
) -> list[FrozenTrial]:
    """A study's trials of some or all states, by number.

    Raises:
        KeyError: the study was deleted; the message is Optuna's.
    """
    heads = read_heads(connection, study_id)
    if not heads:
        check_exists(connection, study_id)
    wanted = [head for head in heads if states is None or head.state in states]
    return list(read_trials(connection, wanted))


def read_trials(
    connection: Connection, heads: Sequence[Row[Any]], *, user_attrs: bool = True
) -> Iterator[FrozenTrial]:
    """The trials of some rows with everything that belongs to them, or without user attributes."""
    for first in range(0, len(heads), _CHUNK):
        chunk = heads[first : first + _CHUNK]
        ids = [head.trial_id for head in chunk]
        params, values = _read_params(connection, ids), _read_values(connection, ids)
        reports = _read_reports(connection, ids)
        system = _read_attrs(connection, TRIAL_SYSTEM_ATTRS, ids)
        user = _read_attrs(connection, TRIAL_USER_ATTRS, ids if user_attrs else [])
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


def read_open(connection: Connection, trial_ids: Sequence[int]) -> dict[int, FrozenTrial]:
    """Unfinished trials by id: state, params and system attributes.

    Raises:
        KeyError: a trial was deleted; the message is Optuna's.
    """
    heads = read_heads_by_id(connection, trial_ids)
    if len(heads) < len(trial_ids):
        raise KeyError(NOT_FOUND)
    return read_open_by_heads(
        connection, heads, _read_attrs(connection, TRIAL_SYSTEM_ATTRS, trial_ids)
    )


def read_open_by_heads(
    connection: Connection, heads: Sequence[Row[Any]], attrs: dict[int, dict[str, Any]]
) -> dict[int, FrozenTrial]:
    """Unfinished trials by id from their rows and their system attributes by id."""
    params = _read_params(connection, [head.trial_id for head in heads])
    return {
        head.trial_id: _frozen(
            head, params.get(head.trial_id, {}), system_attrs=attrs.get(head.trial_id, {})
        )
        for head in heads
    }


def read_open_attrs(connection: Connection, study_id: int) -> dict[int, dict[str, Any]]:
    """The system attributes of a study's unfinished trials, by trial id."""
    query = (
        sa.select(*(TRIAL_SYSTEM_ATTRS.c[name] for name in ("trial_id", "key", "value_json")))
        .join(TRIALS, TRIALS.c.trial_id == TRIAL_SYSTEM_ATTRS.c.trial_id)
        .where(TRIALS.c.study_id == study_id, TRIALS.c.state.in_(OPEN))
    )
    return _by_trial(connection.execute(query))


def read_params(connection: Connection, trial_id: int) -> dict[str, Any]:
    """The params of a trial in the order in which they were drawn."""
    params = _read_params(connection, [trial_id]).get(trial_id, {})
    return {name: value for name, (_, value) in params.items()}


def check_exists(connection: Connection, study_id: int) -> None:
    """Raise Optuna's KeyError if a study was deleted."""
    query = sa.select(STUDIES.c.study_id).where(STUDIES.c.study_id == study_id)
    if connection.execute(query).one_or_none() is None:
        raise KeyError(NOT_FOUND)


def _frozen(
    head: Row[Any],
    params: _Params,
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
    """The trial id and some columns of the rows that belong to trials."""
    if not ids:
        return ()
    columns = [table.c.trial_id, *(table.c[name] for name in names)]
    query = sa.select(*columns).where(table.c.trial_id.in_(_IDS))
    if table is TRIAL_PARAMS:
        query = query.order_by(table.c.param_id)
    return connection.execute(query, {"ids": ids})


def _read_params(connection: Connection, ids: Sequence[int]) -> dict[int, _Params]:
    names = ("param_name", "param_value", "distribution_json")
    found: defaultdict[int, _Params] = defaultdict(dict)
    for trial_id, name, value, text in _rows(connection, TRIAL_PARAMS, ids, *names):
        distribution = _distribution(text)
        found[trial_id][name] = (distribution, distribution.to_external_repr(float(value)))
    return found


def _read_values(connection: Connection, ids: Sequence[int]) -> dict[int, list[float]]:
    found: defaultdict[int, dict[int, float]] = defaultdict(dict)
    names = ("objective", "value", "value_type")
    for trial_id, objective, value, kind in _rows(connection, TRIAL_VALUES, ids, *names):
        found[trial_id][objective] = NOT_FINITE_VALUE[kind] if value is None else float(value)
    return {own: [by[objective] for objective in sorted(by)] for own, by in found.items()}


def _read_reports(connection: Connection, ids: Sequence[int]) -> dict[int, dict[int, float]]:
    found: defaultdict[int, dict[int, float]] = defaultdict(dict)
    names = ("step", "intermediate_value", "intermediate_value_type")
    for trial_id, step, value, kind in _rows(connection, REPORTS, ids, *names):
        found[trial_id][step] = NOT_FINITE_REPORT[kind] if value is None else float(value)
    return found


def _read_attrs(
    connection: Connection, table: sa.Table, ids: Sequence[int]
) -> dict[int, dict[str, Any]]:
    return _by_trial(_rows(connection, table, ids, "key", "value_json"))


def _by_trial(rows: Iterable[Any]) -> dict[int, dict[str, Any]]:
    found: defaultdict[int, dict[str, Any]] = defaultdict(dict)
    for trial_id, key, text in rows:
        found[trial_id][key] = json.loads(text)
    return found
