"""Steering: what people order while a study runs; workers obey within seconds (`orders`)."""

from collections.abc import Mapping

from hpo.config.definition import Budget, StudyDefinition
from hpo.config.errors import InputError
from hpo.storage import attributes, interventions, leases, ledger
from hpo.storage.engine import Connection
from hpo.storage.interventions import TrialRow
from hpo.study.budget import BudgetChange, changed_budget, raise_by_hand
from hpo.study.row import PRIORITY, STANDING, Standing, StudyRow
from hpo.study.study import Study


def set_standing(study: Study, standing: Standing) -> None:
    """Pause a study, stop it, or open it again.

    After this returns, no trial is claimed unless the study is open.

    Raises:
        InputError: the study is finished and cannot be paused or stopped.
    """
    if standing != "open" and (status := study.progress()).is_used_up:
        raise InputError(f"study {status.why_closed}")
    study.change(
        lambda connection, row: attributes.set_study(connection, row.id, STANDING, standing)
    )


def prioritize(study: Study, priority: int) -> None:
    """Set a study's priority; workers observe it when they next claim a trial."""
    study.change(
        lambda connection, row: attributes.set_study(connection, row.id, PRIORITY, priority)
    )


def prune(study: Study, number: int) -> None:
    """Prune a running or waiting trial; its value is the best that it reported.

    Its worker loses the lease and continues with other trials.

    Raises:
        InputError: there is no such trial, or it is finished.
    """

    def work(connection: Connection, row: StudyRow) -> None:
        leases.tick(connection, study.id)
        found = _find(connection, study, number)
        leases.end(connection, [found.id])  # waits until the worker has written
        found = _find(connection, study, number)
        if found.state not in ("RUNNING", "WAITING"):
            raise InputError(
                f"trial {number} of study {study.name} is {found.state} already: only a running "
                "or waiting trial can be pruned"
            )
        interventions.prune(connection, found.id, study.definition.direction)

    study.change(work)


def retry(study: Study, number: int) -> int:
    """Run a finished trial again; return the number of the trial that will run.

    A failed trial runs again under its number. Other trials are copied, which raises the budget by
    one trial.

    Raises:
        InputError: there is no such trial, or it is not finished.
    """

    def work(connection: Connection, row: StudyRow) -> tuple[int, StudyDefinition]:
        found = _find(connection, study, number)
        if found.state in ("RUNNING", "WAITING"):
            raise InputError(
                f"trial {number} of study {study.name} is {found.state}: only a finished trial "
                "can be retried"
            )
        if found.state == "FAIL":
            interventions.retry(connection, study.id, found.id)
            return number, study.definition
        again = interventions.repeat(connection, study.id, found.id, number)
        raised = row.budget.model_copy(update={"n_trials": row.budget.n_trials + 1})
        return again, raise_by_hand(connection, row, study.definition, raised)

    runs, study.definition = study.change(work)
    return runs


def quarantine(study: Study, number: int) -> None:
    """Exclude a COMPLETE or PRUNED trial from the search.

    The trial becomes FAIL, and an attribute keeps what it was. Sampler, pruner, leaderboard and
    budget ignore it; its weights stay.

    Raises:
        InputError: there is no such trial, or it has another state.
    """

    def work(connection: Connection, row: StudyRow) -> None:
        found = _find(connection, study, number)
        if found.state not in ("COMPLETE", "PRUNED"):
            is_already = interventions.is_quarantined(connection, found)
            how = "quarantined already" if is_already else found.state
            raise InputError(
                f"trial {number} of study {study.name} is {how}: only a trial that is COMPLETE or "
                "PRUNED can be quarantined"
            )
        interventions.quarantine(connection, study.id, found)

    study.change(work)


def restore(study: Study, number: int) -> str:
    """Undo the quarantine of a trial; return its state.

    Raises:
        InputError: there is no such trial, or it is not quarantined.
    """

    def work(connection: Connection, row: StudyRow) -> str:
        found = _find(connection, study, number)
        if not interventions.is_quarantined(connection, found):
            raise InputError(f"trial {number} of study {study.name} is not quarantined")
        return interventions.restore(connection, study.id, found.id)

    return study.change(work)


def extend(study: Study, changes: Mapping[str, BudgetChange]) -> Budget:
    """Raise limits of a study's budget; return the new budget.

    Args:
        study: the study.
        changes: changes by key of the budget.

    Raises:
        BudgetError: a limit would be lowered, an amount is added to a limit that is not set, or a
            grid has too few points.
    """

    def work(connection: Connection, row: StudyRow) -> StudyDefinition:
        budget = changed_budget(connection, row, study.definition, changes)
        return raise_by_hand(connection, row, study.definition, budget)

    study.definition = study.change(work)
    return study.definition.budget


def _find(connection: Connection, study: Study, number: int) -> TrialRow:
    if (found := interventions.find(connection, study.id, number)) is None:
        n_trials = ledger.count_trials(connection, study.id)
        has = f"trials 0 to {n_trials - 1}" if n_trials else "no trials yet"
        raise InputError(f"study {study.name} has {has}, but got {number}")
    return found
