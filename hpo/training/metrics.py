"""Metrics and predictions from a network's outputs, on any device.

A binary task is a multiclass task whose first class has the logit 0. Regression metrics are in the
target's own units and computed in float64, so that no digit of a target is lost. All metrics agree
with scikit-learn's functions of these names; of several classes, F1, the area under the ROC curve
and average precision are means over the classes, each against the others. A metric may have no
value on some rows, for example the area under the ROC curve where a class is absent.
"""

from collections.abc import Callable, Iterable
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

from hpo.config.errors import MetricError, first_line
from hpo.config.metrics import METRICS, MetricName, OwnMetric, find_metric
from hpo.config.trial import ObjectiveConfig, Task
from hpo.training.targets import IDENTITY, TargetScale

Weights = Tensor | None
"""(draws, rows) float64: how much each row counts in each draw. None: every row counts once."""
Score = Callable[[Tensor, Tensor, Weights], Tensor]
"""From values and targets, or from logits (rows, n_classes) and one-hot classes, all float64.

Returns a number, or (draws,) numbers where weights are given.
"""


def count_outputs(task: Task, n_classes: int) -> int:
    """Outputs of a network: one logit a class for several classes, otherwise one number."""
    return n_classes if task == "multiclass" else 1


def predictions(task: Task, logits: Tensor, scale: TargetScale = IDENTITY) -> Tensor:
    """Predicted values or probabilities.

    Args:
        task: of the network.
        logits: its outputs, (rows, n_outputs).
        scale: of the targets in a regression.

    Returns:
        (rows,) float64 values in the target's own units, or (rows, n_classes) probabilities.
    """
    if task == "regression":
        return scale.values(logits[:, 0])
    return torch.softmax(_class_logits(task, logits), dim=1)


