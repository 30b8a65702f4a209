"""Optuna's pruners as a study's definition names them, and how they are called.

A pruner sees the epochs of a trial one by one, as if each had been reported alone: its decision
depends on the trial and not on how often a worker reports. The trial comes from the worker's
memory, the trials to compare with from the reader.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy
import optuna
from optuna.pruners import BasePruner
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from hpo.config import strategies
from hpo.config.definition import StudyDefinition
from hpo.config.ranges import IntRange
from hpo.config.trial import Measurement, TrainingConfig
from hpo.storage.leases import Lease
from hpo.storage.reader import StudyReader
from hpo.storage.snapshot import Snapshot
from hpo.study.experimental import ignore_experimental

_MAX_EPOCHS = "training.max_epochs"
_COMPARES_RUNNING = (optuna.pruners.SuccessiveHalvingPruner, optuna.pruners.HyperbandPruner)
"""Pruners that compare with unfinished trials and need their attributes without delay."""


@dataclass(frozen=True, kw_only=True)
class PruningDecision:
    """The decision of a pruner on the epochs of a report.

    Attributes:
        measurements: the measurements, up to the epoch of the decision if the trial is pruned.
        system_attrs: attributes that the pruner sets on the trial.
    """

    lease: Lease
    measurements: Sequence[Measurement]
    system_attrs: dict[str, Any]
    is_pruned: bool
    trial: FrozenTrial


class TrialPruner:
    """Calls a study's pruner for the trials of one worker."""

    def __init__(
        self, definition: StudyDefinition, study: optuna.Study, reader: StudyReader
    ) -> None:
        """Create the pruner; `study` is Optuna's view of the study through the reader."""
        self._pruner = make_pruner(definition, reader)
        self._study = study
        self._reader = reader
        self._trials: dict[str, FrozenTrial] = {}

    def decide(self, lease: Lease, measurements: Sequence[Measurement]) -> PruningDecision:
        """Decide whether to prune a trial after more epochs; changes nothing."""
        trial = _copy(self._trials[lease.token]) if lease.token in self._trials else _frozen(lease)
        if isinstance(self._pruner, _COMPARES_RUNNING):
            self._reader.invalidate(self._study._study_id)
        with self._reader.hold_writes(lease.trial_id) as held:
            n_kept, is_pruned = 0, False
            while n_kept < len(measurements) and not is_pruned:
                measured = measurements[n_kept]
                trial.intermediate_values[measured.step] = measured.value
                is_pruned = self._pruner.prune(self._study, trial)
                trial.system_attrs.update(held.system_attrs)
                n_kept += 1
        return PruningDecision(
            lease=lease,
            measurements=measurements[:n_kept],
            system_attrs=held.system_attrs,
            is_pruned=is_pruned,
            trial=trial,
        )

    def resume(
        self, lease: Lease, measurements: Sequence[Measurement], system_attrs: dict[str, Any]
    ) -> None:
        """Start from the reports of an earlier attempt."""
        trial = _frozen(lease)
        trial.intermediate_values = {m.step: m.value for m in measurements}
        trial.system_attrs = system_attrs
        self._trials[lease.token] = trial

    def remember(self, decision: PruningDecision) -> None:
        """Keep the trial of a decision that was written to the storage."""
        self._trials[decision.lease.token] = decision.trial

    def forget(self, lease: Lease) -> None:
        """Drop a trial that this worker no longer holds."""
        self._trials.pop(lease.token, None)


class ColumnsPercentilePruner(BasePruner):
    """Optuna's percentile pruner on columns of reports.

    Optuna's pruner looks up a step in each COMPLETE trial, which takes milliseconds for 10,000
    trials. The reader keeps the reports of each step in an array.
    """

    def __init__(self, pruner: optuna.pruners.PercentilePruner, reader: StudyReader) -> None:
        """Decide as `pruner` does, on the columns of `reader`."""
        self._like = pruner
        self._reader = reader

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        """Whether the trial's best value is worse than the percentile at its last step."""
        like, step = self._like, trial.last_step
        completed = self._reader.snapshot(study._study_id)
        enough = completed.n_complete >= max(1, like._n_startup_trials)
        if not enough or step is None or step < like._n_warmup_steps:
            return False
        opens = step - (step - like._n_warmup_steps) % like._interval_steps
        if any(opens <= earlier < step for earlier in trial.intermediate_values):
            return False
        own = numpy.array(list(trial.intermediate_values.values()))
        if numpy.isnan(own).all():
            return True
        is_maximized = study.direction == StudyDirection.MAXIMIZE
        if (limit := self._limit(completed, step, is_maximized)) is None:
            return False
        return bool(numpy.nanmax(own) < limit if is_maximized else numpy.nanmin(own) > limit)

    def _limit(self, completed: Snapshot, step: int, is_maximized: bool) -> float | None:
        """The percentile of the values reported at a step, cached for other trials."""
        like, reported = self._like, completed.reported(step)
        if len(reported) < like._n_min_trials:
            return None
        share = 100 - like._percentile if is_maximized else like._percentile
        key = ("percentile", share, step)
        if key not in completed.of_complete:
            others = numpy.array(reported)
            is_silent = numpy.isnan(others).all()
            completed.of_complete[key] = (
                None if is_silent else float(numpy.nanpercentile(others, share))
            )
        limit: float | None = completed.of_complete[key]
        return limit


def make_pruner(definition: StudyDefinition, reader: StudyReader) -> BasePruner:
    """The pruner of a study."""
    settings = definition.pruner.model_dump(exclude={"name"})
    match definition.pruner:
        case strategies.MedianPruner():
            return ColumnsPercentilePruner(optuna.pruners.MedianPruner(**settings), reader)
        case strategies.PercentilePruner():
            return ColumnsPercentilePruner(optuna.pruners.PercentilePruner(**settings), reader)
        case strategies.SuccessiveHalvingPruner():
            return optuna.pruners.SuccessiveHalvingPruner(**settings)
        case strategies.HyperbandPruner():
            return optuna.pruners.HyperbandPruner(max_resource=max_epochs(definition), **settings)
        case strategies.PatientPruner():
            with ignore_experimental():
                return optuna.pruners.PatientPruner(None, **settings)
        case strategies.NonePruner():
            return optuna.pruners.NopPruner()


def max_epochs(definition: StudyDefinition) -> int:
    """The maximum number of epochs of any trial of the study."""
    space = definition.space
    match space.tunables.get(_MAX_EPOCHS):
        case None:
            return int(space.constants.get(_MAX_EPOCHS, TrainingConfig().max_epochs))
        case IntRange() as leaf:
            return leaf.high
        case leaf:
            return max(int(choice) for choice in leaf.grid())


def _copy(trial: FrozenTrial) -> FrozenTrial:
    """A copy whose reports and system attributes can be changed; faster than a deep copy."""
    own = copy.copy(trial)
    own.intermediate_values = dict(trial.intermediate_values)
    own.system_attrs = dict(trial.system_attrs)
    return own


def _frozen(lease: Lease) -> FrozenTrial:
    return FrozenTrial(
        number=lease.number,
        trial_id=lease.trial_id,
        state=TrialState.RUNNING,
        value=None,
        datetime_start=None,
        datetime_complete=None,
        params={},
        distributions={},
        user_attrs={},
        system_attrs={},
        intermediate_values={},
    )
