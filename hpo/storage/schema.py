"""The tables of hpo, and Optuna's tables that hpo reads and writes.

Only this module imports Optuna's private models; a test checks their columns.
"""

import math
from typing import cast

import sqlalchemy as sa
from optuna.storages._rdb import models
from sqlalchemy.engine import Connection

VERSION = 2
"""Raise this by one when a table below changes, and add the step to `upgrade`.

A new table that older versions may ignore needs neither: opening a storage creates it.
"""


def _table(model: type[models.BaseModel]) -> sa.Table:
    return cast(sa.Table, model.__table__)


STUDIES = _table(models.StudyModel)
DIRECTIONS = _table(models.StudyDirectionModel)
STUDY_ATTRS = _table(models.StudySystemAttributeModel)
STUDY_USER_ATTRS = _table(models.StudyUserAttributeModel)
TRIALS = _table(models.TrialModel)
TRIAL_PARAMS = _table(models.TrialParamModel)
TRIAL_VALUES = _table(models.TrialValueModel)
TRIAL_USER_ATTRS = _table(models.TrialUserAttributeModel)
TRIAL_SYSTEM_ATTRS = _table(models.TrialSystemAttributeModel)
REPORTS = _table(models.TrialIntermediateValueModel)
HEARTBEATS = _table(models.TrialHeartbeatModel)
OF_A_STUDY = (DIRECTIONS, STUDY_ATTRS, STUDY_USER_ATTRS)
OF_A_TRIAL = (TRIAL_PARAMS, TRIAL_VALUES, TRIAL_USER_ATTRS, TRIAL_SYSTEM_ATTRS, REPORTS)
"""The tables whose rows belong to a study or to a trial, except for heartbeats."""

_VALUE = models.TrialValueModel.TrialValueType
_REPORT = models.TrialIntermediateValueModel.TrialIntermediateValueType
FINITE_VALUE, FINITE_REPORT = _VALUE.FINITE, _REPORT.FINITE
NOT_FINITE_VALUE = {_VALUE.INF_POS: math.inf, _VALUE.INF_NEG: -math.inf}
NOT_FINITE_REPORT = {
    _REPORT.INF_POS: math.inf,
    _REPORT.INF_NEG: -math.inf,
    _REPORT.NAN: math.nan,
}
"""Values that other Optuna programs may have written; the column is NULL for these types."""

OPTUNAS_VERSION = models.VersionInfoModel.__tablename__

NOT_FOUND = models.NOT_FOUND_MSG
"""Message of Optuna's KeyError for a study or trial that does not exist."""

_OPEN_TRIALS = "hpo_open_trials"
MAX_REASON = 255
"""Characters of what a worker waits for."""

metadata = sa.MetaData()

VERSIONS = sa.Table(
    "hpo_version",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("version", sa.Integer, nullable=False),
)
"""One row, written after all tables were created."""

CLOCKS = sa.Table(
    "hpo_clocks",
    metadata,
    sa.Column(
        "study_id",
        sa.ForeignKey(STUDIES.c.study_id, ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
    ),
    sa.Column("busy_ms", sa.BigInteger, nullable=False),
    sa.Column("device_ms", sa.BigInteger, nullable=False, server_default=sa.text("0")),
    sa.Column("seen_ms", sa.BigInteger, nullable=False),
)
"""Time during which a study had a live lease, and its device time, both up to `seen_ms`."""

WORKERS = sa.Table(
    "hpo_workers",
    metadata,
    sa.Column("worker_id", sa.String(64), primary_key=True),
    sa.Column("host", sa.String(255), nullable=False),
    sa.Column("pid", sa.Integer, nullable=False),
    sa.Column("device", sa.String(255), nullable=False),
    sa.Column("share", sa.Float(53), nullable=False, server_default=sa.text("1")),
)
"""Every worker process that ever claimed a trial."""

LEASES = sa.Table(
    "hpo_leases",
    metadata,
    sa.Column(
        "trial_id",
        sa.ForeignKey(TRIALS.c.trial_id, ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
    ),
    sa.Column("study_id", sa.Integer, nullable=False, index=True),
    sa.Column("worker_id", sa.String(64), nullable=False),
    sa.Column("token", sa.String(32), nullable=False),
    sa.Column("beat", sa.Integer, nullable=False),
    sa.Column("lease_ms", sa.BigInteger, nullable=False),
    sa.Column("expires_ms", sa.BigInteger, nullable=False),
)
"""The right to write a trial belongs to the holder of its token."""

WAITING = sa.Table(
    "hpo_waiting",
    metadata,
    sa.Column("worker_id", sa.String(64), primary_key=True),
    sa.Column("since_ms", sa.BigInteger, nullable=False),
    sa.Column("seen_ms", sa.BigInteger, nullable=False),
    sa.Column("reason", sa.String(MAX_REASON), nullable=False),
)
"""Workers that hold no trial. Storages of version 2 may lack this table until they are opened."""

DELETED = sa.Table(
    "hpo_deleted",
    metadata,
    sa.Column("study_uuid", sa.String(64), primary_key=True),
    sa.Column("store_id", sa.String(64), primary_key=True),
)
"""Deleted studies and the artifact store that may still hold their files."""


def read_version(connection: Connection) -> int | None:
    """The version of hpo's tables; None if some of them or of Optuna's are missing."""
    if not sa.inspect(connection).has_table(VERSIONS.name):
        return None
    return connection.scalar(sa.select(VERSIONS.c.version))


def is_whole(connection: Connection) -> bool:
    """Whether all of hpo's tables exist."""
    return metadata.tables.keys() <= set(sa.inspect(connection).get_table_names())


def create(connection: Connection) -> None:
    """Create hpo's missing tables after Optuna's, the version last: MySQL cannot roll back."""
    metadata.create_all(connection)
    fit(connection)
    if read_version(connection) is None:
        connection.execute(sa.insert(VERSIONS).values(id=1, version=VERSION))


def fit(connection: Connection) -> None:
    """Adapt Optuna's table of trials in ways that Optuna's own statements do not notice.

    An index answers the frequent question which trials wait or run. On MySQL, times get
    microseconds, because whole seconds do not tell which of two trials ended first.
    """
    if _OPEN_TRIALS not in {i["name"] for i in sa.inspect(connection).get_indexes(TRIALS.name)}:
        columns = "study_id, state, number"
        connection.execute(sa.text(f"CREATE INDEX {_OPEN_TRIALS} ON {TRIALS.name} ({columns})"))
    if connection.dialect.name == "mysql":
        for column in ("datetime_start", "datetime_complete"):
            precise = f"ALTER TABLE {TRIALS.name} MODIFY {column} DATETIME(6)"
            connection.execute(sa.text(precise))
