"""Our tables beside Optuna's, and Optuna's as we write them.

The only room that imports Optuna's private models; a test holds their columns to what is written
here.
"""

import sqlalchemy as sa
from optuna.storages._rdb import models
from sqlalchemy.engine import Engine

from hpo.errors import StorageError

VERSION = 1
"""Raise by one when the tables below change; old storages then want an upgrade."""

metadata = sa.MetaData()

STUDIES = models.StudyModel.__table__
DIRECTIONS = models.StudyDirectionModel.__table__
STUDY_ATTRS = models.StudySystemAttributeModel.__table__
TRIALS = models.TrialModel.__table__
TRIAL_PARAMS = models.TrialParamModel.__table__
TRIAL_VALUES = models.TrialValueModel.__table__
TRIAL_USER_ATTRS = models.TrialUserAttributeModel.__table__
TRIAL_SYSTEM_ATTRS = models.TrialSystemAttributeModel.__table__
REPORTS = models.TrialIntermediateValueModel.__table__

VALUE = models.TrialValueModel.TrialValueType.FINITE
REPORT = models.TrialIntermediateValueModel.TrialIntermediateValueType.FINITE

VERSIONS = sa.Table(
    "hpo_version",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("version", sa.Integer, nullable=False),
)

BUDGETS = sa.Table(
    "hpo_studies",
    metadata,
    sa.Column("study_id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("n_trials", sa.Integer, nullable=False),
    sa.Column("timeout_ms", sa.BigInteger),
    sa.Column("busy_ms", sa.BigInteger, nullable=False),
    sa.Column("seen_ms", sa.BigInteger, nullable=False),
)
"""A study's budget, and the time in which a worker held a lease, counted up to `seen_ms`."""

WORKERS = sa.Table(
    "hpo_workers",
    metadata,
    sa.Column("worker_id", sa.String(64), primary_key=True),
    sa.Column("study_id", sa.Integer, nullable=False),
    sa.Column("host", sa.String(255), nullable=False),
    sa.Column("pid", sa.Integer, nullable=False),
    sa.Column("device", sa.String(255), nullable=False),
    sa.Column("expires_ms", sa.BigInteger, nullable=False),
)
"""Workers by their last sign of life."""

LEASES = sa.Table(
    "hpo_leases",
    metadata,
    sa.Column("trial_id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("study_id", sa.Integer, nullable=False, index=True),
    sa.Column("token", sa.String(32), nullable=False),
    sa.Column("beat", sa.Integer, nullable=False),
    sa.Column("lease_ms", sa.BigInteger, nullable=False),
    sa.Column("expires_ms", sa.BigInteger, nullable=False),
)
"""Who may write a trial: the holder of its token, until somebody takes the lease away."""

# Deleting a trial deletes its lease, also when another tool does it (where foreign keys are on).
LEASES.append_constraint(
    sa.ForeignKeyConstraint([LEASES.c.trial_id], [TRIALS.c.trial_id], ondelete="CASCADE")
)
BUDGETS.append_constraint(
    sa.ForeignKeyConstraint([BUDGETS.c.study_id], [STUDIES.c.study_id], ondelete="CASCADE")
)


def create_or_check(engine: Engine) -> None:
    """Make our tables where they are missing; the caller holds the creation lock.

    Raises:
        StorageError: they are of another version.
    """
    with engine.begin() as connection:
        metadata.create_all(connection)
        version = connection.scalar(sa.select(VERSIONS.c.version))
        if version is None:
            connection.execute(VERSIONS.insert().values(id=1, version=VERSION))
        elif version != VERSION:
            raise StorageError(
                f"the storage has version {version} of hpo's tables, this hpo needs {VERSION}"
            )
