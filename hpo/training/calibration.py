"""Calibration of a classifier by its predictions on the validation part.

The temperature (Guo et al. 2017, "On calibration of modern neural networks") divides the logits of
a trained network, so that its probabilities have the least log loss on the validation part. The
threshold is the probability above which a row belongs to the positive class.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional

from hpo.config.metrics import MetricName
from hpo.config.trial import Calibration, ObjectiveConfig, Task
from hpo.training.metrics import class_logits, predictions
from hpo.training.scores import DECISIONS

HOTTEST = 1000.0
"""The highest temperature, at which all classes of usual logits are equally likely. Its inverse is
the lowest one."""
_N_ITERATIONS = 20


def calibrate(
    objective: ObjectiveConfig,
    task: Task,
    logits: Tensor,
    y: Tensor,
    weights: Tensor | None = None,
) -> Calibration:
    """Fit what an objective asks for, the temperature first.

    Args:
        objective: whether to fit a temperature and a threshold.
        task: of the network.
        logits: its outputs on the validation part, (rows, n_outputs).
        y: (rows,) classes.
        weights: (rows,) float64; without, all rows weigh the same.
    """
    temperature, threshold = 1.0, None
    if objective.calibrate is not None:
        temperature = float(fit_temperature(task, logits, y, weights))
    if objective.threshold is not None:
        positive = predictions("binary", logits / temperature)[:, 1]
        thresholds, values = threshold_curve(objective.metric, positive, y, weights)
        far = torch.where(values == values.max(), (thresholds - 0.5).abs(), math.inf)
        threshold = float(thresholds[far.argmin()])
    return Calibration(temperature=temperature, threshold=threshold)


def fit_temperature(task: Task, logits: Tensor, y: Tensor, weights: Tensor | None = None) -> Tensor:
    """The temperature with the least log loss, a float64 number on the device of the logits.

    The loss counts one further row that belongs to every class in equal parts, spread over all
    rows (Platt 1999 smooths the labels of a binary task in this way). Without it, a network that
    predicts every row right would get the temperature 0. A network that predicts worse than chance
    gets `HOTTEST`.

    The loss is convex in the inverse temperature, which a bracketed Newton iteration finds. The
    number of its steps is fixed, so that `torch.vmap` can run it for many networks.

    Args:
        task: of the network.
        logits: its outputs, (rows, n_outputs).
        y: (rows,) classes.
        weights: (rows,) float64; without, all rows weigh the same.
    """
    z = class_logits(task, logits).double().T.contiguous()
    z = z - z.amax(dim=0)
    n_classes, n_rows = z.shape
    truth = functional.one_hot(y.long(), n_classes).T
    of_truth = ((z * truth).sum(dim=0) * n_rows + z.mean(dim=0)) / (n_rows + 1)
    share = torch.full_like(of_truth, 1 / n_rows) if weights is None else weights / weights.sum()
    target = share @ of_truth
    inverse = torch.ones_like(target)
    low, high = inverse / HOTTEST, inverse * HOTTEST
    for _ in range(_N_ITERATIONS):
        weighted = torch.softmax(z * inverse, dim=0) * z
        mean = weighted.sum(dim=0)
        slope = share @ mean - target
        curvature = share @ ((weighted * z).sum(dim=0) - mean.square())
        low, high = torch.where(slope < 0, inverse, low), torch.where(slope > 0, inverse, high)
        step = inverse - slope / curvature
        is_inside = (step >= low) & (step <= high)  # False for NaN: all logits are equal
        inverse = torch.where(is_inside, step, (low * high).sqrt())
    return 1 / inverse


def best_at_threshold(
    metric: MetricName, logits: Tensor, y: Tensor, weights: Tensor | None = None
) -> Tensor:
    """The metric with its best threshold, a float64 number on the device of the logits.

    Args:
        metric: one that depends on the predicted classes.
        logits: outputs for two classes, (rows, 1).
        y: (rows,) classes.
        weights: (rows,) float64; without, all rows weigh the same.
    """
    positive = predictions("binary", logits)[:, 1]
    return threshold_curve(metric, positive, y, weights)[1].max()


def threshold_curve(
    metric: MetricName, positive: Tensor, y: Tensor, weights: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Every threshold that tells rows apart, and the metric with it.

    A threshold lies midway between two neighbouring probabilities, or between the outermost ones
    and 0 or 1. Rows above it are positive.

    Args:
        metric: one that depends on the predicted classes.
        positive: (rows,) probabilities of the positive class.
        y: (rows,) classes.
        weights: (rows,) float64; without, all rows weigh the same.

    Returns:
        (rows + 1,) float64 thresholds in descending order, and the metric's values, minus infinity
        where rows of equal probability would be on both sides.
    """
    ordered, order = positive.double().sort(descending=True)
    truth = y.double()[order]
    share = torch.ones_like(truth) if weights is None else weights[order]
    n_found = functional.pad((share * truth).cumsum(dim=0), (1, 0))
    n_false = functional.pad((share * (1 - truth)).cumsum(dim=0), (1, 0))
    n_positive, n_negative = n_found[-1], n_false[-1]
    n_predicted = n_found + n_false
    values = DECISIONS["binary"][metric](
        torch.stack([n_negative - n_false, n_found], dim=-1),
        torch.stack([n_negative + n_positive - n_predicted, n_predicted], dim=-1),
        torch.stack([n_negative, n_positive]).expand(len(n_found), 2),
    )
    bounds = functional.pad(functional.pad(ordered, (1, 0), value=1.0), (0, 1), value=0.0)
    above, below = bounds[:-1], bounds[1:]
    middle = (above + below) / 2
    thresholds = torch.where(middle < above, middle, below)
    is_cut = functional.pad(thresholds[1:] < above[1:], (1, 0), value=True)
    return thresholds, torch.where(is_cut, values, -math.inf)
