"""The artifact store: tables, trained models and checkpoints as files under one URL.

Owns atomicity and proof: a file is there whole or not at all, and what is read back is checked
against the SHA-256 digest that was recorded when it was written. Any fsspec URL will do; a plain
path is a local folder. Each store carries an id of its own, so that a worker given another store
than the study's notices.

Does not know: SQL, what the bytes mean.
"""

import hashlib
import os
import posixpath
import re
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

import fsspec
from fsspec.implementations.local import LocalFileSystem

from hpo.errors import ArtifactError, InputError
from hpo.urls import passwords, shown

ID_FILE = "store-id"
LOG = "log.txt"
"""The name of an attempt's log."""
DRAFT = re.compile(r"(\..+|store-id)\.[0-9a-f]{32}")
"""The name of a file that is still being written, or whose writer was killed."""

MAX_TRIES = 100
"""How often a folder that vanishes, because it was empty for a moment, is made again."""

Paths = list[str]  # in the class below, `list` is a method


def table_path(fingerprint: str) -> str:
    """Where a study's typed table is kept."""
    return f"tables/{fingerprint}.parquet"


def study_path(study_uuid: str, name: str) -> str:
    """Where a study keeps a file of its own."""
    return f"studies/{study_uuid}/{name}"


def trial_path(study_uuid: str, number: int, attempt: int, name: str) -> str:
    """Where an attempt at a trial keeps a file; never named by a database id, which may recur."""
    return f"studies/{study_uuid}/trial-{number:05d}/attempt-{attempt}/{name}"


def checkpoints_path(study_uuid: str, number: int) -> str:
    """The folder of a trial's checkpoints, which its attempts hand on to each other."""
    return f"studies/{study_uuid}/trial-{number:05d}/checkpoints"


