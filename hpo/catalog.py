"""The studies of a storage: created, opened, listed.

Does not know: what is done in a study.
"""

import uuid

import sqlalchemy as sa

import hpo
from hpo.definition import StudyDefinition, difference
from hpo.errors import InputError, StudyConflictError, StudyNotFoundError, nearest
from hpo.sampling import grid_points
from hpo.status import StudyStatus
from hpo.storage import ledger
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
    attrs = {
        DEFINITION: definition.to_json(),
        UUID: str(uuid.uuid4()),
        STORE: artifact_store_id,
        VERSION: hpo.__version__,
    }
    n_trials = definition.budget.n_trials
    points = [definition.space.default_params()]
    if isinstance(definition.sampler, GridSampler):
        points = grid_points(definition)
        n_trials = min(n_trials, len(points))
    try:
        with storage.transaction() as connection:
            study_id = ledger.create_study(
                connection,
                name=definition.name,
                direction=definition.direction,
                attrs=attrs,
                n_trials=n_trials,
                timeout=definition.budget.timeout,
            )
            for params in points[:n_trials]:
                ledger.add_trial(connection, study_id, params)
    except sa.exc.IntegrityError:
        return _reopen(open_study(storage, definition.name), definition, artifact_store_id)
    return Study(storage, study_id, definition.name, attrs)


def open_study(storage: Storage, name: str) -> Study:
    """Open a study that exists.

    Raises:
        StudyNotFoundError: there is none of that name; the message offers the nearest.
        InputError: there is, but another program made it.
    """
    try:
        study_id = storage.reader.get_study_id_from_name(name)
    except KeyError:
        known = [study.study_name for study in storage.reader.get_all_studies()]
        listed = f"it has {', '.join(known)}" if known else "it has none yet"
        raise StudyNotFoundError(
            f"no study {name} in {storage.safe_url}{nearest(name, known)}; {listed}"
        ) from None
    attrs = storage.reader.get_study_system_attrs(study_id)
    if DEFINITION not in attrs:
        raise InputError(f"study {name} in {storage.safe_url} was not made by hpo")
    return Study(storage, study_id, name, attrs)


def list_studies(storage: Storage) -> list[StudyStatus]:
    """The status of every study that hpo made, oldest first."""
    return [
        open_study(storage, found.study_name).progress()
        for found in storage.reader.get_all_studies()
        if DEFINITION in found.system_attrs
    ]


def _reopen(study: Study, definition: StudyDefinition, artifact_store_id: str) -> Study:
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
    study.extend(definition)
    return study
