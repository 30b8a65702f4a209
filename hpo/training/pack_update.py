"""One update rule for networks with different optimizers, a row of coefficients each.

SGD with momentum, Adam, AdamW and RMSprop are one elementwise formula, with PyTorch's semantics and
its default constants. For a slot with gradient g, parameters p and running means m and v:

    g <- clipped g + l2 * p + l1 * sign(p)      p <- p * (1 - learning rate * decay)
    m <- a * m + b * g                          v <- c * v + (1 - c) * g^2
    p <- p - learning rate / bias1 * m / d      d = sqrt(v / bias2) + eps, or 1 for SGD

L2, L1 and decay act on weights alone. Bias corrections are 1 but for Adam and AdamW.

Does not know: how gradients come about.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch

from hpo.training.optimizers import ADAM_BETAS, EPS, RMSPROP_ALPHA
from hpo.trial import TrialConfig


@dataclass(frozen=True, kw_only=True, eq=False)
class Coefficients:
    """What tells the slots' optimizers apart, each (slots, 1) in the master type."""

    learning_rate: torch.Tensor
    clip: torch.Tensor
    l2: torch.Tensor
    l1: torch.Tensor
    decay: torch.Tensor
    a: torch.Tensor
    b: torch.Tensor
    c: torch.Tensor
    is_adaptive: torch.Tensor
    is_corrected: torch.Tensor

    @classmethod
    def of(
        cls, configs: Sequence[TrialConfig], dtype: torch.dtype, device: torch.device
    ) -> "Coefficients":
        """Those of some trials, by slot."""
        rows = [_coefficients(config) for config in configs]
        columns = torch.tensor(rows, dtype=torch.float64).to(device, dtype).T[..., None]
        return cls(**{f.name: column for f, column in zip(fields(cls), columns, strict=True)})

    @property
    def constants(self) -> tuple[torch.Tensor, ...]:
        """What `update` takes of them, in its order."""
        return (
            self.learning_rate,
            self.l2,
            self.l1,
            self.decay,
            self.a,
            self.b,
            self.c,
            self.is_adaptive,
        )

    def corrected(self, steps: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The size of a step and the second bias correction, (slots, 1) each.

        Args:
            steps: updates made before this one, (slots,).
        """
        t = steps.double()[:, None] + 1  # powers near 1 want more digits than float32 has
        is_corrected = self.is_corrected.bool()
        bias1 = torch.where(is_corrected, 1 - self.a.double() ** t, 1.0)
        bias2 = torch.where(is_corrected, 1 - self.c.double() ** t, 1.0)
        size = self.learning_rate.double() / bias1
        return size.to(self.a.dtype), bias2.to(self.a.dtype)


def clip_factor(coefficients: Coefficients, norms: torch.Tensor) -> torch.Tensor:
    """What each slot's gradients are multiplied by, (slots, 1), from the norms of all of them."""
    clip = coefficients.clip
    return torch.where(clip > 0, (clip / (norms + 1e-6)).clamp(max=1.0), 1.0)


def update(
    values: torch.Tensor,
    gradients: torch.Tensor,
    mean: torch.Tensor,
    mean_square: torch.Tensor,
    is_weight: torch.Tensor,
    factor: torch.Tensor,
    size: torch.Tensor,
    bias2: torch.Tensor,
    learning_rate: torch.Tensor,
    l2: torch.Tensor,
    l1: torch.Tensor,
    decay: torch.Tensor,
    a: torch.Tensor,
    b: torch.Tensor,
    c: torch.Tensor,
    is_adaptive: torch.Tensor,
) -> None:
    """Change a block's values and running means in place, all (slots, n).

    Args:
        values: parameters.
        gradients: before clipping, in the master or the working type.
        mean: of gradients.
        mean_square: of their squares.
        is_weight: 1 for weights and 0 for biases, (n,).
        factor: of clipping, like all further ones (slots, 1).
        size: the learning rate over the first bias correction.
        bias2: the second one.
        learning_rate: and the rest as in `Coefficients`.
    """
    g = gradients * factor
    g = g + is_weight * (l2 * values + l1 * values.sign())
    decayed = values * (1 - learning_rate * decay * is_weight)
    m = a * mean + b * g
    v = c * mean_square + (1 - c) * g * g
    d = torch.where(is_adaptive > 0, (v / bias2).sqrt() + EPS, 1.0)
    mean.copy_(m)
    mean_square.copy_(v)
    values.copy_(decayed - size * m / d)


def _coefficients(config: TrialConfig) -> list[float]:
    """In the order of the fields of `Coefficients`."""
    optimizer = config.optimizer
    a, b, c = {
        "sgd": (optimizer.momentum, 1.0, 0.0),
        "adam": (ADAM_BETAS[0], 1 - ADAM_BETAS[0], ADAM_BETAS[1]),
        "adamw": (ADAM_BETAS[0], 1 - ADAM_BETAS[0], ADAM_BETAS[1]),
        "rmsprop": (0.0, 1.0, RMSPROP_ALPHA),
    }[optimizer.name]
    is_decoupled = optimizer.name == "adamw"
    return [
        optimizer.learning_rate,
        config.training.gradient_clip,
        0.0 if is_decoupled else optimizer.weight_decay,
        optimizer.l1,
        optimizer.weight_decay if is_decoupled else 0.0,
        a,
        b,
        c,
        float(optimizer.name != "sgd"),
        float(optimizer.name in ("adam", "adamw")),
    ]
