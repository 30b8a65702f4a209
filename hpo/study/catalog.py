"""The studies of a storage: created, opened, listed, deleted."""

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from hpo.config.definition import StudyDefinition, difference
from hpo.config.errors import (
    InputError,
    StudyBusyError,
    StudyConflictError,
    StudyNotFoundError,
    nearest,
)
from hpo.config.strategies import GridSampler
from hpo.config.version import __version__
from hpo.storage import leases, ledger, removal
from hpo.storage.engine import Storage
from hpo.study.sampling import queue
from hpo.study.status import StudyStatus, live_workers
from hpo.study.study import (
    DEFINITION,
    FORMAT,
    MOVED,
    NOTES,
    STORE,
    UUID,
    VERSION,
    Study,
    check_store,
)

STUDY_FORMAT = 2
"""Of what is stored about a study; one without a number has format 1.

Raise it by one when an hpo that knows the present format would misread a study of the new one: a
further key in the definition, another meaning of an attribute. Older programs then refuse the study
and say why. `open_study` keeps reading all formats up to this one; name here what changed.

2: how a table's cells are read (`hpo.data.reader`), by further keys of `data`, and notes on it.
"""


@dataclass(frozen=True, kw_only=True)
class StudyRow:
    """A study's row, read or not.

    Attributes:
        obstacle: why this hpo does not open it, in a sentence; None when it does.
        store_id: of its artifact store; None where another storage looks after its artifacts.
        fingerprint: of its table; None where it cannot be read.
    """

    id: int
    name: str
    uuid: str | None
    store_id: str | None
    fingerprint: str | None
    obstacle: str | None
    attrs: Mapping[str, Any]

    def check_store(self, store_id: str) -> None:
        """As `Study.check_store`, for a study that this hpo may be unable to open, too.

        Raises:
            InputError: the artifact store is another one.
        """
        if self.store_id is not None:
            check_store(self.name, self.store_id, store_id)


@dataclass(frozen=True, kw_only=True)
class Deleted:
    """What was deleted, and what is still to be."""

    row: StudyRow
    n_trials: int


