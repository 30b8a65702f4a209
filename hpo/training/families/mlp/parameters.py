"""An MLP's parameters as its passes compute with them.

In bfloat16 the layers between hidden layers have working copies in a buffer of their own: the flat
buffers are laid out so that these layers lie together. The first layer and the output stay in
float32, which keeps inputs and predictions exact where that is cheap.

    weights: embedding, first layer, output, layers between
    others: biases of layers between, of the first layer and the output, others of the embedding

The embedding's weights are those of numbers and categories. Its biases, frequencies, phases and
scales do not decay.
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
    """Parameters that decay, and those that do not, in the order of the buffers."""
    linears = [module for module in network.modules() if isinstance(module, nn.Linear)]
    first, *between, output = linears
    weights: list[torch.Tensor] = [linear.weight for linear in (first, output, *between)]
    others: list[torch.Tensor] = [linear.bias for linear in (*between, first, output)]
    parts = network.embedding_parts
    return [*parts.weights, *weights], [*others, *parts.others]


class MLPParameters(FlatParameters):
    """The buffers of one MLP.

    Attributes:
        layers: from the first to the output, views of the buffers or of the working copies.
        embedding: parameters of the embedding, views of the buffers.
        embedding_gradients: likewise.
    """

    def __init__(self, network: MLP, working: torch.dtype) -> None:
        """Move a network's parameters into buffers on the same device.

        Args:
            network: its parameters become views.
            working: the type that layers between hidden layers compute in.
        """
        weights, others = ordered(network)
        super().__init__(weights, others)
        self._shapes = [parameter.shape for parameter in (*weights, *others)]
        parts = network.embedding_parts
        n_front, n_back = len(parts.weights), len(parts.others)
        self._inner = slice(n_front + 2, len(self._shapes) - n_back - 2)
        n_first = sum(shape.numel() for shape in self._shapes[: self._inner.start])
        n_last = sum(shape.numel() for shape in self._shapes[self._inner.stop :])
        self._between = slice(n_first, len(self.values) - n_last)
        self._working_values = self.values[self._between].to(working)
        self._working_gradients = self.gradients[self._between].to(working)
        self._is_mixed = working != self.values.dtype
        values = self._views(self.values, self._working_values)
        gradients = self._views(self.gradients, self._working_gradients)
        outer = [*range(n_front), *range(len(values) - n_back, len(values))]
        self.embedding = parts.filled([values[index] for index in outer])
        self.embedding_gradients = parts.filled([gradients[index] for index in outer])
        values, gradients = values[n_front:], gradients[n_front:]
        n = len(weights) - n_front
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
            *split(buffer[:start], self._shapes[: self._inner.start]),
            *split(working, self._shapes[self._inner]),
            *split(buffer[stop:], self._shapes[self._inner.stop :]),
        ]
