"""A network's parameters, and their gradients, as flat buffers.

One buffer holds all weights and behind them all biases, so that an update of the whole network is
a handful of kernels however deep it is; the network's own parameters become views of it. In
bfloat16 the layers between hidden layers have working copies in one buffer of their own: the
buffers are laid out so that these layers lie together. The first layer and the output stay in
float32, which keeps inputs and predictions exact where that is cheap.

    weights: first layer, output, layers between | biases: layers between, first layer, output
"""

from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import nn

from hpo.training.families.mlp.network import MLP


@dataclass(frozen=True, kw_only=True, eq=False)
class Layer:
    """A linear layer as the passes compute with it, and where its gradients go."""

    weight: torch.Tensor
    weight_t: torch.Tensor
    bias: torch.Tensor
    weight_gradient: torch.Tensor
    bias_gradient: torch.Tensor


class FlatParameters:
    """The buffers of one network.

    Attributes:
        values: (n,) master parameters of the network's own type, which become views of them.
        gradients: (n,), laid out alike.
        n_weights: how many of them are weights; biases follow.
        layers: from the first to the output.
    """

    def __init__(self, network: MLP, working: torch.dtype) -> None:
        """Move a network's parameters into a buffer on the same device.

        Args:
            network: whose parameters become views.
            working: the type that layers between hidden layers compute in.
        """
        linears = [module for module in network.modules() if isinstance(module, nn.Linear)]
        first, *between, output = linears
        weights = [linear.weight for linear in [first, output, *between]]
        biases = [linear.bias for linear in [*between, first, output]]
        parameters = [*weights, *biases]
        ends = [0, *accumulate(parameter.numel() for parameter in parameters)]
        self.n_weights = ends[len(weights)]
        self._between = slice(ends[2], ends[-3])
        self.values = torch.cat([parameter.detach().flatten() for parameter in parameters])
        self.gradients = torch.zeros_like(self.values)
        self._working_values = self.values[self._between].to(working)
        self._working_gradients = self.gradients[self._between].to(working)
        self._is_mixed = working != self.values.dtype
        places = {id(p): (start, p.shape) for p, start in zip(parameters, ends, strict=False)}
        for parameter in parameters:
            parameter.data = self._view(self.values, *places[id(parameter)])
        self.layers = [
            self._layer(places[id(linear.weight)], places[id(linear.bias)]) for linear in linears
        ]

    def collect_gradients(self) -> None:
        """Bring the working copies' gradients into `gradients`."""
        if self._is_mixed:
            self.gradients[self._between].copy_(self._working_gradients)

    def refresh_working_copies(self) -> None:
        """Round `values` into the working copies."""
        if self._is_mixed:
            self._working_values.copy_(self.values[self._between])

    def _layer(self, weight: tuple[int, torch.Size], bias: tuple[int, torch.Size]) -> Layer:
        """The views of one layer, in the working copies where it has them."""
        start, end = self._between.start, self._between.stop
        if self._is_mixed and start <= weight[0] < end:
            weight, bias = (weight[0] - start, weight[1]), (bias[0] - start, bias[1])
            values, gradients = self._working_values, self._working_gradients
        else:
            values, gradients = self.values, self.gradients
        return Layer(
            weight=self._view(values, *weight),
            weight_t=self._view(values, *weight).t(),
            bias=self._view(values, *bias),
            weight_gradient=self._view(gradients, *weight),
            bias_gradient=self._view(gradients, *bias),
        )

    @staticmethod
    def _view(buffer: torch.Tensor, start: int, shape: torch.Size) -> torch.Tensor:
        return buffer[start : start + shape.numel()].view(shape)
