"""Gradients of the losses with respect to the network's outputs.

Training needs no values of losses. Each function returns the gradient of PyTorch's loss of the same
name for each row, times the row's weight; with weights of 1 / rows it is the gradient of the mean.
Outputs are logits, or standardized targets in a regression.
"""

from collections.abc import Callable

import torch

from hpo.config.trial import LOSSES, Loss, Task

Gradient = Callable[[torch.Tensor, torch.Tensor, torch.Tensor | float], torch.Tensor]
"""From outputs (..., n_outputs), targets (...) and weights, a number or (..., 1), to a gradient in
the shape of the outputs. Targets are int64 for several classes, or floating-point probabilities
(..., n_outputs); in other tasks they are floating point."""


def loss_gradient(loss: Loss, task: Task) -> Gradient:
    """The gradient of a loss; `auto` is the first one of the task in `hpo.config.trial.LOSSES`."""
    return GRADIENTS[LOSSES[task][0] if loss == "auto" else loss]


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


GRADIENTS: dict[Loss, Gradient] = {
    "bce": _bce,
    "cross_entropy": _cross_entropy,
    "mse": _mse,
    "mae": _mae,
    "huber": _huber,
}
