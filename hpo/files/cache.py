"""Local cache of remote files: each is fetched once, even if many processes want it.

The caller's reader checks a file at each read, and a damaged file is fetched again. A process holds
a lock while it fetches. If the cache folder cannot be used, files are read without it. Files that
were not used for a month are deleted. The folder may be emptied at any time.
"""

import logging
import os
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from filelock import FileLock

from hpo.config.errors import HpoError

T = TypeVar("T")
log = logging.getLogger(__name__)

_KEEP_SECONDS = 30 * 86400.0
_DRAFT_SECONDS = 3600.0
"""A draft that was not written to for this long was left by a killed process."""
_WAIT_SECONDS = 600.0
"""How long to wait for another process that fetches the same file: it may be suspended."""
_DRAFT, _LOCK = ".draft", ".lock"

_unusable: set[Path] = set()


def cache_folder() -> Path:
    """Folder of the cache: HPO_CACHE, or `hpo` in the user's cache folder."""
    if own := os.environ.get("HPO_CACHE"):
        return Path(own).expanduser().absolute()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser().absolute() / "hpo"


def cached(kind: str, name: str, fetch: Callable[[Path], object], read: Callable[[Path], T]) -> T:
    """Read a file through the cache.

    Args:
        kind: subfolder of the cache.
        name: of the file; identifies its content.
        fetch: writes the file to a path; raises an OSError if the path cannot be written.
        read: reads the file at a path; raises an HpoError if its content is wrong.

    Raises:
        HpoError: from `fetch`, or from `read` for a file that was just fetched.
    """
    folder = cache_folder() / kind
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return _read_through(folder / name, fetch, read)
    except OSError as error:
        if folder not in _unusable:
            _unusable.add(folder)
            why = error.strerror or error
            log.warning("cache %s cannot be used: %s; going on without it", folder, why)
    with tempfile.TemporaryDirectory(prefix="hpo-") as temporary:
        file = Path(temporary, name)
        fetch(file)
        return read(file)


def _read_through(entry: Path, fetch: Callable[[Path], object], read: Callable[[Path], T]) -> T:
    if found := _read_entry(entry, read):
        return found[0]
    draft = entry.with_name(f".{entry.name}{_DRAFT}")
    with FileLock(entry.with_name(f".{entry.name}{_LOCK}"), timeout=_WAIT_SECONDS):
        if found := _read_entry(entry, read):  # another process has fetched it
            return found[0]
        try:
            fetch(draft)
            value = read(draft)
            draft.replace(entry)
        finally:
            draft.unlink(missing_ok=True)
    _sweep(entry.parent)
    return value


def _read_entry(entry: Path, read: Callable[[Path], T]) -> list[T]:
    """Content of an entry; empty if it is missing or damaged."""
    try:
        value = read(entry)
    except FileNotFoundError:
        return []
    except HpoError as error:
        log.warning("cache: %s is damaged and fetched again: %s", entry, error)
        return []
    with suppress(OSError):  # a read-only folder is usable too
        os.utime(entry)
    return [value]


def _sweep(folder: Path) -> None:
    """Delete unused files, and drafts that killed processes left."""
    now = time.time()
    with suppress(OSError):
        for path in folder.iterdir():
            limit = _DRAFT_SECONDS if path.suffix == _DRAFT else _KEEP_SECONDS
            if path.suffix != _LOCK and now - path.stat().st_mtime > limit:
                path.unlink()
