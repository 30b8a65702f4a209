"""What artifacts may go: those that no trial names.

What is safe rests on rows. A trial that is COMPLETE, PRUNED or FAIL never changes again: its row
names all that it keeps, and nobody needs what it does not name, other attempts and checkpoints. A
worker that writes such a file later still has lost its lease, and will tell nothing. A trial that
is WAITING or RUNNING keeps everything, as does one that the rows do not know; files are listed
before rows are read, so that whatever is listed had its row by then.

Time protects what has no row yet. A table is written before its study is made, and a study is
copied files first: tables and unknown studies with a file younger than an hour are left. So are,
for good measure, young files of a study that is still worked on. Drafts of unfinished writes are
left for a day.

Several storages may share an artifact store, and each vouches for its own studies alone: those that
it holds, and those that were deleted from it. Each study's folder says which table it uses, so that
no other storage's table is taken for unused.
"""

import json
import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from hpo.config.errors import ArtifactError, StudyNotFoundError
from hpo.config.version import __version__
from hpo.files.store import LOG, ArtifactStore, study_path, table_path
from hpo.storage.engine import Storage
from hpo.storage.inventory import TrialFiles
from hpo.storage.removal import deleted
from hpo.study.catalog import Deleted, check_unused, delete_study, find, studies, study_rows
from hpo.study.retraining import find_confirming
from hpo.study.row import StudyRow
from hpo.study.study import Study

LeftoverKind = Literal["attempt", "checkpoint", "deleted study", "unknown study", "table", "draft"]

YOUNG_SECONDS = 3600.0
DRAFT_SECONDS = 86400.0
OWNER = "study.json"
"""A study's own file, which says what it is called and which table it uses."""
OF_A_TRIAL = re.compile(
    r"studies/[^/]+/trial-(?P<number>\d+)/(?:(?P<attempt>attempt-\d+)|checkpoints)/.+"
)


@dataclass(frozen=True, kw_only=True)
class Removed:
    """A file that was removed, or would be."""

    path: str
    kind: LeftoverKind
    n_bytes: int


@dataclass(frozen=True, kw_only=True)
class Swept:
    """What was removed, and whose files were left because another storage may need them.

    Attributes:
        unknown: names by uuid; those of studies that do not say theirs are empty.
    """

    files: tuple[Removed, ...]
    unknown: Mapping[str, str]

    @property
    def n_bytes(self) -> int:
        """The size of all the files."""
        return sum(file.n_bytes for file in self.files)


def sign(store: ArtifactStore, study: Study) -> None:
    """Let a study's folder say what it is called and which table it uses, if it does not yet."""
    path = study_path(study.uuid, OWNER)
    if not store.exists(path):
        fingerprint = study.definition.data.fingerprint
        about = {"name": study.name, "table": fingerprint, "hpo": __version__}
        store.put(path, (json.dumps(about, indent=2) + "\n").encode())


def sweep(study: Study, store: ArtifactStore) -> Swept:
    """Remove what no trial of one study names.

    Raises:
        InputError: the artifact store is not the study's.
        ArtifactError: something cannot be removed, or the store is out of reach.
    """
    study.check_store(store.id)
    paths = store.list(study_path(study.uuid, ""))
    return Swept(files=_remove(store, _unnamed(study, store, paths), dry_run=False), unknown={})


def collect(
    storage: Storage, store: ArtifactStore, *, unknown: bool = False, dry_run: bool = False
) -> Swept:
    """Remove from an artifact store what no study of a storage names.

    Args:
        storage: its studies vouch for their own artifacts.
        store: may hold those of other storages' studies as well.
        unknown: remove these, too.
        dry_run: only look.

    Raises:
        StorageError: the database is out of reach.
        ArtifactError: something cannot be removed, or the store is out of reach.
    """
    trees = _by_study(store.list("studies"))
    tables = store.list("tables")
    drafts = store.drafts("", DRAFT_SECONDS)
    rows = [row for row in study_rows(storage) if row.uuid is not None]
    with storage.read() as connection:
        graves = deleted(connection, store.id) - {row.uuid for row in rows}
    held = {row.uuid for row in rows if row.owned_store_id in (store.id, None)}
    strangers = trees.keys() - held - graves
    names = {uuid: _owner(store, uuid) for uuid in strangers}
    going = {uuid for uuid in strangers if unknown and not _is_young(store, trees[uuid])}

    found: list[tuple[str, LeftoverKind]] = [(path, "draft") for path in drafts]
    for study in studies(storage):
        if study.artifact_store_id == store.id and study.uuid in trees:
            with suppress(StudyNotFoundError):  # deleted since: the next call's
                found += _unnamed(study, store, trees[study.uuid])
    found += [(path, "deleted study") for uuid in graves for path in trees.get(uuid, ())]
    found += [(path, "unknown study") for uuid in going for path in trees[uuid]]
    staying = {uuid: names[uuid] for uuid in strangers - going}
    for path in _unused(tables, rows, [about.get("table") for about in staying.values()]):
        if store.age(path) >= YOUNG_SECONDS:
            found.append((path, "table"))
    return Swept(
        files=_remove(store, found, dry_run=dry_run),
        unknown={uuid: about.get("name", "") for uuid, about in staying.items()},
    )


