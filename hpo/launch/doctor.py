"""Checks of this machine, the storage and the artifact store, for `hpo doctor`."""

import os
import platform
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

import torch

from hpo.config.errors import DamagedStudyError, HpoError
from hpo.config.version import __version__
from hpo.files.store import ArtifactStore
from hpo.storage import dialects
from hpo.storage.engine import Storage, open_storage
from hpo.storage.server import ServerInfo, read_server_info
from hpo.study.damage import find_damage
from hpo.study.row import read_rows
from hpo.training.precision import resolve_precision

_MAX_FLAWS = 3
"""Number of damaged values to name of each study."""
_MIN_FREE_BYTES = 2**30
_MAX_CLOCK_SECONDS = 5.0
"""Maximum difference between this machine's clock and the database's."""


@dataclass(frozen=True)
class Finding:
    """Result of a check.

    Attributes:
        what: the thing that was checked.
        detail: what was found.
        ok: whether it is as it should be.
    """

    what: str
    detail: str
    ok: bool = True


def examine(storage: str, artifacts: str, n_workers: int = 1) -> list[Finding]:
    """Check the software, the devices, the storage and the artifact store.

    Args:
        storage: URL of the storage.
        artifacts: URL of the artifact store.
        n_workers: number of workers to be started, on all machines.
    """
    return [
        Finding("hpo", f"{__version__}, Python {platform.python_version()}"),
        Finding("torch", torch.__version__),
        *_devices(),
        *_storage(storage, n_workers),
        _artifacts(artifacts),
    ]


def _devices() -> Iterator[Finding]:
    n_cores = len(os.sched_getaffinity(0))
    precision = resolve_precision("auto", 384, torch.device("cpu"))
    yield Finding("processor", f"{n_cores} cores, trains in {precision}")
    n_gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if not n_gpus:
        yield Finding("GPU", "none that torch can use")
    for index in range(n_gpus):
        properties = torch.cuda.get_device_properties(index)
        memory = f"{properties.total_memory / 2**30:.0f} GiB"
        yield Finding(f"GPU {index}", f"{properties.name}, {memory}")


def _storage(url: str, n_workers: int) -> list[Finding]:
    """Check the storage; a SQLite file that does not exist yet is fine."""
    try:
        with closing(open_storage(url, create=False)) as opened:
            studies = list(_studies(opened))
            server = read_server_info(opened)
    except HpoError as error:
        return [Finding("storage", str(error), _is_future_file(url))]
    zone = f"the database's {server.time_zone}, " if server.time_zone else ""
    here = f"here {time.strftime('%Z')}; the tables hold UTC in any case"
    return [
        *studies,
        Finding("tables", f"version {server.version}, Optuna's {server.optuna_version}"),
        _clock(server),
        Finding("time zone", zone + here),
        _connections(server, n_workers),
    ]


def _studies(storage: Storage) -> Iterator[Finding]:
    """Read all rows of every study, and say which studies cannot be read, and why."""
    with storage.read() as connection:
        rows = read_rows(connection, storage.safe_url)
        found = [(row, find_damage(connection, row, at_most=_MAX_FLAWS)) for row in rows]
    n_sound = sum(row.obstacle is None and not flaws for row, flaws in found)
    yield Finding("storage", f"{storage.safe_url}, {n_sound} studies")
    for row, flaws in found:
        for flaw in flaws:
            error = DamagedStudyError(row.name, storage.safe_url, flaw, is_ours=row.is_ours)
            yield Finding("study", str(error), ok=False)
        if row.is_ours and row.obstacle is not None and not flaws:
            yield Finding("study", str(row.obstacle), ok=row.moved_to is not None)


def _clock(server: ServerInfo) -> Finding:
    """Compare the database's clock, which times leases, with this machine's, which times logs."""
    ahead = server.ahead_seconds
    if ahead is None:
        return Finding("clock", "SQLite uses this machine's")
    ok = abs(ahead) <= _MAX_CLOCK_SECONDS + server.off_by_seconds
    detail = (
        f"the database's is {abs(ahead):.1f} s {'ahead of' if ahead > 0 else 'behind'} this "
        f"machine's, to within {server.off_by_seconds:.1f} s"
    )
    return Finding("clock", detail if ok else f"{detail}: synchronize both with NTP", ok)


def _connections(server: ServerInfo, n_workers: int) -> Finding:
    """Check the free connections; a worker keeps one, and sometimes opens a second briefly."""
    left = server.connections_left
    if server.is_pooled:
        detail = "a pooler is in front of the server: its own limit counts, two for each worker"
        return Finding("connections", detail)
    if left is None:
        return Finding("connections", "SQLite does not limit them")
    detail = f"{left} left, and each worker keeps one"
    if left < n_workers:
        detail += f": too few for {n_workers}; raise max_connections, or use a pooler"
    return Finding("connections", detail, left >= n_workers)


def _is_future_file(url: str) -> bool:
    """Whether a URL names a SQLite file that can be created."""
    try:
        parsed = dialects.parse(url)
    except HpoError:
        return False
    return parsed.get_backend_name() == "sqlite" and _can_create(parsed.database or "")


def _artifacts(url: str) -> Finding:
    """Write, read and delete a file in the store, and check the free space of a local disk.

    A folder that does not exist yet is not created.
    """
    if "://" not in url and _can_create(url):
        detail = f"{os.path.abspath(url)}: does not exist yet; hpo create or hpo run makes it"
        return Finding("artifacts", detail)
    try:
        store = ArtifactStore(url)
        name = f"doctor-{uuid.uuid4()}"  # others may check at the same time
        store.get(name, store.put(name, name.encode()))
        store.delete(name)
    except HpoError as error:
        return Finding("artifacts", str(error), ok=False)
    if not os.path.isdir(store.url):
        return Finding("artifacts", store.safe_url)
    free = shutil.disk_usage(store.url).free
    detail = f"{store.safe_url}, {free / 2**30:.1f} GiB free"
    return Finding("artifacts", detail, free > _MIN_FREE_BYTES)


def _can_create(path: str) -> bool:
    """Whether a path does not exist, in a folder that this user can write to."""
    folder = os.path.dirname(os.path.abspath(path))
    return not os.path.exists(path) and os.path.isdir(folder) and os.access(folder, os.W_OK)
