"""The scores of metrics, from values and targets, or from logits and one-hot classes."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from hpo.config.metrics import MetricName
from hpo.config.trial import Task

Weights = Tensor | None
"""(draws, rows) float64: how much each row counts in each draw. None: every row counts once."""
Score = Callable[[Tensor, Tensor, Weights], Tensor]
"""From values and targets, or from logits (rows, n_classes) and one-hot classes, all float64.

Returns a number, or (draws,) numbers where weights are given.
"""
Decision = Callable[[Tensor, Tensor, Tensor], Tensor]
"""A score of the predicted classes alone.

From the rows of each class that are predicted right, that are predicted and that are true,
(..., n_classes) float64 each, to (...) numbers.
"""


def _total(per_row: Tensor, weights: Weights) -> Tensor:
    """Sum over the rows, (rows,) or (rows, n_classes)."""
    return per_row.sum(dim=0) if weights is None else weights @ per_row


def _mean(per_row: Tensor, weights: Weights) -> Tensor:
    """Mean over the rows, (rows,)."""
    return per_row.mean() if weights is None else weights @ per_row / weights.sum(dim=1)


def _ratio(part: Tensor, whole: Tensor) -> Tensor:
    """The quotient, 0 where the whole is 0."""
    return torch.where(whole > 0, part / whole, 0.0)


def _predicted(scores: Tensor) -> Tensor:
    """The classes of the highest scores, one-hot."""
    return functional.one_hot(scores.argmax(dim=1), scores.shape[1]).double()


def _of_decision(decision: Decision) -> Score:
    """A score of the classes with the highest scores."""

    def score(scores: Tensor, truth: Tensor, weights: Weights) -> Tensor:
        predicted = _predicted(scores)
        counted = (_total(rows, weights) for rows in (predicted * truth, predicted, truth))
        return decision(*counted)

    return score


def _accuracy(right: Tensor, predicted: Tensor, true: Tensor) -> Tensor:
    return right.sum(dim=-1) / true.sum(dim=-1)


def _balanced_accuracy(right: Tensor, predicted: Tensor, true: Tensor) -> Tensor:
    """Mean recall of the classes that occur."""
    return _ratio(right, true).sum(dim=-1) / (true > 0).sum(dim=-1)


def _f1_by_class(right: Tensor, predicted: Tensor, true: Tensor) -> tuple[Tensor, Tensor]:
    """F1 of each class, 0 for classes that neither occur nor are predicted; and which do."""
    n_either = predicted + true
    return _ratio(2 * right, n_either), n_either > 0


def _f1_of_positive(right: Tensor, predicted: Tensor, true: Tensor) -> Tensor:
    return _f1_by_class(right, predicted, true)[0][..., 1]


def _f1_macro(right: Tensor, predicted: Tensor, true: Tensor) -> Tensor:
    by_class, is_present = _f1_by_class(right, predicted, true)
    return by_class.sum(dim=-1) / is_present.sum(dim=-1)


_ROUNDING = 1e-12
"""Relative spread of the classes below which they are constant."""


def _matthews_correlation(right: Tensor, predicted: Tensor, true: Tensor) -> Tensor:
    """0 where all rows have one class, or all predictions are one class."""
    n_rows = true.sum(dim=-1)
    covariance = right.sum(dim=-1) * n_rows - (predicted * true).sum(dim=-1)
    of_predicted = n_rows.square() - predicted.square().sum(dim=-1)
    of_true = n_rows.square() - true.square().sum(dim=-1)
    # Weights round off: a constant has no exact 0.
    is_varied = torch.minimum(of_predicted, of_true) > _ROUNDING * n_rows.square()
    return torch.where(is_varied, covariance / (of_predicted * of_true).sqrt(), 0.0)


def _roc_auc_by_class(scores: Tensor, truth: Tensor, weights: Weights) -> Tensor:
    """Area under the curve of each column of `scores` by the Mann-Whitney statistic.

    Ties count half. A class that has no rows, or all rows, has no value: NaN.
    """
    columns = scores.T.contiguous()
    ordered, order = columns.sort(dim=1)
    n_below = torch.searchsorted(ordered, columns)  # rows of a lower score
    n_up_to = torch.searchsorted(ordered, columns, right=True)  # and those of the same score
    positive = truth.T
    if weights is not None:
        cumulative = functional.pad(weights[:, order].cumsum(dim=2), (1, 0))
        n_below = cumulative.gather(2, n_below.expand(len(weights), -1, -1))
        n_up_to = cumulative.gather(2, n_up_to.expand(len(weights), -1, -1))
        positive = positive * weights[:, None, :]
    n_positive, n_negative = _total(truth, weights), _total(1 - truth, weights)
    wins = ((n_below + n_up_to) * positive).sum(dim=-1) / 2 - n_positive.square() / 2
    n_pairs = n_positive * n_negative
    return torch.where(n_pairs > 0, wins / n_pairs, torch.nan)


def _roc_auc_of_positive(scores: Tensor, truth: Tensor, weights: Weights) -> Tensor:
    return _roc_auc_by_class(scores[:, 1:], truth[:, 1:], weights)[..., 0]


def _roc_auc_one_vs_rest(scores: Tensor, truth: Tensor, weights: Weights) -> Tensor:
    return _roc_auc_by_class(scores.softmax(dim=1), truth, weights).mean(dim=-1)


def _average_precision_by_class(scores: Tensor, truth: Tensor, weights: Weights) -> Tensor:
    """Mean precision at the scores of the positive rows, for each column of `scores`.

    Rows of the same score share one threshold. A class without rows has no value: NaN.
    """
    columns = scores.T.contiguous()
    ordered, order = columns.sort(dim=1)
    n_below = torch.searchsorted(ordered, columns)  # the threshold of a row leaves these out
    row_weights = truth.new_ones(1, len(truth)) if weights is None else weights
    positive = truth.T * row_weights[:, None, :]

    def from_threshold(of_rows: Tensor) -> Tensor:
        """The sum over the rows of the same or a higher score, for each row."""
        of_rows = of_rows.expand(-1, len(columns), -1)
        in_order = of_rows.gather(2, order.expand(len(of_rows), -1, -1))
        below = functional.pad(in_order.cumsum(dim=2), (1, 0))
        return below[..., -1:] - below.gather(2, n_below.expand(len(of_rows), -1, -1))

    n_selected = from_threshold(row_weights[:, None, :])
    precision = from_threshold(positive) / torch.where(n_selected > 0, n_selected, 1)
    n_positive = positive.sum(dim=2)
    total = (precision * positive).sum(dim=2)
    mean = total / torch.where(n_positive > 0, n_positive, torch.nan)
    return mean[0] if weights is None else mean


def _average_precision_of_positive(scores: Tensor, truth: Tensor, weights: Weights) -> Tensor:
    return _average_precision_by_class(scores[:, 1:], truth[:, 1:], weights)[..., 0]


def _average_precision_one_vs_rest(scores: Tensor, truth: Tensor, weights: Weights) -> Tensor:
    return _average_precision_by_class(scores.softmax(dim=1), truth, weights).mean(dim=-1)


def _top_k_accuracy(scores: Tensor, truth: Tensor, weights: Weights, *, k: int) -> Tensor:
    """Share of the rows whose class is among the `k` likeliest; of equals, the last ones are."""
    own = (scores * truth).sum(dim=1, keepdim=True)
    is_later = truth.cumsum(dim=1) - truth > 0
    n_ahead = ((scores > own) | ((scores == own) & is_later)).sum(dim=1)
    return _mean((n_ahead < k).double(), weights)


def _log_loss(scores: Tensor, truth: Tensor, weights: Weights) -> Tensor:
    if weights is None:
        return functional.cross_entropy(scores, truth)
    return _mean(functional.cross_entropy(scores, truth, reduction="none"), weights)


def _brier_score(scores: Tensor, truth: Tensor, weights: Weights) -> Tensor:
    """Mean squared error of the probabilities: of the positive class, or summed over several."""
    squares = (scores.softmax(dim=1) - truth).square().sum(dim=1)
    return _mean(squares / 2 if truth.shape[1] == 2 else squares, weights)


def _rmse(values: Tensor, y: Tensor, weights: Weights) -> Tensor:
    return _mean((values - y).square(), weights).sqrt()


def _mae(values: Tensor, y: Tensor, weights: Weights) -> Tensor:
    return _mean((values - y).abs(), weights)


def _r2(values: Tensor, y: Tensor, weights: Weights) -> Tensor:
    """Where the target is constant, 1 for perfect predictions and 0 for others."""
    missed = _total((values - y).square(), weights)
    squares = (y - _mean(y, weights)[..., None]).square()  # (rows,) or (draws, rows)
    spread = squares.sum() if weights is None else (weights * squares).sum(dim=1)
    return torch.where(spread > 0, 1 - missed / spread, (missed == 0).double())


def _mape(values: Tensor, y: Tensor, weights: Weights) -> Tensor:
    """Mean absolute error relative to the target, as a share."""
    return _mean((values - y).abs() / y.abs().clamp(min=torch.finfo(y.dtype).eps), weights)


def _rmsle(values: Tensor, y: Tensor, weights: Weights) -> Tensor:
    """Root mean square error of log(1 + y); predictions below 0 count as 0."""
    return _rmse(values.clamp(min=0).log1p(), y.log1p(), weights)


def _pinball(values: Tensor, y: Tensor, weights: Weights, *, quantile: float) -> Tensor:
    above = y - values
    return _mean(torch.maximum(quantile * above, (quantile - 1) * above), weights)


REGRESSION: dict[MetricName, Callable[..., Tensor]] = {
    "rmse": _rmse,
    "mae": _mae,
    "r2": _r2,
    "mape": _mape,
    "rmsle": _rmsle,
    "pinball": _pinball,
}
_OF_CLASSES: dict[MetricName, Decision] = {
    "accuracy": _accuracy,
    "balanced_accuracy": _balanced_accuracy,
    "f1": _f1_macro,
    "matthews_correlation": _matthews_correlation,
}
DECISIONS: dict[Task, dict[MetricName, Decision]] = {
    "binary": {**_OF_CLASSES, "f1": _f1_of_positive},
    "multiclass": _OF_CLASSES,
}
"""The metrics that depend on the predicted classes."""
_OF_PROBABILITIES: dict[MetricName, Score] = {
    "log_loss": _log_loss,
    "brier_score": _brier_score,
}
BINARY: dict[MetricName, Callable[..., Tensor]] = {
    **{name: _of_decision(decision) for name, decision in DECISIONS["binary"].items()},
    "roc_auc": _roc_auc_of_positive,
    "average_precision": _average_precision_of_positive,
    **_OF_PROBABILITIES,
}
MULTICLASS: dict[MetricName, Callable[..., Tensor]] = {
    **{name: _of_decision(decision) for name, decision in DECISIONS["multiclass"].items()},
    "top_k_accuracy": _top_k_accuracy,
    "roc_auc": _roc_auc_one_vs_rest,
    "average_precision": _average_precision_one_vs_rest,
    **_OF_PROBABILITIES,
}
SCORES: dict[Task, dict[MetricName, Callable[..., Tensor]]] = {
    "binary": BINARY,
    "multiclass": MULTICLASS,
    "regression": REGRESSION,
}
"""The scores; one with a parameter takes it as a keyword."""
