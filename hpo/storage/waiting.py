"""Workers that hold no trial: they announce every `ANNOUNCE_SECONDS` what they wait for.

All functions take a connection inside a transaction; none commits.
"""

from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from hpo.storage import leases
from hpo.storage.leases import WorkerId
from hpo.storage.rows import upsert
from hpo.storage.schema import MAX_REASON, WAITING, WORKERS

ANNOUNCE_SECONDS = 15.0
_SILENT_MS = round(3000 * ANNOUNCE_SECONDS)
"""A worker that has not announced anything for so long is dead or cut off."""


@dataclass(frozen=True, kw_only=True)
class WaitingWorker:
    """A worker that holds no trial.

    Attributes:
        seconds: how long it has waited.
        reason: what it waits for, in a few words.
    """

    worker: WorkerId
    seconds: float
    reason: str


def announce(connection: Connection, worker: WorkerId, reason: str) -> None:
    """Write that a worker still waits, and for what; forget workers that are gone."""
    now = connection.execute(sa.select(leases.now(connection))).scalar_one()
    connection.execute(sa.delete(WAITING).where(WAITING.c.seen_ms < now - _SILENT_MS))
    leases.write_worker(connection, worker)
    row = {
        "worker_id": worker.key,
        "since_ms": now,
        "seen_ms": now,
        "reason": reason[:MAX_REASON],
    }
    connection.execute(upsert(connection, WAITING, ["worker_id"], ["seen_ms", "reason"]), row)


def withdraw(connection: Connection, worker: WorkerId) -> None:
    """Write that a worker no longer waits."""
    connection.execute(sa.delete(WAITING).where(WAITING.c.worker_id == worker.key))


def read_waiting(connection: Connection) -> list[WaitingWorker]:
    """The workers that wait, ordered by host and process id."""
    now = leases.now(connection)
    query = (
        sa.select(WORKERS, WAITING.c.reason, (now - WAITING.c.since_ms).label("waited_ms"))
        .join(WAITING, WAITING.c.worker_id == WORKERS.c.worker_id)
        .where(WAITING.c.seen_ms >= now - _SILENT_MS)
        .order_by(WORKERS.c.host, WORKERS.c.pid, WORKERS.c.worker_id)
    )
    return [
        WaitingWorker(
            worker=leases.read_worker(row),
            seconds=max(0, row.waited_ms) / 1000,
            reason=str(row.reason),
        )
        for row in connection.execute(query)
    ]
