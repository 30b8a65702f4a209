"""Optuna's TPE sampler on columns of trials: it draws the same params in less time.

For each group of params, Optuna's sampler iterates over all finished trials several times in
Python. Here, finished trials are kept as columns, which several draws share, and each draw sorts
them once. Estimation and drawing are Optuna's own code with the same random numbers.

Supports one objective without constraints.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy
import optuna
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution
from optuna.samplers import TPESampler
from optuna.samplers._tpe.parzen_estimator import _ParzenEstimator
from optuna.samplers._tpe.sampler import _get_pruned_trial_score, default_gamma
from optuna.search_space.group_decomposed import _SearchSpaceGroup
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

Floats = NDArray[numpy.float64]
FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)
RANK = ("pruned", "step", "score")
"""Columns that rank trials, best first: COMPLETE trials by value, then PRUNED trials, those with
more steps first."""


class Columns:
    """A study's COMPLETE and PRUNED trials as columns, ordered by number."""

    def __init__(self) -> None:
        """Start empty."""
        self._clear()

    def _clear(self) -> None:
        self._known: dict[int, FrozenTrial] = {}  # by id(), which touches no trial
        self._spaces: dict[frozenset[str], FrozenTrial] = {}
        self._values: dict[str, Floats] = {}
        self._own: dict[str, Floats] = {name: numpy.empty(0) for name in ("number", *RANK)}
        self._ranked = numpy.empty(0, dtype=int)

    def update(self, study: optuna.Study, finished: Sequence[FrozenTrial]) -> None:
        """Update to these trials, which usually are the previous ones and a few more."""
        new = [trial for trial in finished if id(trial) not in self._known]
        if len(self._known) + len(new) != len(finished):  # one was changed or retried
            self._clear()
            new = list(finished)
        if not new:
            return
        self._known |= {id(trial): trial for trial in new}
        rows = numpy.array([_own(study, trial) for trial in new], dtype=float)
        own = dict(zip(self._own, rows.T, strict=True))
        numbers = numpy.concatenate([self._own["number"], own["number"]])
        order = numpy.argsort(numbers, kind="stable")  # known results share a number
        n_before = len(numbers) - len(new)
        for name in {*self._values, *(name for trial in new for name in trial.params)}:
            before = self._values.get(name, numpy.full(n_before, math.nan))
            values = [_internal(trial, name) for trial in new]
            self._values[name] = numpy.concatenate([before, values])[order]
        for name, fresh in own.items():
            self._own[name] = numpy.concatenate([self._own[name], fresh])[order]
        self._ranked = numpy.lexsort([self._own[name] for name in reversed(RANK)])
        for trial in new:
            names = frozenset(trial.distributions)
            first = self._spaces.get(names, trial)
            self._spaces[names] = min(first, trial, key=lambda trial: trial.number)

    def groups(self) -> _SearchSpaceGroup:
        """The groups of params that are active together, as Optuna finds them."""
        group = _SearchSpaceGroup()
        for trial in sorted(self._spaces.values(), key=lambda trial: trial.number):
            group.add_distributions(trial.distributions)
        return group

    def split(self) -> NDArray[numpy.bool_]:
        """A mask of the trials that TPE counts as good."""
        is_below = numpy.zeros(len(self._ranked), dtype=bool)
        is_below[self._ranked[: default_gamma(len(self._ranked))]] = True
        return is_below

    def observed(
        self, names: Sequence[str], chosen: NDArray[numpy.bool_], running: Sequence[FrozenTrial]
    ) -> dict[str, Floats]:
        """Columns of some params over the chosen and running trials that have all of them."""
        finished = numpy.stack([self._values[name] for name in names])
        is_whole = chosen & ~numpy.isnan(finished).any(axis=0)
        others = [trial for trial in running if trial.params.keys() >= set(names)]
        fresh = [[_internal(trial, name) for trial in others] for name in names]
        numbers = [*self._own["number"][is_whole], *(trial.number for trial in others)]
        values = numpy.concatenate([finished[:, is_whole], numpy.array(fresh)], axis=1)
        order = numpy.argsort(numbers, kind="stable")
        return dict(zip(names, values[:, order], strict=True))


class ColumnsTpeSampler(TPESampler):
    """Optuna's TPE sampler for one trial, on columns."""

    def __init__(self, columns: Columns, seed: int, n_startup_trials: int) -> None:
        """Seed the sampler; it draws at random before `n_startup_trials` are finished."""
        super().__init__(
            seed=seed,
            n_startup_trials=n_startup_trials,
            multivariate=True,
            group=True,
            constant_liar=True,
        )
        self._columns = columns
        self._is_below: NDArray[numpy.bool_] | None = None
        self._running: list[FrozenTrial] = []

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """The params of finished trials."""
        finished = study._get_trials(deepcopy=False, states=FINISHED, use_cache=True)
        self._columns.update(study, finished)
        self._search_space_group = self._columns.groups()
        return {
            name: space[name]
            for space in self._search_space_group.search_spaces
            for name in sorted(space)
            if not space[name].single()
        }

    def _sample(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        if self._is_below is None:
            trials = study._get_trials(
                deepcopy=False, states=(TrialState.RUNNING,), use_cache=False
            )
            self._running = [other for other in trials if other.number != trial.number]
            self._is_below = self._columns.split()
        names = list(search_space)
        below = self._columns.observed(names, self._is_below, [])
        above = self._columns.observed(names, ~self._is_below, self._running)
        settings = self._parzen_estimator_parameters
        good = _ParzenEstimator(below, search_space, settings)
        samples = good.sample(self._rng.rng, self._n_ei_candidates)
        others = _ParzenEstimator(above, search_space, settings)
        chosen = self._compare(samples, self._compute_acquisition_func(samples, good, others))
        return {
            name: distribution.to_external_repr(chosen[name])
            for name, distribution in search_space.items()
        }


def _own(study: optuna.Study, trial: FrozenTrial) -> tuple[float, ...]:
    """A trial's number and its columns of `RANK`."""
    if trial.state == TrialState.PRUNED:
        return (trial.number, 1.0, *_get_pruned_trial_score(trial, study))
    value = trial.values[0]
    return (trial.number, 0.0, 0.0, -value if study.direction == StudyDirection.MAXIMIZE else value)


def _internal(trial: FrozenTrial, name: str) -> float:
    """A param in Optuna's internal representation; NaN if the trial lacks it."""
    if name not in trial.params:
        return math.nan
    return float(trial.distributions[name].to_internal_repr(trial.params[name]))
