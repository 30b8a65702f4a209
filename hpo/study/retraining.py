"""The study `NAME@confirm`: made, filled with trainings and read; and what NAME keeps of it.

It is an ordinary study in the same storage and artifact store, for the same workers. Its trials are
known by their params, so that it matters neither who queued them nor in which order.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from optuna.trial import FrozenTrial
from sqlalchemy.engine import Connection

from hpo.config.definition import StudyDefinition
from hpo.config.errors import BudgetError, StudyNotFoundError
from hpo.config.space import Params
from hpo.storage import attributes, ledger
from hpo.storage.engine import Storage
from hpo.storage.snapshot import read_study
from hpo.study.catalog import StudyRow, create_study, open_study, study_rows
from hpo.study.confirmation import (
    SEED,
    SUFFIX,
    Configuration,
    Confirmation,
    Estimate,
    configuration,
    confirmed,
    confirming,
)
from hpo.study.study import DEFINITION, UUID, Study

CONFIRMATION = "hpo:confirmation"
"""System attribute of a study that was confirmed: the outcome, without the single values."""
CONFIRMS = "hpo:confirms"
"""System attribute of a confirming study: the name of the one that it confirms."""


@dataclass(frozen=True, kw_only=True)
class ConfirmationRuns:
    """Trainings of one configuration: seeds that were asked for, and values of COMPLETE ones."""

    seeds: frozenset[int]
    values: Mapping[int, float]


def open_confirming(study: Study) -> Study:
    """Create the study that confirms another one, or open it.

    Raises:
        InputError: there can be none.
        StudyConflictError: its name is taken by another definition.
    """
    definition = confirming(study.definition)
    try:
        return create_study(study.storage, definition, study.artifact_store_id, study.notes)
    except BudgetError:  # it is there, and has more trials than the first
        return open_study(study.storage, definition.name)


def queue_missing(study: Study, of: str, wanted: Iterable[Params]) -> None:
    """Queue those trainings of a confirming study that it has no trial of, or only failed ones.

    The budget grows with the trials in the same transaction: no worker draws any of its own.

    Args:
        study: the confirming one.
        of: the name of the study that it confirms.
        wanted: whole params.

    Raises:
        StudyNotFoundError: the study was deleted.
    """

    def write(connection: Connection) -> StudyDefinition:
        stored = _lock(connection, study)
        trials = read_study(connection, study.id, None)
        there = {_key(_params(trial)) for trial in trials if trial.state.name != "FAIL"}
        number = len(trials)
        for params in wanted:
            if _key(params) not in there:
                ledger.add_trial(connection, study.id, number, params)
                number += 1
        definition = StudyDefinition.from_json(stored[DEFINITION])
        n_trials = max(number, definition.budget.n_trials)
        budget = definition.budget.model_copy(update={"n_trials": n_trials})
        definition = replace(definition, budget=budget)
        attributes.set_study(connection, study.id, DEFINITION, definition.to_json())
        attributes.set_study(connection, study.id, CONFIRMS, of)
        return definition

    study.definition = study.storage.write(write)
    study.storage.reader.invalidate(study.id)


def read_trainings(study: Study) -> dict[Configuration, ConfirmationRuns]:
    """What a confirming study has of each configuration."""
    seeds: dict[Configuration, set[int]] = {}
    values: dict[Configuration, dict[int, float]] = {}
    for trial in study.trials():
        params = _params(trial)
        if SEED not in params:
            continue
        own, seed = configuration(params), int(params[SEED])
        seeds.setdefault(own, set()).add(seed)
        if trial.state.name == "COMPLETE" and trial.value is not None:
            values.setdefault(own, {}).setdefault(seed, trial.value)
    return {
        own: ConfirmationRuns(seeds=frozenset(found), values=values.get(own, {}))
        for own, found in seeds.items()
    }


def keep_confirmation(study: Study, found: Confirmation) -> None:
    """Keep a confirmation with the study that was confirmed; it replaces an earlier one.

    Raises:
        StudyNotFoundError: the study was deleted.
    """

    def write(connection: Connection) -> None:
        _lock(connection, study)
        tree = found.to_json(values=False)  # MySQL holds 64 KiB of it
        attributes.set_study(connection, study.id, CONFIRMATION, tree)

    study.storage.write(write)


def read_confirmed(study: Study) -> dict[int, Estimate]:
    """The means of a study's confirmed trials by their numbers; empty where none were."""
    with study.storage.read() as connection:
        attrs = attributes.read_study(connection, study.id, (CONFIRMATION,))
    return confirmed(attrs[CONFIRMATION]) if CONFIRMATION in attrs else {}


def find_confirming(storage: Storage, name: str) -> StudyRow | None:
    """The row of the study that `hpo confirm` made for another one; None where there is none."""
    rows = (row for row in study_rows(storage) if row.name == name + SUFFIX)
    return next((row for row in rows if row.attrs.get(CONFIRMS) == name), None)


def _lock(connection: Connection, study: Study) -> dict[str, Any]:
    """Lock a study that is still there; its definition as it is now."""
    is_there = ledger.lock_study(connection, study.id)
    attrs = attributes.read_study(connection, study.id, (DEFINITION, UUID)) if is_there else {}
    if attrs.get(UUID) != study.uuid or DEFINITION not in attrs:
        raise StudyNotFoundError(f"study {study.name} is no longer in {study.storage.safe_url}")
    return attrs


def _params(trial: FrozenTrial) -> Params:
    """Those that a trial has, or was queued with."""
    return {**trial.system_attrs.get(ledger.FIXED_PARAMS, {}), **trial.params}


def _key(params: Params) -> tuple[Configuration, Any]:
    return configuration(params), params.get(SEED)
