"""Learning-rate schedules: the factor by which a step multiplies the learning rate.

With t, the number of earlier steps divided by the number of planned steps:

    constant       1
    cosine         (1 + cos(pi t)) / 2                      Loshchilov & Hutter 2017
    flat_cosine    (1 + cos(pi max(0, 2 t - 1))) / 2        Holzmüller et al. 2024
    coslog4        (1 - cos(2 pi log2(1 + 15 t))) / 2       Holzmüller et al. 2024

All are cases of (1 + cos(pi u)) / 2 with u = max(0, a t + b) + c log2(1 + 15 t). Warm-up multiplies
the factor by min(1, step / warmup_steps).
"""

import math
from typing import Any, NamedTuple

import torch

from hpo.config.trial import ScheduleName, TrainingConfig

_COEFFICIENTS: dict[ScheduleName, tuple[float, float, float]] = {
    "constant": (0.0, 0.0, 0.0),
    "cosine": (1.0, 0.0, 0.0),
    "flat_cosine": (2.0, -1.0, 0.0),
    "coslog4": (0.0, 1.0, 2.0),
}
"""a, b and c of each schedule."""


class Schedule(NamedTuple):
    """Coefficients of a schedule: numbers, or float64 tensors of one shape for several runs.

    Attributes:
        a: of the module's formula, as are `b` and `c`.
        n_steps: planned.
        warmup_slope: the warm-up's factor is min(1, warmup_slope * step + warmup_start).
        warmup_start: 1 without warm-up, otherwise 0.
    """

    a: Any
    b: Any
    c: Any
    n_steps: Any
    warmup_slope: Any
    warmup_start: Any

    @classmethod
    def of(cls, config: TrainingConfig, n_batches: int) -> "Schedule":
        """The schedule of a run.

        Args:
            config: of the run.
            n_batches: the number of batches of an epoch.
        """
        n_steps = config.max_epochs * n_batches
        warmup = (1 / config.warmup_steps, 0.0) if config.warmup_steps else (0.0, 1.0)
        return cls(*_COEFFICIENTS[config.schedule], n_steps, *warmup)


def rate_factors(schedule: Schedule, steps: torch.Tensor) -> torch.Tensor:
    """The factors of the learning rate, float64, in the common shape of the arguments.

    Args:
        schedule: one, or one for each run.
        steps: the numbers of earlier steps, int64.
    """
    step = steps.double()
    t = step / schedule.n_steps
    u = (schedule.a * t + schedule.b).clamp(min=0) + schedule.c * torch.log2(1 + 15 * t)
    warmup = (schedule.warmup_slope * step + schedule.warmup_start).clamp(max=1)
    factors: torch.Tensor = warmup * (1 + torch.cos(math.pi * u)) / 2
    return factors
