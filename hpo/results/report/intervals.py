"""How sure a metric on the validation part is: the bootstrap over its rows.

Rows are drawn with replacement, as many as there are; the same draws serve every model, so that
two models are compared pair by pair (Efron & Tibshirani 1993, percentile intervals). A draw is a
vector of weights, and a metric is computed from weights, for many draws at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpo.config.trial import MetricName, Task

Floats = NDArray[np.float64]
Array = NDArray[Any]
N_RESAMPLES = 400
LEVEL = 0.95
CELLS = 4_000_000
"""Weights that are held at once."""
SMALLEST = float(np.finfo(np.float32).tiny)


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A percentile interval."""

    low: float
    high: float


def resampled(
    metric: MetricName,
    task: Task,
    y: Array,
    outputs: Sequence[Array],
    *,
    n_resamples: int = N_RESAMPLES,
    seed: int = 0,
) -> Floats:
    """A metric of several models on the same resampled rows.

    Args:
        metric: defined for the task.
        task: of the models.
        y: (rows,) targets: numbers in their own units, or classes from 0.
        outputs: of each model, (rows,) values or (rows, n_classes) probabilities.
        n_resamples: how often the rows are drawn.
        seed: of the draws.

    Returns:
        (n_resamples, models) values of the metric.
    """
    generator = np.random.default_rng(seed)
    targets = y.astype(float) if task == "regression" else y.astype(int)
    chunk = max(1, CELLS // len(y))
    blocks = []
    for first in range(0, n_resamples, chunk):
        weights = _draw(generator, min(chunk, n_resamples - first), len(y))
        scores = [score(metric, task, weights, out.astype(float), targets) for out in outputs]
        blocks.append(np.stack(scores, axis=1))
    return np.concatenate(blocks)


def interval(values: Floats, level: float = LEVEL) -> Interval | None:
    """The percentile interval of resampled values, without those draws on which there is none.

    None where there is a value on no draw.
    """
    if np.isnan(values).all():
        return None
    low, high = np.nanquantile(values, [(1 - level) / 2, (1 + level) / 2])
    return Interval(low=float(low), high=float(high))


def score(metric: MetricName, task: Task, weights: Floats, outputs: Floats, y: Array) -> Floats:
    """A metric under several weightings of the rows, as `hpo.training.metrics` defines it.

    Args:
        metric: defined for the task.
        task: of the model.
        weights: (draws, rows), how often each row counts.
        outputs: as for `resampled`.
        y: likewise.
    """
    found: Floats
    n_rows = weights.sum(axis=1)
    match metric:
        case "rmse":
            found = np.sqrt(weights @ (outputs - y) ** 2 / n_rows)
        case "mae":
            found = weights @ np.abs(outputs - y) / n_rows
        case "r2":
            found = _r2(weights, outputs, y)
        case "accuracy":
            found = weights @ (outputs.argmax(axis=1) == y) / n_rows
        case "log_loss":
            likelihood = outputs[np.arange(len(y)), y.astype(int)].clip(SMALLEST)
            found = -(weights @ np.log(likelihood)) / n_rows
        case "roc_auc":
            classes = range(1, 2) if task == "binary" else range(outputs.shape[1])
            found = np.mean([_auc(weights, outputs[:, k], y == k) for k in classes], axis=0)
        case "balanced_accuracy":
            found = _balanced_accuracy(_confusion(weights, outputs, y))
        case "f1":
            found = _f1(_confusion(weights, outputs, y), task)
    return found


def _draw(generator: np.random.Generator, n: int, n_rows: int) -> Floats:
    """How often each row is drawn, (n, n_rows)."""
    rows = generator.integers(0, n_rows, size=(n, n_rows))
    rows += np.arange(n)[:, None] * n_rows
    return np.bincount(rows.ravel(), minlength=n * n_rows).reshape(n, n_rows).astype(float)


def _r2(weights: Floats, outputs: Floats, y: Array) -> Floats:
    centred = y - y.mean()
    missed = weights @ (outputs - y) ** 2
    spread = weights @ centred**2 - (weights @ centred) ** 2 / weights.sum(axis=1)
    return 1 - _ratio(missed, spread, (missed > 0).astype(float))


def _auc(weights: Floats, scores: Floats, positive: Array) -> Floats:
    """The Mann-Whitney statistic; ties count half, and a class without rows ranks nothing: NaN."""
    order = np.argsort(scores, kind="stable")
    ordered = scores[order]
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    above = np.add.reduceat((weights * positive)[:, order], starts, axis=1)
    below = np.add.reduceat((weights * ~positive)[:, order], starts, axis=1)
    wins = (above * (below.cumsum(axis=1) - below / 2)).sum(axis=1)
    pairs = above.sum(axis=1) * below.sum(axis=1)
    return _ratio(wins, pairs, np.nan)


def _ratio(part: Floats, whole: Floats, otherwise: Floats | float) -> Floats:
    """The one by the other; `otherwise` where there is nothing to divide by."""
    is_there = whole > 0
    found: Floats = np.where(is_there, part / np.where(is_there, whole, 1.0), otherwise)
    return found


def _confusion(weights: Floats, outputs: Floats, y: Array) -> Floats:
    """Rows by true and predicted class, (draws, n_classes, n_classes)."""
    n = outputs.shape[1]
    cells = y.astype(int) * n + outputs.argmax(axis=1)
    counted = [np.bincount(cells, weights=row, minlength=n * n) for row in weights]
    return np.stack(counted).astype(float).reshape(-1, n, n)


def _balanced_accuracy(confusion: Floats) -> Floats:
    hits, n_true = np.diagonal(confusion, axis1=1, axis2=2), confusion.sum(axis=2)
    found: Floats = (hits / n_true.clip(1)).sum(axis=1) / (n_true > 0).sum(axis=1)
    return found


def _f1(confusion: Floats, task: Task) -> Floats:
    hits = np.diagonal(confusion, axis1=1, axis2=2)
    n_either = confusion.sum(axis=1) + confusion.sum(axis=2)
    by_class = 2 * hits / n_either.clip(1)
    if task == "binary":
        return np.asarray(by_class[:, 1])
    return np.asarray(by_class.sum(axis=1) / (n_either > 0).sum(axis=1))
