"""Optimizers that update a whole network at once, on its flat buffers.

SGD, Adam, AdamW and RMSprop have PyTorch's semantics and default constants. Weight decay and L1 act
on weights, not on biases. L1 adds its subgradient after clipping, as the L2 term does.
"""

import torch
from torch.optim.adam import adam
from torch.optim.sgd import sgd

from hpo.config.trial import OptimizerConfig, OptimizerName
from hpo.training.parameters import FlatParameters

RMSPROP_ALPHA = 0.99
EPS = 1e-8
FADED = 2.0**20  # 0.99**FADED is 0


class Sgd:
    """Gradient descent with momentum.

    Attributes:
        memory: its state, by name.
    """

    def __init__(self, config: OptimizerConfig, values: torch.Tensor) -> None:
        """Start with a velocity of 0."""
        self._config = config
        self._velocity = torch.zeros_like(values)
        self.memory = {"velocity": self._velocity}

    def update(self, values: torch.Tensor, gradients: torch.Tensor, rate: float) -> None:
        """`torch.optim.SGD`."""
        sgd(
            [values],
            [gradients],
            [self._velocity],
            fused=True,
            lr=rate,
            momentum=self._config.momentum,
            dampening=0.0,
            weight_decay=0.0,
            nesterov=False,
            maximize=False,
        )


class Adam:
    """Adam, AdamW and RMSprop.

    AdamW differs in its weight decay only. RMSprop is Adam without a mean of gradients and without
    bias correction: its step counter starts so high that the correction is 1. PyTorch has no fused
    RMSprop.

    Attributes:
        memory: its state, by name.
    """

    def __init__(self, config: OptimizerConfig, values: torch.Tensor) -> None:
        """Start with empty running means."""
        is_rmsprop = config.name == "rmsprop"
        self._betas = (0.0, RMSPROP_ALPHA) if is_rmsprop else (config.beta1, config.beta2)
        self._mean = torch.zeros_like(values)
        self._mean_square = torch.zeros_like(values)
        # The fused kernel on a GPU reads float32, whatever the type.
        self._step = values.new_full((), first_step(config.name), dtype=torch.float32)
        self.memory = {
            "mean": self._mean,
            "mean_square": self._mean_square,
            "step": self._step,
        }

    def update(self, values: torch.Tensor, gradients: torch.Tensor, rate: float) -> None:
        """`torch.optim.Adam`, or `torch.optim.RMSprop`."""
        adam(
            [values],
            [gradients],
            [self._mean],
            [self._mean_square],
            [],
            [self._step],
            fused=True,
            amsgrad=False,
            beta1=self._betas[0],
            beta2=self._betas[1],
            lr=rate,
            weight_decay=0.0,
            eps=EPS,
            maximize=False,
        )


RULES: dict[OptimizerName, type[Sgd] | type[Adam]] = {
    "sgd": Sgd,
    "adam": Adam,
    "adamw": Adam,
    "rmsprop": Adam,
}


def first_step(name: OptimizerName) -> float:
    """Initial value of an optimizer's step counter."""
    return FADED if name == "rmsprop" else 0.0


def memory_shapes(name: OptimizerName, n_parameters: int) -> dict[str, tuple[int, ...]]:
    """Shapes of an optimizer's state tensors, by name."""
    rule = RULES[name](OptimizerConfig(name=name), torch.empty(n_parameters, device="meta"))
    return {key: tuple(tensor.shape) for key, tensor in rule.memory.items()}


class Optimizer:
    """Clips gradients by their global norm, decays weights and updates the parameters."""

    def __init__(
        self, parameters: FlatParameters, config: OptimizerConfig, gradient_clip: float
    ) -> None:
        """Bind a network's parameters.

        Args:
            parameters: are updated in place.
            config: name and rates of the optimizer.
            gradient_clip: the largest norm of all gradients together; 0 does not clip.
        """
        self._parameters = parameters
        self._config = config
        self._clip = gradient_clip
        self._rule = RULES[config.name](config, parameters.values)
        self._weights = parameters.values[: parameters.n_weights]
        self._weight_gradients = parameters.gradients[: parameters.n_weights]

    @property
    def memory(self) -> dict[str, torch.Tensor]:
        """The optimizer's state, by name."""
        return self._rule.memory

    def step(self, rate_factor: float = 1.0) -> None:
        """Update the parameters; their gradients are overwritten.

        Args:
            rate_factor: multiplies the learning rate in this step.
        """
        rate = self._config.learning_rate * rate_factor
        if self._clip:
            self._clip_gradients()
        self._decay(rate)
        self._rule.update(self._parameters.values, self._parameters.gradients, rate)

    def _clip_gradients(self) -> None:
        """Clip as `torch.nn.utils.clip_grad_norm_` does."""
        gradients = self._parameters.gradients
        norm = torch.linalg.vector_norm(gradients)
        gradients.mul_((self._clip / (norm + 1e-6)).clamp_(max=1.0))

    def _decay(self, rate: float) -> None:
        config = self._config
        if config.l1:
            self._weight_gradients.add_(self._weights.sign(), alpha=config.l1)
        if config.weight_decay and config.name == "adamw":
            self._weights.mul_(1 - rate * config.weight_decay)
        elif config.weight_decay:
            self._weight_gradients.add_(self._weights, alpha=config.weight_decay)
