"""Attributes of studies and trials: Optuna's rows of a key and a JSON value.

Functions take a connection inside a transaction; none commits.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from hpo.storage.rows import upsert, write_rows
from hpo.storage.schema import STUDY_ATTRS


def read_study(connection: Connection, study_id: int, keys: Sequence[str]) -> dict[str, Any]:
    """Some system attributes of a study, those that there are."""
    own = (STUDY_ATTRS.c.study_id == study_id) & STUDY_ATTRS.c.key.in_(keys)
    rows = connection.execute(sa.select(STUDY_ATTRS.c.key, STUDY_ATTRS.c.value_json).where(own))
    return {key: json.loads(text) for key, text in rows}


def set_study(connection: Connection, study_id: int, key: str, value: Any) -> None:
    """Write a system attribute of a study."""
    row = {"study_id": study_id, "key": key, "value_json": json.dumps(value)}
    connection.execute(upsert(connection, STUDY_ATTRS, ["study_id", "key"], ["value_json"]), row)


def drop_study(connection: Connection, study_id: int, key: str) -> None:
    """Delete a system attribute of a study, if it has one of that name."""
    own = (STUDY_ATTRS.c.study_id == study_id) & (STUDY_ATTRS.c.key == key)
    connection.execute(sa.delete(STUDY_ATTRS).where(own))


def read_trial(connection: Connection, table: sa.Table, trial_id: int) -> dict[str, Any]:
    """The user or system attributes of a trial."""
    rows = connection.execute(
        sa.select(table.c.key, table.c.value_json).where(table.c.trial_id == trial_id)
    )
    return {key: json.loads(text) for key, text in rows}


def write_trials(
    connection: Connection, table: sa.Table, attrs: Mapping[int, Mapping[str, Any]]
) -> None:
    """Write user or system attributes by trial id, over those of the same name."""
    rows = [
        {"trial_id": trial_id, "key": key, "value_json": json.dumps(value)}
        for trial_id, own in attrs.items()
        for key, value in own.items()
    ]
    write_rows(connection, upsert(connection, table, ["trial_id", "key"], ["value_json"]), rows)
