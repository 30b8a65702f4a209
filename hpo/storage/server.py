"""A storage's condition: what its server says of itself, beside what this machine says."""

import time
from dataclasses import dataclass

import sqlalchemy as sa

from hpo.storage import dialects, leases, schema
from hpo.storage.engine import Storage

TIME_ZONES = {
    "postgresql": "SELECT reset_val FROM pg_settings WHERE name = 'TimeZone'",
    "mysql": "SELECT @@global.time_zone",
}
"""As a session has it that sets none."""


@dataclass(frozen=True, kw_only=True)
class Condition:
    """What was found.

    Attributes:
        version: of our tables.
        optuna_version: of Optuna's.
        ahead_seconds: how far its clock is ahead of this machine's; None where it has no own.
        off_by_seconds: how far it may be from that: half of the time that the question took.
        time_zone: of its sessions; None where it knows none.
        connections_left: beside the one that asked; None where no limit of its own counts.
        is_pooled: whether a pooler stands before it, which has a limit of its own.
    """

    version: int | None
    optuna_version: str
    ahead_seconds: float | None
    off_by_seconds: float
    time_zone: str | None
    connections_left: int | None
    is_pooled: bool = False


def read_condition(storage: Storage) -> Condition:
    """Read the condition of a storage.

    Raises:
        StorageUnavailableError: it is out of reach.
    """
    with storage.read() as connection:
        name = connection.dialect.name
        zone = TIME_ZONES.get(name)
        ask = sa.select(leases.now(connection))
        connection.execute(ask)  # so that no time is lost on the way to the second
        before = time.time()
        server_seconds = connection.execute(ask).scalar_one() / 1000
        after = time.time()
        return Condition(
            version=schema.read_version(connection),
            optuna_version=storage.plain.get_current_version(),
            ahead_seconds=None if name == "sqlite" else server_seconds - (before + after) / 2,
            off_by_seconds=(after - before) / 2,
            time_zone=None if zone is None else connection.execute(sa.text(zone)).scalar_one(),
            connections_left=dialects.connections_left(connection),
            is_pooled=dialects.is_pooled(connection),
        )
