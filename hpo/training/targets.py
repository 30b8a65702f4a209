"""Regression targets as a network learns them, and values from a network's outputs.

A network learns targets of mean 0 and standard deviation 1, after the link function. With the link
`log`, which the Poisson loss has, it learns the logarithm of the expected target as a multiple of
the mean target (McCullagh & Nelder 1989).
"""

import math
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from hpo.config.trial import Task, TrainingConfig

Link = Literal["identity", "log1p", "log"]


@dataclass(frozen=True)
class TargetScale:
    """From a network's outputs to values: the inverse link of outputs * std + mean.

    Attributes:
        mean: of the training targets after the link; with the link `log`, the logarithm of their
            mean.
        std: standard deviation of the training targets after the link; 1 with the link `log`.
        link: `log1p` is log(1 + y).
    """

    mean: float = 0.0
    std: float = 1.0
    link: Link = "identity"

    @classmethod
    def fit(cls, y: Tensor, link: Link) -> "TargetScale":
        """The scale of some training targets."""
        y = y.double()
        if link == "log":
            return cls(mean=y.mean().log().item(), link=link)
        if link == "log1p":
            y = y.log1p()
        return cls(mean=y.mean().item(), std=y.std(correction=0).item(), link=link)

    def learned(self, y: Tensor) -> Tensor:
        """What the loss compares the outputs with, float64; multiples of the mean for `log`."""
        y = y.double()
        if self.link == "log":
            return y / math.exp(self.mean)
        if self.link == "log1p":
            y = y.log1p()
        return (y - self.mean) / self.std

    def values(self, outputs: Tensor) -> Tensor:
        """Values in the target's own units, float64."""
        linear = outputs.double() * self.std + self.mean
        if self.link == "log":
            return linear.exp()
        return linear.expm1() if self.link == "log1p" else linear

    @property
    def unit(self) -> float:
        """The size of a small difference between predictions, where these are near 0."""
        return math.exp(self.mean) if self.link == "log" else self.std


IDENTITY = TargetScale()
"""Of outputs that are values already, and of logits."""


def link_of(training: TrainingConfig, task: Task) -> Link:
    """The link between a network's outputs and the targets."""
    if task != "regression":
        return "identity"
    if training.loss == "poisson":
        return "log"
    return "log1p" if training.target_transform == "log1p" else "identity"
