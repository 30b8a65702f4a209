"""Damaged rows: values that hpo cannot read, because they are not what hpo or Optuna writes.

Rows are read as if they were sound. When that fails, `find_damage` reads them again without any
decoding and says which value is the cause. An error without a damaged value is a bug.

All functions take a connection and write nothing.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from optuna.distributions import json_to_distribution
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.engine import Connection

from hpo.config.metrics import Direction
from hpo.config.parsing import format_value
from hpo.storage.attributes import (
    ARTIFACT,
    ATTEMPT,
    BEST_EPOCH,
    DEVICE,
    METRICS,
    REASON,
    SHA256,
    WORKER,
    NotJson,
    decode,
)
from hpo.storage.interventions import QUARANTINED, RETRIED
from hpo.storage.ledger import EARLIER, FIXED_PARAMS
from hpo.storage.schema import (
    CLOCKS,
    DIRECTIONS,
    LEASES,
    OF_A_STUDY,
    OF_A_TRIAL,
    REPORTS,
    TRIAL_PARAMS,
    TRIAL_SYSTEM_ATTRS,
    TRIAL_USER_ATTRS,
    TRIAL_VALUES,
    TRIALS,
)

_JSON_COLUMNS = {"value_json", "distribution_json"}
_NAMES = ("key", "param_name", "step")
"""Columns that tell apart the rows of one study or trial."""


@dataclass(frozen=True)
class Kind:
    """What the value of an attribute must be.

    Attributes:
        words: it completes "must be ...".
        admits: whether a value is of the kind.
    """

    words: str
    admits: Callable[[Any], bool]


def is_number(value: object) -> bool:
    """Whether a value is an int or a float."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_int(value: object) -> bool:
    """Whether a value is an int."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_texts(value: object) -> bool:
    """Whether a value is a list of strings, or a tuple of them that is to be stored."""
    return isinstance(value, list | tuple) and all(isinstance(each, str) for each in value)


def _is_numbers(value: object) -> bool:
    return isinstance(value, dict) and all(map(is_number, value.values()))


TEXT = Kind("a string", lambda value: isinstance(value, str))
INT = Kind("a whole number", is_int)
NUMBER = Kind("a number", is_number)
TEXTS = Kind("a list of strings", is_texts)
OBJECT = Kind("an object", lambda value: isinstance(value, dict))
_NUMBERS = Kind("numbers by name", _is_numbers)


def _is_attempt(value: object) -> bool:
    return isinstance(value, dict) and isinstance(value.get("ended"), str)


def _is_quarantine(value: object) -> bool:
    is_whole = isinstance(value, dict) and {"state", "value", "reason"} <= value.keys()
    return is_whole and value["state"] in TrialState.__members__  # type: ignore[index]


_USER_KINDS = {
    **dict.fromkeys((WORKER, DEVICE, REASON, ARTIFACT, SHA256, "precision"), TEXT),
    **dict.fromkeys((ATTEMPT, BEST_EPOCH, "n_epochs"), INT),
    "seconds": NUMBER,
    METRICS: _NUMBERS,
    EARLIER: Kind("a list of attempts", lambda v: isinstance(v, list) and all(map(_is_attempt, v))),
    RETRIED: TEXTS,
    QUARANTINED: Kind("the state, value and reason of a trial", _is_quarantine),
}
_SYSTEM_KINDS = {FIXED_PARAMS: OBJECT}
_OF_HPO = {TRIAL_USER_ATTRS: _USER_KINDS, TRIAL_SYSTEM_ATTRS: _SYSTEM_KINDS}
"""What hpo writes to a trial's attributes and reads again."""


def check_attrs(trials: Iterable[FrozenTrial]) -> None:
    """Check the attributes of trials that hpo has run.

    Raises:
        ValueError: one has a value that hpo does not write; `find_damage` describes it.
    """
    for trial in trials:
        for kinds, attrs in ((_USER_KINDS, trial.user_attrs), (_SYSTEM_KINDS, trial.system_attrs)):
            for key, value in attrs.items():
                if key in kinds and not kinds[key].admits(value):
                    raise ValueError(f"trial {trial.number} has a damaged attribute {key}")


def find_damage(connection: Connection, study_id: int, *, is_ours: bool) -> Iterator[str]:
    """Yield a description of each damaged value in the rows of a study.

    Args:
        connection: to read with.
        study_id: id of the study.
        is_ours: whether hpo created the study; the attributes of other programs may be any JSON.
    """
    for table, query in _queries(study_id):
        for row in map(dict, connection.execute(query).mappings()):
            found = list(_flaws(table, row))
            if not found and table in _OF_HPO and is_ours:
                found = list(_meaningless_attrs(table, row))
            yield from found


