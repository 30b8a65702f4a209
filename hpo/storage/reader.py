"""Optuna's storage as samplers, pruners and the dashboard read it.

Optuna's cached storage reads every unfinished trial anew whenever it is asked. This one looks at
the database when it was told that something changed, or when what it has is `STALE_SECONDS` old: a
pruner then compares with trials that finished up to that long ago, which costs it nothing.

What samplers and pruners write goes through here too: params are held until `take_params` hands all
of a trial's over, to be written at once.
"""

import json
import threading
import time
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from optuna.distributions import BaseDistribution
from optuna.storages import RDBStorage
from optuna.storages._cached_storage import _CachedStorage
from sqlalchemy.engine import Engine

from hpo.storage.schema import TRIAL_SYSTEM_ATTRS

STALE_SECONDS = 5.0


@dataclass(frozen=True, kw_only=True)
class DrawnParam:
    """A param as a sampler drew it: Optuna's internal value, and its distribution."""

    name: str
    value: float
    distribution: BaseDistribution


class Reader(_CachedStorage):
    """Reads seldom, and writes in one piece."""

    def __init__(self, backend: RDBStorage, writer: Engine) -> None:
        """Read through `backend`; write through an engine whose transactions lock at once."""
        super().__init__(backend)
        self.engine = backend.engine
        self._writer = writer
        self._read_at: dict[int, float] = {}
        self._drawn: dict[int, list[DrawnParam]] = {}
        self._reading = threading.Lock()

    def invalidate(self, study_id: int) -> None:
        """Look at the database the next time."""
        self._read_at.pop(study_id, None)

    def take_params(self, trial_id: int) -> list[DrawnParam]:
        """The params that a trial was given since the last time, in their order."""
        return self._drawn.pop(trial_id, [])

    def set_trial_param(
        self,
        trial_id: int,
        param_name: str,
        param_value_internal: float,
        distribution: BaseDistribution,
    ) -> None:
        """Hold a param for `take_params`."""
        drawn = DrawnParam(name=param_name, value=param_value_internal, distribution=distribution)
        self._drawn.setdefault(trial_id, []).append(drawn)

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Write what a sampler or pruner notes of a trial."""
        with self._writer.begin() as connection:
            own = (TRIAL_SYSTEM_ATTRS.c.trial_id == trial_id) & (TRIAL_SYSTEM_ATTRS.c.key == key)
            connection.execute(sa.delete(TRIAL_SYSTEM_ATTRS).where(own))
            row = {"trial_id": trial_id, "key": key, "value_json": json.dumps(value)}
            connection.execute(sa.insert(TRIAL_SYSTEM_ATTRS).values(row))

    def _read_trials_from_remote_storage(self, study_id: int) -> None:
        with self._reading:
            now = time.monotonic()
            if now - self._read_at.get(study_id, -STALE_SECONDS) < STALE_SECONDS:
                return
            super()._read_trials_from_remote_storage(study_id)
            self._read_at[study_id] = now
