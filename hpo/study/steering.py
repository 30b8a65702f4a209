"""Steering a study while it is searched: rows in its storage, which workers honour within seconds.

There is no coordinator: whoever steers writes, and each worker looks every other second what it is
to do with the trials that it holds.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import TypeVar

from sqlalchemy.engine import Connection

from hpo.config.definition import Budget, StudyDefinition
from hpo.config.errors import BudgetError, InputError, StudyNotFoundError
from hpo.config.parsing import validate
from hpo.config.strategies import GridSampler
from hpo.storage import attributes, interventions, leases, ledger
from hpo.storage.interventions import TrialRow
from hpo.study.budget import STANDING, Standing, raise_by_hand
from hpo.study.study import Lease, Study

Result = TypeVar("Result")


@dataclass(frozen=True, kw_only=True)
class Orders:
    """What a worker is to do with the trials that it holds of a study.

    Attributes:
        goes_on: train them; otherwise they are kept and go back to the study.
        counts_early: end those that have finished an epoch with the best of it instead: the study's
            time is up, and no trial came to its own end.
        lost: those that are no longer the worker's.
    """

    goes_on: bool
    counts_early: bool
    lost: frozenset[Lease]


@dataclass(frozen=True, kw_only=True)
class BudgetChange:
    """A limit of a budget as a person gives it: what it is to be, or what is added to it."""

    amount: float
    is_added: bool


def read_orders(study: Study, held: Collection[Lease]) -> Orders:
    """Read what a worker is to do with the trials that it holds of a study; writes nothing.

    Raises:
        StudyNotFoundError: the study was deleted.
    """
    with study.storage.read() as connection:
        settings = study.settings(connection)
        is_late = settings.budget.is_timed and _is_late(connection, study, settings.budget)
        counts_early = is_late and not ledger.has_completed(connection, study.id)
        kept = leases.still_held(connection, held)
    lost = frozenset(own for own in held if own.trial_id not in kept)
    goes_on = settings.standing == "open" and not is_late
    return Orders(goes_on=goes_on, counts_early=counts_early, lost=lost)


def _is_late(connection: Connection, study: Study, budget: Budget) -> bool:
    """Whether a study's time is up; every lease is looked at."""
    clock = leases.read_clock(connection, study.id)
    return budget.is_out_of_time(clock.busy_seconds, clock.device_seconds)


def was_pruned(study: Study, lease: Lease) -> bool:
    """Whether a trial that is no longer its worker's was ended, rather than taken by another."""
    with study.storage.read() as connection:
        return ledger.has_ended(connection, lease, "PRUNED")


def set_standing(study: Study, standing: Standing) -> None:
    """Pause a study, stop it, or open it again.

    Once this has returned, no trial of a study that is not open is claimed.

    Raises:
        InputError: it is finished: there is nothing to pause or to stop.
    """
    if standing != "open" and study.progress().is_used_up:
        raise InputError(
            f"study {study.name} is finished: hpo extend {study.name} lets it search further"
        )

    def write(connection: Connection) -> None:
        if standing == "open":
            attributes.drop_study(connection, study.id, STANDING)
        else:
            attributes.set_study(connection, study.id, STANDING, standing)

    _write(study, write)


def prune(study: Study, number: int) -> None:
    """End a running or waiting trial, with the best that it measured, if it did.

    Its worker finds its lease gone and goes on with others.

    Raises:
        InputError: there is no such trial, or it is finished.
    """

    def write(connection: Connection) -> None:
        leases.tick(connection, study.id)
        found = _find(connection, study, number)
        leases.end(connection, [found.id])  # waits for what its worker is writing
        found = _find(connection, study, number)
        if found.state not in ("RUNNING", "WAITING"):
            raise InputError(
                f"trial {number} of study {study.name} is {found.state} already: only a running "
                "or waiting trial can be pruned"
            )
        interventions.prune(connection, study.id, found.id, study.definition.direction)

    _write(study, write)


