"""The budget of a study: how many trials it may have now, and how its limits are raised.

All functions take a connection inside a transaction that holds the study's lock.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from hpo.config.definition import Budget, StudyDefinition
from hpo.config.errors import BudgetError
from hpo.config.metrics import Direction
from hpo.config.parsing import validate
from hpo.config.points import grid
from hpo.config.strategies import GridSampler
from hpo.storage import attributes, interventions, leases, ledger
from hpo.storage.best import count_since_best
from hpo.storage.engine import Connection
from hpo.study.history import read_warm_start
from hpo.study.row import DEFINITION, GIVEN_BUDGET, StudyRow
from hpo.study.sampling import queue


@dataclass(frozen=True, kw_only=True)
class BudgetChange:
    """A change of a limit: the new value, or the amount to add."""

    amount: float
    is_added: bool


def trial_limit(connection: Connection, row: StudyRow, direction: Direction) -> int | None:
    """How many trials a study may have now; None if not even waiting trials may run."""
    clock, budget = leases.tick(connection, row.id), row.budget
    is_late = budget.is_out_of_time(clock.busy_seconds, clock.device_seconds)
    if is_late or row.standing != "open":
        return None
    if budget.no_improvement is not None:
        n_since_best = count_since_best(connection, row.id, direction)
        return budget.n_trials if n_since_best < budget.no_improvement else 0
    return budget.n_trials


def raise_by_file(
    connection: Connection, row: StudyRow, definition: StudyDefinition, budget: Budget
) -> StudyDefinition:
    """Raise a study's budget to that of a study file; return the definition with it.

    A limit that the file did not change since its last use stays as it is: a person may have raised
    it by hand.

    Args:
        connection: in a transaction.
        row: current row of the study.
        definition: definition of the study.
        budget: budget of the file.

    Raises:
        BudgetError: a limit would be lowered.
    """
    raised = budget
    if (given := row.given_budget) is not None:
        same = [key for key in Budget.model_fields if getattr(given, key) == getattr(budget, key)]
        raised = budget.model_copy(update={key: getattr(row.budget, key) for key in same})
        attributes.set_study(connection, row.id, GIVEN_BUDGET, budget.model_dump())
    return _write(connection, row, definition, raised)


def raise_by_hand(
    connection: Connection, row: StudyRow, definition: StudyDefinition, budget: Budget
) -> StudyDefinition:
    """Raise a study's budget regardless of its file; as `raise_by_file`."""
    if row.given_budget is None:
        attributes.set_study(connection, row.id, GIVEN_BUDGET, row.budget.model_dump())
    return _write(connection, row, definition, budget)


def changed_budget(
    connection: Connection,
    row: StudyRow,
    definition: StudyDefinition,
    changes: Mapping[str, BudgetChange],
) -> Budget:
    """A study's budget after changes of its limits by key; writes nothing.

    Raises:
        BudgetError: an amount is added to a limit that is not set, or a grid has too few points.
    """
    tree = row.budget.model_dump(exclude_none=True)
    for key, change in changes.items():
        if change.is_added and key not in tree:
            raise BudgetError(f"study {row.name} has no budget.{key} to which it could be added")
        tree[key] = change.amount + (tree[key] if change.is_added else 0)
    budget: Budget = validate(Budget, tree, f"study {row.name}", ("budget",))
    if isinstance(definition.sampler, GridSampler):
        n_points = grid(definition.space).n
        most = n_points + interventions.count_copies(connection, row.id)
        if row.budget.n_trials < budget.n_trials > most:
            raise BudgetError(
                f"study {row.name} searches a grid of {n_points} points: budget.n_trials must be "
                f"at most {most}, but got {budget.n_trials}"
            )
    return budget


def _write(
    connection: Connection, row: StudyRow, definition: StudyDefinition, budget: Budget
) -> StudyDefinition:
    row.budget.check_raised(definition.name, budget)
    extended = replace(definition, budget=budget)
    attributes.set_study(connection, row.id, DEFINITION, extended.to_json())
    if budget.n_trials > row.budget.n_trials:
        first = queue(extended, read_warm_start(connection, row).starts)
        ledger.enqueue(connection, row.id, first, budget.n_trials)
    return extended
