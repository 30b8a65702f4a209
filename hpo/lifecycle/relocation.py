"""Move or copy studies to another storage.

If the artifacts stay in their store, the study moves: two storages that create the same trials
would overwrite each other's files. The source keeps a note of where the study went, gives no more
trials to workers and leaves the artifacts to the target. If the artifacts are copied to another
store, the copy becomes a new study with its own UUID, and both studies continue.

A move that was interrupted is completed by running it again.
"""

import hashlib
import json
import re
import uuid
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from hpo.config.errors import ArtifactError, HpoError, InputError
from hpo.files.store import ArtifactStore, study_path, table_path
from hpo.lifecycle.housekeeping import write_owner
from hpo.storage import copying, ledger
from hpo.storage.attributes import ARTIFACT
from hpo.storage.engine import Connection, Storage
from hpo.storage.inventory import TrialFiles, read_inventory
from hpo.storage.removal import deleted
from hpo.study.catalog import check_unused, find, lock, open_study, study_rows
from hpo.study.retraining import find_confirming
from hpo.study.row import StudyRow, copied_attrs, mark_moved, moved_attrs, unmark_moved
from hpo.study.study import Study

_DIGEST_IN_NAME = re.compile(r"-([0-9a-f]{32})\.\w+$")
_THEN = "then copy it"


@dataclass(frozen=True, kw_only=True)
class Stores:
    """The artifact stores to copy from and to."""

    source: ArtifactStore
    target: ArtifactStore


@dataclass(frozen=True, kw_only=True)
class Relocated:
    """A study that was moved or copied.

    Attributes:
        name: the study's name.
        n_trials: number of its trials.
        n_files: number of copied artifacts; 0 if the artifacts stay in their store.
    """

    name: str
    n_trials: int
    n_files: int


def copy_studies(
    source: Storage, target: Storage, names: Sequence[str] = (), stores: Stores | None = None
) -> list[Relocated]:
    """Move studies to another storage, or copy them together with their artifacts.

    All studies are checked before the first is changed. Each study is moved or copied completely or
    not at all.

    Args:
        source: the storage that holds the studies.
        target: the storage to move or copy them to.
        names: studies to move or copy, each with the study that confirms it; by default every
            study that this version of hpo can open.
        stores: copy the artifacts too; None moves the studies and leaves the artifacts.

    Raises:
        InputError: a study does not exist, the target has a study of its name, it was deleted from
            the target, or its artifacts are in another store. Nothing was changed.
        StudyBusyError: a worker holds a trial of a study.
        ArtifactError: an artifact is missing or damaged, or cannot be written.
    """
    if stores is not None and stores.source.id == stores.target.id:
        raise InputError(
            f"--to-artifacts must be another store than --artifacts, but both are "
            f"{stores.target.safe_url}: omit --to-artifacts to leave the artifacts where they are"
        )
    taken = {row.name for row in study_rows(target)}
    if names:
        rows = _named(source, target, names, taken, stores)
    else:
        rows = [row for row in study_rows(source) if _is_to_go(row, target, taken, stores)]
    for row in rows:
        _check(row, source, target, taken, stores)
    if stores is None:
        return [_move(row, source, target) for row in rows]
    return [_copy(open_study(source, row.name), row, source, target, stores) for row in rows]


def _named(
    source: Storage, target: Storage, names: Sequence[str], taken: set[str], stores: Stores | None
) -> list[StudyRow]:
    """The rows of the named studies and of the studies that confirm them, each once.

    A move starts with the confirming study: after an interruption, the same command continues with
    the other. A copy ends with it: after an interruption, it can be copied by its own name.
    """
    rows: dict[int, StudyRow] = {}
    for name in names:
        both = [find(source, name)]
        also = find_confirming(source, name)
        if also is not None and _is_to_go(also, target, taken, stores):
            both.insert(0 if stores is None else 1, also)
        rows |= {row.id: row for row in both}
    return list(rows.values())


def _is_to_go(row: StudyRow, target: Storage, taken: set[str], stores: Stores | None) -> bool:
    """Whether this hpo can open the study, or its move to this target was interrupted."""
    if row.obstacle is None:
        return True
    return row.moved_to == target.safe_url and stores is None and row.name not in taken


def _check(
    row: StudyRow, source: Storage, target: Storage, taken: set[str], stores: Stores | None
) -> None:
    """Check that a study can be moved or copied."""
    if not _is_to_go(row, target, taken, stores):
        assert row.obstacle is not None
        raise row.obstacle
    if row.name in taken:
        raise InputError(f"{target.safe_url} has a study {row.name} already")
    if stores is not None:
        row.check_store(stores.source.id)
    else:
        with target.read() as connection:
            if row.uuid in deleted(connection, str(row.artifact_store_id)):
                raise InputError(
                    f"study {row.name} was deleted from {target.safe_url}, "
                    "and its artifacts with it"
                )
    with source.read() as connection:
        check_unused(connection, row, _THEN)


