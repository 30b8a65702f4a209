"""The artifact store: tables, trained models and checkpoints as files under one URL.

Owns atomicity and proof: a file is there whole or not at all, and what is read back is checked
against the SHA-256 digest that was recorded when it was written. Any fsspec URL that can be written
will do; a plain path is a local folder. Each store carries an id of its own, so that a worker given
another store than the study's notices.
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
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, TypeVar

from fsspec.implementations.local import LocalFileSystem

from hpo.config.errors import ArtifactError, InputError
from hpo.config.urls import describe_error, hide_passwords
from hpo.files.durable import (
    delete_empty,
    delete_folder,
    files_below,
    make_folder,
    replacing,
)
from hpo.files.remote import DISK_FULL, RetryPolicy, file_system, is_passing

T = TypeVar("T")

ID_FILE = "store-id"
LOG = "log.txt"
"""The name of an attempt's log."""
DRAFT = re.compile(r"(\..+|store-id)\.[0-9a-f]{32}")
"""The name of a file that is still being written, or whose writer was killed."""
READ_ONLY = ("http", "https")
"""Schemes that can be read alone."""

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
        self.safe_url, self._given_url = hide_passwords(url), url
        if url.partition("://")[0] in READ_ONLY:
            raise InputError(
                f"artifact store {self.safe_url}: nothing can be written there; name a folder, or "
                "an object store as in s3://BUCKET/PATH"
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
        self._local = isinstance(self._fs, LocalFileSystem)
        self._failures: type[Exception] = OSError if self._local else Exception
        self._retries = RetryPolicy(url)
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
        with self._errors(f"artifact {path} cannot be written to {self.safe_url}"):
            if self._local:
                with self._replacing(path) as file:
                    file.write(data)
            else:  # object stores show a whole object or none
                self._ask(lambda: self._fs.pipe_file(self._at(path), data))
        return hashlib.sha256(data).hexdigest()

    def put_by(self, path: str, write: Callable[[Path], object]) -> None:
        """Write a file as `put` does, its content by a function: it need not be in memory whole.

        Args:
            path: relative to the store.
            write: called once; writes to a path on a local disk.

        Raises:
            ArtifactError: as of `put`.
        """
        with self._errors(f"artifact {path} cannot be written to {self.safe_url}"):
            if self._local:
                with self._replacing(path) as draft:
                    write(Path(draft.name))
                return
            with tempfile.TemporaryDirectory(prefix="hpo-") as folder:
                file = Path(folder, "upload")
                write(file)
                self._ask(lambda: self._fs.put_file(str(file), self._at(path)))

    def get(self, path: str, digest: str | None) -> bytes:
        """Read a file back; without a digest where the content proves itself by other means.

        Raises:
            ArtifactError: it is missing, out of reach, or not what was written.
        """

        def read() -> bytes:
            data: bytes = self._fs.cat_file(self._at(path))
            found = hashlib.sha256(data).hexdigest()
            if digest is not None and found != digest:
                raise _Damaged(
                    f"artifact {path} in {self.safe_url} is damaged: "
                    f"its SHA-256 is {found[:16]}… where {digest[:16]}… was recorded"
                )
            return data

        with self._errors(f"artifact {path} cannot be read from {self.safe_url}"):
            return self._ask(read)

    def fetch(self, path: str, target: Path) -> None:
        """Copy a file of the store to a local path, by chunks; its content must prove itself.

        Raises:
            ArtifactError: it is missing or out of reach.
            OSError: the local disk is full.
        """
        with self._errors(f"artifact {path} cannot be read from {self.safe_url}", but=DISK_FULL):
            self._ask(lambda: self._fs.get_file(self._at(path), str(target)))

    def near(self, path: str) -> Path | None:
        """Where a local store keeps a file, to be read and nothing else; None in any other."""
        return Path(self._at(path)) if self._local else None

    def exists(self, path: str) -> bool:
        """Whether a file is there now.

        Raises:
            ArtifactError: the store is out of reach.
        """
        with self._errors(f"artifact {path} cannot be looked for in {self.safe_url}"):
            return self._is_there(self._at(path))

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
            return int(self._ask(lambda: self._fs.size(self._at(path))) or 0)
        return 0

    def age(self, path: str) -> float:
        """Seconds since a file was last written to; 0 when it is gone, or nothing is known of it.

        Raises:
            ArtifactError: the store is out of reach.
        """
        what = f"artifact {path} cannot be looked at in {self.safe_url}"
        with self._errors(what), suppress(FileNotFoundError, NotImplementedError):
            written: datetime = self._ask(lambda: self._fs.modified(self._at(path)))
            if written.tzinfo is None:
                written = written.replace(tzinfo=UTC)
            return max(0.0, time.time() - written.timestamp())
        return 0.0

    def delete(self, path: str) -> None:
        """Delete a file, with the folders that become empty; all is well when it is gone already.

        Raises:
            ArtifactError: it cannot be deleted, or the store is out of reach.
        """
        with self._errors(f"artifact {path} cannot be deleted from {self.safe_url}"):
            with suppress(FileNotFoundError):
                self._ask(lambda: self._fs.rm_file(self._at(path)))
            if self._local:
                delete_empty(Path(self._at(path)).parent, Path(self._root))

    def delete_tree(self, prefix: str) -> None:
        """Delete a folder with all below it, drafts included; all is well when it is gone already.

        Raises:
            ArtifactError: it cannot be deleted, or the store is out of reach.
        """
        assert prefix, "the whole store is never deleted"
        with self._errors(f"artifacts below {prefix} cannot be deleted from {self.safe_url}"):
            if self._local:
                delete_folder(Path(self._at(prefix)))
                return
            paths = self._below(prefix)
            try:
                self._ask(lambda: self._fs.rm([self._at(path) for path in paths]))
            except FileNotFoundError:  # another process deletes them too
                for path in paths:
                    self.delete(path)

    def hurry(self) -> None:
        """Let no call wait for a server any more, for a process that is told to end."""
        self._retries.hurry()

    def _below(self, prefix: str) -> Paths:
        """Every file below a folder, drafts included, relative to the store and sorted."""
        folder = self._at(prefix).rstrip("/")
        with self._errors(
            f"artifacts below {prefix or 'the root'} cannot be listed in {self.safe_url}"
        ):
            if self._local:
                found = [str(path) for path in files_below(Path(folder))]
            else:
                self._fs.invalidate_cache()  # other processes write, too
                found = [p for p in self._ask(lambda: self._fs.find(folder)) if p != folder]
        return sorted(path.removeprefix(self._root).lstrip("/") for path in found)

    def _at(self, path: str) -> str:
        """Where a file is, as the driver wants it named.

        Raises:
            ArtifactError: the path, which a storage may name, leads out of the store.
        """
        if path and not {"", ".", ".."}.isdisjoint(path.removesuffix("/").split("/")):
            raise ArtifactError(f"artifact {path}: is no path in the store {self.safe_url}")
        return posixpath.join(self._root, path)

    def _replacing(self, path: str) -> AbstractContextManager[BinaryIO]:
        """A new file for a local store."""
        self._check_there()
        return replacing(Path(self._at(path)), Path(self._root))

    def _ask(self, call: Callable[[], T]) -> T:
        """Call the driver; of a store elsewhere again, when it fails by what may pass."""
        return call() if self._local else self._retries.ask(call, _may_pass)

    def _is_there(self, place: str) -> bool:
        """Whether a file exists; drivers' own `exists` takes a server that is away for a no."""
        self._fs.invalidate_cache()
        try:
            self._ask(lambda: self._fs.info(place))
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True

    def _check_there(self) -> None:
        """Refuse to write where a local store was: its disk may be unmounted, its folder moved."""
        if not os.path.exists(self._at(ID_FILE)):
            raise ArtifactError(
                f"artifact store {self.safe_url}: is no longer there, its file {ID_FILE} is "
                "missing; mount its disk or move its folder back"
            )

    def _written(self, path: str) -> float:
        """When a local file was last written to; infinitely late when it is gone."""
        try:
            return Path(self._at(path)).stat().st_mtime
        except OSError:
            return float("inf")

    @contextmanager
    def _errors(self, what: str, but: Collection[int] = ()) -> Iterator[None]:
        """Raise what goes wrong as an ArtifactError, except OSErrors of the numbers `but`.

        The drivers of object stores let errors of all types through when they reach no server.
        """
        try:
            yield
        except ArtifactError:
            raise
        except self._failures as error:
            if isinstance(error, OSError) and error.errno in but:
                raise
            raise ArtifactError(f"{what}: {describe_error(error, self._given_url)}") from None

    def _read_or_make_id(self, create: bool) -> str:
        place = self._at(ID_FILE)
        with self._errors(f"artifact store {self.safe_url} cannot be opened"):
            if not self._is_there(place):
                if not create:
                    raise ArtifactError(
                        f"artifact store {self.safe_url}: does not exist; name the one that the "
                        "study was created with by --artifacts or HPO_ARTIFACTS"
                    )
                self._make_id(place)
            content: bytes = self._ask(lambda: self._fs.cat_file(place))
            return content.decode().strip()

    def _pipe_new(self, place: str, data: bytes) -> None:
        """Write a file that is not there, or fail; some servers cannot but replace it."""
        try:
            self._fs.pipe_file(place, data, mode="create")
        except OSError as error:
            if error.errno != errno.ENOSYS:
                raise
            self._fs.pipe_file(place, data)

    def _make_id(self, place: str) -> None:
        """Write the id of a new store, unless another process does so first."""
        fresh = f"{uuid.uuid4()}\n".encode()
        if not self._local:
            with suppress(FileExistsError):
                self._ask(lambda: self._pipe_new(place, fresh))
            return
        draft = Path(f"{place}.{uuid.uuid4().hex}")
        make_folder(draft.parent, Path(draft.anchor))
        with replacing(draft, draft.parent) as file:
            file.write(fresh)
        with suppress(FileExistsError):
            os.link(draft, place)
        draft.unlink()


class _Damaged(ArtifactError):
    """What was read is not what was written: it may have been changed on its way."""


def _may_pass(error: Exception) -> bool:
    return isinstance(error, _Damaged) or is_passing(error)


def _is_draft(path: str) -> bool:
    return DRAFT.fullmatch(posixpath.basename(path)) is not None
