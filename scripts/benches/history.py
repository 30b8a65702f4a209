"""Studies with a long history, inserted directly into the tables of the storage.

A finished trial has six params, 20 reports and a value. A running trial has half of the reports.
In hpo's storage it also has a lease, which is valid for an hour or expired an hour ago.
"""

import random
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from benches.noop import NAME, STEPS, value_at
from optuna.distributions import (
    BaseDistribution,
    FloatDistribution,
    IntDistribution,
    distribution_to_json,
)
from optuna.trial import TrialState
from sqlalchemy.engine import Connection

from hpo.storage.schema import (
    FINITE_REPORT,
    FINITE_VALUE,
    LEASES,
    REPORTS,
    STUDIES,
    TRIAL_PARAMS,
    TRIAL_VALUES,
    TRIALS,
    WORKERS,
)

HOUR_MS = 3_600_000
CHUNK = 20_000
"""Rows in one executemany."""

DISTRIBUTIONS: dict[str, BaseDistribution] = {
    "model.depth": IntDistribution(1, 6),
    "model.width": IntDistribution(64, 512, step=64),
    "model.dropout": FloatDistribution(0.0, 0.5),
    "optimizer.learning_rate": FloatDistribution(1e-4, 1e-2, log=True),
    "optimizer.weight_decay": FloatDistribution(1e-6, 1e-2, log=True),
    "optimizer.momentum": FloatDistribution(0.8, 0.99),
}


def add_finished(connection: Connection, n_trials: int) -> None:
    """Add COMPLETE trials, worse at every step than the trials that the benches run."""
    generator = random.Random(0)
    ids = _add_trials(connection, n_trials, TrialState.COMPLETE)
    _insert(connection, TRIAL_PARAMS, _params(ids, generator))
    factors = {trial_id: 1 + generator.random() for trial_id in ids}
    _insert(connection, REPORTS, _reports(factors, STEPS))
    last = value_at(STEPS[-1])
    values = (
        {"trial_id": trial_id, "objective": 0, "value": f * last, "value_type": FINITE_VALUE}
        for trial_id, f in factors.items()
    )
    _insert(connection, TRIAL_VALUES, values)


def add_running(connection: Connection, n_trials: int, *, alive: bool, leased: bool) -> None:
    """Add RUNNING trials: alive or abandoned an hour ago; with hpo's leases if `leased`."""
    generator = random.Random(1)
    ids = _add_trials(connection, n_trials, TrialState.RUNNING)
    _insert(connection, TRIAL_PARAMS, _params(ids, generator))
    _insert(connection, REPORTS, _reports(dict.fromkeys(ids, 1.0), STEPS[: len(STEPS) // 2]))
    if leased:
        expires = time.time_ns() // 1_000_000 + (HOUR_MS if alive else -HOUR_MS)
        study_id = _study_id(connection)
        _insert(connection, WORKERS, map(_worker, ids))
        _insert(connection, LEASES, (_lease(study_id, trial_id, expires) for trial_id in ids))


def draw_params(generator: random.Random) -> dict[str, float]:
    """Random params of a trial."""
    return {name: _draw(leaf, generator) for name, leaf in DISTRIBUTIONS.items()}


def _add_trials(connection: Connection, n_trials: int, state: TrialState) -> Sequence[int]:
    """Add trials without params and reports; returns their ids."""
    study_id = _study_id(connection)
    own = TRIALS.c.study_id == study_id
    first = connection.scalar(sa.select(sa.func.count()).where(own)) or 0
    now = datetime.now(UTC).replace(tzinfo=None)
    done = now if state is TrialState.COMPLETE else None
    rows = (
        {
            "study_id": study_id,
            "number": number,
            "state": state,
            "datetime_start": now - timedelta(minutes=1),
            "datetime_complete": done,
        }
        for number in range(first, first + n_trials)
    )
    _insert(connection, TRIALS, rows)
    ids = sa.select(TRIALS.c.trial_id).where(own, TRIALS.c.number >= first)
    return connection.scalars(ids.order_by(TRIALS.c.number)).all()


def _params(ids: Sequence[int], generator: random.Random) -> Iterator[dict[str, Any]]:
    texts = {name: distribution_to_json(drawn) for name, drawn in DISTRIBUTIONS.items()}
    for trial_id in ids:
        for name, value in draw_params(generator).items():
            yield {
                "trial_id": trial_id,
                "param_name": name,
                "param_value": value,
                "distribution_json": texts[name],
            }


def _draw(distribution: BaseDistribution, generator: random.Random) -> float:
    match distribution:
        case IntDistribution():
            return generator.randrange(distribution.low, distribution.high + 1, distribution.step)
        case FloatDistribution(log=True):
            return distribution.low * (distribution.high / distribution.low) ** generator.random()
        case FloatDistribution():
            return generator.uniform(distribution.low, distribution.high)
    raise AssertionError(distribution)


def _reports(factors: Mapping[int, float], steps: Sequence[int]) -> Iterator[dict[str, Any]]:
    for trial_id, factor in factors.items():
        for step in steps:
            yield {
                "trial_id": trial_id,
                "step": step,
                "intermediate_value": factor * value_at(step),
                "intermediate_value_type": FINITE_REPORT,
            }


def _lease(study_id: int, trial_id: int, expires_ms: int) -> dict[str, Any]:
    return {
        "trial_id": trial_id,
        "study_id": study_id,
        "worker_id": _worker(trial_id)["worker_id"],
        "token": f"bench-{trial_id}",
        "beat": 0,
        "lease_ms": HOUR_MS,
        "expires_ms": expires_ms,
    }


def _worker(trial_id: int) -> dict[str, Any]:
    """A worker for each trial."""
    return {
        "worker_id": f"bench:{trial_id}",
        "host": "bench",
        "pid": trial_id,
        "device": "none",
        "share": 1.0,
    }


def _study_id(connection: Connection) -> int:
    query = sa.select(STUDIES.c.study_id).where(STUDIES.c.study_name == NAME)
    return int(connection.execute(query).scalar_one())


def _insert(connection: Connection, table: sa.Table, rows: Iterable[dict[str, Any]]) -> None:
    chunk: list[dict[str, Any]] = []
    for row in rows:
        chunk.append(row)
        if len(chunk) == CHUNK:
            connection.execute(sa.insert(table), chunk)
            chunk = []
    if chunk:
        connection.execute(sa.insert(table), chunk)
