"""What may change during a search: the study's budget, and whether it is open for workers."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy.engine import Connection

from hpo.config.definition import Budget, StudyDefinition
from hpo.config.trial import Direction
from hpo.storage import attributes, leases, ledger
from hpo.storage.best import count_since_best
from hpo.study.sampling import queue
from hpo.study.status import Standing as Standing

DEFINITION, STANDING, GIVEN = "hpo:definition", "hpo:standing", "hpo:given_budget"
"""System attributes of a study's row."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a study's row says now.

    Attributes:
        standing: whether it is open for workers.
        given: the budget as a study file gave it last; None while nobody raised it by hand.
    """

    budget: Budget
    standing: Standing
    given: Budget | None

    @classmethod
    def from_attrs(cls, attrs: Mapping[str, Any]) -> "Settings":
        """Read them from the row's system attributes."""
        given = attrs.get(GIVEN)
        return cls(
            budget=Budget.model_validate(json.loads(attrs[DEFINITION])["budget"]),
            standing=attrs.get(STANDING, "open"),
            given=None if given is None else Budget.model_validate(given),
        )


def room(
    connection: Connection, study_id: int, settings: Settings, direction: Direction
) -> int | None:
    """How many trials a study may have now in all; the caller holds the study's lock.

    Returns:
        None when not even those that wait may run now.
    """
    clock, budget = leases.tick(connection, study_id), settings.budget
    is_late = budget.is_out_of_time(clock.busy_seconds, clock.device_seconds)
    if is_late or settings.standing != "open":
        return None
    if budget.no_improvement is not None:
        n_idle = count_since_best(connection, study_id, direction)
        return budget.n_trials if n_idle < budget.no_improvement else 0
    return budget.n_trials


def raise_by_file(
    connection: Connection,
    study_id: int,
    definition: StudyDefinition,
    settings: Settings,
    budget: Budget,
) -> StudyDefinition:
    """Raise a study's budget to that of a study file; the caller holds the study's lock.

    What the file says as it did the last time is kept as it is: somebody may have raised it by
    hand.

    Args:
        connection: in a transaction.
        study_id: whose budget.
        definition: the study's.
        settings: as they are.
        budget: the file's.

    Returns:
        The definition with the budget as it is then.

    Raises:
        BudgetError: it is lower than the study's.
    """
    raised = budget
    if (given := settings.given) is not None:
        same = [key for key in Budget.model_fields if getattr(given, key) == getattr(budget, key)]
        kept = {key: getattr(settings.budget, key) for key in same}
        raised = budget.model_copy(update=kept)
        attributes.set_study(connection, study_id, GIVEN, budget.model_dump())
    return _set(connection, study_id, definition, settings.budget, raised)


def raise_by_hand(
    connection: Connection,
    study_id: int,
    definition: StudyDefinition,
    settings: Settings,
    budget: Budget,
) -> StudyDefinition:
    """Raise a study's budget, whatever its file says; as `raise_by_file`."""
    if settings.given is None:
        given = settings.budget.model_dump()
        attributes.set_study(connection, study_id, GIVEN, given)
    return _set(connection, study_id, definition, settings.budget, budget)


def _set(
    connection: Connection,
    study_id: int,
    definition: StudyDefinition,
    stored: Budget,
    budget: Budget,
) -> StudyDefinition:
    stored.check_raised(definition.name, budget)
    extended = replace(definition, budget=budget)
    attributes.set_study(connection, study_id, DEFINITION, extended.to_json())
    ledger.enqueue(connection, study_id, queue(extended), budget.n_trials)
    return extended
