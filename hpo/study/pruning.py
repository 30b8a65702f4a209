"""Optuna's pruners as a study's definition names them, and how they are called.

A pruner sees the epochs of a trial one by one, as if each had been reported alone: its decision
depends on the trial and not on how often a worker reports. The trial comes from the worker's
memory, the trials to compare with from the reader.
"""

import copy
import math
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
from hpo.config.space import Params, SearchSpace
from hpo.config.trial import Measurement, TrainingConfig
from hpo.storage.leases import Lease
from hpo.storage.reader import StudyReader
from hpo.study.curves import Curves, Plan
from hpo.study.experimental import ignore_experimental

SCHEDULE_WARMUP = 0.5
"""The share of its planned epochs before which a trial with a schedule is not pruned."""
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

    def decide(
        self, lease: Lease, params: Params, measurements: Sequence[Measurement]
    ) -> PruningDecision:
        """Decide whether to prune a trial after more epochs; changes nothing."""
        known = self._trials.get(lease.token)
        trial = _frozen(lease, params) if known is None else _copy(known)
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
        self,
        lease: Lease,
        params: Params,
        measurements: Sequence[Measurement],
        system_attrs: dict[str, Any],
    ) -> None:
        """Start from the reports of an earlier attempt."""
        trial = _frozen(lease, params)
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
    trials. Here the reports of each step are in an array.

    With a learning-rate schedule the pruner differs from Optuna's: it compares a trial only with
    trials of the same schedule, at the same share of their planned epochs, and prunes no trial
    before `SCHEDULE_WARMUP` of its planned epochs.
    """

    def __init__(
        self, pruner: optuna.pruners.PercentilePruner, space: SearchSpace, reader: StudyReader
    ) -> None:
        """Decide as `pruner` does, on the trials of `reader`, whose params are of `space`."""
        self._like = pruner
        self._space = space
        self._reader = reader
        self._curves = Curves(space)
        self._limits: dict[tuple[Plan, int], float | None] = {}

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        """Whether the trial's best value is worse than the percentile at its last step."""
        like, step = self._like, trial.last_step
        if self._curves.update(self._reader.snapshot(study._study_id)):
            self._limits.clear()
        plan = Plan.of(self._space, trial)
        enough = self._curves.n_complete[plan.schedule] >= max(1, like._n_startup_trials)
        n_warmup = max(like._n_warmup_steps, _n_first(plan))
        if not enough or step is None or step < n_warmup:
            return False
        opens = step - (step - n_warmup) % like._interval_steps
        if any(opens <= earlier < step for earlier in trial.intermediate_values):
            return False
        own = numpy.array(list(trial.intermediate_values.values()))
        if numpy.isnan(own).all():
            return True
        is_maximized = study.direction == StudyDirection.MAXIMIZE
        if (limit := self._limit(plan, step, is_maximized)) is None:
            return False
        return bool(numpy.nanmax(own) < limit if is_maximized else numpy.nanmin(own) > limit)

    def _limit(self, plan: Plan, step: int, is_maximized: bool) -> float | None:
        """The percentile of the values reported at a step, cached for other trials."""
        key = plan, step
        if key not in self._limits:
            reported = numpy.array(self._curves.reported(plan, step))
            is_known = len(reported) >= self._like._n_min_trials and not numpy.isnan(reported).all()
            share = 100 - self._like._percentile if is_maximized else self._like._percentile
            self._limits[key] = float(numpy.nanpercentile(reported, share)) if is_known else None
        return self._limits[key]


def _n_first(plan: Plan) -> int:
    """The first epoch at which a trial may be pruned because of its schedule."""
    return 0 if plan.schedule == "constant" else math.ceil(SCHEDULE_WARMUP * plan.n_epochs)


def make_pruner(definition: StudyDefinition, reader: StudyReader) -> BasePruner:
    """The pruner of a study."""
    settings = definition.pruner.model_dump(exclude={"name"})
    match definition.pruner:
        case strategies.MedianPruner():
            return ColumnsPercentilePruner(
                optuna.pruners.MedianPruner(**settings), definition.space, reader
            )
        case strategies.PercentilePruner():
            return ColumnsPercentilePruner(
                optuna.pruners.PercentilePruner(**settings), definition.space, reader
            )
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


def _frozen(lease: Lease, params: Params) -> FrozenTrial:
    return FrozenTrial(
        number=lease.number,
        trial_id=lease.trial_id,
        state=TrialState.RUNNING,
        value=None,
        datetime_start=None,
        datetime_complete=None,
        params=dict(params),
        distributions={},
        user_attrs={},
        system_attrs={},
        intermediate_values={},
    )
