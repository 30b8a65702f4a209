"""Optuna's pruners as a study's definition names them, and how they are asked.

A pruner is shown one epoch after the other, as if each had been reported alone: what it decides
depends on the trial, and not on how often a worker reports. The trial that it sees comes from the
worker's memory, those that it compares with from the reader's.
"""

import copy
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy
import optuna
from optuna.exceptions import ExperimentalWarning
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

LONGEST = "training.max_epochs"


@dataclass(frozen=True, kw_only=True)
class PruningDecision:
    """A report as far as the pruner let the trial go.

    Attributes:
        measurements: those up to the epoch at which it was ended, if it was.
        system_attrs: what the pruner notes of the trial.
    """

    lease: Lease
    measurements: Sequence[Measurement]
    system_attrs: dict[str, Any]
    is_hopeless: bool
    trial: FrozenTrial


class Judge:
    """Asks a study's pruner about the trials of one worker."""

    def __init__(
        self, definition: StudyDefinition, study: optuna.Study, reader: StudyReader
    ) -> None:
        """Take the study as Optuna sees it, over the reader."""
        self._pruner = _quick(make_pruner(definition), reader)
        self._study = study
        self._reader = reader
        self._trials: dict[str, FrozenTrial] = {}

    def judge(self, lease: Lease, measurements: Sequence[Measurement]) -> PruningDecision:
        """Say what becomes of a trial after more epochs; changes nothing."""
        trial = _copy(self._trials[lease.token]) if lease.token in self._trials else _frozen(lease)
        if isinstance(self._pruner, _COMPARES_RUNNING):
            self._reader.invalidate(self._study._study_id)
        with self._reader.held(lease.trial_id) as notes:
            n_kept, is_hopeless = 0, False
            while n_kept < len(measurements) and not is_hopeless:
                measured = measurements[n_kept]
                trial.intermediate_values[measured.step] = measured.value
                is_hopeless = self._pruner.prune(self._study, trial)
                trial.system_attrs.update(notes.system_attrs)
                n_kept += 1
        return PruningDecision(
            lease=lease,
            measurements=measurements[:n_kept],
            system_attrs=notes.system_attrs,
            is_hopeless=is_hopeless,
            trial=trial,
        )

    def recall(
        self, lease: Lease, measurements: Sequence[Measurement], system_attrs: dict[str, Any]
    ) -> None:
        """Take up a trial that was reported so far by an earlier attempt."""
        trial = _frozen(lease)
        trial.intermediate_values = {m.step: m.value for m in measurements}
        trial.system_attrs = system_attrs
        self._trials[lease.token] = trial

    def remember(self, judgement: PruningDecision) -> None:
        """Take what was judged as reported."""
        self._trials[judgement.lease.token] = judgement.trial

    def forget(self, lease: Lease) -> None:
        """Take the trial as no longer this worker's."""
        self._trials.pop(lease.token, None)


class _Columns(BasePruner):
    """Optuna's percentile pruner over columns.

    Optuna's looks up a step in every COMPLETE trial, which takes milliseconds where there are ten
    thousand; the reader has what they reported at it side by side.
    """

    def __init__(self, pruner: optuna.pruners.PercentilePruner, reader: StudyReader) -> None:
        self._like = pruner
        self._reader = reader

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        """Whether the trial's best value is behind the percentile of what others had then."""
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
        """What is to be kept up with at a step; many trials at once ask for the same."""
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


def _quick(pruner: BasePruner, reader: StudyReader) -> BasePruner:
    """A pruner that decides the same in less time."""
    if isinstance(pruner, optuna.pruners.PercentilePruner):
        return _Columns(pruner, reader)
    return pruner


def make_pruner(definition: StudyDefinition) -> BasePruner:
    """The study's pruner."""
    settings = definition.pruner.model_dump(exclude={"name"})
    match definition.pruner:
        case strategies.MedianPruner():
            return optuna.pruners.MedianPruner(**settings)
        case strategies.PercentilePruner():
            return optuna.pruners.PercentilePruner(**settings)
        case strategies.SuccessiveHalvingPruner():
            return optuna.pruners.SuccessiveHalvingPruner(**settings)
        case strategies.HyperbandPruner():
            return optuna.pruners.HyperbandPruner(max_resource=max_epochs(definition), **settings)
        case strategies.PatientPruner():
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ExperimentalWarning)
                return optuna.pruners.PatientPruner(None, **settings)
        case strategies.NonePruner():
            return optuna.pruners.NopPruner()


def max_epochs(definition: StudyDefinition) -> int:
    """The most epochs that a trial of the study can have."""
    space = definition.space
    match space.tunables.get(LONGEST):
        case None:
            return int(space.constants.get(LONGEST, TrainingConfig().max_epochs))
        case IntRange() as leaf:
            return leaf.high
        case leaf:
            return max(int(choice) for choice in leaf.grid())


_COMPARES_RUNNING = (optuna.pruners.SuccessiveHalvingPruner, optuna.pruners.HyperbandPruner)
"""Pruners that look at unfinished trials: what others noted five seconds ago is not enough."""


def _copy(trial: FrozenTrial) -> FrozenTrial:
    """A trial whose reports and notes can be added to; quicker than a deep copy."""
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
