"""Confirmation: a study's leading configurations, trained again over seeds, and what that shows.

A search trains each configuration once, and the first of many is the luckiest as well as a good
one: its value promises too much, and now and then it is no better than the default configuration.
So the leaders and the default are trained again, with seeds that the search did not use, and are
compared by their means. Each seed gives a pair with the default, which has the same order of rows.

Intervals are Student's t at 95 %, each for itself: with many leaders or few seeds the best of them
may still be a lucky one.
"""

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from hpo.config.definition import Budget, StudyDefinition, check_name
from hpo.config.errors import InputError
from hpo.config.ranges import Categorical, IntRange, Value
from hpo.config.space import Params, SearchSpace
from hpo.config.strategies import NonePruner, RandomSampler
from hpo.config.trial import Direction, TrainingConfig

SUFFIX = "@confirm"
SEED = "training.seed"
DEFAULT = 0
"""The number of the trial that has the default configuration."""
LEVEL = 0.95
MAX_TOP = 100
MAX_SEEDS = 100
"""The study keeps one range of seeds, so that it can be extended."""
N_SEEDS = 2**31
"""Seeds that there are."""

Configuration = frozenset[tuple[str, Value]]
"""The params of a trial but for its seed."""


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A mean over seeds; spread and interval need two of them.

    Attributes:
        sd: the standard deviation of the sample.
        low: the interval's lower end.
        high: its upper end.
    """

    n_seeds: int
    mean: float
    sd: float | None
    low: float | None
    high: float | None

    @classmethod
    def of(cls, values: Sequence[float]) -> "Estimate":
        """The mean of some values, and Student's interval of it."""
        n, mean = len(values), statistics.fmean(values)
        if n < 2:
            return cls(n_seeds=n, mean=mean, sd=None, low=None, high=None)
        sd = statistics.stdev(values)
        half = _quantile(n - 1) * sd / math.sqrt(n)
        return cls(n_seeds=n, mean=mean, sd=sd, low=mean - half, high=mean + half)

    def text(self, *, sign: str = "") -> str:
        """`0.4817 ± 0.0028`: to two digits of the interval; `sign = "+"` shows one always."""
        if self.low is None or self.low == self.mean:
            return f"{self.mean:{sign}.4g}"
        half = self.mean - self.low
        n_decimals = max(0, 1 - math.floor(math.log10(half)))
        return f"{self.mean:{sign}.{n_decimals}f} ± {half:.{n_decimals}f}"


@dataclass(frozen=True, kw_only=True)
class ConfirmedConfig:
    """A configuration, by the number of the trial that the search had of it.

    Attributes:
        values: the validation metric by seed, of the trainings that are COMPLETE.
        is_whole: whether those are all that there should be. One that diverged or failed with some
            seed is not: the mean of the others flatters it.
        estimate: of `values`; None where there are none.
        difference: to the default with the same seed, over the seeds that both have; None for the
            default itself.
        n_better: seeds with which it is better than the default.
    """

    number: int
    values: Mapping[int, float]
    is_whole: bool
    estimate: Estimate | None
    difference: Estimate | None
    n_better: int

    def to_json(self, *, values: bool) -> dict[str, Any]:
        """As plain JSON, with or without the single values."""
        tree = asdict(self)
        if not values:
            del tree["values"]
        return tree


@dataclass(frozen=True, kw_only=True)
class Confirmation:
    """What training again has shown.

    Attributes:
        study: the name of the study that the trainings are in.
        seeds: those that the default was to be trained with, and so all others.
        configs: best mean first; those that are not whole come last.
    """

    study: str
    metric: str
    direction: Direction
    seeds: tuple[int, ...]
    configs: tuple[ConfirmedConfig, ...]

    @property
    def winner(self) -> ConfirmedConfig | None:
        """The whole configuration with the best mean on validation; None where none is whole."""
        return next((each for each in self.configs if each.is_whole), None)

    @property
    def is_better_than_default(self) -> bool:
        """Whether the winner is better beyond noise: its paired interval leaves out 0."""
        difference = None if self.winner is None else self.winner.difference
        if difference is None or difference.low is None or difference.high is None:
            return False
        return all(self.direction.is_better(end, 0) for end in (difference.low, difference.high))

    @property
    def verdict(self) -> str:
        """The outcome in a sentence."""
        n_seeds, winner = len(self.seeds), self.winner
        if winner is None:
            return "No configuration finished with every seed: nothing is confirmed."
        if winner.number == DEFAULT:
            return (
                "The default configuration (trial 0) has the best mean: no leading configuration "
                f"is better than it over {n_seeds} seeds."
            )
        found = winner.difference
        if found is None or found.low is None:
            return (
                f"Trial {winner.number} has the best mean; the default configuration did not "
                "finish with enough seeds to compare it with."
            )
        of_seeds = f"better with {winner.n_better} of {found.n_seeds} seeds"
        if self.is_better_than_default:
            return (
                f"Trial {winner.number} is better than the default configuration: "
                f"by {found.text(sign='+')} in pairs, {of_seeds}."
            )
        return (
            f"Trial {winner.number} has the best mean, but is not better than the default "
            f"configuration beyond noise: {found.text(sign='+')} in pairs, {of_seeds}."
        )

    def to_json(self, *, values: bool = True) -> dict[str, Any]:
        """As plain JSON, with or without the single values."""
        return {
            "study": self.study,
            "metric": self.metric,
            "direction": self.direction,
            "seeds": list(self.seeds),
            "winner": None if self.winner is None else self.winner.number,
            "is_better_than_default": self.is_better_than_default,
            "configurations": [each.to_json(values=values) for each in self.configs],
        }


