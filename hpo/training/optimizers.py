"""SGD, Adam, AdamW and RMSprop on flat parameters, by PyTorch's own rules.

The two flat buffers of an MLP, weights and biases, are one "parameter" each: weight decay and L1 act
on the first alone. Gradients are clipped by their global norm in the same kernels that apply them.
"""

from typing import Protocol

import torch

from hpo.trial import OptimizerConfig, TrainingConfig

BETA1, BETA2, EPS = 0.9, 0.999, 1e-8  # PyTorch's defaults
ALPHA = 0.99  # RMSprop's


class Rule(Protocol):
    """One step of an optimizer on one flat buffer."""

    def step(self, grad: torch.Tensor, scale: torch.Tensor) -> None:
        """Update the buffer by a gradient divided by `scale`."""


class Optimizer:
    """The rule of a configuration over both buffers."""

    def __init__(
        self,
        optimizer: OptimizerConfig,
        training: TrainingConfig,
        weights: torch.Tensor,
        biases: torch.Tensor,
    ) -> None:
        """Bind to the float32 buffers that are updated in place."""
        self._clip = training.gradient_clip
        self._l1 = optimizer.l1
        self._weights = weights
        self._rules = [
            make_rule(optimizer, weights, optimizer.weight_decay),
            make_rule(optimizer, biases, 0.0),
        ]
        self._one = weights.new_ones(())

    def step(self, weight_grad: torch.Tensor, bias_grad: torch.Tensor) -> None:
        """Update both buffers; the gradients, float32, may be overwritten."""
        if self._l1:
            weight_grad.add_(self._weights.sign(), alpha=self._l1)
        scale = self._one
        if self._clip:
            norm = (weight_grad.square().sum() + bias_grad.square().sum()).sqrt()
            scale = (norm / self._clip).clamp(min=1.0)
        for rule, grad in zip(self._rules, (weight_grad, bias_grad), strict=True):
            rule.step(grad, scale)


def make_rule(config: OptimizerConfig, parameter: torch.Tensor, weight_decay: float) -> Rule:
    """The rule that a configuration names, for one buffer."""
    match config.name:
        case "sgd":
            return Sgd(parameter, config, weight_decay)
        case "rmsprop":
            return RmsProp(parameter, config, weight_decay)
        case _:
            return Adam(parameter, config, weight_decay)


class Sgd:
    """Momentum without dampening; weight decay in the gradient."""

    def __init__(
        self, parameter: torch.Tensor, config: OptimizerConfig, weight_decay: float
    ) -> None:
        """Start with no momentum."""
        self._parameter = parameter
        self._config = config
        self._weight_decay = weight_decay
        self._buffer = torch.zeros_like(parameter)

    def step(self, grad: torch.Tensor, scale: torch.Tensor) -> None:
        """Move along the averaged gradient."""
        torch._fused_sgd_(
            [self._parameter],
            [grad],
            [self._buffer] if self._config.momentum else [],
            weight_decay=self._weight_decay,
            momentum=self._config.momentum,
            lr=self._config.learning_rate,
            dampening=0.0,
            nesterov=False,
            maximize=False,
            is_first_step=False,
            grad_scale=scale,
        )


class Adam:
    """Adam (Kingma & Ba 2015), or AdamW (Loshchilov & Hutter 2019) with decay off the gradient."""

    def __init__(
        self, parameter: torch.Tensor, config: OptimizerConfig, weight_decay: float
    ) -> None:
        """Start with zero moments."""
        self._parameter = parameter
        self._rate = config.learning_rate
        self._weight_decay = weight_decay
        self._update = torch._fused_adamw_ if config.name == "adamw" else torch._fused_adam_
        self._mean = torch.zeros_like(parameter)
        self._square = torch.zeros_like(parameter)
        self._step = parameter.new_zeros(())

    def step(self, grad: torch.Tensor, scale: torch.Tensor) -> None:
        """Move by the ratio of the moments."""
        self._step += 1
        self._update(
            [self._parameter],
            [grad],
            [self._mean],
            [self._square],
            [],
            [self._step],
            lr=self._rate,
            beta1=BETA1,
            beta2=BETA2,
            weight_decay=self._weight_decay,
            eps=EPS,
            amsgrad=False,
            maximize=False,
            grad_scale=scale,
        )


class RmsProp:
    """RMSprop (Tieleman & Hinton 2012), not centered, without momentum."""

    def __init__(
        self, parameter: torch.Tensor, config: OptimizerConfig, weight_decay: float
    ) -> None:
        """Start with a zero moment."""
        self._parameter = parameter
        self._rate = config.learning_rate
        self._weight_decay = weight_decay
        self._square = torch.zeros_like(parameter)

    def step(self, grad: torch.Tensor, scale: torch.Tensor) -> None:
        """Move by the gradient over its root mean square."""
        grad.div_(scale)
        if self._weight_decay:
            grad.add_(self._parameter, alpha=self._weight_decay)
        self._square.mul_(ALPHA).addcmul_(grad, grad, value=1 - ALPHA)
        self._parameter.addcdiv_(grad, self._square.sqrt().add_(EPS), value=-self._rate)
