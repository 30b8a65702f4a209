"""The studies of a storage: created, opened, listed.

Does not know: what is done in a study.
"""

import uuid
from dataclasses import replace

import sqlalchemy as sa
from sqlalchemy.engine import Connection

import hpo
from hpo.definition import StudyDefinition, difference
from hpo.errors import InputError, StudyConflictError, StudyNotFoundError, nearest
from hpo.sampling import queue
from hpo.status import StudyStatus
from hpo.storage import leases, ledger
from hpo.storage.engine import Storage
from hpo.strategies import GridSampler
from hpo.study import DEFINITION, STORE, UUID, VERSION, Study


def create_study(storage: Storage, definition: StudyDefinition, artifact_store_id: str) -> Study:
    """Create a study, its default configuration waiting as trial 0; or reopen it.

    Args:
        storage: where.
        definition: complete: with task and fingerprint.
        artifact_store_id: the store that holds its table.

    Raises:
        StudyConflictError: the name is taken by another definition.
        BudgetError: the study exists and its budget is larger.
        InputError: it exists with another artifact store.
    """
    definition = _fitted(definition)
    attrs = {
        DEFINITION: definition.to_json(),
        UUID: str(uuid.uuid4()),
        STORE: artifact_store_id,
        VERSION: hpo.__version__,
    }

    def write(connection: Connection) -> int:
        study_id = ledger.create_study(connection, definition.name, definition.direction, attrs)
        ledger.enqueue(connection, study_id, queue(definition))
        return study_id

    try:
        return Study(storage, storage.write(write), attrs)
    except sa.exc.IntegrityError:  # the name is taken
        study = open_study(storage, definition.name)
    _check_same(study, definition, artifact_store_id)
    study.extend(definition.budget)
    return study


def open_study(storage: Storage, name: str) -> Study:
    """Open a study that exists.

    Raises:
        StudyNotFoundError: there is none of that name; the message offers the nearest.
        InputError: there is, but another program made it.
    """
    with storage.errors():
        found = {study.study_name: study for study in storage.reader.get_all_studies()}
    if name not in found:
        listed = f"it has {', '.join(found)}" if found else "it has none yet"
        raise StudyNotFoundError(
            f"no study {name} in {storage.safe_url}{nearest(name, found)}; {listed}"
        )
    if DEFINITION not in found[name].system_attrs:
        raise InputError(f"study {name} in {storage.safe_url} was not made by hpo")
    return Study(storage, found[name]._study_id, found[name].system_attrs)


def list_studies(storage: Storage) -> list[StudyStatus]:
    """The status of every study that hpo made, oldest first."""
    with storage.errors():
        found = storage.reader.get_all_studies()
    return [
        Study(storage, study._study_id, study.system_attrs).progress()
        for study in found
        if DEFINITION in study.system_attrs
    ]


def bury(storage: Storage, worker: str, how: str) -> dict[Study, dict[int, int]]:
    """Take back at once the trials of a worker that is known to be dead.

    Args:
        storage: where it worked.
        worker: its key.
        how: it died, in a few words.

    Returns:
        The attempts that it was at, by study and the trials' numbers.
    """
    with storage.read() as connection:
        ids = leases.studies_of(connection, worker)
    with storage.errors():
        found = [study for study in storage.reader.get_all_studies() if study._study_id in ids]
    studies = [Study(storage, study._study_id, study.system_attrs) for study in found]
    return {study: study.bury(worker, how) for study in studies}


def _check_same(study: Study, definition: StudyDefinition, artifact_store_id: str) -> None:
    if study.definition.digest() != definition.digest():
        changes = "\n  ".join(difference(study.definition, definition))
        raise StudyConflictError(
            f"study {study.name} exists with another definition; stored -> given:\n  {changes}\n"
            "give the new one another name"
        )
    if study.artifact_store_id != artifact_store_id:
        raise InputError(
            f"study {study.name} keeps its artifacts in another store: name the one it was "
            "created with by --artifacts or HPO_ARTIFACTS"
        )


def _fitted(definition: StudyDefinition) -> StudyDefinition:
    """The definition with a budget of no more trials than its grid has points."""
    n_trials = len(queue(definition))
    if not isinstance(definition.sampler, GridSampler) or n_trials == definition.budget.n_trials:
        return definition
    budget = definition.budget.model_copy(update={"n_trials": n_trials})
    return replace(definition, budget=budget)
