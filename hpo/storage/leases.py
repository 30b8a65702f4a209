"""Leases: who may write a trial, for how long, and how long a study was worked on.

A lease is a row with a secret token. Whoever writes a trial touches its lease by the token first:
no row touched means that the lease was taken away. The database's time decides when one runs out.

Functions take a connection inside a transaction; none commits.
"""

import time
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from hpo.config.errors import LeaseLostError
from hpo.storage.rows import upsert, write_rows
from hpo.storage.schema import CLOCKS, LEASES, TRIALS, WORKERS

CLOCK = {
    "postgresql": "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS bigint)",
    "mysql": "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(3)) DIV 1000",
}
"""The time in ms since 1970, in UTC whatever the session's time zone."""


@dataclass(frozen=True, kw_only=True)
class WorkerId:
    """What a storage shows of a worker.

    Attributes:
        device: the model of its GPU, or of its processor.
        share: the part of the device that is this worker's.
        nonce: tells it from others of the same process id, in other containers or at other times.
    """

    host: str
    pid: int
    device: str
    share: float = 1.0
    nonce: str = ""

    @property
    def key(self) -> str:
        """A name for it that no other worker has."""
        return worker_key(self.host, self.pid, self.nonce)


def worker_key(host: str, pid: int, nonce: str) -> str:
    """The name under which a storage knows a worker."""
    return f"{host[:40]}:{pid}" + (f":{nonce}" if nonce else "")


@dataclass(frozen=True, kw_only=True)
class Clock:
    """How long a study was worked on.

    Attributes:
        busy_ms: time in which at least one lease was alive.
        device_ms: time of the workers that held one, added up, each by its share of a device.
    """

    busy_ms: int
    device_ms: int

    @property
    def busy_seconds(self) -> float:
        """`busy_ms` as budgets count."""
        return self.busy_ms / 1000

    @property
    def device_seconds(self) -> float:
        """`device_ms` likewise."""
        return self.device_ms / 1000


@dataclass(frozen=True, kw_only=True)
class Lease:
    """The right to write a trial; `attempt` counts from 1 how often it was claimed."""

    trial_id: int
    number: int
    token: str
    attempt: int


@dataclass(frozen=True, kw_only=True)
class Sighting:
    """A lease as a look at the table found it.

    Attributes:
        beat: changes whenever its holder writes.
        wait_ms: how long the beat must stay as it is until the lease is taken away.
    """

    trial_id: int
    number: int
    token: str = field(repr=False)
    beat: int
    lease_ms: int
    wait_ms: float = field(default=0.0, compare=False)


