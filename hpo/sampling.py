"""Optuna's samplers as a study's definition names them, and how they are asked.

A sampler is made anew for each trial, seeded by the study's seed and the trial's number: what a
trial draws depends on the trials before it, and not on which worker asks. Of several that are drawn
at once, each sees those before it as running.
"""

import copy
import hashlib
import random
import warnings
from collections.abc import Sequence

import optuna
from optuna.distributions import BaseDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler
from optuna.trial import Trial

from hpo import strategies
from hpo.definition import StudyDefinition
from hpo.ranges import Categorical, FloatRange, IntRange, Leaf, Value
from hpo.search_space import Params
from hpo.storage.leases import Lease
from hpo.storage.reader import Notes, Reader
from hpo.tpe import Columns, ColumnsTpeSampler


class _PointSampler(optuna.samplers.QMCSampler):
    """Takes the point of the trial's own number.

    Optuna counts points in an attribute of the study, which two workers may read as the same. The
    points cover the params of the study's first trial; others are drawn for each trial anew.
    """

    def __init__(self, seed: int, number: int) -> None:
        super().__init__(
            seed=seed,
            scramble=True,
            independent_sampler=optuna.samplers.RandomSampler(seed=_seed(seed, number)),
        )
        self._number = number

    def _find_sample_id(
        self, study: optuna.Study, search_space: dict[str, BaseDistribution]
    ) -> int:
        return self._number


class Drawer:
    """Asks a study's sampler for the params of trials."""

    def __init__(self, study: optuna.Study, reader: Reader) -> None:
        """Take the study as Optuna sees it, over the reader."""
        self._study = study
        self._reader = reader
        self._columns = Columns()

    def draw(
        self, definition: StudyDefinition, leases: Sequence[Lease]
    ) -> dict[Lease, tuple[Params, Notes]]:
        """Choose trials' params by what is known now; beside them what is yet to be written."""
        with self._reader.drafting(self._study._study_id, [lease.trial_id for lease in leases]):
            return {lease: self._draw(definition, lease) for lease in leases}

    def _draw(self, definition: StudyDefinition, lease: Lease) -> tuple[Params, Notes]:
        study = copy.copy(self._study)  # afresh: it keeps lists of trials
        study.sampler = make_sampler(definition.sampler, lease.number, self._columns)
        with self._reader.held(lease.trial_id) as notes:
            return draw(definition, Trial(study, lease.trial_id)), notes


def make_sampler(
    settings: strategies.Sampler, number: int, columns: Columns | None = None
) -> BaseSampler:
    """The sampler for one trial. A grid's points are enqueued, so it has nothing left to draw.

    Args:
        settings: the study's.
        number: the trial's.
        columns: what TPE knows of the study's trials; shared by those that are drawn in turn.
    """
    seed = _seed(settings.seed, number)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        match settings:
            case strategies.TpeSampler():
                return ColumnsTpeSampler(columns or Columns(), seed, settings.n_startup_trials)
            case strategies.GpSampler():
                return optuna.samplers.GPSampler(
                    seed=seed,
                    n_startup_trials=settings.n_startup_trials,
                )
            case strategies.QmcSampler():
                return _PointSampler(settings.seed, number)
            case _:
                return optuna.samplers.RandomSampler(seed=seed)


def draw(definition: StudyDefinition, trial: Trial) -> Params:
    """Choose every active param of a trial; those it was enqueued with are taken as they are."""

    def choose(name: str, leaf: Leaf) -> Value:
        match leaf:
            case FloatRange():
                return trial.suggest_float(name, leaf.low, leaf.high, log=leaf.log, step=leaf.step)
            case IntRange():
                step = 1 if leaf.step is None else leaf.step
                return trial.suggest_int(name, leaf.low, leaf.high, log=leaf.log, step=step)
            case Categorical():
                return leaf.choices[
                    leaf.choices.index(trial.suggest_categorical(name, leaf.choices))
                ]

    return definition.space.walk(choose)


def queue(definition: StudyDefinition) -> list[Params]:
    """The params of a study's first trials: its default configuration, or the points of its grid.

    A grid's points are shuffled behind the default configuration; no more of them than the budget
    has room for.
    """
    default = definition.space.default_params()
    if not isinstance(definition.sampler, strategies.GridSampler):
        return [default]
    points = list(definition.space.grid())
    random.Random(definition.sampler.seed).shuffle(points)
    points.sort(key=lambda point: point != default)
    return points[: definition.budget.n_trials]


def _seed(seed: int, number: int) -> int:
    digest = hashlib.sha256(f"{seed}/{number}".encode()).digest()
    return int.from_bytes(digest[:4], "little") % 2**31
