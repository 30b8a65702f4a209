"""The time that a storage goes by."""

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from hpo.storage.engine import Storage
from hpo.storage.schema import CLOCKS, LEASES


def let_pass(storage: Storage, seconds: float) -> None:
    """Shift all leases and clocks into the past, as if this much time had passed."""

    def shift(connection: Connection) -> None:
        for column in (LEASES.c.expires_ms, CLOCKS.c.seen_ms):
            past = {column.name: column - round(1000 * seconds)}
            connection.execute(sa.update(column.table).values(past))

    storage.write(shift)
