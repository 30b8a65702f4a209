"""Confirmation: the statistics of training a study's leading configurations again over seeds.

A search trains each configuration once. The best of many values is also the luckiest: it promises
too much, and its configuration may be no better than the default. Therefore the leaders and the
default are trained again with seeds that the search did not use, and are compared by their means.
Each seed pairs a leader with the default, because a seed determines the order of rows.

Intervals are Student's t at 95 % without correction for multiple comparisons: with many leaders or
few seeds, the best of them may still be a lucky one.
"""

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from hpo.config.definition import Budget, StudyDefinition, check_name
from hpo.config.errors import InputError
from hpo.config.metrics import Direction
from hpo.config.ranges import Categorical, IntRange, Value
from hpo.config.space import Params, SearchSpace
from hpo.config.strategies import NonePruner, RandomSampler
from hpo.config.trial import TrainingConfig

SUFFIX = "@confirm"
SEED = "training.seed"
DEFAULT = 0
"""Number of the trial with the default configuration."""
_LEVEL = 0.95
MAX_TOP = 100
MAX_SEEDS = 100
"""Size of the range of seeds, which stays the same so that a confirmation can be extended."""
_N_SEEDS = 2**31
"""Number of possible seeds."""

Configuration = frozenset[tuple[str, Value]]
"""The params of a trial without its seed."""


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A mean over seeds; with a single seed, `sd`, `low` and `high` are None.

    Attributes:
        sd: standard deviation of the sample.
        low: lower end of the confidence interval.
        high: upper end of the confidence interval.
    """

    n_seeds: int
    mean: float
    sd: float | None
    low: float | None
    high: float | None

    @classmethod
    def of(cls, values: Sequence[float]) -> "Estimate":
        """The mean of some values and its Student's t interval."""
        n, mean = len(values), statistics.fmean(values)
        if n < 2:
            return cls(n_seeds=n, mean=mean, sd=None, low=None, high=None)
        sd = statistics.stdev(values)
        from scipy.special import stdtrit  # importing it takes a second

        half = float(stdtrit(n - 1, (1 + _LEVEL) / 2)) * sd / math.sqrt(n)
        return cls(n_seeds=n, mean=mean, sd=sd, low=mean - half, high=mean + half)

    def text(self, *, sign: str = "") -> str:
        """`0.4817 ± 0.0028`, with two digits of the interval; `sign="+"` always shows a sign."""
        if self.low is None or self.low == self.mean:
            return f"{self.mean:{sign}.4g}"
        half = self.mean - self.low
        n_decimals = max(0, 1 - math.floor(math.log10(half)))
        return f"{self.mean:{sign}.{n_decimals}f} ± {half:.{n_decimals}f}"


@dataclass(frozen=True, kw_only=True)
class ConfirmedConfig:
    """A configuration and its trainings.

    Attributes:
        number: number of the configuration's trial in the search.
        values: validation metric of the COMPLETE trainings by seed.
        is_whole: whether every seed has a value. If some diverged or failed, the mean of the others
            is too favorable.
        estimate: estimate from `values`; None if there are none.
        difference: estimate of the difference to the default with the same seed; None for the
            default itself.
        n_better: number of seeds with which it is better than the default.
    """

    number: int
    values: Mapping[int, float]
    is_whole: bool
    estimate: Estimate | None
    difference: Estimate | None
    n_better: int


@dataclass(frozen=True, kw_only=True)
class Confirmation:
    """The result of a confirmation.

    Attributes:
        study: name of the study that contains the trainings.
        seeds: seeds with which every configuration should be trained.
        configs: configurations, best mean first; incomplete ones come last.
    """

    study: str
    metric: str
    direction: Direction
    seeds: tuple[int, ...]
    configs: tuple[ConfirmedConfig, ...]

    @property
    def winner(self) -> ConfirmedConfig | None:
        """The whole configuration with the best validation mean; None if none is whole."""
        return next((each for each in self.configs if each.is_whole), None)

    @property
    def is_better_than_default(self) -> bool:
        """Whether the winner is significantly better: its paired interval excludes 0."""
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
        """The result as plain JSON, with or without the values by seed."""
        left_out = () if values else ("values",)
        return {
            "study": self.study,
            "metric": self.metric,
            "direction": self.direction,
            "seeds": list(self.seeds),
            "winner": None if self.winner is None else self.winner.number,
            "is_better_than_default": self.is_better_than_default,
            "configurations": [
                {key: value for key, value in asdict(each).items() if key not in left_out}
                for each in self.configs
            ],
        }


def confirmed(tree: Mapping[str, Any]) -> dict[int, Estimate]:
    """The estimates of whole configurations by trial number, from a confirmation's JSON."""
    found = (each for each in tree["configurations"] if each["is_whole"])
    return {each["number"]: Estimate(**each["estimate"]) for each in found}


def confirming(definition: StudyDefinition) -> StudyDefinition:
    """The definition of the study that trains configurations of another study again.

    It has the same space with a seed as a param, and nothing ends a trial early. Its trials are
    enqueued with all params, so that its sampler draws nothing.

    Raises:
        InputError: the other study is a confirmation itself, or its name is too long.
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
    """The params of a trial without its seed."""
    return frozenset(item for item in params.items() if item[0] not in (SEED, f"{SEED}.on"))


def trainings(
    definition: StudyDefinition, found: Sequence[Configuration], n_seeds: int
) -> Iterator[Params]:
    """The params of all trainings, seed by seed, so that pairs are complete early.

    Args:
        definition: definition of the confirming study.
        found: the configurations.
        n_seeds: number of seeds of each configuration.
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
    """Compare configurations with each other, and pairwise with the default.

    Args:
        definition: definition of the confirming study.
        seeds: seeds with which every configuration should be trained.
        values: validation metric by trial number and seed.
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
    """The space with a range of seeds above those of the search, if possible.

    With the seed of the search, its leaders would be lucky again.
    """
    match space.tunables.get(SEED):
        case None:
            highest = space.constants.get(SEED, TrainingConfig().seed)
        case Categorical() as leaf:
            highest = max(int(choice) for choice in leaf.choices)
        case leaf:
            highest = leaf.high
    first = int(highest) + 1
    if first + MAX_SEEDS > _N_SEEDS:
        first = 0
    seeds = IntRange(type="int", low=first, high=first + MAX_SEEDS - 1, default=first)
    constants = {path: value for path, value in space.constants.items() if path != SEED}
    tunables = {path: leaf for path, leaf in space.tunables.items() if path != SEED}
    return SearchSpace(constants=constants, tunables={**tunables, SEED: seeds})
