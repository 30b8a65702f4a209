"""A cache of this machine's: files from afar, each fetched once however many processes want it.

A file is looked at whenever it is read, by a function that knows what it must hold; one that is
damaged is fetched again. Whoever fetches holds a lock on the draft, which ends with its process,
and the draft of a killed one is written anew or swept away. Where the folder cannot be used, files
are read without it. What was not used for a month goes when something else comes; the folder may be
emptied at any time.
"""

import fcntl
import logging
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from hpo.config.errors import HpoError

T = TypeVar("T")
log = logging.getLogger(__name__)

KEEP_SECONDS = 30 * 86400.0
WAIT_SECONDS = 600.0
"""How long to wait for the process that fetches a file: it may be stopped."""
POLL_SECONDS = 0.1
DRAFT = ".draft"

_unusable: set[Path] = set()


def cache_folder() -> Path:
    """Where the cache is: HPO_CACHE, or hpo in the user's folder for caches."""
    if own := os.environ.get("HPO_CACHE"):
        return Path(own).expanduser().absolute()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser().absolute() / "hpo"


def cached(kind: str, name: str, fetch: Callable[[Path], object], read: Callable[[Path], T]) -> T:
    """Read a file by way of the cache.

    Args:
        kind: the folder in the cache.
        name: the file's, by which its content is known.
        fetch: writes it to a path; raises an OSError where that cannot be written.
        read: makes of it what is wanted; raises an HpoError if it is not what it must be.

    Raises:
        HpoError: of `fetch`, or of `read` about a file that was just fetched.
    """
    folder = cache_folder() / kind
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return _through(folder / name, fetch, read)
    except OSError as error:
        if folder not in _unusable:
            _unusable.add(folder)
            why = error.strerror or error
            log.warning("cache %s cannot be used: %s; going on without it", folder, why)
    with tempfile.TemporaryDirectory(prefix="hpo-") as place:
        file = Path(place, name)
        fetch(file)
        return read(file)


def _through(entry: Path, fetch: Callable[[Path], object], read: Callable[[Path], T]) -> T:
    if found := _found(entry, read):
        return found[0]
    draft = entry.with_name(f".{entry.name}{DRAFT}")
    with _locked(draft):
        if found := _found(entry, read):  # fetched meanwhile
            return found[0]
        fetch(draft)
        value = read(draft)
        draft.replace(entry)
    _sweep(entry.parent)
    return value


def _found(entry: Path, read: Callable[[Path], T]) -> list[T]:
    """What an entry holds; nothing where it is not there, or damaged."""
    try:
        value = read(entry)
    except FileNotFoundError:
        return []
    except HpoError as error:
        log.warning("cache: %s is damaged and fetched again: %s", entry, error)
        return []
    with suppress(OSError):  # a folder that can be read alone serves as well
        os.utime(entry)
    return [value]


@contextmanager
def _locked(draft: Path) -> Iterator[None]:
    """Hold a draft's lock; the draft is gone afterwards, unless it was given another name.

    Raises:
        OSError: the folder cannot be written, or another process held the lock for too long.
    """
    deadline = time.monotonic() + WAIT_SECONDS
    while (handle := _lock(draft)) is None:
        if time.monotonic() > deadline:
            raise TimeoutError(0, f"another process has been fetching for {WAIT_SECONDS:.0f} s")
        time.sleep(POLL_SECONDS)
    try:
        yield
    finally:
        if _is_at(draft, handle):
            draft.unlink()
        os.close(handle)


def _lock(draft: Path) -> int | None:
    """A draft, opened and locked; None while another process holds it."""
    handle = os.open(draft, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        with suppress(BlockingIOError):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Whoever held it before may have deleted it, or given it its name.
            if _is_at(draft, handle):
                return handle
    except OSError:
        os.close(handle)
        raise
    os.close(handle)
    return None


def _is_at(path: Path, handle: int) -> bool:
    """Whether a path still leads to an open file."""
    try:
        return os.path.samestat(os.fstat(handle), os.stat(path))
    except FileNotFoundError:
        return False


def _sweep(folder: Path) -> None:
    """Delete what was not used for long, and what killed processes left."""
    latest = time.time() - KEEP_SECONDS
    with suppress(OSError):
        for path in folder.iterdir():
            if path.name.endswith(DRAFT):
                _clear(path)
            elif path.stat().st_mtime < latest:
                path.unlink()


def _clear(draft: Path) -> None:
    """Delete a draft that nobody is writing."""
    if (handle := _lock(draft)) is not None:
        draft.unlink()
        os.close(handle)
