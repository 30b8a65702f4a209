"""Bootstrap intervals of a metric on the validation part.

Rows are drawn with replacement, as many as there are. All models are measured on the same draws,
so that two of them can be compared pair by pair (Efron & Tibshirani 1993, percentile intervals).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from hpo.config.trial import ObjectiveConfig, Task
from hpo.training.metrics import measure

Floats = NDArray[np.float64]
N_RESAMPLES = 400
LEVEL = 0.95
_CELLS = 4_000_000
"""Draws times rows times outputs that are computed at once."""


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A percentile interval."""

    low: float
    high: float


def resampled(
    objective: ObjectiveConfig,
    task: Task,
    n_classes: int,
    logits: Sequence[torch.Tensor],
    y: torch.Tensor,
    weights: torch.Tensor | None = None,
    thresholds: Sequence[float | None] | None = None,
) -> Floats:
    """Measure several models on the same resampled rows.

    Args:
        objective: with a metric that is defined for the task.
        task: of the models.
        n_classes: 2 for a binary task, 0 in a regression.
        logits: of each model, (rows, n_outputs); in a regression values in the target's units.
        y: (rows,) targets.
        weights: (rows,) float64 weights of the rows, which go with them; None if all are equal.
        thresholds: decision threshold of each model in a binary task; None predicts the likeliest
            class, also for all models.

    Returns:
        (N_RESAMPLES, models) values of the metric; NaN on draws where it has no value.
    """
    n_draws = max(1, _CELLS // max(each.numel() for each in logits))
    decided = list(zip(logits, thresholds or [None] * len(logits), strict=True))
    names, blocks = [objective.metric], []
    for w in _row_weights(len(y), n_draws, weights):
        found = [
            measure(names, objective, task, n_classes, x, y, w, threshold=threshold)[0]
            for x, threshold in decided
        ]
        blocks.append(torch.stack(found))
    return torch.cat(blocks, dim=1).T.numpy()


def interval(values: Floats, level: float = LEVEL) -> Interval | None:
    """The percentile interval of resampled values; NaNs are left out, None if all are NaN."""
    if np.isnan(values).all():
        return None
    low, high = np.nanquantile(values, [(1 - level) / 2, (1 + level) / 2])
    return Interval(low=float(low), high=float(high))


def _row_weights(n_rows: int, n_draws: int, weights: torch.Tensor | None) -> Iterator[torch.Tensor]:
    """How much each row counts, (draws, n_rows) float64, `n_draws` or fewer at a time."""
    generator = np.random.default_rng(0)
    for first in range(0, N_RESAMPLES, n_draws):
        rows = generator.integers(0, n_rows, (min(n_draws, N_RESAMPLES - first), n_rows))
        drawn = torch.from_numpy(np.stack([np.bincount(r, minlength=n_rows) for r in rows]))
        yield drawn.double() if weights is None else drawn * weights
