"""Which of a study's COMPLETE trials is the best: by its value, among equals by its loss."""

import json
from typing import Any

import sqlalchemy as sa
from optuna.trial import TrialState
from sqlalchemy.engine import Connection, Row

from hpo.config.trial import Direction, tie_break
from hpo.storage.schema import TRIAL_USER_ATTRS, TRIAL_VALUES, TRIALS

METRICS_KEY = "metrics"
"""User attribute of a COMPLETE trial: every validation metric, by name."""


def complete(study_id: int, *columns: sa.ColumnElement[Any]) -> sa.Select[Any]:
    """Columns of a study's COMPLETE trials that have a finite value."""
    return (
        sa.select(*columns)
        .join_from(TRIALS, TRIAL_VALUES, TRIAL_VALUES.c.trial_id == TRIALS.c.trial_id)
        .where(TRIALS.c.study_id == study_id, TRIALS.c.state == TrialState.COMPLETE)
        .where(TRIAL_VALUES.c.value.is_not(None))
    )


def with_metrics(query: sa.Select[Any]) -> sa.Select[Any]:
    """The query with a column `metrics_json` more; NULL of a trial that another program told."""
    attrs = TRIAL_USER_ATTRS.c
    own = (attrs.trial_id == TRIALS.c.trial_id) & (attrs.key == METRICS_KEY)
    return query.add_columns(attrs.value_json.label("metrics_json")).outerjoin(
        TRIAL_USER_ATTRS, own
    )


def loss_of(metrics_json: str | None) -> float:
    """The loss that breaks ties, from the text of a trial's metrics; infinite where unknown."""
    metrics = json.loads(metrics_json or "{}")
    return tie_break(metrics if isinstance(metrics, dict) else {})


def best_first(value: sa.ColumnElement[float], direction: Direction) -> sa.UnaryExpression[float]:
    """An ORDER BY term that puts the best value first."""
    return value.asc() if direction is Direction.MINIMIZE else value.desc()


def best_trial(connection: Connection, study_id: int, direction: Direction) -> Row[Any] | None:
    """Id, number, value and end of the best trial; None where none is COMPLETE.

    Metrics are read of those alone that share the best value.
    """
    value, t = TRIAL_VALUES.c.value, TRIALS.c
    query = complete(study_id, t.trial_id, t.number, value, t.datetime_complete)
    ranked = query.order_by(best_first(value, direction), t.number)
    first = connection.execute(ranked.limit(2)).all()
    if len(first) < 2 or first[0].value != first[1].value:
        return first[0] if first else None
    level = with_metrics(query.where(value == first[0].value))
    found = connection.execute(level).all()
    return min(found, key=lambda row: (loss_of(row.metrics_json), row.number), default=first[0])


def count_since_best(connection: Connection, study_id: int, direction: Direction) -> int:
    """Trials that ended, COMPLETE or PRUNED, since the best one did; 0 before there is one."""
    best = best_trial(connection, study_id, direction)
    if best is None:
        return 0
    states, ended = (TrialState.COMPLETE, TrialState.PRUNED), TRIALS.c.datetime_complete
    later = sa.select(sa.func.count()).where(
        TRIALS.c.study_id == study_id, TRIALS.c.state.in_(states), ended > best.datetime_complete
    )
    return int(connection.execute(later).scalar_one())
