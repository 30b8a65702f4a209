"""Losses, by their gradients with respect to the network's outputs.

Training needs the gradient alone; each is that of PyTorch's function of the same name with its mean
over the rows, on logits, or on the standardised target in a regression.

Does not know: where outputs come from.
"""

from collections.abc import Callable

import torch

from hpo.trial import LOSSES, Loss, Task

Gradient = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""From outputs (rows, n_outputs) and targets (rows,) to (rows, n_outputs), both float32 but for
classes, which are int64."""


def loss_gradient(loss: Loss, task: Task) -> Gradient:
    """The gradient of a loss; `auto` is the task's first in `hpo.trial.LOSSES`."""
    return GRADIENTS[LOSSES[task][0] if loss == "auto" else loss]


def _bce(logits: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return torch.sigmoid(logits).sub_(y[:, None]).div_(len(y))


def _cross_entropy(logits: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    ones = logits.new_ones(()).expand(len(y), 1)
    return torch.softmax(logits, dim=1).scatter_add_(1, y[:, None], -ones).div_(len(y))


def _mse(outputs: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return outputs.sub(y[:, None]).mul_(2 / len(y))


def _mae(outputs: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return outputs.sub(y[:, None]).sign_().div_(len(y))


def _huber(outputs: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return outputs.sub(y[:, None]).clamp_(-1, 1).div_(len(y))


GRADIENTS: dict[Loss, Gradient] = {
    "bce": _bce,
    "cross_entropy": _cross_entropy,
    "mse": _mse,
    "mae": _mae,
    "huber": _huber,
}
