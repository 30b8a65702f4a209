"""Our tables beside Optuna's, and Optuna's as we write them.

The only room that imports Optuna's private models; a test holds their columns to those that are
written here.
"""

import math
from typing import cast

import sqlalchemy as sa
from optuna.storages._rdb import models
from sqlalchemy.engine import Connection

VERSION = 2
"""Raise by one when the tables below change, and add the step to `upgrade`."""


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

_VALUE = models.TrialValueModel.TrialValueType
_REPORT = models.TrialIntermediateValueModel.TrialIntermediateValueType
FINITE_VALUE, FINITE_REPORT = _VALUE.FINITE, _REPORT.FINITE
NOT_FINITE_VALUE = {_VALUE.INF_POS: math.inf, _VALUE.INF_NEG: -math.inf}
NOT_FINITE_REPORT = {
    _REPORT.INF_POS: math.inf,
    _REPORT.INF_NEG: -math.inf,
    _REPORT.NAN: math.nan,
}
"""What other tools of Optuna's may have written: the number is NULL then."""

OPTUNAS_VERSION = models.VersionInfoModel.__tablename__

NOT_FOUND = models.NOT_FOUND_MSG
"""What Optuna's KeyError says when a study or a trial is gone."""

REVISION = "hpo:revision"
"""A study's system attribute: it changes when a finished trial does, and all is to be read anew."""

OPEN_TRIALS = "hpo_open_trials"

metadata = sa.MetaData()

VERSIONS = sa.Table(
    "hpo_version",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("version", sa.Integer, nullable=False),
)
"""One row; where it is, all tables are."""

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
"""How long a study's trials were under a live lease, and for how much device-time, counted up to
the moment `seen_ms`."""

WORKERS = sa.Table(
    "hpo_workers",
    metadata,
    sa.Column("worker_id", sa.String(64), primary_key=True),
    sa.Column("host", sa.String(255), nullable=False),
    sa.Column("pid", sa.Integer, nullable=False),
    sa.Column("device", sa.String(255), nullable=False),
    sa.Column("share", sa.Float(53), nullable=False, server_default=sa.text("1")),
)
"""Every worker process that ever claimed a trial; those at work hold a live lease."""

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
"""Who may write a trial: the holder of its token, until somebody takes the lease away."""

DELETED = sa.Table(
    "hpo_deleted",
    metadata,
    sa.Column("study_uuid", sa.String(64), primary_key=True),
    sa.Column("store_id", sa.String(64), primary_key=True),
)
"""Studies that were deleted here, and the artifact store that may still hold files of theirs."""


def read_version(connection: Connection) -> int | None:
    """The version of our tables; None while they, or Optuna's, are not all there."""
    if not sa.inspect(connection).has_table(VERSIONS.name):
        return None
    return connection.scalar(sa.select(VERSIONS.c.version))


def create(connection: Connection) -> None:
    """Make our tables, the version last; Optuna's are there already. MySQL rolls none back."""
    metadata.create_all(connection)
    fit(connection)
    connection.execute(sa.insert(VERSIONS).values(id=1, version=VERSION))


def fit(connection: Connection) -> None:
    """Make Optuna's table of trials fit for us; its own statements do not notice.

    Which trials wait or run is asked all the time: an index answers. MySQL's times are of whole
    seconds otherwise, and say not which of two trials ended first.
    """
    if OPEN_TRIALS not in {i["name"] for i in sa.inspect(connection).get_indexes(TRIALS.name)}:
        columns = "study_id, state, number"
        connection.execute(sa.text(f"CREATE INDEX {OPEN_TRIALS} ON {TRIALS.name} ({columns})"))
    if connection.dialect.name == "mysql":
        for column in ("datetime_start", "datetime_complete"):
            precise = f"ALTER TABLE {TRIALS.name} MODIFY {column} DATETIME(6)"
            connection.execute(sa.text(precise))
