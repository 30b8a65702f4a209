"""One update rule for networks with different optimizers: coefficients for each network.

SGD with momentum, Adam, AdamW and RMSprop are cases of one elementwise formula, with PyTorch's
semantics and default constants. For a slot with gradient g, parameters p and running means m and v:

    g <- clipped g + l2 * p + l1 * sign(p)      p <- p * (1 - learning rate * decay)
    m <- a * m + b * g                          v <- c * v + e * g^2
    p <- p - learning rate / bias1 * m / d      d = sqrt(v / bias2) + eps, or 1 for SGD

The learning rate is that of the schedule at the slot's step.
e is 1 - c, computed before c is rounded. L2, L1 and decay act on weights only. Bias corrections are
1 except for Adam and AdamW.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch

from hpo.config.trial import TrialConfig
from hpo.training.families.packing import ParameterBlock
from hpo.training.optimizers import EPS, RMSPROP_ALPHA
from hpo.training.schedules import Schedule, rate_factors


class Coefficients(NamedTuple):
    """Coefficients of the formula: numbers, or tensors (slots, 1)."""

    clip: Any
    is_corrected: Any
    learning_rate: Any
    l2: Any
    l1: Any
    decay: Any
    a: Any
    b: Any
    c: Any
    e: Any
    is_adaptive: Any


Scales = tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]
"""The factor of clipping, the learning rate, the learning rate divided by the first bias
correction, and the second bias correction, (slots, 1) each."""


class PackOptimizer:
    """Updates all parameters of a pack by their gradients.

    Attributes:
        mean: of gradients, a buffer for each block; SGD's velocity.
        mean_square: of their squares, likewise.
    """

    def __init__(
        self,
        configs: Sequence[TrialConfig],
        blocks: Sequence[ParameterBlock],
        dtype: torch.dtype,
        device: torch.device,
        n_batches: int,
    ) -> None:
        """Start with means of 0.

        Args:
            configs: of the trials, by slot.
            blocks: of their parameters.
            dtype: the master type.
            device: where the parameters are.
            n_batches: the number of batches of an epoch.
        """
        self.mean = [block.zeros(dtype, device) for block in blocks]
        self.mean_square = [block.zeros(dtype, device) for block in blocks]
        rows = torch.tensor([_coefficients(config) for config in configs], dtype=torch.float64)
        c = Coefficients(*rows.to(device).T[..., None])
        self._coefficients = Coefficients(*[column.to(dtype) for column in c])
        self._exact = c
        plans = [Schedule.of(config.training, n_batches) for config in configs]
        columns = torch.tensor(plans, dtype=torch.float64).to(device).T[..., None]
        self._schedules = Schedule(*columns)
        self._is_weight = [
            (torch.arange(block.n, device=device) < block.n_weights).to(dtype) for block in blocks
        ]

    def step(
        self,
        values: Sequence[torch.Tensor],
        copies: Sequence[torch.Tensor | None],
        gradients: Sequence[torch.Tensor],
        steps: torch.Tensor,
        apply: Callable[..., None],
        scale: Callable[..., Scales],
    ) -> None:
        """Change `values` in place, and their copies with them.

        Args:
            values: master parameters, a buffer for each block.
            copies: in the working type, likewise; None where that is the master type.
            gradients: in the type that they were computed in, likewise.
            steps: earlier updates of each trial, (slots,) int64.
            apply: `update`, as it is or compiled.
            scale: `scales`, likewise.
        """
        c = self._coefficients
        squares = torch.zeros_like(c.clip)
        for found in gradients:
            norms = torch.linalg.vector_norm(found, dim=1, keepdim=True, dtype=squares.dtype)
            squares[: len(norms)].add_(norms.square())
        made = scale(squares, steps, c, self._exact, self._schedules)
        for index, own in enumerate(values):
            n = len(own)
            apply(
                own,
                copies[index],
                gradients[index],
                self.mean[index],
                self.mean_square[index],
                self._is_weight[index],
                tuple(each[:n] for each in made),
                Coefficients(*[each[:n] for each in c]),
            )


def scales(
    squares: torch.Tensor,
    steps: torch.Tensor,
    coefficients: Coefficients,
    exact: Coefficients,
    schedules: Schedule,
) -> Scales:
    """Clipping factor, learning rate, step size and bias correction of a step.

    Args:
        squares: squared norms of the gradients, (slots, 1) in the master type.
        steps: earlier updates of each trial, (slots,) int64.
        coefficients: (slots, 1) each, in the master type.
        exact: the same in float64, since powers of numbers near 1 need full precision.
        schedules: of the learning rates, (slots, 1) each.
    """
    clip = coefficients.clip
    factor = torch.where(clip > 0, (clip / (squares.sqrt() + 1e-6)).clamp(max=1.0), 1.0)
    t, is_corrected = steps[:, None] + 1, coefficients.is_corrected > 0
    rate = exact.learning_rate * rate_factors(schedules, steps[:, None])
    size = rate / torch.where(is_corrected, 1 - exact.a**t, 1.0)
    bias2 = torch.where(is_corrected, 1 - exact.c**t, 1.0)
    dtype = factor.dtype
    return factor, rate.to(dtype), size.to(dtype), bias2.to(dtype)


def update(
    values: torch.Tensor,
    copies: torch.Tensor | None,
    gradients: torch.Tensor,
    mean: torch.Tensor,
    mean_square: torch.Tensor,
    is_weight: torch.Tensor,
    scales: Scales,
    coefficients: Coefficients,
) -> None:
    """Change a block's values and running means in place, all (slots, n).

    Args:
        values: parameters.
        copies: parameters in the working type, if that differs.
        gradients: before clipping, in the master or the working type.
        mean: of gradients.
        mean_square: of their squares.
        is_weight: 1 for weights and 0 for biases, (n,).
        scales: from the function of that name.
        coefficients: (slots, 1) each.
    """
    factor, rate, size, bias2 = scales
    _, _, _, l2, l1, decay, a, b, c, e, is_adaptive = coefficients
    g = gradients * factor
    g = g + is_weight * (l2 * values + l1 * values.sign())
    decayed = values * (1 - rate * decay * is_weight)
    m = a * mean + b * g
    v = c * mean_square + e * g * g
    d = torch.where(is_adaptive > 0, (v / bias2).sqrt() + EPS, 1.0)
    mean.copy_(m)
    mean_square.copy_(v)
    updated = decayed - size * m / d
    values.copy_(updated)
    if copies is not None:
        copies.copy_(updated)


def _coefficients(config: TrialConfig) -> Coefficients:
    optimizer = config.optimizer
    a, b, c = {
        "sgd": (optimizer.momentum, 1.0, 0.0),
        "adam": (optimizer.beta1, 1 - optimizer.beta1, optimizer.beta2),
        "adamw": (optimizer.beta1, 1 - optimizer.beta1, optimizer.beta2),
        "rmsprop": (0.0, 1.0, RMSPROP_ALPHA),
    }[optimizer.name]
    is_decoupled = optimizer.name == "adamw"
    return Coefficients(
        clip=config.training.gradient_clip,
        is_corrected=optimizer.name in ("adam", "adamw"),
        learning_rate=optimizer.learning_rate,
        l2=0.0 if is_decoupled else optimizer.weight_decay,
        l1=optimizer.l1,
        decay=optimizer.weight_decay if is_decoupled else 0.0,
        a=a,
        b=b,
        c=c,
        e=1 - c,
        is_adaptive=optimizer.name != "sgd",
    )
