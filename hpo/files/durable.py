"""Files of a local folder: there whole or not at all, and still there after a loss of power."""

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from hpo.config.errors import InputError

MAX_TRIES = 100
"""How often a folder that vanishes, because it was empty for a moment, is made again."""


@contextmanager
def writing(what: str) -> Iterator[None]:
    """Turn an `OSError` in the block into an `InputError`: `what` cannot be written."""
    try:
        yield
    except OSError as error:
        raise InputError(f"{what}: cannot be written ({error.strerror or error})") from None


@contextmanager
def replacing(target: Path, root: Path) -> Iterator[BinaryIO]:
    """A new file beside a target that takes its place when it was written; flushed to the disk.

    Args:
        target: the file to write.
        root: folders below it are made, it is not.

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


def make_folder(folder: Path, root: Path) -> None:
    """Make a folder and those above it as far as a root, which is there, durably."""
    missing = []
    while folder != root and not folder.exists():
        missing.append(folder)
        folder = folder.parent
    for made in reversed(missing):
        made.mkdir(exist_ok=True)
        flush(made.parent)


def flush(folder: Path) -> None:
    """Make what was made, renamed or deleted in a folder outlast a loss of power."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def files_below(folder: Path) -> Iterator[Path]:
    """The files below a folder; what vanishes meanwhile is passed over."""

    def note(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError | NotADirectoryError):
            raise error

    for parent, _, names in os.walk(folder, onerror=note):
        yield from (Path(parent, name) for name in names)


def delete_folder(folder: Path) -> None:
    """Delete a folder with all that is in it."""
    while folder.exists():
        with suppress(FileNotFoundError):  # another process deletes there too
            shutil.rmtree(folder)


def delete_empty(folder: Path, root: Path) -> None:
    """Delete a folder with nothing in it, and those above it that become empty by that."""
    with suppress(OSError):  # something is in it
        while folder != root:
            folder.rmdir()
            folder = folder.parent


def _open_new(path: Path, root: Path) -> BinaryIO:
    """Open a new file; its folder is made, again when it vanishes because it was empty."""
    for _ in range(MAX_TRIES):
        with suppress(FileNotFoundError, FileExistsError):  # the latter where it came and went
            make_folder(path.parent, root)
            return path.open("xb")
    make_folder(path.parent, root)
    return path.open("xb")
