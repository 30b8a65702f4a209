"""An MLP's parameters as its passes compute with them.

In bfloat16 the layers between hidden layers have working copies in a buffer of their own: the flat
buffers are laid out so that these layers lie together. The first layer and the output stay in
float32, which keeps inputs and predictions exact where that is cheap.

    weights: first layer, output, layers between | biases: layers between, first layer, output
"""

from dataclasses import dataclass

import torch
from torch import nn

from hpo.training.families.mlp.network import MLP
from hpo.training.parameters import FlatParameters, split


@dataclass(frozen=True, kw_only=True, eq=False)
class Layer:
    """A linear layer as the passes compute with it, and where its gradients go."""

    weight: torch.Tensor
    weight_t: torch.Tensor
    bias: torch.Tensor
    weight_gradient: torch.Tensor
    bias_gradient: torch.Tensor


def ordered(network: MLP) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Weights and biases in the order of the buffers."""
    linears = [module for module in network.modules() if isinstance(module, nn.Linear)]
    first, *between, output = linears
    weights = [linear.weight for linear in (first, output, *between)]
    biases = [linear.bias for linear in (*between, first, output)]
    return list(weights), list(biases)


class MLPParameters(FlatParameters):
    """The buffers of one MLP.

    Attributes:
        layers: from the first to the output, views of the buffers or of the working copies.
    """

    def __init__(self, network: MLP, working: torch.dtype) -> None:
        """Move a network's parameters into buffers on the same device.

        Args:
            network: its parameters become views.
            working: the type that layers between hidden layers compute in.
        """
        weights, biases = ordered(network)
        super().__init__(weights, biases)
        self._shapes = [parameter.shape for parameter in (*weights, *biases)]
        n_first = sum(shape.numel() for shape in self._shapes[:2])
        n_last = sum(shape.numel() for shape in self._shapes[-2:])
        self._between = slice(n_first, len(self.values) - n_last)
        self._working_values = self.values[self._between].to(working)
        self._working_gradients = self.gradients[self._between].to(working)
        self._is_mixed = working != self.values.dtype
        values = self._views(self.values, self._working_values)
        gradients = self._views(self.gradients, self._working_gradients)
        n = len(weights)
        layers = [
            Layer(
                weight=values[weight],
                weight_t=values[weight].t(),
                bias=values[bias],
                weight_gradient=gradients[weight],
                bias_gradient=gradients[bias],
            )
            for weight, bias in zip(
                range(n), (2 * n - 2, 2 * n - 1, *range(n, 2 * n - 2)), strict=True
            )
        ]
        first, output, *between = layers
        self.layers = [first, *between, output]

    def collect_gradients(self) -> None:
        """Copy the working copies' gradients to `gradients`."""
        if self._is_mixed:
            self.gradients[self._between].copy_(self._working_gradients)

    def refresh_working_copies(self) -> None:
        """Round `values` to the working copies."""
        if self._is_mixed:
            self._working_values.copy_(self.values[self._between])

    def _views(self, buffer: torch.Tensor, working: torch.Tensor) -> list[torch.Tensor]:
        """Views of all parameters: layers between hidden layers in the working copies."""
        start, stop = self._between.start, self._between.stop
        return [
            *split(buffer[:start], self._shapes[:2]),
            *split(working, self._shapes[2:-2]),
            *split(buffer[stop:], self._shapes[-2:]),
        ]
