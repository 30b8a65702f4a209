"""What a database server reports about itself: versions, clock, time zone, connections."""

import time
from dataclasses import dataclass

import sqlalchemy as sa

from hpo.storage import dialects, leases, schema
from hpo.storage.engine import Storage

_TIME_ZONES = {
    "postgresql": "SELECT reset_val FROM pg_settings WHERE name = 'TimeZone'",
    "mysql": "SELECT @@global.time_zone",
}
"""The default time zone of a session."""


@dataclass(frozen=True, kw_only=True)
class ServerInfo:
    """The state of a storage's server.

    Attributes:
        version: version of hpo's tables.
        optuna_version: version of Optuna's tables.
        ahead_seconds: how far the server's clock is ahead of this machine's; None for SQLite.
        off_by_seconds: uncertainty of `ahead_seconds`: half of the query's round trip.
        time_zone: default time zone of sessions; None for SQLite.
        connections_left: number of further connections; None if the server has no limit of its
            own that counts.
        is_pooled: whether a connection pooler, which has a limit of its own, is in between.
    """

    version: int | None
    optuna_version: str
    ahead_seconds: float | None
    off_by_seconds: float
    time_zone: str | None
    connections_left: int | None
    is_pooled: bool = False


def read_server_info(storage: Storage) -> ServerInfo:
    """Read the state of a storage's server.

    Raises:
        StorageUnavailableError: the database cannot be reached.
    """
    with storage.read() as connection:
        name = connection.dialect.name
        zone = _TIME_ZONES.get(name)
        ask = sa.select(leases.now(connection))
        connection.execute(ask)  # compiled once, so that the second one takes no longer than needed
        before = time.time()
        server_seconds = connection.execute(ask).scalar_one() / 1000
        after = time.time()
        return ServerInfo(
            version=schema.read_version(connection),
            optuna_version=storage.plain.get_current_version(),
            ahead_seconds=None if name == "sqlite" else server_seconds - (before + after) / 2,
            off_by_seconds=(after - before) / 2,
            time_zone=None if zone is None else connection.execute(sa.text(zone)).scalar_one(),
            connections_left=dialects.connections_left(connection),
            is_pooled=dialects.is_pooled(connection),
        )
