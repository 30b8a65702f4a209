"""Atomic and durable writes to a local folder: a file is complete or absent, and survives a crash.

A write is durable once it survives a power loss: the file and its folder are flushed to the disk.
"""

import fcntl
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from hpo.config.errors import InputError

_MAX_TRIES = 100
"""How often to create a folder that another process deletes because it is empty."""
_HIDDEN = ".hpo-draft."


@contextmanager
def writing(what: str) -> Iterator[None]:
    """Turn an `OSError` in the block into an `InputError`: `what` cannot be written."""
    try:
        yield
    except OSError as error:
        raise InputError(f"{what}: cannot be written ({error.strerror or error})") from None


@contextmanager
def replacing(target: Path, root: Path) -> Iterator[BinaryIO]:
    """Write a new file beside `target`, flush it to the disk, and move it to `target`.

    Args:
        target: the file to write.
        root: existing folder; folders below it are created as needed.

    Raises:
        OSError: the file cannot be written; nothing is left of it.
    """
    draft = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
    try:
        with _open_new(draft, root) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        draft.replace(target)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    flush(target.parent)


@contextmanager
def drafting(parent: Path) -> Iterator[Path]:
    """A new hidden folder to fill and rename. It is deleted at the end if it is still there.

    Those that killed processes left in the same place are deleted first: each process locks its
    own, and its locks end with it.

    Args:
        parent: folder of the new one; it is created if missing.

    Raises:
        OSError: the folder cannot be created.
    """
    for left in parent.glob(f"{_HIDDEN}*"):
        with suppress(OSError):  # it is in use, or cannot be locked or deleted
            _delete_unlocked(left)
    draft = hidden(parent)
    draft.mkdir(parents=True)
    handle = os.open(draft, os.O_RDONLY)
    try:
        with suppress(OSError):  # some network file systems have no locks: nobody deletes it then
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield draft
    finally:
        shutil.rmtree(draft, ignore_errors=True)
        os.close(handle)


def hidden(parent: Path) -> Path:
    """A new name for a hidden folder; `drafting` deletes what a killed process leaves there."""
    return parent / f"{_HIDDEN}{uuid.uuid4().hex}"


def _delete_unlocked(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if any(folder.iterdir()):  # an empty one may be new, and not yet locked
            shutil.rmtree(folder)
    finally:
        os.close(handle)


def make_folder(folder: Path, root: Path) -> None:
    """Create a folder and its parents below an existing root, durably."""
    missing = []
    while folder != root and not folder.exists():
        missing.append(folder)
        folder = folder.parent
    for made in reversed(missing):
        made.mkdir(exist_ok=True)
        flush(made.parent)


def flush(folder: Path) -> None:
    """Flush a folder to the disk, so that created, renamed and deleted entries are durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def files_below(folder: Path) -> Iterator[Path]:
    """All files below a folder. Folders that vanish meanwhile are skipped."""

    def check(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError | NotADirectoryError):
            raise error

    for parent, _, names in os.walk(folder, onerror=check):
        yield from (Path(parent, name) for name in names)


def delete_folder(folder: Path) -> None:
    """Delete a folder and everything in it."""
    while folder.exists():
        with suppress(FileNotFoundError):  # another process deletes it too
            shutil.rmtree(folder)


def delete_empty(folder: Path, root: Path) -> None:
    """Delete a folder if it is empty, then its parents below the root that become empty."""
    with suppress(OSError):  # not empty
        while folder != root:
            folder.rmdir()
            folder = folder.parent


def _open_new(path: Path, root: Path) -> BinaryIO:
    """Create a file and its folder, again if another process deletes the empty folder."""
    for _ in range(_MAX_TRIES):
        with suppress(FileNotFoundError, FileExistsError):  # the latter if it came and went
            make_folder(path.parent, root)
            return path.open("xb")
    make_folder(path.parent, root)
    return path.open("xb")
