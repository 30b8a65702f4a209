"""Artifact cleanup: delete the files that no trial needs.

Rows decide which files are safe to delete. A COMPLETE, PRUNED or FAIL trial never changes again:
its row names all files it needs, so its other attempts and its checkpoints can go. A worker that
still writes such files has lost its lease and cannot report them. WAITING and RUNNING trials, and
trials without a row, keep all their files. Files are listed before rows are read, so every listed
file already had its row.

Age protects files that have no row yet. A table is written before its study is created, and a copy
of a study gets its files first. Therefore tables and unknown studies are kept while they have a
file younger than an hour, and so are young files of an unfinished study. Drafts of interrupted
writes are kept for a day.

Several storages may share an artifact store. Each storage decides only about its own studies: those
it holds, and those deleted from it. Each study's folder says which table it uses, so that a table
used by another storage's study is not taken for unused.
"""

import json
import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from hpo.config.errors import ArtifactError, DamagedStudyError, StudyNotFoundError
from hpo.config.version import __version__
from hpo.files.store import LOG, ArtifactStore, study_path, table_path
from hpo.storage.engine import Storage
from hpo.storage.inventory import TrialFiles
from hpo.storage.removal import deleted
from hpo.study.artifacts import StudyArtifacts
from hpo.study.catalog import check_unused, delete_study, find, studies, study_rows
from hpo.study.retraining import find_confirming
from hpo.study.row import StudyRow
from hpo.study.study import Study

LeftoverKind = Literal["attempt", "checkpoint", "deleted study", "unknown study", "table", "draft"]
_Leftovers = list[tuple[str, LeftoverKind]]

YOUNG_SECONDS = 3600.0
DRAFT_SECONDS = 86400.0
OWNER = "study.json"
"""File in a study's folder that holds the study's name and its table's fingerprint."""
_TRIAL_FILE = re.compile(
    r"studies/[^/]+/trial-(?P<number>\d+)/(?:(?P<attempt>attempt-\d+)|checkpoints)/.+"
)


@dataclass(frozen=True, kw_only=True)
class Removed:
    """A removed file; in a dry run, one that would be removed."""

    path: str
    kind: LeftoverKind
    n_bytes: int


@dataclass(frozen=True, kw_only=True)
class Swept:
    """The result of a cleanup.

    Attributes:
        files: the removed files.
        unknown: studies whose files were left because another storage may need them: names by
            UUID, empty where the name is not known.
        damaged: for each damaged study, whose files were all left, what is damaged.
    """

    files: tuple[Removed, ...]
    unknown: Mapping[str, str]
    damaged: tuple[str, ...] = ()

    @property
    def n_bytes(self) -> int:
        """Total size of the removed files in bytes."""
        return sum(file.n_bytes for file in self.files)


def write_owner(store: ArtifactStore, study: Study) -> None:
    """Write the study's name and its table's fingerprint into its folder, unless they are there."""
    path = study_path(study.uuid, OWNER)
    if not store.exists(path):
        fingerprint = study.definition.data.fingerprint
        about = {"name": study.name, "table": fingerprint, "hpo": __version__}
        store.put(path, (json.dumps(about, indent=2) + "\n").encode())


def sweep(artifacts: StudyArtifacts) -> Swept:
    """Remove the files of one study that none of its trials needs.

    Raises:
        ArtifactError: a file cannot be removed, or the store is out of reach.
    """
    study, store = artifacts.study, artifacts.store
    paths = store.list(study_path(study.uuid, ""))
    return Swept(files=_remove(store, _unnamed(study, store, paths), dry_run=False), unknown={})


def collect(
    storage: Storage, store: ArtifactStore, *, unknown: bool = False, dry_run: bool = False
) -> Swept:
    """Remove the files in an artifact store that no study of a storage needs.

    Args:
        storage: the storage whose studies decide.
        store: the artifact store; other storages' studies may use it too.
        unknown: also remove the files of studies that the storage never held.
        dry_run: remove nothing.

    Raises:
        StorageError: the database is out of reach.
        ArtifactError: a file cannot be removed, or the store is out of reach.
    """
    trees = _by_study(store.list("studies"))
    tables = store.list("tables")
    drafts = store.drafts("", DRAFT_SECONDS)
    rows = [row for row in study_rows(storage) if row.is_ours]
    with storage.read() as connection:
        deleted_uuids = deleted(connection, store.id) - {row.uuid for row in rows}
    held = {row.uuid for row in rows if row.owned_store_id in (store.id, None)}
    others = trees.keys() - held - deleted_uuids
    names = {uuid: _owner(store, uuid) for uuid in others}
    has_lost_uuid = any(row.uuid is None for row in rows)  # its files look like unknown ones
    going = {
        uuid
        for uuid in others
        if unknown
        and not has_lost_uuid
        and all(store.age(path) >= YOUNG_SECONDS for path in trees[uuid])
    }

    found: _Leftovers = [(path, "draft") for path in drafts]
    damaged = [str(row.obstacle) for row in rows if isinstance(row.obstacle, DamagedStudyError)]
    for study in studies(storage):
        if study.artifact_store_id == store.id and study.uuid in trees:
            try:
                found += _unnamed(study, store, trees[study.uuid])
            except StudyNotFoundError:  # just deleted: the next call removes its files
                pass
            except DamagedStudyError as error:
                damaged.append(str(error))
    found += [(path, "deleted study") for uuid in deleted_uuids for path in trees.get(uuid, ())]
    found += [(path, "unknown study") for uuid in going for path in trees[uuid]]
    staying = {uuid: names[uuid] for uuid in others - going}
    for path in _unused(tables, rows, [about.get("table") for about in staying.values()]):
        if store.age(path) >= YOUNG_SECONDS:
            found.append((path, "table"))
    return Swept(
        files=_remove(store, found, dry_run=dry_run),
        unknown={uuid: about.get("name", "") for uuid, about in staying.items()},
        damaged=tuple(damaged),
    )


