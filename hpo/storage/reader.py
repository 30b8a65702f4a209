"""Optuna's storage as samplers and pruners read it.

Optuna's cached storage reads every unfinished trial anew, all of it, whenever it is asked. This one
looks at the database when it was told that something changed, or when what it has is
`STALE_SECONDS` old, and then only at what is new: a pruner compares with trials that other workers
finished up to that long ago, and costs no query.

What samplers and pruners write of a trial is held back for its worker, who writes it together with
the rest, under its lease.
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

from hpo.storage.snapshot import Snapshot, read_open

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


class StudyReader(_CachedStorage):
    """Reads seldom, and lets samplers and pruners write nothing themselves."""

    def __init__(self, backend: RDBStorage) -> None:
        """Read from the database of Optuna's own storage."""
        super().__init__(backend)
        self._snapshots: dict[int, Snapshot] = {}
        self._read_at: dict[int, float] = {}
        self._notes: dict[int, Notes] = {}
        self._drafts: dict[int, FrozenTrial] = {}
        self._drawn: set[int] = set()
        self._reading = threading.Lock()

    def snapshot(self, study_id: int) -> Snapshot:
        """The study's trials, at most `STALE_SECONDS` old.

        Raises:
            KeyError: the study is gone; it says what Optuna's does.
        """
        with self._reading:
            now = time.monotonic()
            if now - self._read_at.get(study_id, -STALE_SECONDS) >= STALE_SECONDS:
                snapshot = self._snapshots.setdefault(study_id, Snapshot(study_id))
                with self._backend.engine.connect() as connection:
                    snapshot.refresh(connection)
                self._read_at[study_id] = now
            return self._snapshots[study_id]

    def snapshot_within(self, study_id: int, connection: Connection) -> Snapshot:
        """The study's trials as a transaction sees them.

        Raises:
            KeyError: the study is gone; it says what Optuna's does.
        """
        with self._reading:
            snapshot = self._snapshots.setdefault(study_id, Snapshot(study_id))
            snapshot.refresh(connection)
            return snapshot

    def invalidate(self, study_id: int) -> None:
        """Look at the database the next time."""
        self._read_at.pop(study_id, None)

    def forget(self, study_id: int) -> None:
        """Read all of a study anew: a finished trial was changed, or the id is another study's."""
        with self._reading:
            self._read_at.pop(study_id, None)
            self._snapshots.pop(study_id, None)
            self._studies.pop(study_id, None)

    def close(self) -> None:
        """End the session of this thread."""
        self._backend.remove_session()

    def get_all_trials(
        self,
        study_id: int,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
    ) -> list[FrozenTrial]:
        """The trials by number; of unfinished ones state, params and system attributes alone."""
        trials = self.snapshot(study_id).trials(states)
        if self._drawn:
            drafts = {own: self._drafts[own] for own in self._drawn}
            trials = [drafts.get(trial._trial_id, trial) for trial in trials]
        return copy.deepcopy(trials) if deepcopy else trials

    def get_trial(self, trial_id: int) -> FrozenTrial:
        """A trial that is to be drawn: state, params and system attributes."""
        return self._drafts[trial_id]

    @contextmanager
    def drafting(self, study_id: int, trial_ids: Sequence[int]) -> Iterator[None]:
        """Read some trials of a study that are to be drawn, and the others as they are now.

        What was drawn of each of them, once it is `held` no more, is there for those after it.

        Raises:
            KeyError: one of them is gone; it says what Optuna's does.
        """
        self.invalidate(study_id)
        with self._backend.engine.connect() as connection:
            self._drafts = read_open(connection, trial_ids)
        try:
            yield
        finally:
            self._drafts, self._drawn = {}, set()

    def redraft(self, trial_id: int, params: Sequence[DrawnParam]) -> None:
        """Have a trial that is to be drawn with these params, and without those drawn before."""
        draft = self._drafts[trial_id]
        draft.distributions = {param.name: param.distribution for param in params}
        draft.params = {
            param.name: param.distribution.to_external_repr(param.value) for param in params
        }

    @contextmanager
    def held(self, trial_id: int) -> Iterator[Notes]:
        """Hold back what is written of a trial's params and system attributes meanwhile."""
        self._notes[trial_id] = Notes()
        try:
            yield self._notes[trial_id]
        finally:
            del self._notes[trial_id]
            if trial_id in self._drafts:
                self._drawn.add(trial_id)

    def set_trial_param(
        self,
        trial_id: int,
        param_name: str,
        param_value_internal: float,
        distribution: BaseDistribution,
    ) -> None:
        """Hold it back."""
        drawn = DrawnParam(name=param_name, value=param_value_internal, distribution=distribution)
        self._notes[trial_id].params.append(drawn)

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Hold it back."""
        self._notes[trial_id].system_attrs[key] = value
