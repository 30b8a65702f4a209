"""Artifact store: tables, trained models and checkpoints as files under one URL.

A file is complete or absent, and reading it verifies the SHA-256 digest recorded when it was
written. The URL is a local path or any writable fsspec URL. Each store has an id, so that a worker
notices that it was given another store than the study's.
"""

import errno
import hashlib
import os
import posixpath
import re
import tempfile
import time
import uuid
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from fsspec.implementations.local import LocalFileSystem

from hpo.config.errors import ArtifactError, InputError
from hpo.config.urls import describe_error, hide_passwords
from hpo.files.durable import delete_empty, delete_folder, files_below, make_folder, replacing
from hpo.files.remote import DISK_FULL, RetryPolicy, file_system, is_transient

T = TypeVar("T")

ID_FILE = "store-id"
WEIGHTS = "model.safetensors"
"""File name of a trained model, in a store and in exported folders."""
LOG = "log.txt"
"""File name of an attempt's log."""
_DRAFT = re.compile(r"(\..+|store-id)\.[0-9a-f]{32}")
"""Name of an unfinished file: it is being written, or its writer was killed."""
_READ_ONLY = ("http", "https")
"""Schemes that cannot be written to."""

Paths = list[str]  # in the class below, `list` is a method


def table_path(fingerprint: str) -> str:
    """Path of a study's typed table."""
    return f"tables/{fingerprint}.parquet"


def study_path(study_uuid: str, name: str) -> str:
    """Path of a file of a study."""
    return f"studies/{study_uuid}/{name}"


def trial_path(study_uuid: str, number: int, attempt: int, name: str) -> str:
    """Path of a file of an attempt. It holds no database id: those may be reused."""
    return f"studies/{study_uuid}/trial-{number:05d}/attempt-{attempt}/{name}"


def checkpoints_path(study_uuid: str, number: int) -> str:
    """Folder of a trial's checkpoints, shared by its attempts."""
    return f"studies/{study_uuid}/trial-{number:05d}/checkpoints"


