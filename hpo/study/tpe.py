"""Optuna's TPE over columns: it draws the same params in less time.

For each part of a search space that comes and goes as a whole, Optuna's sampler walks through every
finished trial several times, in Python. Here finished trials are kept as columns, which several
draws share, and a draw sorts them once. What is estimated from them, and drawn from that, is
Optuna's own code, with the same random numbers.

One objective, no constraints.
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
"""Columns by which trials are ranked, best first: COMPLETE ones by value, then PRUNED ones, those
that came further first."""


class Columns:
    """A study's COMPLETE and PRUNED trials side by side, by number."""

    def __init__(self) -> None:
        """Hold none."""
        self._clear()

    def _clear(self) -> None:
        self._known: dict[int, FrozenTrial] = {}
        self._spaces: dict[frozenset[str], FrozenTrial] = {}
        self._values: dict[str, Floats] = {}
        self._own: dict[str, Floats] = {name: numpy.empty(0) for name in ("number", *RANK)}
        self._ranked = numpy.empty(0, dtype=int)

    def update(self, study: optuna.Study, finished: Sequence[FrozenTrial]) -> None:
        """Hold these trials, which are those of the last time and a few more."""
        new = [trial for trial in finished if self._known.get(trial._trial_id) is not trial]
        if len(self._known) + len(new) != len(finished):  # one was changed, or taken up again
            self._clear()
            new = list(finished)
        if not new:
            return
        self._known |= {trial._trial_id: trial for trial in new}
        rows = numpy.array([_own(study, trial) for trial in new], dtype=float)
        own = dict(zip(self._own, rows.T, strict=True))
        numbers = numpy.concatenate([self._own["number"], own["number"]])
        order = numpy.argsort(numbers)
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
        """The params that come and go together, as Optuna finds them trial by trial."""
        group = _SearchSpaceGroup()
        for trial in sorted(self._spaces.values(), key=lambda trial: trial.number):
            group.add_distributions(trial.distributions)
        return group

    def split(self) -> NDArray[numpy.bool_]:
        """Which of the trials are the good ones."""
        is_below = numpy.zeros(len(self._ranked), dtype=bool)
        is_below[self._ranked[: default_gamma(len(self._ranked))]] = True
        return is_below

    def observed(
        self, names: Sequence[str], chosen: NDArray[numpy.bool_], running: Sequence[FrozenTrial]
    ) -> dict[str, Floats]:
        """What chosen and running trials have of some params, those that have all, by number."""
        finished = numpy.stack([self._values[name] for name in names])
        is_whole = chosen & ~numpy.isnan(finished).any(axis=0)
        others = [trial for trial in running if trial.params.keys() >= set(names)]
        fresh = [[_internal(trial, name) for trial in others] for name in names]
        numbers = [*self._own["number"][is_whole], *(trial.number for trial in others)]
        values = numpy.concatenate([finished[:, is_whole], numpy.array(fresh)], axis=1)
        return dict(zip(names, values[:, numpy.argsort(numbers)], strict=True))


class ColumnsTpeSampler(TPESampler):
    """Optuna's sampler for one trial, over columns."""

    def __init__(self, columns: Columns, seed: int, n_startup_trials: int) -> None:
        """Draw by `seed`; at random while fewer trials than that are finished."""
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
        """The params that finished trials have."""
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
    """A trial's number, and its place in the ranking."""
    if trial.state == TrialState.PRUNED:
        return (trial.number, 1.0, *_get_pruned_trial_score(trial, study))
    value = trial.values[0]
    return (trial.number, 0.0, 0.0, -value if study.direction == StudyDirection.MAXIMIZE else value)


def _internal(trial: FrozenTrial, name: str) -> float:
    """A param as Optuna computes with it; not a number where the trial lacks it."""
    if name not in trial.params:
        return math.nan
    return float(trial.distributions[name].to_internal_repr(trial.params[name]))
