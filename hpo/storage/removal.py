"""Studies taken out of a storage, and the memory of them.

What is left of a deleted study is its uuid with the id of its artifact store, written in the
transaction that deletes its rows: files which outlive them, or which a worker writes later still,
are then known to be nobody's.

Functions take a connection inside a transaction; none commits. Rows are locked in the ledger's
order: study, clock, leases, trials.
"""

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from hpo.storage.schema import (
    CLOCKS,
    DELETED,
    DIRECTIONS,
    HEARTBEATS,
    LEASES,
    REPORTS,
    STUDIES,
    STUDY_ATTRS,
    STUDY_USER_ATTRS,
    TRIAL_PARAMS,
    TRIAL_SYSTEM_ATTRS,
    TRIAL_USER_ATTRS,
    TRIAL_VALUES,
    TRIALS,
)

OF_A_TRIAL = (
    TRIAL_PARAMS,
    TRIAL_VALUES,
    TRIAL_USER_ATTRS,
    TRIAL_SYSTEM_ATTRS,
    REPORTS,
    HEARTBEATS,
)
OF_A_STUDY = (DIRECTIONS, STUDY_ATTRS, STUDY_USER_ATTRS)
N_TRIALS = 500
"""Trials whose rows one statement deletes."""


def delete_study(connection: Connection, study_id: int) -> int:
    """Delete a study with all that hangs on it; the caller holds its lock.

    Returns:
        How many trials it had.
    """
    connection.execute(sa.delete(CLOCKS).where(CLOCKS.c.study_id == study_id))
    connection.execute(sa.delete(LEASES).where(LEASES.c.study_id == study_id))
    own = sa.select(TRIALS.c.trial_id).where(TRIALS.c.study_id == study_id)
    # Locked, a trial gets no further rows, from whichever program.
    trial_ids = list(
        connection.execute(own.order_by(TRIALS.c.trial_id).with_for_update()).scalars()
    )
    for first in range(0, len(trial_ids), N_TRIALS):
        batch = trial_ids[first : first + N_TRIALS]
        for table in (*OF_A_TRIAL, TRIALS):
            connection.execute(sa.delete(table).where(table.c.trial_id.in_(batch)))
    for table in (*OF_A_STUDY, STUDIES):
        connection.execute(sa.delete(table).where(table.c.study_id == study_id))
    return len(trial_ids)


def remember(connection: Connection, study_uuid: str, store_id: str) -> None:
    """Remember that a study was deleted, with files in an artifact store."""
    own = (DELETED.c.study_uuid == study_uuid) & (DELETED.c.store_id == store_id)
    connection.execute(sa.delete(DELETED).where(own))
    connection.execute(sa.insert(DELETED).values(study_uuid=study_uuid, store_id=store_id))


def deleted(connection: Connection, store_id: str) -> set[str]:
    """Uuids of the deleted studies that had their files in an artifact store."""
    query = sa.select(DELETED.c.study_uuid).where(DELETED.c.store_id == store_id)
    return set(connection.execute(query).scalars())
