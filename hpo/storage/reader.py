"""Optuna's storage as samplers, pruners and the dashboard read it.

Optuna's cached storage reads every unfinished trial anew whenever it is asked. This one looks at
the database when it was told that something changed, or when what it has is `STALE_SECONDS` old: a
pruner compares with trials that other workers finished up to that long ago, and costs no query.

What samplers and pruners write of a trial is held back for its worker, who writes it together with
the rest, under its lease.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.storages import RDBStorage
from optuna.storages._cached_storage import _CachedStorage

STALE_SECONDS = 5.0


@dataclass(frozen=True, kw_only=True)
class DrawnParam:
    """A param as a sampler drew it: Optuna's internal value, and its distribution."""

    name: str
    value: float
    distribution: BaseDistribution


@dataclass(frozen=True, kw_only=True)
class Notes:
    """What a sampler or a pruner wrote of one trial, in its order."""

    params: list[DrawnParam] = field(default_factory=list)
    system_attrs: dict[str, Any] = field(default_factory=dict)


class Reader(_CachedStorage):
    """Reads seldom, and lets samplers and pruners write nothing themselves."""

    def __init__(self, backend: RDBStorage) -> None:
        """Read through Optuna's own storage."""
        super().__init__(backend)
        self._read_at: dict[int, float] = {}
        self._notes: dict[int, Notes] = {}
        self._reading = threading.Lock()

    def invalidate(self, study_id: int) -> None:
        """Look at the database the next time."""
        self._read_at.pop(study_id, None)

    def close(self) -> None:
        """End the session of this thread."""
        self._backend.remove_session()

    @contextmanager
    def held(self, trial_id: int) -> Iterator[Notes]:
        """Hold back what is written of a trial's params and system attributes meanwhile."""
        self._notes[trial_id] = Notes()
        try:
            yield self._notes[trial_id]
        finally:
            del self._notes[trial_id]

    def set_trial_param(
        self,
        trial_id: int,
        param_name: str,
        param_value_internal: float,
        distribution: BaseDistribution,
    ) -> None:
        """Hold it back, or write it as Optuna does."""
        if (notes := self._notes.get(trial_id)) is None:
            super().set_trial_param(trial_id, param_name, param_value_internal, distribution)
        else:
            drawn = DrawnParam(
                name=param_name, value=param_value_internal, distribution=distribution
            )
            notes.params.append(drawn)

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Hold it back, or write it as Optuna does."""
        if (notes := self._notes.get(trial_id)) is None:
            super().set_trial_system_attr(trial_id, key, value)
        else:
            notes.system_attrs[key] = value

    def _read_trials_from_remote_storage(self, study_id: int) -> None:
        with self._reading:
            now = time.monotonic()
            if now - self._read_at.get(study_id, -STALE_SECONDS) < STALE_SECONDS:
                return
            super()._read_trials_from_remote_storage(study_id)
            self._read_at[study_id] = now