def mean_over_heads(task: Task, outputs: Tensor) -> Tensor:
    """Logits or values, (rows, n_outputs), of the mean prediction of an ensemble's heads.

    Args:
        task: of the network.
        outputs: (rows, heads, n_outputs). Outputs without heads, (rows, n_outputs), are returned
            as they are.

    Returns:
        Logits whose probabilities are the mean of the heads' probabilities, or in a regression the
        mean of the heads' outputs.
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
    objective: ObjectiveConfig,
    task: Task,
    n_classes: int,
    logits: Tensor,
    y: Tensor,
    weights: Weights = None,
) -> Tensor:
    """Compute some metrics on the device of the logits, NaN where one has no value.

    Args:
        metrics: defined for the task; duplicates are computed once.
        objective: has the parameters of the metrics, such as the quantile.
        task: of the network.
        n_classes: 2 for a binary task, 0 in a regression.
        logits: (rows, n_outputs); in a regression values in the target's own units.
        y: (rows,) targets.
        weights: (rows,) float64, how much each row counts, or (draws, rows) in each draw; without,
            every row counts once.

    Returns:
        (metrics,) float64 numbers, or (metrics, draws) for draws.

    Raises:
        MetricError: the code of a metric of an installed package failed.
    """
    if weights is not None and weights.ndim == 1:
        drawn = measure(metrics, objective, task, n_classes, logits, y, weights[None])
        return drawn.squeeze(1)
    names = list(metrics)
    if task == "regression":
        scores, truth = logits[:, 0].double(), y.double()
    else:
        truth = functional.one_hot(y.long(), n_classes).double()
        scores = _class_logits(task, logits).double()
    found: dict[MetricName, Tensor] = {}
    for name in dict.fromkeys(names):
        if (own := find_metric(name).own) is not None:
            found[name] = _own_score(own, predictions(task, logits.double()), y, weights)
        else:
            found[name] = _score(name, objective, task)(scores, truth, weights)
    return torch.stack([found[name] for name in names])


def evaluate(
    objective: ObjectiveConfig,
    task: Task,
    n_classes: int,
    logits: Tensor,
    y: Tensor,
    weights: Tensor | None = None,
) -> dict[str, float]:
    """Every metric of the task that is defined on these rows, by name.

    A metric is left out if the rows lack what it requires, or if the objective has no value of its
    parameter. A class is absent if its rows have no weight. Of the metrics of installed packages
    there is only the objective's. The arguments are those of `measure`; `weights` are (rows,).
    """
    names: list[MetricName] = [
        name for name in SCORES[task] if _has_value(name, objective, task, n_classes, y, weights)
    ]
    if find_metric(objective.metric).own is not None:
        names.append(objective.metric)
    values = measure(names, objective, task, n_classes, logits, y, weights).tolist()
    return dict(zip(names, values, strict=True))


def _score(name: MetricName, objective: ObjectiveConfig, task: Task) -> Score:
    """The score of a metric, with its parameter."""
    score, parameter = SCORES[task][name], METRICS[name].parameter
    return partial(score, **{parameter: getattr(objective, parameter)}) if parameter else score


def _own_score(own: OwnMetric, outputs: Tensor, y: Tensor, weights: Weights) -> Tensor:
    """The metric of an installed package.

    Raises:
        MetricError: its code raised, or returned something else than a number.
    """
    targets = y.double() if outputs.ndim == 1 else y.long()
    draws = outputs.new_ones(1, len(y)) if weights is None else weights
    try:
        found = [torch.as_tensor(own.score(outputs, targets, each)) for each in draws]
        scores = torch.stack([each.to(outputs).reshape(()) for each in found])
    except Exception as error:  # a stranger's code may raise anything
        said = f"{type(error).__name__}: {first_line(error)}"
        raise MetricError(f"the metric {own.name} failed: {said}") from error
    return scores[0] if weights is None else scores


def _has_value(
    name: MetricName,
    objective: ObjectiveConfig,
    task: Task,
    n_classes: int,
    y: Tensor,
    weights: Tensor | None,
) -> bool:
    """Whether a metric can be computed on rows with these targets."""
    metric = METRICS[name]
    if metric.parameter and getattr(objective, metric.parameter) is None:
        return False
    match metric.requires.get(task):
        case "positive_class":
            return _counts(n_classes, y, weights)[1] > 0
        case "every_class":
            return 0 not in _counts(n_classes, y, weights)
        case "two_rows":
            return len(y) > 1
        case "no_zeros":
            return not bool((y == 0).any())
        case "no_negatives":
            return not bool((y < 0).any())
    return True


def _counts(n_classes: int, y: Tensor, weights: Tensor | None) -> list[float]:
    """The rows of each class, or their weight."""
    counts: list[float] = torch.bincount(y.long(), weights, minlength=n_classes).tolist()
    return counts


def _class_logits(task: Task, logits: Tensor) -> Tensor:
    """A logit for each class, (rows, n_classes)."""
    return functional.pad(logits, (1, 0)) if task == "binary" else logits


def _total(per_row: Tensor, weights: Weights) -> Tensor:
    """Sum over the rows, (rows,) or (rows, n_classes)."""
    return per_row.sum(dim=0) if weights is None else weights @ per_row


def _n_rows(rows: Tensor, weights: Weights) -> Tensor | int:
    return len(rows) if weights is None else weights.sum(dim=1)


def _mean(per_row: Tensor, weights: Weights) -> Tensor:
    """Mean over the rows, (rows,)."""
    return per_row.mean() if weights is None else weights @ per_row / _n_rows(per_row, weights)


def _ratio(part: Tensor, whole: Tensor) -> Tensor:
    """The quotient, 0 where the whole is 0."""
    return torch.where(whole > 0, part / whole, 0.0)


def _predicted(scores: Tensor) -> Tensor:
    """The classes of the highest scores, one-hot."""
    return functional.one_hot(scores.argmax(dim=1), scores.shape[1]).double()


def _accuracy(scores: Tensor, truth: Tensor, weights: Weights) -> Tensor:
    hits = _total((_predicted(scores) * truth).sum(dim=1), weights)
    return hits / _n_rows(truth, weights)


def _balanced_accuracy(scores: Tensor, truth: Tensor, weights: Weights) -> Tensor:
    """Mean recall of the classes that occur."""
    n_true = _total(truth, weights)
    recall = _ratio(_total(_predicted(scores) * truth, weights), n_true)
    return recall.sum(dim=-1) / (n_true > 0).sum(dim=-1)


def _f1_by_class(scores: Tensor, truth: Tensor, weights: Weights) -> tuple[Tensor, Tensor]:
    """F1 of each class, 0 for classes that neither occur nor are predicted; and which do."""
    predicted = _predicted(scores)
    n_either = _total(predicted, weights) + _total(truth, weights)
    return _ratio(2 * _total(predicted * truth, weights), n_either), n_either > 0


def _f1_of_positive(scores: Tensor, truth: Tensor, weights: Weights) -> Tensor:
    return _f1_by_class(scores, truth, weights)[0][..., 1]


def _f1_macro(scores: Tensor, truth: Tensor, weights: Weights) -> Tensor:
    by_class, is_present = _f1_by_class(scores, truth, weights)
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


def _matthews_correlation(scores: Tensor, truth: Tensor, weights: Weights) -> Tensor:
    """0 where all rows have one class, or all predictions are one class."""
    predicted, n_rows = _predicted(scores), _n_rows(truth, weights)
    n_right = _total((predicted * truth).sum(dim=1), weights)
    n_predicted, n_true = _total(predicted, weights), _total(truth, weights)
    covariance = n_right * n_rows - (n_predicted * n_true).sum(dim=-1)
    of_predicted = n_rows**2 - n_predicted.square().sum(dim=-1)
    of_true = n_rows**2 - n_true.square().sum(dim=-1)
    spread = (of_predicted * of_true).clamp(min=0).sqrt()
    return torch.where(spread > 0, covariance / torch.where(spread > 0, spread, 1), 0.0)


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
MULTICLASS: dict[MetricName, Callable[..., Tensor]] = {
    "accuracy": _accuracy,
    "balanced_accuracy": _balanced_accuracy,
    "f1": _f1_macro,
    "matthews_correlation": _matthews_correlation,
    "top_k_accuracy": _top_k_accuracy,
    "roc_auc": _roc_auc_one_vs_rest,
    "average_precision": _average_precision_one_vs_rest,
    "log_loss": _log_loss,
    "brier_score": _brier_score,
}
BINARY: dict[MetricName, Callable[..., Tensor]] = {
    **{name: score for name, score in MULTICLASS.items() if name != "top_k_accuracy"},
    "f1": _f1_of_positive,
    "roc_auc": _roc_auc_of_positive,
    "average_precision": _average_precision_of_positive,
}
SCORES: dict[Task, dict[MetricName, Callable[..., Tensor]]] = {
    "binary": BINARY,
    "multiclass": MULTICLASS,
    "regression": REGRESSION,
}
"""The scores; one with a parameter takes it as a keyword."""