def create_study(
    storage: Storage,
    definition: StudyDefinition,
    artifact_store_id: str,
    notes: Sequence[str] = (),
) -> Study:
    """Create a study, its default configuration waiting as trial 0; or reopen it.

    Args:
        storage: where.
        definition: complete: with task and fingerprint.
        artifact_store_id: the store that holds its table.
        notes: what was taken otherwise than a person might expect of its table.

    Raises:
        StudyConflictError: the name is taken by another definition.
        BudgetError: the study exists and its budget is larger.
        InputError: it exists with another artifact store.
    """
    first = queue(definition)
    if isinstance(definition.sampler, GridSampler):  # no more trials than the grid has points
        budget = definition.budget.model_copy(update={"n_trials": len(first)})
        definition = replace(definition, budget=budget)
    attrs = {
        DEFINITION: definition.to_json(),
        UUID: str(uuid.uuid4()),
        STORE: artifact_store_id,
        VERSION: __version__,
        FORMAT: STUDY_FORMAT,
        NOTES: list(notes),
    }

    def write(connection: Connection) -> int:
        study_id = ledger.create_study(connection, definition.name, definition.direction, attrs)
        ledger.enqueue(connection, study_id, first, definition.budget.n_trials)
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
        InputError: there is, but another program or a newer hpo made it, or it has moved away.
    """
    row = find(storage, name)
    if row.obstacle is not None:
        raise InputError(row.obstacle)
    return Study(storage, row.id, row.attrs)


def list_studies(storage: Storage) -> list[StudyStatus]:
    """The status of every study that this hpo can open, oldest first."""
    return [study.progress() for study in studies(storage)]


def studies(storage: Storage) -> list[Study]:
    """Every study that this hpo can open, oldest first."""
    rows = [row for row in study_rows(storage) if row.obstacle is None]
    return [Study(storage, row.id, row.attrs) for row in rows]


def find(storage: Storage, name: str) -> StudyRow:
    """A study's row, whether this hpo can open it or not.

    Raises:
        StudyNotFoundError: there is none of that name; the message offers the nearest.
    """
    found = {row.name: row for row in study_rows(storage)}
    if name not in found:
        has = f"it has {', '.join(found)}" if found else "it has none yet"
        raise StudyNotFoundError(
            f"no study {name} in {storage.safe_url}{nearest(name, found)}; {has}"
        )
    return found[name]


def stored_format(storage: Storage, name: str) -> int | None:
    """The format of a study that hpo made; None where there is none of that name."""
    row = next((row for row in study_rows(storage) if row.name == name), None)
    return None if row is None or row.uuid is None else int(row.attrs.get(FORMAT, 1))


def study_rows(storage: Storage) -> list[StudyRow]:
    """The row of every study, of other programs too, oldest first."""
    with storage.errors():
        found = storage.reader.get_all_studies()
    return [
        study_row(storage, study._study_id, study.study_name, study.system_attrs) for study in found
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
    return {study: study.reaper.bury(worker, how) for study in studies}


def delete_study(storage: Storage, name: str, *, force: bool = False) -> Deleted:
    """Delete a study's rows in one transaction, which remembers that it was deleted.

    A worker that holds one of its trials finds its lease gone, and tells nothing.

    Args:
        storage: where it is.
        name: the study's.
        force: delete it even while workers hold its trials.

    Raises:
        StudyNotFoundError: there is no such study, or not any more.
        InputError: another program made it.
        StudyBusyError: a worker holds a live lease; the message names it.
    """
    row = find(storage, name)
    if row.uuid is None:
        raise InputError(row.obstacle or f"study {name} was not made by hpo")

    def write(connection: Connection) -> int:
        if force:
            _lock(connection, row, storage.safe_url)
        else:
            lock_unused(connection, row, storage.safe_url, "or delete it anyway with --force")
        if row.store_id is not None and row.uuid is not None:
            removal.remember(connection, row.uuid, row.store_id)
        return removal.delete_study(connection, row.id)

    n_trials = storage.write(write)
    storage.reader.invalidate(row.id)
    return Deleted(row=row, n_trials=n_trials)


def lock_unused(connection: Connection, row: StudyRow, where: str, otherwise: str) -> None:
    """Lock a study that no worker is at; under the lock none can begin.

    Args:
        connection: in a transaction that writes.
        row: the study's.
        where: the storage, for messages.
        otherwise: what else can be done, for messages.

    Raises:
        StudyNotFoundError: it was deleted.
        StudyBusyError: a worker holds a live lease; the message names it.
    """
    _lock(connection, row, where)
    check_unused(connection, row, otherwise)


def check_unused(connection: Connection, row: StudyRow, otherwise: str) -> None:
    """Make sure that no worker is at a study; see `lock_unused`."""
    if workers := live_workers(connection, row.id):
        named = ", ".join(f"process {worker.pid} on {worker.host}" for worker in workers)
        raise StudyBusyError(
            f"study {row.name} is being worked on by {named}: end the worker first, {otherwise}"
        )


def _lock(connection: Connection, row: StudyRow, where: str) -> None:
    if not ledger.lock_study(connection, row.id):
        raise StudyNotFoundError(f"study {row.name} is no longer in {where}")


def study_row(storage: Storage, study_id: int, name: str, attrs: Mapping[str, Any]) -> StudyRow:
    """A study's row by its system attributes."""
    moved, made_by = attrs.get(MOVED), attrs.get(VERSION, "another version")
    obstacle = None
    if moved is not None:
        obstacle = (
            f"study {name} has moved from {storage.safe_url} to {moved['to']}: "
            "name that one by --storage or HPO_STORAGE"
        )
    elif UUID not in attrs:
        obstacle = f"study {name} in {storage.safe_url} was not made by hpo"
    elif attrs.get(FORMAT, 1) > STUDY_FORMAT:
        obstacle = (
            f"study {name} in {storage.safe_url} was made by hpo {made_by}, which is newer than "
            f"this hpo {__version__}: install hpo {made_by} or later to work with it"
        )
    return StudyRow(
        id=study_id,
        name=name,
        uuid=attrs.get(UUID),
        store_id=None if moved is not None else attrs.get(STORE),
        fingerprint=_fingerprint(attrs.get(DEFINITION) or (moved or {}).get("definition")),
        obstacle=obstacle,
        attrs=attrs,
    )


def _fingerprint(definition: str | None) -> str | None:
    """The table's fingerprint, as far as a definition of any format can be read."""
    try:
        return str(json.loads(definition or "")["data"]["fingerprint"])
    except (ValueError, KeyError, TypeError):
        return None


def _check_same(study: Study, definition: StudyDefinition, artifact_store_id: str) -> None:
    if study.definition.digest() != definition.digest():
        changes = "\n  ".join(difference(study.definition, definition))
        raise StudyConflictError(
            f"study {study.name} exists with another definition; stored -> given:\n  {changes}\n"
            "give the new one another name"
        )
    study.check_store(artifact_store_id)
