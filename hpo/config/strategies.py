"""Settings of samplers, which propose params, and of pruners, which stop unpromising trials.

The keys are those of Optuna.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Count = Annotated[int, Field(ge=0, lt=2**31)]
Positive = Annotated[int, Field(ge=1, lt=2**31)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]


class Section(BaseModel):
    """A table of a study file: immutable, without other keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Strategy(Section):
    """A table whose key `name` selects the sampler or pruner."""

    model_config = ConfigDict(json_schema_extra={"required": ["name"]})


class LearningSampler(Strategy):
    """A sampler that learns from finished trials.

    Attributes:
        n_startup_trials: draw at random before so many trials are finished.
        warm_start: names of studies in the same storage whose finished trials count as well.
    """

    n_startup_trials: Count = 20
    warm_start: Annotated[tuple[str, ...], Field(min_length=1)] | None = None


class TpeSampler(LearningSampler):
    """Tree-structured Parzen estimator, multivariate (Bergstra 2011; Falkner 2018)."""

    name: Literal["tpe"] = "tpe"
    seed: Seed = 0


class RandomSampler(Strategy):
    """Independent uniform draws."""

    name: Literal["random"] = "random"
    seed: Seed = 0


class QmcSampler(Strategy):
    """A scrambled Sobol sequence, which covers the space more evenly than random draws."""

    name: Literal["qmc"] = "qmc"
    seed: Seed = 0


class GpSampler(LearningSampler):
    """Gaussian-process Bayesian optimization."""

    name: Literal["gp"] = "gp"
    seed: Seed = 0


class GridSampler(Strategy):
    """All points of a space of choices and steps, in random order."""

    name: Literal["grid"] = "grid"
    seed: Seed = 0


class MedianPruner(Strategy):
    """Stops a trial whose best value so far is worse than the median of finished trials."""

    name: Literal["median"] = "median"
    n_startup_trials: Count = 5
    n_warmup_steps: Count = 5
    interval_steps: Positive = 1


class PercentilePruner(Strategy):
    """Stops a trial whose best value so far is worse than a percentile of finished trials."""

    name: Literal["percentile"] = "percentile"
    percentile: Annotated[float, Field(ge=0, le=100)] = 25.0
    n_startup_trials: Count = 5
    n_warmup_steps: Count = 5
    interval_steps: Positive = 1


class SuccessiveHalvingPruner(Strategy):
    """Asynchronous successive halving (Li et al. 2020)."""

    name: Literal["successive_halving"] = "successive_halving"
    min_resource: Positive = 4
    reduction_factor: Annotated[int, Field(ge=2, lt=2**31)] = 4
    min_early_stopping_rate: Count = 0


class HyperbandPruner(Strategy):
    """Several brackets of successive halving (Li et al. 2018)."""

    name: Literal["hyperband"] = "hyperband"
    min_resource: Positive = 4
    reduction_factor: Annotated[int, Field(ge=2, lt=2**31)] = 3


class PatientPruner(Strategy):
    """Stops a trial that has not improved for `patience` epochs."""

    name: Literal["patient"] = "patient"
    patience: Count = 8
    min_delta: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0


class NonePruner(Strategy):
    """Stops no trial; each runs until its own `training.patience` ends it."""

    name: Literal["none"] = "none"


Sampler = Annotated[
    TpeSampler | RandomSampler | QmcSampler | GpSampler | GridSampler, Field(discriminator="name")
]
Pruner = Annotated[
    MedianPruner
    | PercentilePruner
    | SuccessiveHalvingPruner
    | HyperbandPruner
    | PatientPruner
    | NonePruner,
    Field(discriminator="name"),
]
