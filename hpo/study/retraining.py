"""The study `NAME@confirm`, which trains leading configurations again, and its result in NAME.

It is an ordinary study in the same storage and artifact store, for the same workers. Its trials are
identified by their params, regardless of who enqueued them and in which order.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from optuna.trial import FrozenTrial

from hpo.config.definition import StudyDefinition
from hpo.config.errors import BudgetError
from hpo.config.space import Params
from hpo.storage import attributes, ledger
from hpo.storage.engine import Connection, Storage
from hpo.storage.trials import read_study_trials
from hpo.study.catalog import create_study, open_study, study_rows
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
from hpo.study.row import CONFIRMATION, CONFIRMS, DEFINITION, StudyRow
from hpo.study.study import Study


def open_confirming(study: Study) -> Study:
    """Create or open the study that confirms another one.

    Raises:
        InputError: the study is a confirmation itself, or its name is too long.
        StudyConflictError: the name is taken by another definition.
    """
    definition = confirming(study.definition)
    try:
        return create_study(study.storage, definition, study.artifact_store_id, study.notes)
    except BudgetError:  # it exists and has more trials
        return open_study(study.storage, definition.name)


def queue_missing(study: Study, of: str, wanted: Iterable[Params]) -> None:
    """Enqueue the trainings for which a confirming study has no trial or only failed ones.

    The budget grows in the same transaction, so that no worker draws params of its own.

    Args:
        study: the confirming study.
        of: name of the study that it confirms.
        wanted: complete params of the trainings.

    Raises:
        StudyNotFoundError: the study was deleted.
    """

    def work(connection: Connection, row: StudyRow) -> StudyDefinition:
        trials = read_study_trials(connection, study.id, None)
        there = {_key(_params(trial)) for trial in trials if trial.state.name != "FAIL"}
        number = len(trials)
        for params in wanted:
            if _key(params) not in there:
                ledger.add_trial(connection, study.id, number, params)
                number += 1
        n_trials = max(number, row.budget.n_trials)
        budget = row.budget.model_copy(update={"n_trials": n_trials})
        definition = replace(study.definition, budget=budget)
        attributes.set_study(connection, study.id, DEFINITION, definition.to_json())
        attributes.set_study(connection, study.id, CONFIRMS, of)
        return definition

    study.definition = study.change(work)


def read_trainings(study: Study) -> dict[Configuration, dict[int, float | None]]:
    """The values of a confirming study's trainings by configuration and seed.

    A training that is not COMPLETE has the value None.
    """
    found: dict[Configuration, dict[int, float | None]] = {}
    for trial in study.trials():
        params = _params(trial)
        if SEED in params:
            values = found.setdefault(configuration(params), {})
            seed, is_complete = int(params[SEED]), trial.state.name == "COMPLETE"
            if values.get(seed) is None:
                values[seed] = trial.value if is_complete else None
    return found


def keep_confirmation(study: Study, found: Confirmation) -> None:
    """Store a confirmation with the study that was confirmed; it replaces an earlier one.

    Raises:
        StudyNotFoundError: the study was deleted.
    """
    tree = found.to_json(values=False)  # MySQL limits it to 64 KiB
    study.change(
        lambda connection, row: attributes.set_study(connection, row.id, CONFIRMATION, tree)
    )


def read_confirmed(study: Study) -> dict[int, Estimate]:
    """The estimates of a study's confirmed trials by number; empty if none were confirmed."""
    with study.read() as connection:
        attrs = attributes.read_study(connection, study.id, [CONFIRMATION])
    return confirmed(attrs[CONFIRMATION]) if attrs else {}


def find_confirming(storage: Storage, name: str) -> StudyRow | None:
    """The row of the study by which `hpo confirm` confirms another one; None if there is none."""
    rows = (row for row in study_rows(storage) if row.name == name + SUFFIX)
    return next((row for row in rows if row.confirms == name), None)


def _params(trial: FrozenTrial) -> Params:
    """The params of a trial, including those with which it was enqueued."""
    return {**trial.system_attrs.get(ledger.FIXED_PARAMS, {}), **trial.params}


def _key(params: Params) -> tuple[Configuration, Any]:
    return configuration(params), params.get(SEED)
