"""Attributes of studies and trials: Optuna's tables of keys and JSON values.

The keys of a trial's attributes are here. Those of a study's belong to `hpo.study.row`, except for
the revision, which queries here compare. All functions take a connection inside a transaction; none
commits.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from hpo.storage.rows import upsert, write_rows
from hpo.storage.schema import STUDIES, STUDY_ATTRS, TRIAL_USER_ATTRS, TRIALS

_REVISION = "hpo:revision"
"""System attribute of a study: how often finished trials were changed."""
# User attributes of a trial.
ATTEMPT, WORKER, DEVICE = "attempt", "worker", "device"
REASON = "reason"
"""Why the trial was pruned, failed, or ended early."""
BEST_EPOCH = "best_epoch"
"""The epoch whose weights a COMPLETE trial keeps, from 1."""
METRICS = "metrics"
"""Validation metrics at the best epoch, by name; with folds, over all of them together."""
FOLD_METRICS = "fold_metrics"
"""With folds, the same metrics of each fold: a list by name, None where it has no value."""
CALIBRATION = "calibration"
"""The temperature and the threshold of the weights, by name; absent without either."""
ARTIFACT, SHA256 = "artifact", "sha256"
"""Path of the weights in the artifact store, and their digest."""


@dataclass(frozen=True)
class NotJson:
    """The content of a damaged attribute."""

    content: Any


def decode(content: Any) -> Any:
    """The value of an attribute; `NotJson` if the column holds no JSON."""
    try:
        return json.loads(content)
    except (ValueError, TypeError, RecursionError):
        return NotJson(content)


def read_study(connection: Connection, study_id: int, keys: Sequence[str]) -> dict[str, Any]:
    """The system attributes of a study among `keys`; missing ones are left out."""
    own = (STUDY_ATTRS.c.study_id == study_id) & STUDY_ATTRS.c.key.in_(keys)
    rows = connection.execute(sa.select(STUDY_ATTRS.c.key, STUDY_ATTRS.c.value_json).where(own))
    return {key: json.loads(text) for key, text in rows}


def read_studies(
    connection: Connection,
    keys: Sequence[str] | None = None,
    table: sa.Table = STUDY_ATTRS,
    study_ids: Collection[int] | None = None,
) -> list[tuple[int, str, dict[str, Any]]]:
    """The id, name and attributes of every study, or of some, oldest study first.

    An attribute that is not JSON is `NotJson`, so that one damaged study hides no other.

    Args:
        connection: to read with.
        keys: the attributes to read; by default all.
        table: of the system or user attributes.
        study_ids: ids of the studies to read; by default all.
    """
    own = table.c.study_id == STUDIES.c.study_id
    if keys is not None:
        own &= table.c.key.in_(keys)
    query = (
        sa.select(STUDIES.c.study_id, STUDIES.c.study_name, table.c.key, table.c.value_json)
        .outerjoin(table, own)
        .order_by(STUDIES.c.study_id)
    )
    if study_ids is not None:
        query = query.where(STUDIES.c.study_id.in_(study_ids))
    found: dict[int, tuple[str, dict[str, Any]]] = {}
    for study_id, name, key, text in connection.execute(query):
        _, attrs = found.setdefault(study_id, (name, {}))
        if key is not None:
            attrs[key] = decode(text)
    return [(study_id, name, attrs) for study_id, (name, attrs) in found.items()]


def set_study(connection: Connection, study_id: int, key: str, value: Any) -> None:
    """Write a system attribute of a study."""
    row = {"study_id": study_id, "key": key, "value_json": json.dumps(value)}
    connection.execute(upsert(connection, STUDY_ATTRS, ["study_id", "key"], ["value_json"]), row)


def drop_study(connection: Connection, study_id: int, key: str) -> None:
    """Delete a system attribute of a study, if it exists."""
    own = (STUDY_ATTRS.c.study_id == study_id) & (STUDY_ATTRS.c.key == key)
    connection.execute(sa.delete(STUDY_ATTRS).where(own))


def read_revision(connection: Connection, study_id: int) -> int:
    """How often finished trials of a study were changed."""
    return int(read_study(connection, study_id, [_REVISION]).get(_REVISION, 0))


def raise_revision(connection: Connection, study_id: int) -> None:
    """Make every process that caches the study's finished trials read them again."""
    revision = read_revision(connection, study_id) + 1
    set_study(connection, study_id, _REVISION, revision)


def of_trial(key: str) -> sa.ColumnElement[bool]:
    """The ON clause that joins a trial with its user attribute `key`."""
    attrs = TRIAL_USER_ATTRS.c
    return (attrs.trial_id == TRIALS.c.trial_id) & (attrs.key == key)


def read_trial(connection: Connection, table: sa.Table, trial_id: int) -> dict[str, Any]:
    """The user or system attributes of a trial, depending on `table`."""
    rows = connection.execute(
        sa.select(table.c.key, table.c.value_json).where(table.c.trial_id == trial_id)
    )
    return {key: json.loads(text) for key, text in rows}


def write_trials(
    connection: Connection, table: sa.Table, attrs: Mapping[int, Mapping[str, Any]]
) -> None:
    """Write user or system attributes by trial id, replacing existing values."""
    rows = [
        {"trial_id": trial_id, "key": key, "value_json": json.dumps(value)}
        for trial_id, own in attrs.items()
        for key, value in own.items()
    ]
    write_rows(connection, upsert(connection, table, ["trial_id", "key"], ["value_json"]), rows)