def now(connection: Connection) -> sa.ColumnElement[int]:
    """The database's time in ms since 1970, as a part of a statement.

    SQLite has none of its own: there it is this process's clock.
    """
    if connection.dialect.name == "sqlite":
        return sa.literal(time.time_ns() // 1_000_000, sa.BigInteger)
    return sa.literal_column(f"({CLOCK[connection.dialect.name]})", sa.BigInteger)


def grant(
    connection: Connection,
    study_id: int,
    leases: Collection[Lease],
    worker: WorkerId,
    lease_seconds: float,
) -> None:
    """Put trials that have no lease under these."""
    _sign_on(connection, worker)
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


def touch(
    connection: Connection, leases: Collection[Lease], lease_seconds: float | None = None
) -> set[int]:
    """Touch leases by one statement, and renew them when `lease_seconds` says for how long.

    Returns:
        Ids of the trials whose lease is still held; the others belong to somebody else.
    """
    values: dict[str, Any] = {"beat": LEASES.c.beat + 1}
    if lease_seconds is not None:
        values["expires_ms"] = now(connection) + round(lease_seconds * 1000)
    ids, tokens = [lease.trial_id for lease in leases], [lease.token for lease in leases]
    own = LEASES.c.trial_id.in_(ids) & LEASES.c.token.in_(tokens)
    touched = connection.execute(sa.update(LEASES).where(own).values(values))
    return set(ids) if touched.rowcount == len(ids) else still_held(connection, leases)


def still_held(connection: Connection, leases: Collection[Lease]) -> set[int]:
    """Ids of the trials whose lease is as these say; touches none."""
    ids, tokens = [lease.trial_id for lease in leases], [lease.token for lease in leases]
    own = LEASES.c.trial_id.in_(ids) & LEASES.c.token.in_(tokens)
    return set(connection.execute(sa.select(LEASES.c.trial_id).where(own)).scalars())


def has_run_out(connection: Connection, leases: Collection[Lease]) -> bool:
    """Whether one of these is there that was not renewed in time."""
    ids = [lease.trial_id for lease in leases]
    over = LEASES.c.trial_id.in_(ids) & (LEASES.c.expires_ms < now(connection))
    query = sa.select(LEASES.c.trial_id).where(over).limit(1)
    return connection.execute(query).one_or_none() is not None


def fence(connection: Connection, lease: Lease) -> None:
    """Touch the one lease that the following writes rest on.

    Raises:
        LeaseLostError: it is another worker's now.
    """
    if not touch(connection, [lease]):
        raise LeaseLostError(f"trial {lease.number} belongs to another worker now")


def expired(connection: Connection, study_id: int) -> list[Sighting]:
    """The study's leases that have run out, or seem to.

    A server has one clock: whoever is alive beats within a third of a lease. On SQLite each process
    goes by its own, and a lease that is long over, or ends later than it can, may be one of a
    worker whose clock is wrong, and alive: it has a whole lease to show a beat. One whose clock is
    wrong by just a lease seems to be late before every beat: two of them must be missing.
    """
    query = _sightings(connection, study_id)
    if connection.dialect.name != "sqlite":
        query = query.where(LEASES.c.expires_ms < now(connection))
    found = []
    for row in connection.execute(query):
        left, third = row.expires_ms - row.now_ms, row.lease_ms / 3
        if connection.dialect.name != "sqlite":
            wait_ms = third if left < 0 else None
        elif left < -third or left > 1.5 * row.lease_ms:
            wait_ms = 3 * third
        else:
            wait_ms = 2 * third if left < 0 else None
        if wait_ms is not None:
            found.append(replace(_sighting(row), wait_ms=wait_ms))
    return found


def held_by(connection: Connection, study_id: int, worker: str) -> list[Sighting]:
    """The study's leases that a worker holds, by its key."""
    query = _sightings(connection, study_id).where(LEASES.c.worker_id == worker)
    return [_sighting(row) for row in connection.execute(query)]


def studies_of(connection: Connection, worker: str) -> list[int]:
    """Ids of the studies of which a worker holds trials."""
    query = sa.select(LEASES.c.study_id).where(LEASES.c.worker_id == worker).distinct()
    return list(connection.execute(query).scalars())


def is_still(connection: Connection, seen: Sighting) -> bool:
    """Whether a lease is as it was seen, and lock it so: its holder's next write waits."""
    still = (LEASES.c.token == seen.token) & (LEASES.c.beat == seen.beat)
    own = LEASES.c.trial_id == seen.trial_id
    query = sa.select(LEASES.c.trial_id).where(own & still).with_for_update()
    return connection.execute(query).one_or_none() is not None


def tick(connection: Connection, study_id: int) -> Clock:
    """Bring the study's clock up to now, and say what it shows; called before leases change.

    The clock runs while a lease is alive, up to the moment when the last one runs out. To renew one
    that is alive changes nothing of it.
    """
    row = connection.execute(_clock(connection, study_id).with_for_update()).one_or_none()
    if row is None:  # the study was deleted
        return Clock(busy_ms=0, device_ms=0)
    clock = _advanced(connection, row)
    values = {**vars(clock), "seen_ms": max(row.now_ms, row.seen_ms)}
    connection.execute(sa.update(CLOCKS).where(CLOCKS.c.study_id == study_id).values(values))
    return clock


def read_clock(connection: Connection, study_id: int) -> Clock:
    """What the study's clock shows now; writes nothing."""
    row = connection.execute(_clock(connection, study_id)).one_or_none()
    if row is None:  # the study was deleted
        return Clock(busy_ms=0, device_ms=0)
    return _advanced(connection, row)


def end(connection: Connection, trial_ids: Collection[int]) -> None:
    """End the leases of trials."""
    connection.execute(sa.delete(LEASES).where(LEASES.c.trial_id.in_(trial_ids)))


def _sign_on(connection: Connection, worker: WorkerId) -> None:
    """Make a worker known."""
    about = {
        "host": worker.host,
        "pid": worker.pid,
        "device": worker.device,
        "share": worker.share,
    }
    insert = upsert(connection, WORKERS, ["worker_id"], list(about))
    connection.execute(insert.values(worker_id=worker.key, **about))


def _sightings(connection: Connection, study_id: int) -> sa.Select[Any]:
    return (
        sa.select(LEASES, TRIALS.c.number, now(connection).label("now_ms"))
        .join(TRIALS, TRIALS.c.trial_id == LEASES.c.trial_id)
        .where(LEASES.c.study_id == study_id)
        .order_by(TRIALS.c.number)
    )


def _sighting(row: sa.Row[Any]) -> Sighting:
    return Sighting(
        trial_id=row.trial_id,
        number=row.number,
        token=row.token,
        beat=row.beat,
        lease_ms=row.lease_ms,
    )


def _clock(connection: Connection, study_id: int) -> sa.Select[Any]:
    query = sa.select(CLOCKS, now(connection).label("now_ms"))
    return query.where(CLOCKS.c.study_id == study_id)


def _advanced(connection: Connection, row: sa.Row[Any]) -> Clock:
    """A clock's row brought up to now."""
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
    return Clock(
        busy_ms=row.busy_ms + int(busy or 0), device_ms=row.device_ms + round(device or 0.0)
    )
