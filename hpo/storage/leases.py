"""Leases: which worker may write a trial and for how long; and the clock of each study.

A lease is a row with a secret token. A worker touches its lease by the token before it writes a
trial; if no row matches, the lease was lost. The database's time decides when a lease expires.

All functions take a connection inside a transaction; none commits.
"""

import time
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from hpo.storage.rows import upsert, write_rows
from hpo.storage.schema import CLOCKS, LEASES, TRIALS, WORKERS

_CLOCK = {
    "postgresql": "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS bigint)",
    "mysql": "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(3)) DIV 1000",
}
"""Milliseconds since 1970 in UTC, regardless of the session's time zone."""


@dataclass(frozen=True, kw_only=True)
class WorkerId:
    """The identity of a worker process.

    Attributes:
        device: model of the GPU or of the processor.
        share: fraction of the device that this worker uses.
        nonce: tells apart workers of the same host and process id, in other containers or at other
            times.
    """

    host: str
    pid: int
    device: str
    share: float = 1.0
    nonce: str = ""

    @property
    def key(self) -> str:
        """A unique name."""
        return worker_key(self.host, self.pid, self.nonce)


def worker_key(host: str, pid: int, nonce: str) -> str:
    """The unique name under which a storage keeps a worker."""
    return f"{host[:40]}:{pid}" + (f":{nonce}" if nonce else "")


@dataclass(frozen=True, kw_only=True)
class Clock:
    """How long workers have worked on a study.

    Attributes:
        busy_seconds: time during which at least one lease was live.
        device_seconds: device time: the time during which each worker held a lease, times its share
            of a device, summed over workers.
    """

    busy_seconds: float
    device_seconds: float


@dataclass(frozen=True, kw_only=True)
class Lease:
    """The right to write a trial; `attempt` counts the trial's claims from 1."""

    trial_id: int
    number: int
    token: str
    attempt: int


@dataclass(frozen=True, kw_only=True)
class LeaseRow:
    """A lease as its row was read.

    Attributes:
        beat: a counter that every write of the holder raises.
        wait_ms: how long the beat must stay unchanged before the lease is taken away.
    """

    trial_id: int
    number: int
    token: str = field(repr=False)
    beat: int
    lease_ms: int
    wait_ms: float = field(default=0.0, compare=False)