def retry(study: Study, number: int) -> int:
    """Run a finished trial again: in place where it failed, or else as a copy beside it.

    A copy raises the study's budget by one.

    Returns:
        The number of the trial that will run.

    Raises:
        InputError: there is no such trial, or it is not finished.
    """

    def write(connection: Connection) -> tuple[int, StudyDefinition]:
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
        settings = study.settings(connection)
        raised = settings.budget.model_copy(update={"n_trials": settings.budget.n_trials + 1})
        return again, raise_by_hand(connection, study.id, study.definition, settings, raised)

    runs, study.definition = _write(study, write)
    return runs


def quarantine(study: Study, number: int) -> None:
    """Let a trial that COMPLETE or PRUNED made a guide guide nothing any more.

    It is FAIL then, with what it was in an attribute: no sampler, pruner, leaderboard or budget
    looks at it, and its weights stay.

    Raises:
        InputError: there is no such trial, or it is neither of the two.
    """

    def write(connection: Connection) -> None:
        found = _find(connection, study, number)
        if found.state not in ("COMPLETE", "PRUNED"):
            is_already = interventions.is_quarantined(connection, found)
            how = "quarantined already" if is_already else found.state
            raise InputError(
                f"trial {number} of study {study.name} is {how}: only a trial that is COMPLETE or "
                "PRUNED can be quarantined"
            )
        interventions.quarantine(connection, study.id, found)

    _write(study, write)


def restore(study: Study, number: int) -> str:
    """Put a quarantined trial back as it was; returns its state.

    Raises:
        InputError: there is no such trial, or it is not quarantined.
    """

    def write(connection: Connection) -> str:
        found = _find(connection, study, number)
        if not interventions.is_quarantined(connection, found):
            raise InputError(f"trial {number} of study {study.name} is not quarantined")
        return interventions.restore(connection, study.id, found.id)

    return _write(study, write)


def extend(study: Study, changes: Mapping[str, BudgetChange]) -> Budget:
    """Raise limits of a study's budget; returns it as it is then.

    Args:
        study: whose.
        changes: by the budget's keys.

    Raises:
        BudgetError: a limit would be lowered, or added to where there is none, or the grid has no
            further point.
    """

    def write(connection: Connection) -> StudyDefinition:
        settings = study.settings(connection)
        given = {
            key: _raised(study, key, getattr(settings.budget, key), change)
            for key, change in changes.items()
        }
        tree = {**settings.budget.model_dump(exclude_none=True), **given}
        budget: Budget = validate(Budget, tree, f"study {study.name}", ("budget",))
        _check_grid(connection, study, settings.budget, budget)
        return raise_by_hand(connection, study.id, study.definition, settings, budget)

    study.definition = _write(study, write)
    return study.definition.budget


def _raised(study: Study, key: str, before: float | None, change: BudgetChange) -> float:
    if not change.is_added:
        return change.amount
    if before is None:
        raise BudgetError(f"study {study.name} has no budget.{key} to which it could be added")
    return before + change.amount


def _check_grid(connection: Connection, study: Study, before: Budget, after: Budget) -> None:
    """Refuse trials for which a grid has no points."""
    if not isinstance(study.definition.sampler, GridSampler):
        return
    n_points = sum(1 for _ in study.definition.space.grid())
    most = n_points + interventions.count_copies(connection, study.id)
    if before.n_trials < after.n_trials > most:
        raise BudgetError(
            f"study {study.name} searches a grid of {n_points} points: budget.n_trials must be at "
            f"most {most}, but got {after.n_trials}"
        )


def _find(connection: Connection, study: Study, number: int) -> TrialRow:
    if (found := interventions.find(connection, study.id, number)) is None:
        n_trials = ledger.count_trials(connection, study.id)
        has = f"trials 0 to {n_trials - 1}" if n_trials else "no trials yet"
        raise InputError(f"study {study.name} has {has}, but got {number}")
    return found


def _write(study: Study, work: Callable[[Connection], Result]) -> Result:
    """Do some work under the study's lock; this process reads the study anew afterwards."""

    def write(connection: Connection) -> Result:
        if not ledger.lock_study(connection, study.id):
            raise StudyNotFoundError(f"study {study.name} is no longer in {study.storage.safe_url}")
        study.settings(connection)  # raises where SQLite gave its id to another
        return work(connection)

    result = study.storage.write(write)
    study.storage.reader.invalidate(study.id)
    return result
