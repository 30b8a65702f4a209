"""Metrics and predictions from a network's outputs, on any device.

A binary task is treated as a multi-class one whose first class has the logit 0. Regression metrics
are computed in float64, in the target's own units. All metrics agree with scikit-learn's functions
of the same names. A metric may be undefined on some rows, for example `roc_auc` when a class is
absent.
"""

from collections.abc import Callable, Iterable

import torch
from torch.nn import functional

from hpo.config.trial import MetricName, Task

Score = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""A metric of values and targets, or of logits (rows, n_classes) and one-hot classes; float64."""


def count_outputs(task: Task, n_classes: int) -> int:
    """Outputs of a network: one logit a class for several classes, otherwise one number."""
    return n_classes if task == "multiclass" else 1


def predictions(task: Task, logits: torch.Tensor, mean: float, std: float) -> torch.Tensor:
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
    return torch.softmax(_class_logits(task, logits), dim=1)


def measure(
    metrics: Iterable[MetricName],
    task: Task,
    n_classes: int,
    logits: torch.Tensor,
    y: torch.Tensor,
    mean: float,
    std: float,
) -> torch.Tensor:
    """Compute metrics: float64 numbers on the device; an undefined `roc_auc` is NaN.

    Args:
        metrics: defined for the task; duplicates are computed once.
        task: of the network.
        n_classes: 2 for a binary task, 0 in a regression.
        logits: the network's outputs, (rows, n_outputs).
        y: (rows,) targets; in a regression in their own units.
        mean: of the training targets in a regression.
        std: their standard deviation.
    """
    names = list(metrics)
    if task == "regression":
        scores, truth = predictions(task, logits, mean, std), y.double()
    else:
        truth = functional.one_hot(y.long(), n_classes).double()
        scores = _class_logits(task, logits).double()
    found = {name: SCORES[task][name](scores, truth) for name in dict.fromkeys(names)}
    return torch.stack([found[name] for name in names])


def evaluate(
    task: Task, n_classes: int, logits: torch.Tensor, y: torch.Tensor, mean: float, std: float
) -> dict[str, float]:
    """Every metric of the task that is defined on these rows, by name.

    Left out are `roc_auc` when a class is absent, a binary task's `f1` when the positive class is
    absent, and `r2` of a single row. Arguments are those of `measure`.
    """
    names = [name for name in SCORES[task] if _has_value(name, task, n_classes, y)]
    values = measure(names, task, n_classes, logits, y, mean, std).tolist()
    return dict(zip(names, values, strict=True))


def _has_value(metric: MetricName, task: Task, n_classes: int, y: torch.Tensor) -> bool:
    """Whether a metric is defined on rows with these targets."""
    if task == "regression":
        return metric != "r2" or len(y) > 1
    counts: list[int] = torch.bincount(y.long(), minlength=n_classes).tolist()
    if metric == "f1" and task == "binary":
        return counts[1] > 0
    return metric != "roc_auc" or 0 not in counts


def _class_logits(task: Task, logits: torch.Tensor) -> torch.Tensor:
    """A logit for each class, (rows, n_classes)."""
    return functional.pad(logits, (1, 0)) if task == "binary" else logits


def _confusion(scores: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """Rows by true class and predicted class, (n_classes, n_classes) float64."""
    predicted = functional.one_hot(scores.argmax(dim=1), truth.shape[1]).double()
    return truth.T @ predicted


def _accuracy(scores: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    return _confusion(scores, truth).diagonal().sum() / len(truth)


def _balanced_accuracy(scores: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """Mean recall of the classes that are present."""
    confusion = _confusion(scores, truth)
    n_true = confusion.sum(dim=1)
    return (confusion.diagonal() / n_true.clamp(min=1)).sum() / (n_true > 0).sum()


def _f1_by_class(scores: torch.Tensor, truth: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """F1 of each class (0 where undefined), and whether the class is present or predicted."""
    confusion = _confusion(scores, truth)
    n_either = confusion.sum(dim=0) + confusion.sum(dim=1)
    return 2 * confusion.diagonal() / n_either.clamp(min=1), n_either > 0


def _f1_of_positive(scores: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    return _f1_by_class(scores, truth)[0][1]


def _f1_macro(scores: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    by_class, is_met = _f1_by_class(scores, truth)
    return by_class.sum() / is_met.sum()


def _roc_auc_by_class(scores: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """Area under the curve of each column of `scores` by the Mann-Whitney statistic.

    Ties get the mean of their ranks. A class with no rows or all rows gives NaN.
    """
    columns = scores.T.contiguous()
    ordered = columns.sort(dim=1).values
    below = torch.searchsorted(ordered, columns, right=False)
    ranks = (below + torch.searchsorted(ordered, columns, right=True) + 1) / 2
    n_positive = truth.sum(dim=0)
    n_pairs = n_positive * (len(truth) - n_positive)
    wins = (ranks * truth.T).sum(dim=1) - n_positive * (n_positive + 1) / 2
    return torch.where(n_pairs > 0, wins / n_pairs.clamp(min=1), torch.nan)


def _roc_auc_of_positive(scores: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    return _roc_auc_by_class(scores[:, 1:], truth[:, 1:])[0]


def _roc_auc_one_vs_rest(scores: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    return _roc_auc_by_class(scores.softmax(dim=1), truth).mean()


def _log_loss(scores: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    return functional.cross_entropy(scores, truth)


def _rmse(values: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return (values - y).square().mean().sqrt()


def _mae(values: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return (values - y).abs().mean()


def _r2(values: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """For a constant target, 1 for perfect predictions and 0 for others."""
    missed, spread = (values - y).square().sum(), (y - y.mean()).square().sum()
    return torch.where(spread > 0, 1 - missed / spread, (missed == 0).double())


REGRESSION: dict[MetricName, Score] = {"rmse": _rmse, "mae": _mae, "r2": _r2}
MULTICLASS: dict[MetricName, Score] = {
    "accuracy": _accuracy,
    "balanced_accuracy": _balanced_accuracy,
    "f1": _f1_macro,
    "roc_auc": _roc_auc_one_vs_rest,
    "log_loss": _log_loss,
}
BINARY: dict[MetricName, Score] = {
    **MULTICLASS,
    "f1": _f1_of_positive,
    "roc_auc": _roc_auc_of_positive,
}
SCORES: dict[Task, dict[MetricName, Score]] = {
    "binary": BINARY,
    "multiclass": MULTICLASS,
    "regression": REGRESSION,
}
