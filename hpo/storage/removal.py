"""Deletion of studies, and the record of deleted studies.

The transaction that deletes a study's rows records its uuid and the id of its artifact store. Files
that remain, or that a worker writes later, are thus known to belong to no study.

All functions take a connection inside a transaction; none commits. Rows are locked in the ledger's
order: study, clock, leases, trials.
"""

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from hpo.storage.schema import (
    CLOCKS,
    DELETED,
    HEARTBEATS,
    LEASES,
    OF_A_STUDY,
    OF_A_TRIAL,
    STUDIES,
    TRIALS,
)

_N_TRIALS = 500
"""Number of trials whose rows one statement deletes."""


def delete_study(connection: Connection, study_id: int) -> int:
    """Delete all rows of a study; the caller holds the study's lock.

    Returns:
        The number of its trials.
    """
    for table in (CLOCKS, LEASES):
        connection.execute(sa.delete(table).where(table.c.study_id == study_id))
    own = sa.select(TRIALS.c.trial_id).where(TRIALS.c.study_id == study_id)
    # No program can add rows to a trial that is locked.
    locked = connection.execute(own.order_by(TRIALS.c.trial_id).with_for_update())
    trial_ids = list(locked.scalars())
    for first in range(0, len(trial_ids), _N_TRIALS):
        batch = trial_ids[first : first + _N_TRIALS]
        for table in (*OF_A_TRIAL, HEARTBEATS, TRIALS):
            connection.execute(sa.delete(table).where(table.c.trial_id.in_(batch)))
    for table in (*OF_A_STUDY, STUDIES):
        connection.execute(sa.delete(table).where(table.c.study_id == study_id))
    return len(trial_ids)


def remember(connection: Connection, study_uuid: str, store_id: str) -> None:
    """Record that a study with files in this artifact store was deleted."""
    own = (DELETED.c.study_uuid == study_uuid) & (DELETED.c.store_id == store_id)
    connection.execute(sa.delete(DELETED).where(own))
    connection.execute(sa.insert(DELETED).values(study_uuid=study_uuid, store_id=store_id))


def deleted(connection: Connection, store_id: str) -> set[str]:
    """Uuids of the deleted studies that had files in this artifact store."""
    query = sa.select(DELETED.c.study_uuid).where(DELETED.c.store_id == store_id)
    return set(connection.execute(query).scalars())
