"""Optuna's storage for samplers and pruners: reads are cached, writes are held back.

Optuna's own cached storage reads every unfinished trial completely on each call. This one queries
the database only after it was invalidated or when its snapshot is `STALE_SECONDS` old, and then
reads what is new. A pruner thus compares with trials that other workers finished up to that long
ago, and needs no query.

What samplers and pruners write to a trial is held back for the trial's worker, which writes it
under its lease.
"""

import copy
import threading
import time
from collections.abc import Container, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.storages import RDBStorage
from optuna.storages._cached_storage import _CachedStorage
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.engine import Connection

from hpo.storage.snapshot import Snapshot
from hpo.storage.trials import read_open

STALE_SECONDS = 5.0


@dataclass(frozen=True, kw_only=True)
class DrawnParam:
    """A param as a sampler drew it; `value` is Optuna's internal representation."""

    name: str
    value: float
    distribution: BaseDistribution


@dataclass(frozen=True, kw_only=True)
class HeldWrites:
    """Writes of a sampler or a pruner to one trial, in order."""

    params: list[DrawnParam] = field(default_factory=list)
    system_attrs: dict[str, Any] = field(default_factory=dict)


class StudyReader(_CachedStorage):
    """Caches reads and holds back writes."""

    def __init__(self, backend: RDBStorage) -> None:
        """Read from the database of Optuna's own storage."""
        super().__init__(backend)
        self._snapshots: dict[int, Snapshot] = {}
        self._read_at: dict[int, float] = {}
        self._held: dict[int, HeldWrites] = {}
        self._drafts: dict[int, FrozenTrial] = {}
        self._drawn: set[int] = set()
        self._reading = threading.Lock()

    def snapshot(self, study_id: int, connection: Connection | None = None) -> Snapshot:
        """A study's trials as a transaction sees them or, without one, up to `STALE_SECONDS` old.

        Raises:
            KeyError: the study was deleted; the message is Optuna's.
        """
        with self._reading:
            now = time.monotonic()
            snapshot = self._snapshots.setdefault(study_id, Snapshot(study_id))
            if connection is not None:
                snapshot.refresh(connection)
            elif now - self._read_at.get(study_id, -STALE_SECONDS) >= STALE_SECONDS:
                with self._backend.engine.connect() as own:
                    snapshot.refresh(own)
                self._read_at[study_id] = now
            return snapshot

    def invalidate(self, study_id: int) -> None:
        """Query the database on the next read."""
        self._read_at.pop(study_id, None)

    def forget(self, study_id: int) -> None:
        """Drop everything cached of a study: SQLite may have assigned its id again."""
        with self._reading:
            self._read_at.pop(study_id, None)
            self._snapshots.pop(study_id, None)
            self._studies.pop(study_id, None)

    def get_all_trials(
        self,
        study_id: int,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
    ) -> list[FrozenTrial]:
        """A study's trials by number; unfinished ones lack reports and user attributes."""
        trials = self.snapshot(study_id).trials(states)
        if self._drawn and (states is None or TrialState.RUNNING in states):
            drafts = {own: self._drafts[own] for own in self._drawn}
            trials = [drafts.get(trial._trial_id, trial) for trial in trials]
        return copy.deepcopy(trials) if deepcopy else trials

    def get_trial(self, trial_id: int) -> FrozenTrial:
        """A trial of `drafting`: state, params and system attributes."""
        return self._drafts[trial_id]

    @contextmanager
    def drafting(self, study_id: int, trial_ids: Sequence[int]) -> Iterator[None]:
        """Read a study's trials for drawing the params of some of them.

        A trial that was drawn within `hold_writes` is seen with its params by the next ones.

        Raises:
            KeyError: a trial was deleted; the message is Optuna's.
        """
        self.invalidate(study_id)
        with self._backend.engine.connect() as connection:
            self._drafts = read_open(connection, trial_ids)
        try:
            yield
        finally:
            self._drafts, self._drawn = {}, set()

    def redraft(self, trial_id: int, params: Sequence[DrawnParam]) -> None:
        """Replace the params that were drawn for a trial of `drafting`."""
        draft = self._drafts[trial_id]
        draft.distributions = {param.name: param.distribution for param in params}
        draft.params = {
            param.name: param.distribution.to_external_repr(param.value) for param in params
        }

    @contextmanager
    def hold_writes(self, trial_id: int) -> Iterator[HeldWrites]:
        """Collect writes to a trial's params and system attributes instead of executing them."""
        self._held[trial_id] = HeldWrites()
        try:
            yield self._held[trial_id]
        finally:
            del self._held[trial_id]
            if trial_id in self._drafts:
                self._drawn.add(trial_id)

    def set_trial_param(
        self,
        trial_id: int,
        param_name: str,
        param_value_internal: float,
        distribution: BaseDistribution,
    ) -> None:
        """Hold the write back."""
        drawn = DrawnParam(name=param_name, value=param_value_internal, distribution=distribution)
        self._held[trial_id].params.append(drawn)

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Hold the write back."""
        self._held[trial_id].system_attrs[key] = value