class ArtifactStore:
    """Files by relative path, written atomically and read back verified.

    Attributes:
        url: where it is, absolute when local, so that other processes find it; with its password,
            so for opening it and the environment of worker processes, never for a message.
        safe_url: without.
        id: the store's own UUID.
    """

    def __init__(self, url: str, *, create: bool = True) -> None:
        """Open the store at `url`.

        Args:
            url: a folder, or what fsspec takes.
            create: whether a store that is not there may be made.

        Raises:
            InputError: the URL's scheme is unknown or needs a package that is not installed.
            ArtifactError: the store cannot be reached or written, or is not there.
        """
        self.safe_url, self._passwords = shown(url), passwords(url)
        try:
            self._fs, self._root = fsspec.core.url_to_fs(url)
        except (ValueError, ImportError) as error:
            raise InputError(f"artifact store {self.safe_url}: {self._told(error)}") from None
        except Exception as error:  # a driver that connects at once, see `_errors`
            what = f"artifact store {self.safe_url} cannot be opened"
            raise ArtifactError(f"{what}: {self._told(error)}") from None
        self._local = isinstance(self._fs, LocalFileSystem)
        self._failures: type[Exception] = OSError if self._local else Exception
        self.url = self._root if self._local else url
        if self._local:
            self.safe_url = self._root
        self.id = self._read_or_make_id(create)

    def put(self, path: str, data: bytes) -> str:
        """Write a file, durable and whole before this returns.

        Returns:
            The SHA-256 digest that `get` wants.

        Raises:
            ArtifactError: the disk is full, the folder read-only, the store out of reach.
        """
        target = posixpath.join(self._root, path)
        with self._errors(f"artifact {path} cannot be written to {self.safe_url}"):
            if self._local:
                self._check_there()
                _write_durably(Path(target), data, Path(self._root))
            else:
                self._fs.pipe_file(target, data)  # object stores show a whole object or none
        return hashlib.sha256(data).hexdigest()

    def get(self, path: str, digest: str | None) -> bytes:
        """Read a file back; without a digest where the content proves itself by other means.

        Raises:
            ArtifactError: it is missing, out of reach, or not what was written.
        """
        with self._errors(f"artifact {path} cannot be read from {self.safe_url}"):
            data: bytes = self._fs.cat_file(posixpath.join(self._root, path))
        found = hashlib.sha256(data).hexdigest()
        if digest is not None and found != digest:
            raise ArtifactError(
                f"artifact {path} in {self.safe_url} is damaged: "
                f"its SHA-256 is {found[:16]}… where {digest[:16]}… was recorded"
            )
        return data

    def exists(self, path: str) -> bool:
        """Whether a file is there now.

        Raises:
            ArtifactError: the store is out of reach.
        """
        with self._errors(f"artifact {path} cannot be looked for in {self.safe_url}"):
            self._fs.invalidate_cache()
            return bool(self._fs.exists(posixpath.join(self._root, path)))

    def list(self, prefix: str) -> Paths:
        """The files below a folder now, sorted; none where there is no such folder.

        Args:
            prefix: the folder's path, relative to the store; empty for all of it.

        Returns:
            Paths relative to the store, without drafts of unfinished writes.

        Raises:
            ArtifactError: the store is out of reach.
        """
        return [path for path in self._below(prefix) if not _is_draft(path)]

    def drafts(self, prefix: str, min_age: float) -> Paths:
        """What killed writers left below a folder; only a local store ever holds drafts.

        Args:
            prefix: as for `list`.
            min_age: seconds since a draft was last written to; younger ones may be in the making.

        Raises:
            ArtifactError: the store is out of reach.
        """
        if not self._local:
            return []
        latest = time.time() - min_age
        return [p for p in self._below(prefix) if _is_draft(p) and self._written(p) <= latest]

    def size(self, path: str) -> int:
        """How many bytes a file has; 0 when it is gone.

        Raises:
            ArtifactError: the store is out of reach.
        """
        what = f"artifact {path} cannot be looked at in {self.safe_url}"
        with self._errors(what), suppress(FileNotFoundError):
            return int(self._fs.size(posixpath.join(self._root, path)) or 0)
        return 0

    def age(self, path: str) -> float:
        """Seconds since a file was last written to; 0 when it is gone, or nothing is known of it.

        Raises:
            ArtifactError: the store is out of reach.
        """
        what = f"artifact {path} cannot be looked at in {self.safe_url}"
        with self._errors(what), suppress(FileNotFoundError, NotImplementedError):
            written: datetime = self._fs.modified(posixpath.join(self._root, path))
            if written.tzinfo is None:
                written = written.replace(tzinfo=UTC)
            return max(0.0, time.time() - written.timestamp())
        return 0.0

    def delete(self, path: str) -> None:
        """Delete a file, with the folders that become empty; all is well when it is gone already.

        Raises:
            ArtifactError: it cannot be deleted, or the store is out of reach.
        """
        target = posixpath.join(self._root, path)
        with self._errors(f"artifact {path} cannot be deleted from {self.safe_url}"):
            with suppress(FileNotFoundError):
                self._fs.rm_file(target)
            if self._local:
                _delete_empty(Path(target).parent, Path(self._root))

    def delete_tree(self, prefix: str) -> None:
        """Delete a folder with all below it, drafts included; all is well when it is gone already.

        Raises:
            ArtifactError: it cannot be deleted, or the store is out of reach.
        """
        assert prefix, "the whole store is never deleted"
        with self._errors(f"artifacts below {prefix} cannot be deleted from {self.safe_url}"):
            if self._local:
                _delete_folder(Path(self._root, prefix))
                return
            paths = self._below(prefix)
            try:
                self._fs.rm([posixpath.join(self._root, path) for path in paths])
            except FileNotFoundError:  # another process deletes them too
                for path in paths:
                    self.delete(path)

    def _below(self, prefix: str) -> Paths:
        """Every file below a folder, drafts included, relative to the store and sorted."""
        folder = posixpath.join(self._root, prefix).rstrip("/")
        with self._errors(
            f"artifacts below {prefix or 'the root'} cannot be listed in {self.safe_url}"
        ):
            if self._local:
                found = list(_files(folder))
            else:
                self._fs.invalidate_cache()  # other processes write, too
                found = [path for path in self._fs.find(folder) if path != folder]
        return sorted(path.removeprefix(self._root).lstrip("/") for path in found)

    def _check_there(self) -> None:
        """Refuse to write where a local store was: its disk may be unmounted, its folder moved."""
        if not os.path.exists(posixpath.join(self._root, ID_FILE)):
            raise ArtifactError(
                f"artifact store {self.safe_url}: is no longer there, its file {ID_FILE} is "
                "missing; mount its disk or move its folder back"
            )

    def _written(self, path: str) -> float:
        """When a local file was last written to; infinitely late when it is gone."""
        try:
            return Path(self._root, path).stat().st_mtime
        except OSError:
            return float("inf")

    @contextmanager
    def _errors(self, what: str) -> Iterator[None]:
        """Raise what goes wrong as an ArtifactError.

        The drivers of object stores let errors of all types through when they reach no server.
        """
        try:
            yield
        except ArtifactError:
            raise
        except self._failures as error:
            raise ArtifactError(f"{what}: {self._told(error)}") from None

    def _told(self, error: Exception) -> str:
        """What a driver says, which may name the URL or parts of it, without passwords."""
        said = str(error)
        for password in self._passwords:
            said = said.replace(password, "***")
        return said

    def _read_or_make_id(self, create: bool) -> str:
        path = posixpath.join(self._root, ID_FILE)
        with self._errors(f"artifact store {self.safe_url} cannot be opened"):
            self._fs.invalidate_cache()
            if not self._fs.exists(path):
                if not create:
                    raise ArtifactError(
                        f"artifact store {self.safe_url}: does not exist; name the one that the "
                        "study was created with by --artifacts or HPO_ARTIFACTS"
                    )
                self._make_id(path)
            return str(self._fs.cat_file(path).decode()).strip()

    def _make_id(self, path: str) -> None:
        fresh = f"{uuid.uuid4()}\n".encode()
        if not self._local:
            self._fs.pipe_file(path, fresh)
            return
        draft = Path(f"{path}.{uuid.uuid4().hex}")
        _make_folder(draft.parent, Path(draft.anchor))
        _write_durably(draft, fresh, draft.parent)
        with suppress(FileExistsError):  # another process opened the new store first
            os.link(draft, path)
        draft.unlink()