def delete(
    storage: Storage, store: ArtifactStore | None, name: str, *, force: bool = False
) -> tuple[int, Swept]:
    """Delete a study: its rows, then its artifacts, then its table if no other study uses it.

    If the deletion is interrupted, or a worker still writes artifacts afterwards, `collect`
    removes the rest.

    Args:
        storage: the storage that holds the study.
        store: the study's artifact store; None leaves the artifacts for `collect`.
        name: the study's name.
        force: delete the study even if workers hold its trials.

    Returns:
        The number of its trials, and the deleted files.

    Raises:
        InputError: the study does not exist, workers hold its trials, or its artifacts are in
            another store. Nothing was deleted.
        ArtifactError: the rows were deleted, but not all artifacts.
    """
    row = find(storage, name)
    if store is not None:
        row.check_store(store.id)
    n_trials = delete_study(storage, name, force=force)
    if store is None or row.uuid is None or row.owned_store_id is None:
        return n_trials, Swept(files=(), unknown={})
    folder = study_path(row.uuid, "")
    files = _remove(store, [(path, "deleted study") for path in store.list(folder)], dry_run=True)
    store.delete_tree(folder)  # includes drafts of killed workers
    if row.fingerprint is not None:
        files += _remove(store, _lonely_table(storage, store, row.fingerprint), dry_run=False)
    return n_trials, Swept(files=files, unknown={})


def delete_with_confirmation(
    storage: Storage, store: ArtifactStore | None, name: str, *, force: bool = False
) -> Iterator[tuple[str, int, Swept]]:
    """Delete a study as `delete` does, and before it the study that confirms it.

    Yields:
        The name of each study, and what `delete` returns.
    """
    rows = [find(storage, name)]
    if (also := find_confirming(storage, name)) is not None:
        rows.insert(0, also)
    if not force:
        with storage.read() as connection:  # before the first is deleted
            for row in rows:
                check_unused(connection, row, "or delete it anyway with --force")
    for row in rows:
        yield row.name, *delete(storage, store, row.name, force=force)


def _lonely_table(storage: Storage, store: ArtifactStore, fingerprint: str) -> _Leftovers:
    """The table, if it exists and no study of this or another storage uses it."""
    path = table_path(fingerprint)
    rows = [row for row in study_rows(storage) if row.is_ours]
    others = _by_study(store.list("studies")).keys() - {row.uuid for row in rows}
    named = [_owner(store, uuid).get("table") for uuid in others]
    return [(path, "table") for path in _unused([path], rows, named) if store.exists(path)]


def _unused(
    tables: Iterable[str], rows: Iterable[StudyRow], named: Iterable[str | None]
) -> list[str]:
    """Tables that no study uses; none if there is a study whose table is not known.

    Args:
        tables: paths of the tables.
        rows: rows of this storage's studies.
        named: fingerprints of the tables that other storages' studies use.
    """
    used = {row.fingerprint for row in rows} | set(named)
    if None in used:
        return []
    paths = {table_path(fingerprint) for fingerprint in used if fingerprint is not None}
    return [path for path in tables if path not in paths]


def _unnamed(study: Study, store: ArtifactStore, paths: Iterable[str]) -> _Leftovers:
    """Those of a study's files that none of its trials needs; `paths` were listed before."""
    is_finished, inventory = study.progress().is_finished, study.inventory()
    found: _Leftovers = []
    for path in paths:
        if (part := _TRIAL_FILE.fullmatch(path)) is None:
            continue
        kind: LeftoverKind = "attempt" if part["attempt"] else "checkpoint"
        trial = inventory.get(int(part["number"]))
        if trial is None or _keeps(trial, kind, path):
            continue
        if is_finished or store.age(path) >= YOUNG_SECONDS:
            found.append((path, kind))
    return found


def _keeps(trial: TrialFiles, kind: LeftoverKind, path: str) -> bool:
    """Whether a trial needs a file of its folder."""
    if not trial.is_final:
        return True
    if kind == "checkpoint":
        return False
    if trial.state == "FAIL" and posixpath.basename(path) == LOG:
        return True
    if trial.artifact is None:  # a COMPLETE trial was reported by another program
        return trial.state == "COMPLETE"
    return posixpath.dirname(path) == posixpath.dirname(trial.artifact)


def _by_study(paths: Iterable[str]) -> dict[str, list[str]]:
    """Files of studies by the study's UUID."""
    trees: dict[str, list[str]] = {}
    for path in paths:
        if len(parts := path.split("/")) > 2:
            trees.setdefault(parts[1], []).append(path)
    return trees


def _owner(store: ArtifactStore, uuid: str) -> dict[str, str]:
    """The content of a study's `OWNER` file; empty if there is none."""
    try:
        about = json.loads(store.get(study_path(uuid, OWNER), digest=None))
    except (ArtifactError, ValueError):
        return {}
    return about if isinstance(about, dict) else {}


def _remove(store: ArtifactStore, found: _Leftovers, *, dry_run: bool) -> tuple[Removed, ...]:
    removed = []
    for path, kind in found:
        removed.append(Removed(path=path, kind=kind, n_bytes=store.size(path)))
        if not dry_run:
            store.delete(path)
    return tuple(removed)
