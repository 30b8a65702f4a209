"""Losses, predictions and metrics, on the device that holds the tensors.

Logits are (rows,) for a binary task and a regression (there: standardised targets), (rows, n_classes)
for a multi-class one. F1 is that of the positive class, or the mean over classes; ROC AUC counts ties
half (Mann & Whitney 1947), and over classes is the mean of one against the rest.
"""

import torch
from torch.nn import functional as F

from hpo.trial import LOSSES, METRICS, Loss, MetricName, Task


def resolve_loss(loss: Loss, task: Task) -> Loss:
    """What `auto` means for a task."""
    return LOSSES[task][0] if loss == "auto" else loss


def loss_value(loss: Loss, logits: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """The mean loss over rows, a scalar."""
    match loss:
        case "bce":
            return F.binary_cross_entropy_with_logits(logits, y)
        case "cross_entropy":
            return F.cross_entropy(logits, y)
        case "mse":
            return F.mse_loss(logits, y)
        case "mae":
            return F.l1_loss(logits, y)
        case _:
            return F.smooth_l1_loss(logits, y)  # Huber's at delta 1


def loss_and_gradient(
    loss: Loss, logits: torch.Tensor, y: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """The mean loss of (rows, n_outputs) logits, and its gradient by them, of the same shape."""
    n_rows = len(y)
    if loss == "cross_entropy":
        log_p = logits.log_softmax(dim=1)
        picked = log_p.gather(1, y[:, None])
        grad = log_p.exp().scatter_add_(1, y[:, None], torch.full_like(picked, -1.0))
        return -picked.mean(), grad / n_rows
    scores = logits.squeeze(1)
    error = (scores.sigmoid() if loss == "bce" else scores) - y
    grads = {"bce": error, "mse": 2 * error, "mae": error.sign(), "huber": error.clamp(-1, 1)}
    return loss_value(loss, scores, y), (grads[loss] / n_rows)[:, None]


def predictions(task: Task, logits: torch.Tensor, mean: float, std: float) -> torch.Tensor:
    """What the logits say: (rows, n_classes) probabilities, or (rows,) in the target's units."""
    if task == "regression":
        return logits * std + mean
    if task == "multiclass":
        return logits.softmax(dim=1)
    positive = logits.sigmoid()
    return torch.stack([1 - positive, positive], dim=1)


def evaluate(
    task: Task, n_classes: int, logits: torch.Tensor, y: torch.Tensor, mean: float, std: float
) -> dict[str, float]:
    """Every metric of the task, by name.

    Args:
        task: which decides the metrics.
        n_classes: 0 in a regression.
        logits: of the rows, float32.
        y: (rows,) targets: 0/1, classes, or numbers in the target's units.
        mean: of the training targets.
        std: their standard deviation.
    """
    names = [name for name, metric in METRICS.items() if task in metric.tasks]
    return {
        name: float(measure(name, task, n_classes, logits, y, mean, std))  # type: ignore[arg-type]
        for name in names
    }


def measure(
    name: MetricName,
    task: Task,
    n_classes: int,
    logits: torch.Tensor,
    y: torch.Tensor,
    mean: float,
    std: float,
) -> torch.Tensor:
    """One metric as a scalar tensor on the device; arguments as `evaluate`'s."""
    if task == "regression":
        return _regression(name, (logits * std + mean).double(), y.double())
    labels = y.long()
    if name == "log_loss":
        return loss_value(LOSSES[task][0], logits.double(), y.double() if task == "binary" else y)
    if name == "roc_auc":
        return _roc_auc(task, n_classes, logits, labels)
    predicted = (logits > 0).long() if task == "binary" else logits.argmax(dim=1)
    if name == "accuracy":
        return (predicted == labels).double().mean()
    return _by_class(name, task, n_classes, predicted, labels)


def _regression(name: MetricName, predicted: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    error = predicted - y
    if name == "mae":
        return error.abs().mean()
    if name == "rmse":
        return error.square().mean().sqrt()
    return 1 - error.square().sum() / (y - y.mean()).square().sum()


def _by_class(
    name: MetricName, task: Task, n_classes: int, predicted: torch.Tensor, y: torch.Tensor
) -> torch.Tensor:
    """Balanced accuracy or F1, from the counts of each class."""
    true = torch.bincount(y, minlength=n_classes).double()
    said = torch.bincount(predicted, minlength=n_classes).double()
    hit = torch.bincount(y[predicted == y], minlength=n_classes).double()
    if name == "balanced_accuracy":
        return (hit / true)[true > 0].mean()
    f1 = 2 * hit / (true + said).clamp(min=1)
    return f1[1] if task == "binary" else f1[(true + said) > 0].mean()


def _roc_auc(task: Task, n_classes: int, logits: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    if task == "binary":
        return _auc(logits, y == 1)
    probabilities = logits.softmax(dim=1)
    areas = [
        _auc(probabilities[:, label], y == label)
        for label in range(n_classes)
        if (y == label).any()
    ]
    return torch.stack(areas).mean()


def _auc(scores: torch.Tensor, positive: torch.Tensor) -> torch.Tensor:
    """Area under the ROC curve: the chance that a positive row scores above a negative one."""
    _, inverse, counts = scores.unique(return_inverse=True, return_counts=True)
    last = counts.cumsum(0).double()
    rank = (last - (counts - 1) / 2)[inverse]
    n_positive = positive.sum().double()
    n_negative = len(positive) - n_positive
    rank_sum = rank[positive].sum() - n_positive * (n_positive + 1) / 2
    return rank_sum / (n_positive * n_negative)
