"""Gradients of the losses with respect to the network's outputs.

Training needs no values of losses. Each function returns the gradient of the loss of its name for
each row, times the row's weight; with weights of 1 / rows it is the gradient of the mean. Outputs
are logits, or standardized targets in a regression.
"""

from collections.abc import Callable
from functools import partial

import torch
from torch.nn import functional

from hpo.config.trial import Loss, Task

Gradient = Callable[[torch.Tensor, torch.Tensor, torch.Tensor | float], torch.Tensor]
"""From outputs (..., n_outputs), targets (...) and weights, a number or (..., 1), to a gradient in
the shape of the outputs. Targets are int64 for several classes, or floating-point probabilities
(..., n_outputs); in other tasks they are floating point."""


def loss_gradient(
    loss: Loss,
    task: Task,
    *,
    quantile: float | None = None,
    focal_gamma: torch.Tensor | float = 2.0,
) -> Gradient:
    """The gradient of a loss.

    Args:
        loss: defined for the task, not `auto`.
        task: of the network.
        quantile: of the loss `quantile`.
        focal_gamma: of the focal loss, a number or in a shape that broadcasts to the outputs.
    """
    if loss == "quantile":
        assert quantile is not None
        return partial(_quantile, quantile=quantile)
    if loss == "focal":
        focal = _focal_of_classes if task == "multiclass" else _focal_of_two
        return partial(focal, gamma=focal_gamma)
    return GRADIENTS[loss]


def smoothed(
    y: torch.Tensor, n_outputs: int, smoothing: torch.Tensor | float, dtype: torch.dtype
) -> torch.Tensor:
    """Smooth class labels (Szegedy et al. 2016): (1 - smoothing) one-hot + smoothing / n_classes.

    Args:
        y: (...) targets of a classification.
        n_outputs: of the network; 1 for two classes.
        smoothing: from 0 to below 1, a number or in the shape of `y` or one that broadcasts to it.
        dtype: of the result.

    Returns:
        The probability of the positive class (...), or those of all classes (..., n_outputs).
    """
    if n_outputs == 1:
        return y.to(dtype) * (1 - smoothing) + smoothing / 2
    classes = torch.arange(n_outputs, device=y.device)
    ones = (y[..., None] == classes).to(dtype)
    share = smoothing[..., None] if isinstance(smoothing, torch.Tensor) else smoothing
    return ones * (1 - share) + share / n_outputs


def _bce(logits: torch.Tensor, y: torch.Tensor, weight: torch.Tensor | float) -> torch.Tensor:
    return torch.sigmoid(logits).sub_(y[..., None]).mul_(weight)


def _cross_entropy(
    logits: torch.Tensor, y: torch.Tensor, weight: torch.Tensor | float
) -> torch.Tensor:
    if y.is_floating_point():
        return torch.softmax(logits, dim=-1).sub_(y).mul_(weight)
    ones = logits.new_ones(()).expand(*y.shape, 1)
    return torch.softmax(logits, dim=-1).scatter_add_(-1, y[..., None], -ones).mul_(weight)


def _mse(outputs: torch.Tensor, y: torch.Tensor, weight: torch.Tensor | float) -> torch.Tensor:
    return outputs.sub(y[..., None]).mul_(2 * weight)


def _mae(outputs: torch.Tensor, y: torch.Tensor, weight: torch.Tensor | float) -> torch.Tensor:
    return outputs.sub(y[..., None]).sign_().mul_(weight)


def _huber(outputs: torch.Tensor, y: torch.Tensor, weight: torch.Tensor | float) -> torch.Tensor:
    return outputs.sub(y[..., None]).clamp_(-1, 1).mul_(weight)


def _quantile(
    outputs: torch.Tensor, y: torch.Tensor, weight: torch.Tensor | float, *, quantile: float
) -> torch.Tensor:
    """The quantile loss (Koenker & Bassett 1978): the metric `pinball`."""
    return outputs.sub(y[..., None]).sign_().mul_(0.5).add_(0.5 - quantile).mul_(weight)


def _poisson(outputs: torch.Tensor, y: torch.Tensor, weight: torch.Tensor | float) -> torch.Tensor:
    """Half the deviance of counts, with the link `log`."""
    return torch.exp(outputs).sub_(y[..., None]).mul_(weight)


def _focal_of_two(
    logits: torch.Tensor,
    y: torch.Tensor,
    weight: torch.Tensor | float,
    *,
    gamma: torch.Tensor | float,
) -> torch.Tensor:
    """The focal loss (Lin et al. 2017): -(1 - p)^gamma log p for the probability p of the class."""
    y = y[..., None]

    def slope(logits: torch.Tensor) -> torch.Tensor:
        """The derivative for rows of the class that the logits are of."""
        p, other = torch.sigmoid(logits), torch.sigmoid(-logits)
        return other**gamma * (gamma * p * functional.logsigmoid(logits) - other)

    return (y * slope(logits) - (1 - y) * slope(-logits)) * weight


def _focal_of_classes(
    logits: torch.Tensor,
    y: torch.Tensor,
    weight: torch.Tensor | float,
    *,
    gamma: torch.Tensor | float,
) -> torch.Tensor:
    """The focal loss of several classes."""
    if not y.is_floating_point():
        y = smoothed(y, logits.shape[-1], 0.0, logits.dtype)
    log_p = torch.log_softmax(logits, dim=-1)
    p = log_p.exp()
    other = -torch.expm1(log_p)
    # log p / (1 - p) tends to -1 where p tends to 1.
    ratio = torch.where(other > 0, log_p / torch.where(other > 0, other, 1), -1)
    slope = y * other**gamma * (gamma * p * ratio - 1)  # of the loss in log p
    return (slope - p * slope.sum(dim=-1, keepdim=True)) * weight


GRADIENTS: dict[Loss, Gradient] = {
    "bce": _bce,
    "cross_entropy": _cross_entropy,
    "mse": _mse,
    "mae": _mae,
    "huber": _huber,
    "poisson": _poisson,
}
"""The gradients of losses without parameters."""
