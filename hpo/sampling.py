"""Optuna's samplers and pruners as a study's definition names them.

A sampler is made anew for each trial, seeded by the study's seed and the trial's number: what a
trial draws depends on the trials before it, and not on which worker asks.
"""

import hashlib
import random
import warnings

import optuna
from optuna.distributions import BaseDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler
from optuna.trial import Trial

from hpo import strategies
from hpo.definition import StudyDefinition
from hpo.ranges import Categorical, FloatRange, IntRange, Leaf, Value
from hpo.search_space import Params
from hpo.trial import TrainingConfig


class _PointSampler(optuna.samplers.QMCSampler):
    """Takes the point of the trial's own number.

    Optuna counts points in an attribute of the study, which two workers may read as the same.
    """

    def __init__(self, seed: int, number: int) -> None:
        super().__init__(seed=seed, scramble=True)
        self._number = number

    def _find_sample_id(
        self, study: optuna.Study, search_space: dict[str, BaseDistribution]
    ) -> int:
        return self._number


def make_sampler(settings: strategies.Sampler, number: int) -> BaseSampler:
    """The sampler for one trial. A grid's points are enqueued, so it has nothing left to draw."""
    seed = _seed(settings.seed, number)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        match settings:
            case strategies.TpeSampler():
                return optuna.samplers.TPESampler(
                    seed=seed,
                    n_startup_trials=settings.n_startup_trials,
                    multivariate=True,
                    group=True,
                    constant_liar=True,
                )
            case strategies.GpSampler():
                return optuna.samplers.GPSampler(
                    seed=seed,
                    n_startup_trials=settings.n_startup_trials,
                )
            case strategies.QmcSampler():
                return _PointSampler(settings.seed, number)
            case _:
                return optuna.samplers.RandomSampler(seed=seed)


def make_pruner(definition: StudyDefinition) -> BasePruner:
    """The study's pruner."""
    match definition.pruner:
        case strategies.MedianPruner() as settings:
            return optuna.pruners.MedianPruner(**settings.model_dump(exclude={"name"}))
        case strategies.PercentilePruner() as settings:
            return optuna.pruners.PercentilePruner(**settings.model_dump(exclude={"name"}))
        case strategies.SuccessiveHalvingPruner() as settings:
            return optuna.pruners.SuccessiveHalvingPruner(**settings.model_dump(exclude={"name"}))
        case strategies.HyperbandPruner() as settings:
            longest = definition.space.constants.get(
                "training.max_epochs", TrainingConfig().max_epochs
            )
            return optuna.pruners.HyperbandPruner(
                max_resource=int(longest), **settings.model_dump(exclude={"name"})
            )
        case strategies.PatientPruner() as settings:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ExperimentalWarning)
                return optuna.pruners.PatientPruner(None, **settings.model_dump(exclude={"name"}))
        case _:
            return optuna.pruners.NopPruner()


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


def grid_points(definition: StudyDefinition) -> list[Params]:
    """The grid's points, the default configuration first if it is one of them, then shuffled."""
    points = list(definition.space.grid())
    random.Random(definition.sampler.seed).shuffle(points)
    default = definition.space.default_params()
    return sorted(points, key=lambda point: point != default)


def _seed(seed: int, number: int) -> int:
    digest = hashlib.sha256(f"{seed}/{number}".encode()).digest()
    return int.from_bytes(digest[:4], "little") % 2**31