def find_contradictions(
    connection: Connection, study_id: int, direction: Direction
) -> Iterator[str]:
    """Yield what is wrong with the sound rows of a study of hpo, taken together.

    Args:
        connection: to read with.
        study_id: id of the study.
        direction: what its definition says.
    """
    query = sa.select(DIRECTIONS.c.direction).where(DIRECTIONS.c.study_id == study_id)
    rows = connection.execute(query.order_by(DIRECTIONS.c.objective)).scalars()
    stored = [found.name for found in rows]
    if stored != [direction.name]:
        yield f"study_directions must be {direction.name}, but got {', '.join(stored) or 'no row'}"
    query = sa.select(TRIALS.c.number).where(TRIALS.c.study_id == study_id)
    counts = Counter(connection.execute(query).scalars())
    for number, count in sorted(counts.items()):
        if count > 1:
            yield f"trials.number must be unique, but {count} trials have the number {number}"
    missing = next((number for number in range(len(counts)) if number not in counts), None)
    if missing is not None:
        yield f"trials.number must be without gaps, but no trial has the number {missing}"


def _queries(study_id: int) -> Iterator[tuple[sa.Table, sa.Select[Any]]]:
    """A query of the rows of a study for each table, all of its columns as they are stored."""
    for table in (*OF_A_STUDY, CLOCKS, TRIALS, LEASES):
        yield table, sa.select(*_raw(table)).where(table.c.study_id == study_id)
    number = sa.type_coerce(TRIALS.c.number, sa.types.NullType()).label("number")
    for table in OF_A_TRIAL:
        joined = sa.select(*_raw(table), number).join_from(
            table, TRIALS, TRIALS.c.trial_id == table.c.trial_id
        )
        yield table, joined.where(TRIALS.c.study_id == study_id)


def shown(value: object) -> str:
    """A damaged value as messages show it."""
    return format_value(value.content if isinstance(value, NotJson) else value)


def _raw(table: sa.Table) -> list[sa.ColumnElement[Any]]:
    """The columns of a table, to be read as the driver returns them."""
    return [sa.type_coerce(column, sa.types.NullType()).label(column.name) for column in table.c]


def _flaws(table: sa.Table, row: Mapping[str, Any]) -> Iterator[str]:
    """Describe the values of a row that are not what their columns hold."""
    for column in table.c:
        if must_be := _flaw(column, row[column.name]):
            yield _sentence(table, column.name, row, must_be)
            return
    if table is TRIALS:
        is_finished = TrialState[row["state"]].is_finished()
        if is_finished and row["datetime_complete"] is None:
            yield _sentence(table, "datetime_complete", row, "a time")
    elif table is TRIAL_PARAMS:
        yield from _flaws_of_param(row)
    elif table is TRIAL_VALUES or table is REPORTS:
        name = "value" if table is TRIAL_VALUES else "intermediate_value"
        if row[name] is None and row[f"{name}_type"] == "FINITE":
            yield _sentence(table, name, row, "a number")


def _flaw(column: sa.Column[Any], value: Any) -> str | None:
    """What the value of a column must be, if it is not that."""
    if value is None:
        is_needed = not column.nullable or column is TRIALS.c.number
        return "a value" if is_needed else None
    if column.name in _JSON_COLUMNS:
        return "JSON" if isinstance(decode(value), NotJson) else None
    match column.type:
        case sa.Enum() as kind:
            return None if value in kind.enums else f"one of {', '.join(kind.enums)}"
        case sa.DateTime():
            return None if isinstance(value, datetime) or _is_time(value) else "a time"
        case sa.Float():
            return None if is_number(value) else "a number"
        case sa.Integer():
            return None if is_int(value) else "a whole number"
    return None if isinstance(value, str) else "a string"


def _is_time(value: object) -> bool:
    try:
        datetime.fromisoformat(value)  # type: ignore[arg-type]
    except (ValueError, TypeError):
        return False
    return True


def _flaws_of_param(row: Mapping[str, Any]) -> Iterator[str]:
    """Describe a distribution that Optuna cannot read, or a value outside of it."""
    column, must_be = "distribution_json", "a distribution of Optuna"
    try:
        distribution = json_to_distribution(row[column])
        column, must_be = "param_value", "in its distribution"
        distribution.to_external_repr(row[column])
    except Exception:  # Optuna meets any JSON and any number here
        yield _sentence(TRIAL_PARAMS, column, row, must_be)


def _meaningless_attrs(table: sa.Table, row: Mapping[str, Any]) -> Iterator[str]:
    """Describe an attribute of a trial that is not what hpo writes."""
    kind = _OF_HPO[table].get(row["key"])
    if kind is not None and not kind.admits(decode(row["value_json"])):
        yield _sentence(table, "value_json", row, kind.words)


def _sentence(table: sa.Table, column: str, row: Mapping[str, Any], must_be: str) -> str:
    return f"{_place(table, column, row)} must be {must_be}, but got {format_value(row[column])}"


def _place(table: sa.Table, column: str, row: Mapping[str, Any]) -> str:
    """Where a value is, in words for whoever repairs the database."""
    names = [f"{name} {row[name]}" for name in _NAMES if name in row]
    if "number" in row and table is not TRIALS:
        names.insert(0, f"trial {row['number']}")
    elif "trial_id" in row:
        names.insert(0, f"trial_id {row['trial_id']}")
    return " ".join([f"{table.name}.{column}", *(["of " + ", ".join(names)] if names else [])])