class ArtifactStore:
    """Files by relative path, written atomically and verified when read.

    Attributes:
        url: of the store, absolute if local, so that other processes find it. It may contain a
            password: use it to open the store, never in messages.
        safe_url: the URL without its password.
        id: the store's own UUID.
    """

    def __init__(self, url: str, *, create: bool = True) -> None:
        """Open the store at `url`.

        Args:
            url: a folder or an fsspec URL.
            create: whether to create the store if it does not exist.

        Raises:
            InputError: the URL's scheme is unknown or needs a package that is not installed.
            ArtifactError: the store does not exist, is unavailable or cannot be written to.
        """
        self.safe_url, self._given_url = hide_passwords(url), url
        if url.partition("://")[0] in _READ_ONLY:
            raise InputError(
                f"artifact store {self.safe_url}: cannot be written to; name a folder or an object "
                "store, as in s3://BUCKET/PATH"
            )
        try:
            self._fs, self._root = file_system(url)
        except (ValueError, ImportError) as error:
            raise InputError(
                f"artifact store {self.safe_url}: {describe_error(error, url)}"
            ) from None
        except Exception as error:  # a driver that connects at once, see `_errors`
            what = f"artifact store {self.safe_url} cannot be opened"
            raise ArtifactError(f"{what}: {describe_error(error, url)}") from None
        self._is_local = isinstance(self._fs, LocalFileSystem)
        self._failures: type[Exception] = OSError if self._is_local else Exception
        self._retries = RetryPolicy(url)
        self.url = self._root if self._is_local else url
        if self._is_local:
            self.safe_url = self._root
        self.id = self._read_or_create_id(create)

    def put(self, path: str, data: bytes) -> str:
        """Write a file; it is complete and durable when this returns.

        Returns:
            The SHA-256 digest to pass to `get`.

        Raises:
            ArtifactError: the disk is full, the folder read-only, the store unavailable.
        """
        if self._is_local:
            self.put_by(path, lambda file: file.write_bytes(data))
        else:  # a put to an object store is atomic
            with self._errors(f"artifact {path} cannot be written to {self.safe_url}"):
                self._call(lambda: self._fs.pipe_file(self._full_path(path), data))
        return hashlib.sha256(data).hexdigest()

    def put_by(self, path: str, write: Callable[[Path], object]) -> None:
        """Write a file as `put` does, without holding all its content in memory.

        Args:
            path: relative to the store.
            write: called once with a local path to write the file to.

        Raises:
            ArtifactError: as for `put`.
        """
        with self._errors(f"artifact {path} cannot be written to {self.safe_url}"):
            target = self._full_path(path)
            if self._is_local:
                self._check_exists()
                with replacing(Path(target), Path(self._root)) as draft:
                    write(Path(draft.name))
                return
            with tempfile.TemporaryDirectory(prefix="hpo-") as folder:
                file = Path(folder, "upload")
                write(file)
                self._call(lambda: self._fs.put_file(str(file), target))

    def get(self, path: str, digest: str | None) -> bytes:
        """Read a file.

        Args:
            path: relative to the store.
            digest: expected SHA-256; None if the caller verifies the content itself.

        Raises:
            ArtifactError: the file is missing, damaged or unavailable.
        """

        def read() -> bytes:
            data: bytes = self._fs.cat_file(self._full_path(path))
            found = hashlib.sha256(data).hexdigest()
            if digest is not None and found != digest:
                raise _DamagedError(
                    f"artifact {path} in {self.safe_url} is damaged: "
                    f"its SHA-256 is {found[:16]}… where {digest[:16]}… was recorded"
                )
            return data

        with self._errors(f"artifact {path} cannot be read from {self.safe_url}"):
            return self._call(read)

    def fetch(self, path: str, target: Path) -> None:
        """Download a file in chunks to a local path; the caller verifies its content.

        Raises:
            ArtifactError: the file is missing or unavailable.
            OSError: the local disk is full.
        """
        with self._errors(f"artifact {path} cannot be read from {self.safe_url}", but=DISK_FULL):
            self._call(lambda: self._fs.get_file(self._full_path(path), str(target)))

    def local_path(self, path: str) -> Path | None:
        """Path of a file in a local store, only for reading; None in any other store."""
        return Path(self._full_path(path)) if self._is_local else None

    def exists(self, path: str) -> bool:
        """Whether a file exists now.

        Raises:
            ArtifactError: the store is unavailable.
        """
        with self._errors(f"artifact {path} cannot be looked for in {self.safe_url}"):
            return self._is_there(self._full_path(path))

    def list(self, prefix: str) -> Paths:
        """All files below a folder now, sorted; none if the folder does not exist.

        Args:
            prefix: the folder's path, relative to the store; empty for the whole store.

        Returns:
            Paths relative to the store, without drafts.

        Raises:
            ArtifactError: the store is unavailable.
        """
        return [path for path in self._below(prefix) if not _is_draft(path)]

    def drafts(self, prefix: str, min_age: float) -> Paths:
        """Drafts that killed writers left below a folder; only local stores have drafts.

        Args:
            prefix: as for `list`.
            min_age: seconds since the last write; a younger draft may still be in use.

        Raises:
            ArtifactError: the store is unavailable.
        """
        if not self._is_local:
            return []
        return [p for p in self._below(prefix) if _is_draft(p) and self.age(p) >= min_age]

    def size(self, path: str) -> int:
        """Size of a file in bytes; 0 if it does not exist.

        Raises:
            ArtifactError: the store is unavailable.
        """
        what = f"artifact {path} cannot be looked at in {self.safe_url}"
        with self._errors(what), suppress(FileNotFoundError):
            return int(self._call(lambda: self._fs.size(self._full_path(path))) or 0)
        return 0

    def age(self, path: str) -> float:
        """Seconds since a file was last written; 0 if it does not exist or the time is unknown.

        Raises:
            ArtifactError: the store is unavailable.
        """
        what = f"artifact {path} cannot be looked at in {self.safe_url}"
        with self._errors(what), suppress(FileNotFoundError, NotImplementedError):
            written: datetime = self._call(lambda: self._fs.modified(self._full_path(path)))
            if written.tzinfo is None:
                written = written.replace(tzinfo=UTC)
            return max(0.0, time.time() - written.timestamp())
        return 0.0

    def delete(self, path: str) -> None:
        """Delete a file, if it exists, and the folders that become empty.

        Raises:
            ArtifactError: it cannot be deleted, or the store is unavailable.
        """
        with self._errors(f"artifact {path} cannot be deleted from {self.safe_url}"):
            full_path = self._full_path(path)
            with suppress(FileNotFoundError):
                self._call(lambda: self._fs.rm_file(full_path))
            if self._is_local:
                delete_empty(Path(full_path).parent, Path(self._root))

    def delete_tree(self, prefix: str) -> None:
        """Delete a folder, if it exists, with all files below it, drafts included.

        Raises:
            ArtifactError: it cannot be deleted, or the store is unavailable.
        """
        assert prefix, "the whole store is never deleted"
        with self._errors(f"artifacts below {prefix} cannot be deleted from {self.safe_url}"):
            if self._is_local:
                delete_folder(Path(self._full_path(prefix)))
                return
            paths = self._below(prefix)
            try:
                self._call(lambda: self._fs.rm([self._full_path(path) for path in paths]))
            except FileNotFoundError:  # another process deletes them too
                for path in paths:
                    self.delete(path)

    def hurry(self) -> None:
        """From now on wait for no server, because the process is about to end."""
        self._retries.hurry()

    def _below(self, prefix: str) -> Paths:
        """All files below a folder, drafts included, relative to the store and sorted."""
        folder = self._full_path(prefix).rstrip("/")
        with self._errors(
            f"artifacts below {prefix or 'the root'} cannot be listed in {self.safe_url}"
        ):
            if self._is_local:
                found = [str(path) for path in files_below(Path(folder))]
            else:
                self._fs.invalidate_cache()  # other processes write too
                found = [p for p in self._call(lambda: self._fs.find(folder)) if p != folder]
        return sorted(path.removeprefix(self._root).lstrip("/") for path in found)

    def _full_path(self, path: str) -> str:
        """The driver's path of a file.

        Raises:
            ArtifactError: the path, which may come from a storage, leads out of the store.
        """
        if path and not {"", ".", ".."}.isdisjoint(path.removesuffix("/").split("/")):
            raise ArtifactError(f"artifact {path}: is no path in the store {self.safe_url}")
        return posixpath.join(self._root, path)

    def _call(self, function: Callable[[], T]) -> T:
        """Call the driver, with retries for a remote store."""
        return function() if self._is_local else self._retries.call(function, _is_transient)

    def _is_there(self, full_path: str) -> bool:
        """Whether a file exists. Drivers' own `exists` returns False for an unavailable server."""
        self._fs.invalidate_cache()
        try:
            self._call(lambda: self._fs.info(full_path))
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True

    def _check_exists(self) -> None:
        """Refuse to write if a local store is gone: its disk unmounted, its folder moved."""
        if not os.path.exists(self._full_path(ID_FILE)):
            raise ArtifactError(
                f"artifact store {self.safe_url}: is no longer there, its file {ID_FILE} is "
                "missing; mount its disk or move its folder back"
            )

    @contextmanager
    def _errors(self, what: str, but: Collection[int] = ()) -> Iterator[None]:
        """Convert errors of the driver to ArtifactErrors, except OSErrors of the numbers `but`.

        Drivers of object stores raise errors of any type when they cannot reach a server.
        """
        try:
            yield
        except ArtifactError:
            raise
        except self._failures as error:
            if isinstance(error, OSError) and error.errno in but:
                raise
            raise ArtifactError(f"{what}: {describe_error(error, self._given_url)}") from None

    def _read_or_create_id(self, create: bool) -> str:
        full_path = self._full_path(ID_FILE)
        with self._errors(f"artifact store {self.safe_url} cannot be opened"):
            if not self._is_there(full_path):
                if not create:
                    raise ArtifactError(
                        f"artifact store {self.safe_url}: does not exist; set --artifacts or "
                        "HPO_ARTIFACTS to the store that the study was created with"
                    )
                with suppress(FileExistsError):  # another process has created it first
                    self._create_id(full_path, f"{uuid.uuid4()}\n".encode())
            content: bytes = self._call(lambda: self._fs.cat_file(full_path))
            return content.decode().strip()

    def _create_id(self, full_path: str, content: bytes) -> None:
        """Write the id of a new store, atomically.

        Raises:
            FileExistsError: there is an id.
        """
        if not self._is_local:
            self._call(lambda: self._pipe_new(full_path, content))
            return
        draft = Path(f"{full_path}.{uuid.uuid4().hex}")
        make_folder(draft.parent, Path(draft.anchor))
        with replacing(draft, draft.parent) as file:
            file.write(content)
        try:
            os.link(draft, full_path)
        finally:
            draft.unlink()

    def _pipe_new(self, full_path: str, content: bytes) -> None:
        """Write a file only if it does not exist. Some servers can only replace it."""
        try:
            self._fs.pipe_file(full_path, content, mode="create")
        except OSError as error:
            if error.errno != errno.ENOSYS:
                raise
            self._fs.pipe_file(full_path, content)


class _DamagedError(ArtifactError):
    """A file's content is not what was written; it may have been damaged in transit."""


def _is_transient(error: Exception) -> bool:
    return isinstance(error, _DamagedError) or is_transient(error)


def _is_draft(path: str) -> bool:
    return _DRAFT.fullmatch(posixpath.basename(path)) is not None