def _is_draft(path: str) -> bool:
    return DRAFT.fullmatch(posixpath.basename(path)) is not None


def _files(folder: str) -> Iterator[str]:
    """The files below a local folder; what vanishes meanwhile is passed over."""

    def note(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError | NotADirectoryError):
            raise error

    for parent, _, names in os.walk(folder, onerror=note):
        yield from (posixpath.join(parent, name) for name in names)


def _delete_folder(folder: Path) -> None:
    while folder.exists():
        with suppress(FileNotFoundError):  # another process deletes there too
            shutil.rmtree(folder)


def _delete_empty(folder: Path, root: Path) -> None:
    """Delete a folder with nothing in it, and those above it that become empty by that."""
    with suppress(OSError):  # something is in it
        while folder != root:
            folder.rmdir()
            folder = folder.parent


def _write_durably(target: Path, data: bytes, root: Path) -> None:
    """Write beside the target, flush to the disk, rename, flush the folder.

    Folders below the root are made, the root is not.
    """
    draft = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
    try:
        with _open_new(draft, root) as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(target)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    _flush(target.parent)


def _open_new(path: Path, root: Path) -> BinaryIO:
    """Open a new file; its folder is made, again when it vanishes because it was empty."""
    for _ in range(MAX_TRIES):
        with suppress(FileNotFoundError):
            _make_folder(path.parent, root)
            return path.open("xb")
    _make_folder(path.parent, root)
    return path.open("xb")


def _make_folder(folder: Path, root: Path) -> None:
    """Make a folder and those above it as far as a root, which is there, durably."""
    missing = []
    while folder != root and not folder.exists():
        missing.append(folder)
        folder = folder.parent
    for made in reversed(missing):
        made.mkdir(exist_ok=True)
        _flush(made.parent)


def _flush(folder: Path) -> None:
    """Make what was made, renamed or deleted in a folder outlast a loss of power."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
