"""Optuna's samplers as a study's definition names them, and how they are called.

Each trial gets a new sampler, seeded by the study's seed and the trial's number: its params depend
on the trials before it and not on which worker draws them. If several trials are drawn at once,
each sees the ones before it as running.

In a finite space, no point is drawn twice. A sampler that draws the point of another trial is
called again; after a few times, one of the remaining points is picked at random.
"""

import copy
import hashlib
import random
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import BaseSampler
from optuna.trial import Trial

from hpo.config import strategies
from hpo.config.definition import StudyDefinition
from hpo.config.points import grid
from hpo.config.ranges import Categorical, FloatRange, IntRange, Leaf, Value
from hpo.config.space import Params
from hpo.storage import leases, ledger
from hpo.storage.engine import Connection
from hpo.storage.leases import Lease
from hpo.storage.ledger import FIXED_PARAMS
from hpo.storage.reader import DrawnParam, StudyReader
from hpo.study.experimental import ignore_experimental
from hpo.study.tpe import Columns, ColumnsTpeSampler
from hpo.study.tried import TriedPoints

_N_DRAWS = 4
"""How often a sampler is called for an untried point before one is picked at random."""


class _NumberedQmcSampler(optuna.samplers.QMCSampler):
    """Takes the point of the quasi-random sequence that has the trial's number.

    Optuna counts points in an attribute of the study, of which two workers may read the same value.
    The sequence covers the params of the study's first trial; other params are drawn independently.
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


@dataclass(frozen=True, kw_only=True)
class SampledParams:
    """The params of a trial.

    Attributes:
        written: the params that are still to be written.
        is_free: whether all params were drawn, none chosen by a person.
    """

    params: Params
    written: Sequence[DrawnParam]
    is_free: bool


class ParamSampler:
    """Calls a study's sampler for the params of trials."""

    def __init__(
        self,
        definition: StudyDefinition,
        study: optuna.Study,
        reader: StudyReader,
        tried: TriedPoints | None,
    ) -> None:
        """Sample for Optuna's view of a study through the reader.

        Args:
            definition: the study's sampler and search space.
            study: Optuna's view of the study.
            reader: its storage.
            tried: the tried points of a finite space; None if the space is infinite.
        """
        self._definition = definition
        self._study = study
        self._reader = reader
        self._tried = tried
        self._columns = Columns()

    def draw(self, granted: Sequence[Lease]) -> dict[Lease, SampledParams]:
        """Draw the params of trials from the current state of the study."""
        with self._reader.drafting(self._study._study_id, [lease.trial_id for lease in granted]):
            if self._tried is None:
                return {lease: self._draw(lease) for lease in granted}
            self._tried.refresh()
            found: dict[Lease, SampledParams] = {}
            taken = set[int | None]()
            for lease in granted:
                found[lease] = self._draw_other(lease, taken)
                taken.add(self._tried.points.number(found[lease].params))
                taken.discard(None)
            return found

    def write(
        self, connection: Connection, drawn: Mapping[Lease, SampledParams]
    ) -> dict[Lease, SampledParams]:
        """Write drawn params of trials whose lease is held; return those that were written."""
        settled = self._settled(connection, drawn)
        held = leases.touch(connection, drawn.keys())
        kept = {lease: each for lease, each in settled.items() if lease.trial_id in held}
        params = {lease.trial_id: each.written for lease, each in kept.items()}
        ledger.write_params(connection, params)
        return kept

    def _settled(
        self, connection: Connection, drawn: Mapping[Lease, SampledParams]
    ) -> Mapping[Lease, SampledParams]:
        """Drawn params, with another point where another worker took the same one meanwhile."""
        if self._tried is None or not any(each.is_free for each in drawn.values()):
            return drawn
        if not ledger.lock_study(connection, self._study._study_id):  # deleted
            return drawn
        self._tried.refresh(connection)
        settled = dict(drawn)
        numbers = {lease: self._tried.points.number(each.params) for lease, each in drawn.items()}
        taken = set(numbers.values())
        for lease, each in drawn.items():
            if each.is_free and numbers[lease] in self._tried:
                settled[lease] = self._picked(lease, taken) or each
                taken.add(self._tried.points.number(settled[lease].params))
        return settled

    def _draw_other(self, lease: Lease, taken: Set[int | None]) -> SampledParams:
        """Draw a point that no trial has, if possible by the sampler."""
        assert self._tried is not None
        for attempt in range(_N_DRAWS):
            drawn = self._draw(lease, attempt)
            number = self._tried.points.number(drawn.params)
            fixed = self._reader.get_trial(lease.trial_id).system_attrs.get(FIXED_PARAMS, {})
            is_drawn = any(param.name not in fixed for param in drawn.written)
            if not is_drawn or not (number in self._tried or number in taken):
                return drawn
            self._reader.redraft(lease.trial_id, ())
        if drawn.is_free:
            drawn = self._picked(lease, taken) or drawn
        self._reader.redraft(lease.trial_id, drawn.written)
        return drawn

    def _draw(self, lease: Lease, attempt: int = 0) -> SampledParams:
        study = copy.copy(self._study)  # the original caches lists of trials
        settings = self._definition.sampler
        study.sampler = make_sampler(settings, lease.number, self._columns, attempt)
        fixed = self._reader.get_trial(lease.trial_id).system_attrs.get(FIXED_PARAMS)
        with self._reader.hold_writes(lease.trial_id) as held:
            params = draw(self._definition, Trial(study, lease.trial_id))
        return SampledParams(
            params=params, written=held.params, is_free=bool(held.params and not fixed)
        )

    def _picked(self, lease: Lease, taken: Set[int | None]) -> SampledParams | None:
        """A random point that no trial has; None if there is none."""
        assert self._tried is not None
        seed = _seed(self._definition.sampler.seed, lease.number, _N_DRAWS)
        params = self._tried.pick(seed, [number for number in taken if number is not None])
        if params is None:
            return None
        leaves = self._definition.space.params()
        written = []
        for name, value in params.items():
            drawn = distribution(leaves[name])
            internal = drawn.to_internal_repr(value)
            written.append(DrawnParam(name=name, value=internal, distribution=drawn))
        return SampledParams(params=params, written=written, is_free=True)


