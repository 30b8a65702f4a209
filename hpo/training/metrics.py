"""Metrics and predictions from a network's outputs, on any device.

A binary task is a multiclass task whose first class has the logit 0. Regression metrics are in the
target's own units and computed in float64, so that no digit of a target is lost. All metrics agree
with scikit-learn's functions of the same names. A metric may have no value on some rows, for
example the area under the ROC curve where a class is absent.
"""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor
from torch.nn import functional

from hpo.config.trial import MetricName, Task

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


def count_outputs(task: Task, n_classes: int) -> int:
    """Outputs of a network: one logit a class for several classes, otherwise one number."""
    return n_classes if task == "multiclass" else 1


def predictions(task: Task, logits: Tensor, mean: float, std: float) -> Tensor:
    """Predicted values or probabilities.

    Args:
        task: of the network.
        logits: its outputs, (rows, n_outputs).
        mean: of the training targets in a regression.
        std: their standard deviation.

    Returns:
        (rows,) float64 values in the target's own units, or (rows, n_classes) probabilities.
    """
    if task == "regression":
        return logits[:, 0].double() * std + mean
    return torch.softmax(class_logits(task, logits), dim=1)


def mean_over_heads(task: Task, outputs: Tensor) -> Tensor:
    """Logits or values, (rows, n_outputs), of the mean prediction of an ensemble's heads.

    Args:
        task: of the network.
        outputs: (rows, heads, n_outputs). Outputs without heads, (rows, n_outputs), are returned
            as they are.

    Returns:
        Logits whose probabilities are the mean of the heads' probabilities, or in a regression the
        mean of the heads' values.
    """
    if outputs.ndim == 2:
        return outputs
    if task == "regression":
        return outputs.mean(dim=1)
    if task == "multiclass":
        return functional.log_softmax(outputs, dim=-1).logsumexp(dim=1)
    of_positive, of_negative = functional.logsigmoid(outputs), functional.logsigmoid(-outputs)
    return of_positive.logsumexp(dim=1) - of_negative.logsumexp(dim=1)


def measure(
    metrics: Iterable[MetricName],
    task: Task,
    n_classes: int,
    logits: Tensor,
    y: Tensor,
    mean: float,
    std: float,
    weights: Weights = None,
    *,
    threshold: float | None = None,
) -> Tensor:
    """Compute some metrics on the device of the logits; `roc_auc` is NaN where it has no value.

    Args:
        metrics: defined for the task; duplicates are computed once.
        task: of the network.
        n_classes: 2 for a binary task, 0 in a regression.
        logits: the network's outputs, (rows, n_outputs).
        y: (rows,) targets; in a regression in their own units.
        mean: of the training targets in a regression.
        std: their standard deviation.
        weights: (rows,) float64, how much each row counts, or (draws, rows) in each draw; without,
            every row counts once.
        threshold: in a binary task, the probability above which the second class is predicted;
            None predicts the likeliest class.

    Returns:
        (metrics,) float64 numbers, or (metrics, draws) for draws.
    """
    if weights is not None and weights.ndim == 1:
        drawn = measure(
            metrics, task, n_classes, logits, y, mean, std, weights[None], threshold=threshold
        )
        return drawn.squeeze(1)
    names = list(metrics)
    if task == "regression":
        scores, truth = predictions(task, logits, mean, std), y.double()
    else:
        truth = functional.one_hot(y.long(), n_classes).double()
        scores = class_logits(task, logits).double()
    decided = scores
    if threshold is not None:
        is_positive = predictions(task, logits, mean, std)[:, 1] > threshold
        decided = functional.one_hot(is_positive.long(), n_classes).double()
    by_decision = DECISIONS.get(task, {})
    found = {
        name: SCORES[task][name](decided if name in by_decision else scores, truth, weights)
        for name in dict.fromkeys(names)
    }
    return torch.stack([found[name] for name in names])


def evaluate(
    task: Task,
    n_classes: int,
    logits: Tensor,
    y: Tensor,
    mean: float,
    std: float,
    weights: Tensor | None = None,
    *,
    threshold: float | None = None,
) -> dict[str, float]:
    """Every metric of the task that is defined on these rows, by name.

    `roc_auc` is left out if a class is absent, a binary task's `f1` if the second class is absent,
    and `r2` if there is a single row. A class is absent if its rows have no weight. The arguments
    are those of `measure`; `weights` are (rows,).
    """
    names = [name for name in SCORES[task] if _has_value(name, task, n_classes, y, weights)]
    values = measure(
        names, task, n_classes, logits, y, mean, std, weights, threshold=threshold
    ).tolist()
    return dict(zip(names, values, strict=True))


def _has_value(
    metric: MetricName, task: Task, n_classes: int, y: Tensor, weights: Tensor | None
) -> bool:
    """Whether a metric can be computed on rows with these targets."""
    if task == "regression":
        return metric != "r2" or len(y) > 1
    counts: list[float] = torch.bincount(y.long(), weights, minlength=n_classes).tolist()
    if metric == "f1" and task == "binary":
        return counts[1] > 0
    return metric != "roc_auc" or 0 not in counts


def class_logits(task: Task, logits: Tensor) -> Tensor:
    """A logit for each class, (rows, n_classes), of outputs (rows, n_outputs)."""
    return functional.pad(logits, (1, 0)) if task == "binary" else logits


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


def _log_loss(scores: Tensor, truth: Tensor, weights: Weights) -> Tensor:
    if weights is None:
        return functional.cross_entropy(scores, truth)
    return _mean(functional.cross_entropy(scores, truth, reduction="none"), weights)


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


REGRESSION: dict[MetricName, Score] = {"rmse": _rmse, "mae": _mae, "r2": _r2}
_OF_CLASSES: dict[MetricName, Decision] = {
    "accuracy": _accuracy,
    "balanced_accuracy": _balanced_accuracy,
    "f1": _f1_macro,
}
DECISIONS: dict[Task, dict[MetricName, Decision]] = {
    "binary": {**_OF_CLASSES, "f1": _f1_of_positive},
    "multiclass": _OF_CLASSES,
}
"""The metrics that depend on the predicted classes."""
MULTICLASS: dict[MetricName, Score] = {
    **{name: _of_decision(decision) for name, decision in DECISIONS["multiclass"].items()},
    "roc_auc": _roc_auc_one_vs_rest,
    "log_loss": _log_loss,
}
BINARY: dict[MetricName, Score] = {
    **{name: _of_decision(decision) for name, decision in DECISIONS["binary"].items()},
    "roc_auc": _roc_auc_of_positive,
    "log_loss": _log_loss,
}
SCORES: dict[Task, dict[MetricName, Score]] = {
    "binary": BINARY,
    "multiclass": MULTICLASS,
    "regression": REGRESSION,
}
