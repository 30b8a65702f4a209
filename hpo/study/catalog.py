"""The studies of a storage: create, open, list, delete."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace

from hpo.config.definition import StudyDefinition
from hpo.config.differences import difference
from hpo.config.errors import (
    DamagedStudyError,
    HpoError,
    InputError,
    StudyBusyError,
    StudyConflictError,
    StudyNotFoundError,
    nearest,
)
from hpo.config.strategies import GridSampler
from hpo.storage import leases, ledger, removal
from hpo.storage.engine import Connection, Storage
from hpo.storage.progress import WorkerRow, read_workers
from hpo.study.budget import raise_by_file
from hpo.study.history import COLD_START, WarmStart
from hpo.study.row import StudyRow, new_attrs, read_rows
from hpo.study.rows import StudyRows
from hpo.study.sampling import queue
from hpo.study.status import StudyStatus
from hpo.study.study import Study

_log = logging.getLogger(__name__)


def create_study(
    storage: Storage,
    definition: StudyDefinition,
    artifact_store_id: str,
    notes: Sequence[str] = (),
    warm_start: WarmStart = COLD_START,
) -> Study:
    """Create a study with its first trials waiting, or reopen it.

    Trial 0 is the default configuration. The starts follow.

    Args:
        storage: storage for the rows.
        definition: complete definition, with task and fingerprint.
        artifact_store_id: id of the store that holds the table.
        notes: remarks on how the table was read that may surprise a person.
        warm_start: what a new study takes from other studies.

    Raises:
        StudyConflictError: the name is taken by another definition.
        BudgetError: the study exists and its budget is larger.
        InputError: the study exists with another artifact store.
    """
    first = queue(definition, warm_start.starts)
    if isinstance(definition.sampler, GridSampler):  # no more trials than the grid has points
        budget = definition.budget.model_copy(update={"n_trials": len(first)})
        definition = replace(definition, budget=budget)
    attrs = new_attrs(definition, artifact_store_id, notes) | warm_start.to_attrs()

    def write(connection: Connection) -> int:
        study_id = ledger.create_study(connection, definition.name, definition.direction, attrs)
        ledger.enqueue(connection, study_id, first, definition.budget.n_trials)
        return study_id

    try:
        study_id = storage.write(write)
        return Study(storage, StudyRow.parse(study_id, definition.name, storage.safe_url, attrs))
    except StudyConflictError:  # the name is taken
        study = open_study(storage, definition.name)
    _check_same(study, definition, artifact_store_id)
    study.definition = study.change(
        lambda connection, row: raise_by_file(connection, row, study.definition, definition.budget)
    )
    return study


def open_study(storage: Storage, name: str) -> Study:
    """Open an existing study.

    Raises:
        StudyNotFoundError: there is no study of this name; the message offers the nearest name.
        InputError: another program or a newer hpo created the study, or it has moved.
        DamagedStudyError: its row is damaged.
    """
    row = find(storage, name)
    if row.obstacle is not None:
        raise row.obstacle
    return Study(storage, row)


def list_studies(
    storage: Storage, on_error: Callable[[HpoError], None] = lambda error: None
) -> list[StudyStatus]:
    """The status of every study that this hpo can read, oldest first.

    Args:
        storage: storage with the studies.
        on_error: called with the reason why this hpo cannot read a study of hpo.
    """
    found = []
    for row in study_rows(storage):
        if row.obstacle is None:
            try:
                found.append(Study(storage, row).progress())
            except DamagedStudyError as error:
                on_error(error)
        elif row.is_ours:
            on_error(row.obstacle)
    return found


def studies(storage: Storage) -> list[Study]:
    """Every study that this hpo can open, oldest first."""
    return [Study(storage, row) for row in study_rows(storage) if row.obstacle is None]


def study_rows(storage: Storage) -> list[StudyRow]:
    """The row of every study, oldest first, including studies of other programs."""
    with storage.read() as connection:
        return read_rows(connection, storage.safe_url)


def list_workers(
    storage: Storage, on_error: Callable[[HpoError], None] = lambda error: None
) -> list[WorkerRow]:
    """The workers that hold trials, by study.

    Args:
        storage: storage with the studies.
        on_error: called with the reason why the workers of a study cannot be read.
    """
    found = []
    with storage.read() as connection:
        ids = leases.studies_of(connection)
    for study_id in sorted(ids):
        try:
            with StudyRows(storage, study_id).read() as connection:
                found += read_workers(connection, study_id)
        except DamagedStudyError as error:
            on_error(error)
    return sorted(found, key=lambda row: (row.worker.host, row.worker.pid))


def find(storage: Storage, name: str) -> StudyRow:
    """The row of a study, whether this hpo can open it or not.

    Raises:
        StudyNotFoundError: there is no study of this name; the message offers the nearest name.
    """
    found = {row.name: row for row in study_rows(storage)}
    if name not in found:
        has = f"it has {', '.join(found)}" if found else "it has none yet"
        raise StudyNotFoundError(
            f"no study {name} in {storage.safe_url}{nearest(name, found)}; {has}"
        )
    return found[name]


def bury(storage: Storage, worker: str, how: str) -> dict[Study, dict[int, int]]:
    """Take back at once the trials of a worker that is known to be dead.

    Args:
        storage: storage in which it worked.
        worker: key of the worker.
        how: how it died, in a few words.

    Returns:
        The numbers of the attempts that ended, by study and trial number.
    """
    with storage.read() as connection:
        ids = leases.studies_of(connection, worker)
        rows = read_rows(connection, storage.safe_url, ids)
    ended = {}
    for study in [Study(storage, row) for row in rows if row.obstacle is None]:
        try:
            ended[study] = study.reaper.bury(worker, how)
        except DamagedStudyError as error:
            _log.warning("%s", error)
    return ended


def delete_study(storage: Storage, name: str, *, force: bool = False) -> int:
    """Delete the rows of a study in one transaction, which records the deletion.

    A worker that holds one of its trials loses the lease and writes nothing more.

    Args:
        storage: storage of the study.
        name: name of the study.
        force: delete the study even while workers hold its trials.

    Returns:
        The number of its trials.

    Raises:
        StudyNotFoundError: there is no such study, or it was just deleted.
        InputError: another program created it.
        StudyBusyError: a worker holds a live lease; the message names it.
    """
    row = find(storage, name)
    if not row.is_ours:
        raise InputError(str(row.obstacle))

    def write(connection: Connection) -> int:
        lock(connection, row)
        if not force:
            check_unused(connection, row, "or delete it anyway with --force")
        if row.uuid is not None and row.owned_store_id is not None:
            removal.remember(connection, row.uuid, row.owned_store_id)
        return removal.delete_study(connection, row.id)

    n_trials = storage.write(write)
    storage.reader.invalidate(row.id)
    return n_trials


def lock(connection: Connection, row: StudyRow) -> None:
    """Lock a study that this hpo may be unable to open; no worker can then claim a trial.

    Raises:
        StudyNotFoundError: the study was deleted.
    """
    if not ledger.lock_study(connection, row.id):
        raise StudyNotFoundError(f"study {row.name} is no longer in {row.where}")


def check_unused(connection: Connection, row: StudyRow, otherwise: str) -> None:
    """Check that no worker holds a live lease of a study.

    Args:
        connection: in a transaction; under the study's lock the result stays true.
        row: row of the study.
        otherwise: what else the user can do, for the message.

    Raises:
        StudyBusyError: a worker holds a live lease; the message names it.
    """
    if workers := leases.live_holders(connection, row.id):
        named = ", ".join(f"process {pid} on {host}" for host, pid in workers)
        raise StudyBusyError(
            f"study {row.name} is being worked on by {named}: end the worker first, {otherwise}"
        )


def _check_same(study: Study, definition: StudyDefinition, artifact_store_id: str) -> None:
    if study.definition.digest() != definition.digest():
        changes = "\n  ".join(difference(study.definition, definition))
        raise StudyConflictError(
            f"study {study.name} exists with another definition; stored -> given:\n  {changes}\n"
            "give the new one another name"
        )
    study.check_store(artifact_store_id)