def _move(row: StudyRow, source: Storage, target: Storage) -> Relocated:
    if row.moved_to is None:
        source.write(lambda connection: _mark_moved(connection, row, target))
        row = find(source, row.name)
    attrs = moved_attrs(row)

    def write(connection: Connection) -> int:
        with copying.repeatable_read(source) as reading:
            return copying.copy_study(reading, connection, row.id, attrs, lambda key, text: text)

    try:
        n_trials = target.write(write)
    except BaseException:
        with suppress(HpoError):  # storage out of reach: the same command continues later
            if row.uuid not in {other.uuid for other in study_rows(target)}:
                source.write(lambda connection: _unmark_moved(connection, row))
        raise
    return Relocated(name=row.name, n_trials=n_trials, n_files=0)


def _copy(
    study: Study, row: StudyRow, source: Storage, target: Storage, stores: Stores
) -> Relocated:
    """Copy the artifacts, then the rows, so that every file that a copied row names exists.

    Files are copied outside of the transaction, which would otherwise block the target's other
    writers and could be ended by the server for being idle.
    """
    copy_uuid = str(uuid.uuid4())
    files = _Files(stores, study.uuid, copy_uuid)
    if study.definition.data.copy:
        files.copy_table(study.definition.data.fingerprint)
    files.copy_all(study.inventory())
    attrs = copied_attrs(copy_uuid, stores.target.id)

    def rewrite(key: str, text: str) -> str:
        return json.dumps(files.copy_path(json.loads(text))) if key == ARTIFACT else text

    def write(connection: Connection) -> int | None:
        with copying.repeatable_read(source) as reading:
            if not files.has_named(read_inventory(reading, row.id)):
                return None
            return copying.copy_study(reading, connection, row.id, attrs, rewrite)

    while (n_trials := target.write(write)) is None:
        files.copy_named(study.inventory())  # trials have finished since
    write_owner(stores.target, open_study(target, row.name))
    return Relocated(name=row.name, n_trials=n_trials, n_files=len(files.copied))


class _Files:
    """Copies the files of one study, each once, and verifies the digests that are known."""

    def __init__(self, stores: Stores, study_uuid: str, copy_uuid: str) -> None:
        self._stores = stores
        self._from, self._to = study_path(study_uuid, ""), study_path(copy_uuid, "")
        self.copied: set[str] = set()

    def copy_path(self, path: str) -> str:
        """Path of a file's copy."""
        return self._to + path.removeprefix(self._from)

    def copy_table(self, fingerprint: str) -> None:
        path = table_path(fingerprint)
        if not self._stores.target.exists(path):
            self._stores.target.put_by(path, partial(self._stores.source.fetch, path))

    def copy_all(self, inventory: dict[int, TrialFiles]) -> None:
        """Copy all files of the study; those that trials name must exist."""
        self.copy_named(inventory)
        for path in self._stores.source.list(self._from):
            self._copy(path, None)

    def copy_named(self, inventory: dict[int, TrialFiles]) -> None:
        """Copy the files that trials name."""
        for trial in inventory.values():
            if trial.artifact is not None:
                self._copy(trial.artifact, trial.sha256)

    def has_named(self, inventory: dict[int, TrialFiles]) -> bool:
        """Whether all files that trials name are copied."""
        return {trial.artifact for trial in inventory.values()} - {None} <= self.copied

    def _copy(self, path: str, digest: str | None) -> None:
        if path in self.copied:
            return
        data = self._stores.source.get(path, digest)
        named = _DIGEST_IN_NAME.search(path)
        if named and not hashlib.sha256(data).hexdigest().startswith(named[1]):
            raise ArtifactError(
                f"artifact {path} in {self._stores.source.safe_url} is damaged: "
                "its SHA-256 is not the one in its name"
            )
        self._stores.target.put(self.copy_path(path), data)
        self.copied.add(path)


def _mark_moved(connection: Connection, row: StudyRow, target: Storage) -> None:
    """Mark the study in the source as moved, so that workers find no trials in it."""
    lock(connection, row)
    check_unused(connection, row, _THEN)
    copying.freeze(connection, row.id)
    mark_moved(connection, row.id, target.safe_url)


def _unmark_moved(connection: Connection, row: StudyRow) -> None:
    if ledger.lock_study(connection, row.id):
        unmark_moved(connection, row)