def now(connection: Connection) -> sa.ColumnElement[int]:
    """The database's time in ms since 1970, as an SQL expression.

    SQLite has no clock of its own and gets this process's time.
    """
    if connection.dialect.name == "sqlite":
        return sa.literal(time.time_ns() // 1_000_000, sa.BigInteger)
    return sa.literal_column(f"({_CLOCK[connection.dialect.name]})", sa.BigInteger)


def grant(
    connection: Connection,
    study_id: int,
    leases: Collection[Lease],
    worker: WorkerId,
    lease_seconds: float,
) -> None:
    """Insert the leases of a worker on trials that have none."""
    write_worker(connection, worker)
    lease_ms = round(lease_seconds * 1000)
    expires_ms = connection.execute(sa.select(now(connection) + lease_ms)).scalar_one()
    about = {
        "study_id": study_id,
        "worker_id": worker.key,
        "beat": 0,
        "lease_ms": lease_ms,
        "expires_ms": expires_ms,
    }
    rows = [{"trial_id": lease.trial_id, "token": lease.token, **about} for lease in leases]
    insert = upsert(connection, LEASES, ["trial_id"], list(rows[0]))  # SQLite reuses ids
    write_rows(connection, insert, rows)


def write_worker(connection: Connection, worker: WorkerId) -> None:
    """Write the row of a worker."""
    machine = {key: getattr(worker, key) for key in ("host", "pid", "device", "share")}
    insert = upsert(connection, WORKERS, ["worker_id"], list(machine))
    connection.execute(insert.values(worker_id=worker.key, **machine))


def read_worker(row: sa.Row[Any]) -> WorkerId:
    """The worker of a row, without its nonce.

    Several studies show it, so that a damaged number, which SQLite may hold, stops none of them.
    """
    pid = row.pid if isinstance(row.pid, int) else 0
    share = row.share if isinstance(row.share, float) else 1.0
    return WorkerId(host=str(row.host), pid=pid, device=str(row.device), share=share)


def touch(
    connection: Connection, leases: Collection[Lease], lease_seconds: float | None = None
) -> set[int]:
    """Touch leases with one statement, and renew them for `lease_seconds` if given.

    Returns:
        Ids of the trials whose lease is still held.
    """
    values: dict[str, Any] = {"beat": LEASES.c.beat + 1}
    if lease_seconds is not None:
        values["expires_ms"] = now(connection) + round(lease_seconds * 1000)
    touched = connection.execute(sa.update(LEASES).where(_own(leases)).values(values))
    if touched.rowcount < len(leases):
        return still_held(connection, leases)
    return {lease.trial_id for lease in leases}


def still_held(connection: Connection, leases: Collection[Lease]) -> set[int]:
    """Ids of the trials whose lease is still held; writes nothing."""
    query = sa.select(LEASES.c.trial_id).where(_own(leases))
    return set(connection.execute(query).scalars())


def has_run_out(connection: Connection, leases: Collection[Lease]) -> bool:
    """Whether any of these leases has expired."""
    ids = [lease.trial_id for lease in leases]
    over = LEASES.c.trial_id.in_(ids) & (LEASES.c.expires_ms < now(connection))
    query = sa.select(LEASES.c.trial_id).where(over).limit(1)
    return connection.execute(query).one_or_none() is not None


def expired(connection: Connection, study_id: int) -> list[LeaseRow]:
    """A study's expired leases, each with the time to wait before it is taken away.

    A server has one clock, and a live worker beats at least every third of a lease. On SQLite each
    process uses its own clock. A lease that expired long ago, or expires later than possible, may
    belong to a live worker with a wrong clock: it gets a whole lease to show a beat. If a worker's
    clock is off by exactly one lease, its lease looks expired before every beat: two beats must be
    missing.
    """
    query = _select_leases(connection, study_id)
    if connection.dialect.name != "sqlite":
        query = query.where(LEASES.c.expires_ms < now(connection))
    found = []
    for row in connection.execute(query):
        left, third = row.expires_ms - row.now_ms, row.lease_ms / 3
        if connection.dialect.name != "sqlite":
            found.append(_lease_row(row, third))
        elif left < -third or left > 1.5 * row.lease_ms:
            found.append(_lease_row(row, 3 * third))
        elif left < 0:
            found.append(_lease_row(row, 2 * third))
    return found


def held_by(connection: Connection, study_id: int, worker: str) -> list[LeaseRow]:
    """The leases of a study that the worker with this key holds."""
    query = _select_leases(connection, study_id).where(LEASES.c.worker_id == worker)
    return list(map(_lease_row, connection.execute(query)))


def studies_of(connection: Connection, worker: str | None = None) -> list[int]:
    """Ids of the studies whose trials the worker with this key holds, or any worker."""
    query = sa.select(LEASES.c.study_id).distinct()
    if worker is not None:
        query = query.where(LEASES.c.worker_id == worker)
    return list(connection.execute(query).scalars())


def live_holders(connection: Connection, study_id: int) -> list[tuple[str, int]]:
    """Host and process id of the workers that hold a live lease of a study."""
    is_live = (LEASES.c.study_id == study_id) & (LEASES.c.expires_ms > now(connection))
    query = (
        sa.select(WORKERS.c.host, WORKERS.c.pid)
        .join(LEASES, LEASES.c.worker_id == WORKERS.c.worker_id)
        .join(TRIALS, TRIALS.c.trial_id == LEASES.c.trial_id)
        .where(is_live)
        .distinct()
        .order_by(WORKERS.c.host, WORKERS.c.pid)
    )
    return [(row.host, row.pid) for row in connection.execute(query)]


def is_still(connection: Connection, seen: LeaseRow) -> bool:
    """Lock a lease and return whether it is unchanged; its holder's next write waits."""
    still = (LEASES.c.token == seen.token) & (LEASES.c.beat == seen.beat)
    own = LEASES.c.trial_id == seen.trial_id
    query = sa.select(LEASES.c.trial_id).where(own & still).with_for_update()
    return connection.execute(query).one_or_none() is not None


def tick(connection: Connection, study_id: int) -> Clock:
    """Bring the study's clock up to date and return it; call this before leases change.

    The clock runs while any lease is live, until the last one expires. Renewing a live lease does
    not change it.
    """
    values = _clock_row(connection, study_id, lock=True)
    connection.execute(sa.update(CLOCKS).where(CLOCKS.c.study_id == study_id).values(values))
    return _in_seconds(values)


def read_clock(connection: Connection, study_id: int) -> Clock:
    """The study's clock as of now; writes nothing."""
    return _in_seconds(_clock_row(connection, study_id, lock=False))


def end(connection: Connection, trial_ids: Collection[int]) -> None:
    """End the leases of trials."""
    connection.execute(sa.delete(LEASES).where(LEASES.c.trial_id.in_(trial_ids)))


def _own(leases: Collection[Lease]) -> sa.ColumnElement[bool]:
    ids, tokens = [lease.trial_id for lease in leases], [lease.token for lease in leases]
    return LEASES.c.trial_id.in_(ids) & LEASES.c.token.in_(tokens)


def _select_leases(connection: Connection, study_id: int) -> sa.Select[Any]:
    return (
        sa.select(LEASES, TRIALS.c.number, now(connection).label("now_ms"))
        .join(TRIALS, TRIALS.c.trial_id == LEASES.c.trial_id)
        .where(LEASES.c.study_id == study_id)
        .order_by(TRIALS.c.number)
    )


def _lease_row(row: sa.Row[Any], wait_ms: float = 0.0) -> LeaseRow:
    return LeaseRow(
        trial_id=row.trial_id,
        number=row.number,
        token=row.token,
        beat=row.beat,
        lease_ms=row.lease_ms,
        wait_ms=wait_ms,
    )


def _clock_row(connection: Connection, study_id: int, *, lock: bool) -> dict[str, int]:
    """A study's clock advanced to now, as the columns of its row; zeros for a deleted study."""
    query = sa.select(CLOCKS, now(connection).label("now_ms")).where(CLOCKS.c.study_id == study_id)
    row = connection.execute(query.with_for_update() if lock else query).one_or_none()
    if row is None:
        return {"busy_ms": 0, "device_ms": 0, "seen_ms": 0}
    until = sa.func.max(LEASES.c.expires_ms)
    span = sa.case((until > row.now_ms, row.now_ms), else_=until) - row.seen_ms
    workers = (
        sa.select(span.label("span"), WORKERS.c.share)
        .join(WORKERS, WORKERS.c.worker_id == LEASES.c.worker_id)
        .where(LEASES.c.study_id == row.study_id)
        .group_by(LEASES.c.worker_id, WORKERS.c.share)
        .subquery()
    )
    spent = (sa.func.max(workers.c.span), sa.func.sum(workers.c.span * workers.c.share))
    busy, device = connection.execute(sa.select(*spent).where(workers.c.span > 0)).one()
    return {
        "busy_ms": row.busy_ms + int(busy or 0),
        "device_ms": row.device_ms + round(device or 0.0),
        "seen_ms": max(row.now_ms, row.seen_ms),
    }


def _in_seconds(row: dict[str, int]) -> Clock:
    return Clock(busy_seconds=row["busy_ms"] / 1000, device_seconds=row["device_ms"] / 1000)