def confirmed(tree: Mapping[str, Any]) -> dict[int, Estimate]:
    """The estimates of whole configurations by trial number, from a confirmation's JSON."""
    found = (each for each in tree["configurations"] if each["is_whole"])
    return {each["number"]: Estimate(**each["estimate"]) for each in found}


def confirming(definition: StudyDefinition) -> StudyDefinition:
    """The study that trains configurations of another one again.

    The same space with a seed to choose, and nothing that would end a trial early. Its trials are
    queued whole, so that its sampler has nothing to draw.

    Raises:
        InputError: the other one is such a study itself, or its name is too long.
    """
    if definition.name.endswith(SUFFIX):
        raise InputError(f"study {definition.name} is a confirmation: name the study it confirms")
    try:
        name = check_name(definition.name + SUFFIX)
    except ValueError as error:
        raise InputError(f"the name of the confirming study {error}") from None
    return replace(
        definition,
        name=name,
        space=_with_seeds(definition.space),
        sampler=RandomSampler(),
        pruner=NonePruner(),
        budget=Budget(n_trials=1, max_attempts=definition.budget.max_attempts),
    )


def configuration(params: Mapping[str, Value]) -> Configuration:
    """What a trial is but for its seed."""
    return frozenset(item for item in params.items() if item[0] not in (SEED, f"{SEED}.on"))


def trainings(
    definition: StudyDefinition, found: Sequence[Configuration], n_seeds: int
) -> Iterator[Params]:
    """The params of all trainings: seed after seed, so that pairs are there early.

    Args:
        definition: of the confirming study.
        found: the configurations.
        n_seeds: of each.
    """
    leaf = definition.space.tunables[SEED]
    assert isinstance(leaf, IntRange)
    for seed in range(leaf.low, leaf.low + n_seeds):
        for each in found:
            yield {**dict(sorted(each)), SEED: seed}


def compare(
    definition: StudyDefinition,
    seeds: Sequence[int],
    values: Mapping[int, Mapping[int, float]],
) -> Confirmation:
    """Compare configurations with each other, and each with the default by pairs.

    Args:
        definition: of the confirming study.
        seeds: that each should have been trained with.
        values: the validation metric by trial number and seed.
    """
    direction = definition.direction

    def config(number: int) -> ConfirmedConfig:
        own, default = values[number], values.get(DEFAULT, {})
        pairs = [own[seed] - default[seed] for seed in sorted(own) if seed in default]
        is_paired = number != DEFAULT and bool(pairs)
        return ConfirmedConfig(
            number=number,
            values=dict(sorted(own.items())),
            is_whole=set(seeds) <= own.keys(),
            estimate=Estimate.of(list(own.values())) if own else None,
            difference=Estimate.of(pairs) if is_paired else None,
            n_better=sum(direction.is_better(each, 0) for each in pairs),
        )

    def rank(each: ConfirmedConfig) -> tuple[bool, float, int]:
        mean = math.inf if each.estimate is None else direction.sign * each.estimate.mean
        return not each.is_whole, mean, each.number

    return Confirmation(
        study=definition.name,
        metric=definition.objective.metric,
        direction=direction,
        seeds=tuple(sorted(seeds)),
        configs=tuple(sorted(map(config, values), key=rank)),
    )


def _with_seeds(space: SearchSpace) -> SearchSpace:
    """The space with a range of seeds that lie beyond those of the search, where there are such.

    With the search's own seed its leaders would be as lucky again.
    """
    match space.tunables.get(SEED):
        case None:
            highest = space.constants.get(SEED, TrainingConfig().seed)
        case Categorical() as leaf:
            highest = max(int(choice) for choice in leaf.choices)
        case leaf:
            highest = leaf.high
    first = int(highest) + 1
    if first + MAX_SEEDS > N_SEEDS:
        first = 0
    seeds = IntRange(type="int", low=first, high=first + MAX_SEEDS - 1, default=first)
    constants = {path: value for path, value in space.constants.items() if path != SEED}
    tunables = {path: leaf for path, leaf in space.tunables.items() if path != SEED}
    return SearchSpace(constants=constants, tunables={**tunables, SEED: seeds})


def _quantile(n_free: int) -> float:
    """Student's t: how many standard errors an interval reaches to either side."""
    from scipy.special import stdtrit  # a second's import, for this alone

    return float(stdtrit(n_free, (1 + LEVEL) / 2))
