"""The best trial of a study: lowest or highest value, among equal values the lowest loss.

All functions take a connection inside a transaction and write nothing.
"""

import itertools
import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from optuna.trial import TrialState
from sqlalchemy.engine import Connection, Row

from hpo.config.metrics import Direction, tie_break
from hpo.storage import attributes
from hpo.storage.schema import TRIAL_USER_ATTRS, TRIAL_VALUES, TRIALS
from hpo.storage.trials import read_params

_OVERLAP = timedelta(minutes=1)
"""A trial may be written up to this long after the time at which it ended."""


@dataclass(frozen=True, kw_only=True)
class Best:
    """The best COMPLETE trial."""

    number: int
    value: float
    params: dict[str, Any]


@dataclass(kw_only=True)
class OptimizationHistory:
    """How the best value of a study developed, kept up to date by whoever watches the study.

    A refresh reads the trials that completed since the last one, so that 10,000 trials can be
    watched every second.

    Attributes:
        best: the best value so far after each COMPLETE trial, in the order in which they ended.
        leader: number of the best trial; None if there is none.
    """

    best: list[float] = field(default_factory=list)
    leader: int | None = None
    _ended: dict[int, tuple[datetime, float]] = field(default_factory=dict)
    _losses: dict[int, float] = field(default_factory=dict)
    _revision: int = 0
    _until: datetime | None = None

    def refresh(self, connection: Connection, study_id: int, direction: Direction) -> None:
        """Add the trials that completed since the last refresh."""
        if (revision := attributes.read_revision(connection, study_id)) != self._revision:
            self._revision, self._until = revision, None
            self._ended.clear()
        columns = TRIALS.c.number, TRIALS.c.datetime_complete, TRIAL_VALUES.c.value
        query = _with_metrics(_complete(study_id, *columns))
        if self._until is not None:
            query = query.where(TRIALS.c.datetime_complete > self._until - _OVERLAP)
        rows = connection.execute(query).all()
        found = {row.number: (row.datetime_complete, row.value) for row in rows}
        if found.keys() <= self._ended.keys() and len(self.best) == len(self._ended):
            return
        self._ended |= found
        self._losses |= {row.number: _loss(row.metrics_json) for row in rows}
        self._until = max((moment for moment, _ in self._ended.values()), default=None)
        sign = direction.sign
        values = [sign * value for _, value in sorted(self._ended.values())]
        self.best = [sign * value for value in itertools.accumulate(values, min)]
        ranked = ((sign * value, self._losses[n], n) for n, (_, value) in self._ended.items())
        self.leader = min(ranked, default=(0.0, 0.0, None))[2]


def read_best(
    connection: Connection, study_id: int, direction: Direction, number: int | None = None
) -> Best | None:
    """The best trial with its params; None if no trial is COMPLETE.

    Args:
        connection: to read with.
        study_id: id of the study.
        direction: direction of the objective.
        number: number of the best trial, if an `OptimizationHistory` has found it.
    """
    if number is None:
        best = best_trial(connection, study_id, direction)
    else:
        query = _complete(study_id, TRIALS.c.trial_id, TRIALS.c.number, TRIAL_VALUES.c.value)
        best = connection.execute(query.where(TRIALS.c.number == number)).one_or_none()
    if best is None:
        return None
    params = read_params(connection, best.trial_id)
    return Best(number=int(best.number), value=float(best.value), params=params)


def best_trial(connection: Connection, study_id: int, direction: Direction) -> Row[Any] | None:
    """Id, number, value and end time of the best trial; None if no trial is COMPLETE.

    Reads the metrics of only those trials that share the best value.
    """
    value, t = TRIAL_VALUES.c.value, TRIALS.c
    query = _complete(study_id, t.trial_id, t.number, value, t.datetime_complete)
    ranked = query.order_by(best_first(value, direction), t.number)
    first = connection.execute(ranked.limit(2)).all()
    if len(first) < 2 or first[0].value != first[1].value:
        return first[0] if first else None
    level = _with_metrics(query.where(value == first[0].value))
    found = connection.execute(level).all()
    return min(found, key=lambda row: (_loss(row.metrics_json), row.number), default=first[0])


def count_since_best(connection: Connection, study_id: int, direction: Direction) -> int:
    """Number of COMPLETE and PRUNED trials that ended after the best one; 0 if there is none."""
    best = best_trial(connection, study_id, direction)
    if best is None:
        return 0
    states, ended = (TrialState.COMPLETE, TrialState.PRUNED), TRIALS.c.datetime_complete
    later = sa.select(sa.func.count()).where(
        TRIALS.c.study_id == study_id, TRIALS.c.state.in_(states), ended > best.datetime_complete
    )
    return int(connection.execute(later).scalar_one())


def best_first(value: sa.ColumnElement[float], direction: Direction) -> sa.UnaryExpression[float]:
    """An ORDER BY term that puts the best value first."""
    return value.asc() if direction is Direction.MINIMIZE else value.desc()


def _complete(study_id: int, *columns: sa.ColumnElement[Any]) -> sa.Select[Any]:
    """Columns of a study's COMPLETE trials that have a finite value."""
    return (
        sa.select(*columns)
        .join_from(TRIALS, TRIAL_VALUES, TRIAL_VALUES.c.trial_id == TRIALS.c.trial_id)
        .where(TRIALS.c.study_id == study_id, TRIALS.c.state == TrialState.COMPLETE)
        .where(TRIAL_VALUES.c.value.is_not(None))
    )


def _with_metrics(query: sa.Select[Any]) -> sa.Select[Any]:
    """Add the column `metrics_json`; it is NULL for trials that another program finished."""
    return query.add_columns(TRIAL_USER_ATTRS.c.value_json.label("metrics_json")).outerjoin(
        TRIAL_USER_ATTRS, attributes.of_trial(attributes.METRICS)
    )


def _loss(metrics_json: str | None) -> float:
    """The loss that breaks ties, from a trial's metrics as JSON; infinite if unknown."""
    metrics = json.loads(metrics_json or "{}")
    return tie_break(metrics if isinstance(metrics, dict) else {})
