"""Load of a database server, from its own statistics and the kernel's."""

import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from hpo.storage import dialects

TICK = 1 / os.sysconf("SC_CLK_TCK")

TRANSACTIONS = {
    "postgresql": (
        "SELECT xact_commit + xact_rollback FROM pg_stat_database"
        " WHERE datname = current_database()"
    ),
    "mysql": (
        "SELECT sum(variable_value) FROM information_schema.global_status"
        " WHERE variable_name IN ('COM_COMMIT', 'COM_ROLLBACK')"
    ),
}
CONNECTIONS = {
    "postgresql": "SELECT count(*) - 1 FROM pg_stat_activity WHERE backend_type = 'client backend'",
    "mysql": "SELECT count(*) - 1 FROM information_schema.processlist",
}
"""Not counting the connection that asks."""
SAMPLE_SECONDS = 0.5


@dataclass(frozen=True, kw_only=True)
class Load:
    """Average load over a period.

    Attributes:
        transactions: transactions per second, without those of the measurement. PostgreSQL also
            counts each check whether a connection is alive. None without a server.
        n_connections: maximum number of connections; None without a server.
        processor: cores that the server used; None if unknown.
        machine: cores of this machine in use by any process.
    """

    transactions: float | None
    n_connections: int | None
    processor: float | None
    machine: float


def watch(url: str, seconds: float) -> Load:
    """Measure the load of a storage's server for `seconds`."""
    engine = dialects.read_only_engine(dialects.parse(url))
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        n_connections: list[int] = []
        before = _look(connection)
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            time.sleep(min(left, SAMPLE_SECONDS))
            n_connections += _ask(connection, CONNECTIONS)
        after = _look(connection)
    passed = after[0] - before[0]
    _, machine, transactions, processor = (
        None if first is None or last is None else (last - first) / passed
        for first, last in zip(before, after, strict=True)
    )
    assert machine is not None
    own = len(n_connections) / passed
    return Load(
        transactions=None if transactions is None else transactions - own,
        n_connections=max(n_connections, default=None),
        processor=processor,
        machine=machine,
    )


def _look(connection: Connection) -> tuple[float, float, int | None, float | None]:
    """Time, CPU seconds of this machine, number of transactions, CPU seconds of the server."""
    transactions = next(iter(_ask(connection, TRANSACTIONS)), None)
    return time.monotonic(), _machine(), transactions, server_seconds(connection)


def _ask(connection: Connection, queries: Mapping[str, str]) -> list[int]:
    """The server's answer; empty without a server."""
    query = queries.get(connection.dialect.name)
    return [] if query is None else [int(connection.scalar(sa.text(query)) or 0)]


def server_seconds(connection: Connection) -> float | None:
    """CPU seconds of all server processes, if the server runs on this machine."""
    try:
        match connection.dialect.name:
            case "postgresql":
                server = _parent(int(connection.scalar(sa.text("SELECT pg_backend_pid()")) or 0))
                backends = sum(sum(_times(pid)[:2]) for pid in _children(server))
                return (sum(_times(server)) + backends) * TICK
            case "mysql":
                file = Path(str(connection.scalar(sa.text("SELECT @@pid_file"))))
                return process_seconds(int(file.read_text()))
    except (OSError, ValueError):
        pass
    return None


def process_seconds(pid: int) -> float:
    """CPU seconds of a process."""
    return sum(_times(pid)[:2]) * TICK


def _machine() -> float:
    """CPU seconds of this machine since its start."""
    user, nice, system, _, _, *others = Path("/proc/stat").read_text().split()[1:8]
    return sum(map(int, (user, nice, system, *others))) * TICK


def _stat(pid: int) -> list[str]:
    """Fields of /proc/PID/stat after the process name."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _parent(pid: int) -> int:
    if "postgres" not in Path(f"/proc/{pid}/comm").read_text():
        raise ValueError(f"process {pid} of this machine is no server's")
    return int(_stat(pid)[1])


def _times(pid: int) -> tuple[int, int, int, int]:
    """Ticks of a process in user mode and in the kernel, and of its children that ended."""
    user, system, of_children, in_kernel = map(int, _stat(pid)[11:15])
    return user, system, of_children, in_kernel


def _children(parent: int) -> Iterator[int]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                is_child = int(_stat(int(entry.name))[1]) == parent
            except OSError:  # it ended meanwhile
                continue
            if is_child:
                yield int(entry.name)
