"""The artifact store: tables and trained models as files under one URL.

Owns atomicity and proof: a file is there whole or not at all, and what is read back is checked
against the SHA-256 digest that was recorded when it was written. Any fsspec URL will do; a plain
path is a local folder. Each store carries an id of its own, so that a worker given another store
than the study's notices.

Does not know: SQL, what the bytes mean.
"""

import hashlib
import os
import posixpath
import uuid
from contextlib import suppress
from pathlib import Path

import fsspec
from fsspec.implementations.local import LocalFileSystem

from hpo.errors import ArtifactError, InputError

ID_FILE = "store-id"


def table_path(fingerprint: str) -> str:
    """Where a study's typed table is kept."""
    return f"tables/{fingerprint}.parquet"


def trial_path(study_uuid: str, number: int, attempt: int, name: str) -> str:
    """Where an attempt at a trial keeps a file; never named by a database id, which may recur."""
    return f"studies/{study_uuid}/trial-{number:05d}/attempt-{attempt}/{name}"


class ArtifactStore:
    """Files by relative path, written atomically and read back verified.

    Attributes:
        url: where it is, absolute when local, so that other processes find it.
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
        try:
            self._fs, self._root = fsspec.core.url_to_fs(url)
        except (ValueError, ImportError) as error:
            raise InputError(f"artifact store {url}: {error}") from None
        self._local = isinstance(self._fs, LocalFileSystem)
        self.url = self._root if self._local else url
        self.id = self._read_or_make_id(create)

    def put(self, path: str, data: bytes) -> str:
        """Write a file, durable and whole before this returns.

        Returns:
            The SHA-256 digest that `get` wants.

        Raises:
            ArtifactError: the disk is full, the folder read-only, the store out of reach.
        """
        target = posixpath.join(self._root, path)
        try:
            if self._local:
                _write_durably(Path(target), data)
            else:
                self._fs.pipe_file(target, data)  # object stores show a whole object or none
        except OSError as error:
            raise ArtifactError(
                f"artifact {path} cannot be written to {self.url}: {error}"
            ) from None
        return hashlib.sha256(data).hexdigest()

    def get(self, path: str, digest: str | None) -> bytes:
        """Read a file back; without a digest where the content proves itself by other means.

        Raises:
            ArtifactError: it is missing, out of reach, or not what was written.
        """
        try:
            data: bytes = self._fs.cat_file(posixpath.join(self._root, path))
        except OSError as error:
            raise ArtifactError(
                f"artifact {path} cannot be read from {self.url}: {error}"
            ) from None
        found = hashlib.sha256(data).hexdigest()
        if digest is not None and found != digest:
            raise ArtifactError(
                f"artifact {path} in {self.url} is damaged: "
                f"its SHA-256 is {found[:16]}… where {digest[:16]}… was recorded"
            )
        return data

    def exists(self, path: str) -> bool:
        """Whether a file is there."""
        return bool(self._fs.exists(posixpath.join(self._root, path)))

    def _read_or_make_id(self, create: bool) -> str:
        path = posixpath.join(self._root, ID_FILE)
        try:
            if not self._fs.exists(path):
                if not create:
                    raise ArtifactError(
                        f"artifact store {self.url}: does not exist; name the one that the study "
                        "was created with by --artifacts or HPO_ARTIFACTS"
                    )
                self._make_id(path)
            return str(self._fs.cat_file(path).decode()).strip()
        except OSError as error:
            raise ArtifactError(f"artifact store {self.url} cannot be opened: {error}") from None

    def _make_id(self, path: str) -> None:
        fresh = f"{uuid.uuid4()}\n".encode()
        if not self._local:
            self._fs.pipe_file(path, fresh)
            return
        draft = Path(f"{path}.{uuid.uuid4().hex}")
        _write_durably(draft, fresh)
        with suppress(FileExistsError):  # another process opened the new store first
            os.link(draft, path)
        draft.unlink()


def _write_durably(target: Path, data: bytes) -> None:
    """Write beside the target, flush to the disk, rename, flush the folder."""
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
    try:
        with draft.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(target)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