def delete(
    storage: Storage, store: ArtifactStore | None, name: str, *, force: bool = False
) -> tuple[Deleted, Swept]:
    """Delete a study: its rows, then its artifacts, then its table where no other study uses it.

    When it ends in between, the rest is found by `collect`. An artifact that a worker still writes
    afterwards is found by it as well.

    Args:
        storage: where the study is.
        store: its artifact store; None leaves the artifacts for `collect`.
        name: the study's.
        force: delete it even while workers hold its trials.

    Raises:
        InputError: there is no such study, its workers live, or the artifact store is another one;
            nothing was deleted.
        ArtifactError: the rows are gone and artifacts are left.
    """
    row = find(storage, name)
    if store is not None:
        row.check_store(store.id)
    gone = delete_study(storage, name, force=force)
    if store is None or row.uuid is None or row.owned_store_id is None:
        return gone, Swept(files=(), unknown={})
    folder = study_path(row.uuid, "")
    files = _remove(store, [(path, "deleted study") for path in store.list(folder)], dry_run=True)
    store.delete_tree(folder)  # with the drafts of killed workers
    if row.fingerprint is not None:
        files += _remove(store, _lonely_table(storage, store, row.fingerprint), dry_run=False)
    return gone, Swept(files=files, unknown={})


def delete_with_confirmation(
    storage: Storage, store: ArtifactStore | None, name: str, *, force: bool = False
) -> Iterator[tuple[Deleted, Swept]]:
    """Delete a study as `delete` does, behind the one that confirms it.

    Without the study that it confirms, that one is of no use.
    """
    rows = [find(storage, name)]
    if (also := find_confirming(storage, name)) is not None:
        rows.insert(0, also)
    if not force:
        with storage.read() as connection:  # before the first is deleted
            for row in rows:
                check_unused(connection, row, "or delete it all the same by --force")
    for row in rows:
        yield delete(storage, store, row.name, force=force)


def _lonely_table(
    storage: Storage, store: ArtifactStore, fingerprint: str
) -> list[tuple[str, LeftoverKind]]:
    """A table, if it is there and no study names it, of this storage or of another one."""
    path = table_path(fingerprint)
    rows = [row for row in study_rows(storage) if row.uuid is not None]
    strangers = _by_study(store.list("studies")).keys() - {row.uuid for row in rows}
    named = [_owner(store, uuid).get("table") for uuid in strangers]
    return [(path, "table") for path in _unused([path], rows, named) if store.exists(path)]


def _unused(
    tables: Iterable[str], rows: Iterable[StudyRow], named: Iterable[str | None]
) -> list[str]:
    """Tables that no study uses; none of them when there is a study that does not say which.

    Args:
        tables: their paths.
        rows: of the studies of this storage.
        named: fingerprints of the tables that other storages' studies use.
    """
    used = {row.fingerprint for row in rows} | set(named)
    if None in used:
        return []
    paths = {table_path(fingerprint) for fingerprint in used if fingerprint is not None}
    return [path for path in tables if path not in paths]


def _unnamed(
    study: Study, store: ArtifactStore, paths: Iterable[str]
) -> list[tuple[str, LeftoverKind]]:
    """Files of a study that none of its trials names; `paths` were listed before."""
    is_finished, inventory = study.progress().is_finished, study.inventory()
    found: list[tuple[str, LeftoverKind]] = []
    for path in paths:
        if (part := OF_A_TRIAL.fullmatch(path)) is None:
            continue
        kind: LeftoverKind = "attempt" if part["attempt"] else "checkpoint"
        trial = inventory.get(int(part["number"]))
        if trial is None or _keeps(trial, kind, path):
            continue
        if is_finished or store.age(path) >= YOUNG_SECONDS:
            found.append((path, kind))
    return found


def _keeps(trial: TrialFiles, kind: LeftoverKind, path: str) -> bool:
    """Whether a trial has a use for a file of its folder."""
    if not trial.is_final:
        return True
    if kind == "checkpoint":
        return False
    if trial.state == "FAIL" and posixpath.basename(path) == LOG:
        return True
    if trial.artifact is None:  # a COMPLETE one was told by another program
        return trial.state == "COMPLETE"
    return posixpath.dirname(path) == posixpath.dirname(trial.artifact)


def _by_study(paths: Iterable[str]) -> dict[str, list[str]]:
    """Files of studies by their uuid."""
    trees: dict[str, list[str]] = {}
    for path in paths:
        _, _, rest = path.partition("/")
        uuid, slash, _ = rest.partition("/")
        if slash:
            trees.setdefault(uuid, []).append(path)
    return trees


def _owner(store: ArtifactStore, uuid: str) -> dict[str, str]:
    """What a study's own file says; nothing where there is none."""
    try:
        about = json.loads(store.get(study_path(uuid, OWNER), digest=None))
    except (ArtifactError, ValueError):
        return {}
    return about if isinstance(about, dict) else {}


def _is_young(store: ArtifactStore, paths: Iterable[str]) -> bool:
    return any(store.age(path) < YOUNG_SECONDS for path in paths)


def _remove(
    store: ArtifactStore, found: Iterable[tuple[str, LeftoverKind]], *, dry_run: bool
) -> tuple[Removed, ...]:
    removed = []
    for path, kind in found:
        removed.append(Removed(path=path, kind=kind, n_bytes=store.size(path)))
        if not dry_run:
            store.delete(path)
    return tuple(removed)
