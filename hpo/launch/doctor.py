"""What this machine can do, and what is wrong with the setup."""

import os
import platform
import shutil
import time
import uuid
from contextlib import closing
from dataclasses import dataclass

import torch

from hpo.config.errors import HpoError, InputError
from hpo.config.version import __version__
from hpo.files.store import ArtifactStore
from hpo.storage import dialects
from hpo.storage.engine import open_storage
from hpo.storage.server import ServerInfo, read_server_info
from hpo.study.catalog import list_studies
from hpo.training import resolve_precision

FREE_BYTES = 2**30
CLOCK_SECONDS = 5.0
"""How far a machine's clock may be from the database's."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that was looked at."""

    what: str
    ok: bool
    detail: str


def examine(storage: str, artifacts: str, n_workers: int = 1) -> list[Finding]:
    """Look at the software, the devices, the storage and the artifact store.

    Args:
        storage: URL of where studies are kept.
        artifacts: URL of where their tables and weights are kept.
        n_workers: workers that are to be started, on whatever machines.
    """
    return [
        Finding(what="hpo", ok=True, detail=f"{__version__}, Python {platform.python_version()}"),
        Finding(what="torch", ok=True, detail=torch.__version__),
        _cores(),
        *_gpus(),
        *_storage(storage, n_workers),
        _artifacts(artifacts),
    ]


def _cores() -> Finding:
    n_cores = len(os.sched_getaffinity(0))
    precision = resolve_precision("auto", 384, torch.device("cpu"))
    return Finding(what="processor", ok=True, detail=f"{n_cores} cores, trains in {precision}")


def _gpus() -> list[Finding]:
    if not torch.cuda.is_available():
        return [Finding(what="GPU", ok=True, detail="none that torch can use")]
    found = []
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        detail = f"{properties.name}, {properties.total_memory / 2**30:.0f} GiB"
        found.append(Finding(what=f"GPU {index}", ok=True, detail=detail))
    return found


def _storage(url: str, n_workers: int) -> list[Finding]:
    """Open the storage, unless it is a SQLite file that no study has made yet."""
    try:
        with closing(open_storage(url, create=False)) as opened:
            detail = f"{opened.safe_url}, {len(list_studies(opened))} studies"
            server = read_server_info(opened)
    except HpoError as error:
        return [Finding(what="storage", ok=_is_future_file(url), detail=str(error))]
    return [
        Finding(what="storage", ok=True, detail=detail),
        _tables(server),
        _clock(server),
        _time_zone(server),
        _connections(server, n_workers),
    ]


def _tables(server: ServerInfo) -> Finding:
    """Others than those this hpo knows do not open."""
    detail = f"version {server.version}, Optuna's {server.optuna_version}"
    return Finding(what="tables", ok=True, detail=detail)


def _clock(server: ServerInfo) -> Finding:
    """Leases go by the database's clock; logs, deadlines and people by each machine's own."""
    ahead = server.ahead_seconds
    if ahead is None:
        return Finding(what="clock", ok=True, detail="SQLite goes by this machine's")
    detail = (
        f"the database's is {abs(ahead):.1f} s {'ahead of' if ahead > 0 else 'behind'} this "
        f"machine's, to within {server.off_by_seconds:.1f} s"
    )
    ok = abs(ahead) <= CLOCK_SECONDS + server.off_by_seconds
    if not ok:
        detail += ": have both set by NTP"
    return Finding(what="clock", ok=ok, detail=detail)


def _time_zone(server: ServerInfo) -> Finding:
    """No zone is wrong; whoever reads the tables by other tools wants to know which is meant."""
    here = f"here {time.strftime('%Z')}; the tables hold UTC whatever they are"
    there = "" if server.time_zone is None else f"the database's {server.time_zone}, "
    return Finding(what="time zone", ok=True, detail=there + here)


def _connections(server: ServerInfo, n_workers: int) -> Finding:
    """Each worker keeps one, and opens a second for moments."""
    left = server.connections_left
    if server.is_pooled:
        detail = "a pooler stands before the server: its own limit counts, two for each worker"
        return Finding(what="connections", ok=True, detail=detail)
    if left is None:
        return Finding(what="connections", ok=True, detail="SQLite does not limit them")
    detail = f"{left} left, and each worker keeps one"
    if left < n_workers:
        detail += f": too few for {n_workers}; raise max_connections, or put a pooler before it"
    return Finding(what="connections", ok=left >= n_workers, detail=detail)


def _is_future_file(url: str) -> bool:
    """Whether the URL names a SQLite file that is not there, in a folder that can hold it."""
    try:
        parsed = dialects.parse(url)
    except InputError:
        return False
    return parsed.drivername == "sqlite" and _is_free(str(parsed.database))


def _artifacts(url: str) -> Finding:
    """Write a file, read it back and delete it; on a local disk, look at the room that is left.

    A folder that no study has made yet is left for one to make.
    """
    if "://" not in url and _is_free(url):
        detail = f"{os.path.abspath(url)}: does not exist yet; hpo create or hpo run makes it"
        return Finding(what="artifacts", ok=True, detail=detail)
    try:
        store = ArtifactStore(url)
        name = f"doctor-{uuid.uuid4()}"  # others may look at the same time
        store.get(name, store.put(name, name.encode()))
        store.delete(name)
    except HpoError as error:
        return Finding(what="artifacts", ok=False, detail=str(error))
    if not os.path.isdir(store.url):
        return Finding(what="artifacts", ok=True, detail=store.safe_url)
    free = shutil.disk_usage(store.url).free
    detail = f"{store.safe_url}, {free / 2**30:.1f} GiB free"
    return Finding(what="artifacts", ok=free > FREE_BYTES, detail=detail)


def _is_free(path: str) -> bool:
    """Whether nothing is at a path, in a folder that can hold it."""
    folder = os.path.dirname(os.path.abspath(path))
    return not os.path.exists(path) and os.path.isdir(folder) and os.access(folder, os.W_OK)
