"""Metrics and predictions from a network's outputs, on any device.

A binary task is a multiclass task whose first class has the logit 0. Regression metrics are in the
target's own units and computed in float64, so that no digit of a target is lost. All metrics agree
with scikit-learn's functions of these names; of several classes, F1, the area under the ROC curve
and average precision are means over the classes, each against the others. A metric may have no
value on some rows, for example the area under the ROC curve where a class is absent.
"""

from collections.abc import Iterable
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

from hpo.config.errors import MetricError, first_line
from hpo.config.metrics import METRICS, MetricName, OwnMetric, find_metric
from hpo.config.trial import ObjectiveConfig, Task
from hpo.training.scores import SCORES, Score, Weights
from hpo.training.targets import IDENTITY, TargetScale


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
    return torch.softmax(class_logits(task, logits), dim=1)


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
    *,
    threshold: float | None = None,
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
        threshold: in a binary task, the probability above which the second class is predicted;
            None predicts the likeliest class.

    Returns:
        (metrics,) float64 numbers, or (metrics, draws) for draws.

    Raises:
        MetricError: the code of a metric of an installed package failed.
    """
    if weights is not None and weights.ndim == 1:
        drawn = measure(
            metrics, objective, task, n_classes, logits, y, weights[None], threshold=threshold
        )
        return drawn.squeeze(1)
    names = list(metrics)
    if task == "regression":
        scores, truth = logits[:, 0].double(), y.double()
    else:
        truth = functional.one_hot(y.long(), n_classes).double()
        scores = class_logits(task, logits).double()
    decided = scores
    if threshold is not None:
        is_positive = predictions(task, logits)[:, 1] > threshold
        decided = functional.one_hot(is_positive.long(), n_classes).double()
    found: dict[MetricName, Tensor] = {}
    for name in dict.fromkeys(names):
        if (own := find_metric(name).own) is not None:
            found[name] = _own_score(own, predictions(task, logits.double()), y, weights)
        else:
            own_scores = decided if find_metric(name).of_decision else scores
            found[name] = _score(name, objective, task)(own_scores, truth, weights)
    return torch.stack([found[name] for name in names])


def evaluate(
    objective: ObjectiveConfig,
    task: Task,
    n_classes: int,
    logits: Tensor,
    y: Tensor,
    weights: Tensor | None = None,
    *,
    threshold: float | None = None,
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
    found = measure(names, objective, task, n_classes, logits, y, weights, threshold=threshold)
    return dict(zip(names, found.tolist(), strict=True))


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


def class_logits(task: Task, logits: Tensor) -> Tensor:
    """A logit for each class, (rows, n_classes), of outputs (rows, n_outputs)."""
    return functional.pad(logits, (1, 0)) if task == "binary" else logits