def make_sampler(
    settings: strategies.Sampler, number: int, columns: Columns | None = None, attempt: int = 0
) -> BaseSampler:
    """The sampler for one trial. The points of a grid are enqueued and need no sampler.

    Args:
        settings: sampler of the study's definition.
        number: number of the trial.
        columns: finished trials for TPE, shared by successive draws.
        attempt: number of earlier draws for this trial.
    """
    seed = _seed(settings.seed, number, attempt)
    with ignore_experimental():
        match settings:
            case strategies.TpeSampler():
                return ColumnsTpeSampler(columns or Columns(), seed, settings.n_startup_trials)
            case strategies.GpSampler():
                return optuna.samplers.GPSampler(
                    seed=seed,
                    n_startup_trials=settings.n_startup_trials,
                )
            case strategies.QmcSampler() if not attempt:
                return _NumberedQmcSampler(settings.seed, number)
            case _:
                return optuna.samplers.RandomSampler(seed=seed)


def draw(definition: StudyDefinition, trial: Trial) -> Params:
    """Draw every active param of a trial; params that it was enqueued with are kept."""

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


def queue(definition: StudyDefinition, starts: Sequence[Params]) -> list[Params]:
    """The params of a study's first trials, each once.

    These are the default configuration, the starts of the search space, and further ones. A grid
    continues with its other points, shuffled, and is cut off at the budget.
    """
    space = definition.space
    first: list[Params] = []
    for params in (space.default_params(), *space.starts, *starts):
        if params not in first:
            first.append(params)
    if not isinstance(definition.sampler, strategies.GridSampler):
        return first
    points = list(grid(space))
    random.Random(definition.sampler.seed).shuffle(points)
    points.sort(key=lambda point: first.index(point) if point in first else len(first))
    return points[: definition.budget.n_trials]


def distribution(leaf: Leaf) -> BaseDistribution:
    """The distribution that Optuna's `suggest_*` methods create for a range."""
    match leaf:
        case FloatRange():
            return FloatDistribution(leaf.low, leaf.high, leaf.log, leaf.step)
        case IntRange():
            return IntDistribution(leaf.low, leaf.high, leaf.log, leaf.step or 1)
        case Categorical():
            return CategoricalDistribution(leaf.choices)


def _seed(seed: int, number: int, attempt: int = 0) -> int:
    text = f"{seed}/{number}/{attempt}" if attempt else f"{seed}/{number}"
    digest = hashlib.sha256(text.encode()).digest()
    return int.from_bytes(digest[:4], "little") % 2**31
