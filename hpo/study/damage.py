"""Damage of a study: what its rows hold that neither hpo nor Optuna writes."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice

from pydantic import ValidationError

from hpo.config.errors import DamagedStudyError, DefinitionError, HpoError, InputError, StorageError
from hpo.storage import attributes, damage
from hpo.storage.engine import Connection, Storage
from hpo.storage.ledger import FIXED_PARAMS
from hpo.storage.trials import read_study_trials
from hpo.study.confirmation import confirmed
from hpo.study.history import read_warm_start
from hpo.study.row import CONFIRMATION, StudyRow, parse_definition, read_rows


@contextmanager
def reporting_damage(storage: Storage, study_id: int) -> Iterator[None]:
    """Report damaged rows as such if they make a block fail.

    An error for which the study has no damaged value is a bug, and passes.

    Raises:
        DamagedStudyError: the block failed, and the study has damaged rows.
    """
    try:
        yield
    except Exception as error:
        if isinstance(error, HpoError) and type(error) not in (DefinitionError, StorageError):
            raise
        with storage.read() as connection:
            own = read_rows(connection, storage.safe_url, [study_id])
            found = [flaw for row in own for flaw in find_damage(connection, row, at_most=1)]
        if not found:
            raise
        name, is_ours = own[0].name, own[0].is_ours
        raise DamagedStudyError(name, storage.safe_url, found[0], is_ours=is_ours) from error


def find_damage(connection: Connection, row: StudyRow, at_most: int | None = None) -> list[str]:
    """Describe the damaged values of a study, of hpo or of another program.

    Args:
        connection: to read with.
        row: row of the study.
        at_most: number of values after which to stop.
    """
    typed = damage.find_damage(connection, row.id, is_ours=row.is_ours)
    found = list(islice(typed, at_most))
    if found:
        return found  # what values mean can be read only if all are of their types
    return list(islice(_meaningless(connection, row), at_most))


def _meaningless(connection: Connection, row: StudyRow) -> Iterator[str]:
    """Describe the values of the right types that make no sense."""
    if isinstance(row.obstacle, DamagedStudyError):
        yield row.obstacle.flaw
    if row.obstacle is not None:
        return
    definition = parse_definition(row.definition or "")
    yield from damage.find_contradictions(connection, row.id, definition.direction)
    checks: dict[str, Callable[[], object]] = {
        "its budget of the study file": lambda: row.given_budget,
        "its warm start": lambda: read_warm_start(connection, row),
        "its confirmation": lambda: _read_confirmed(connection, row),
    }
    for what, check in checks.items():
        try:
            check()
        except (ValidationError, ValueError, TypeError, LookupError, AttributeError) as error:
            yield f"{what} cannot be read ({type(error).__name__})"
    for trial in read_study_trials(connection, row.id, None):
        for params in (trial.params, trial.system_attrs.get(FIXED_PARAMS, {})):
            try:
                definition.space.check_params(params)
            except InputError as error:
                yield f"trial {trial.number}: {error}"


def _read_confirmed(connection: Connection, row: StudyRow) -> object:
    attrs = attributes.read_study(connection, row.id, [CONFIRMATION])
    return confirmed(attrs[CONFIRMATION]) if attrs else None
