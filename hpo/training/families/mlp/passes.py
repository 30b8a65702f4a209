"""The forward and backward pass of an MLP in training, written out.

The same mathematics as autograd over `network.MLP`, without its bookkeeping: gradients land in the
flat buffers, and dropout draws from `hpo.training.random`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from hpo.config.trial import Activation
from hpo.training.families.activations import ACTIVATIONS
from hpo.training.families.embeddings.passes import EmbeddingPasses, EmbeddingTrace
from hpo.training.families.mlp.parameters import Layer, MLPParameters
from hpo.training.losses import Gradient
from hpo.training.random import DropoutMasks


@dataclass(frozen=True, kw_only=True, eq=False)
class _Trace:
    """What the backward pass of one hidden layer needs from the forward pass."""

    inputs: torch.Tensor
    kept: torch.Tensor
    mask: torch.Tensor | None


class MLPPasses:
    """Computes the gradients of a batch.

    Attributes:
        parameters: of the network.
    """

    def __init__(
        self,
        parameters: MLPParameters,
        activation: Activation,
        masks: DropoutMasks | None,
        gradient: Gradient,
        working: torch.dtype,
        embedding: EmbeddingPasses | None = None,
    ) -> None:
        """Bind a network's parameters.

        Args:
            parameters: are read, and their gradients written.
            activation: of every hidden layer.
            masks: of dropout; None without dropout.
            gradient: of the loss.
            working: the type of activations.
            embedding: the passes in front of the first layer; None if features enter as they are.
        """
        self._embedding = embedding
        self.parameters = parameters
        self._activation = ACTIVATIONS[activation]
        self._masks = masks
        self._gradient = gradient
        self._working = working
        self._zero = torch.zeros((), dtype=working, device=parameters.values.device)

    def run(
        self, x: torch.Tensor, y: torch.Tensor, step: int, weights: torch.Tensor | None = None
    ) -> None:
        """Write the gradients of a batch's mean loss to the flat buffer."""
        self.parameters.refresh_working_copies()
        *hidden, output = self.parameters.layers
        masks: Sequence[torch.Tensor | None] = [None] * len(hidden)
        if self._masks:
            masks = self._masks.draw(step, len(x), x.device).unbind()
        embedded = self._embedded(x)
        if embedded is not None:
            x = embedded.outputs
        traces = []
        for layer, mask in zip(hidden, masks, strict=True):
            trace, x = self._forward(layer, x, mask)
            traces.append(trace)
        x = x.to(output.weight.dtype)
        weight = 1 / len(y) if weights is None else weights[:, None] / len(y)
        gradient = self._gradient(torch.addmm(output.bias, x, output.weight_t), y, weight)
        _write_gradients(output, x, gradient)
        above = output
        for layer, trace in zip(reversed(hidden), reversed(traces), strict=True):
            gradient = self._backward(torch.mm(gradient, above.weight), trace)
            gradient = gradient.to(layer.weight.dtype)
            _write_gradients(layer, trace.inputs, gradient)
            above = layer
        if self._embedding is not None and embedded is not None:
            gradient = torch.mm(gradient, above.weight)
            found = self.parameters.embedding, self.parameters.embedding_gradients
            self._embedding.backward(gradient, embedded, *found)
        self.parameters.collect_gradients()

    def outputs(self, x: torch.Tensor) -> torch.Tensor:
        """Outputs without dropout, computed in the types of training."""
        self.parameters.refresh_working_copies()
        *hidden, output = self.parameters.layers
        if (embedded := self._embedded(x)) is not None:
            x = embedded.outputs
        for layer in hidden:
            _, x = self._forward(layer, x, None)
        return torch.addmm(output.bias, x.to(output.weight.dtype), output.weight_t)

    def _embedded(self, x: torch.Tensor) -> EmbeddingTrace | None:
        """The first layer's inputs, if features do not enter as they are."""
        if self._embedding is None:
            return None
        parameters = self.parameters
        return self._embedding.forward(x.to(parameters.values.dtype), parameters.embedding)

    def _forward(
        self, layer: Layer, x: torch.Tensor, mask: torch.Tensor | None
    ) -> tuple[_Trace, torch.Tensor]:
        """Linear, activation, dropout: what the backward pass needs, and the outputs."""
        inputs = x.to(layer.weight.dtype)
        z = torch.addmm(layer.bias, inputs, layer.weight_t).to(self._working)
        a = self._activation.forward(z)
        kept = a if self._activation.from_output else z
        return _Trace(inputs=inputs, kept=kept, mask=mask), self._drop(a, mask)

    def _backward(self, gradient: torch.Tensor, trace: _Trace) -> torch.Tensor:
        """From the gradient of dropout's outputs to that of the activation's inputs."""
        return self._activation.backward(
            self._drop(gradient.to(self._working), trace.mask), trace.kept
        )

    def _drop(self, x: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        """Mask and scale, in one kernel."""
        if mask is None or self._masks is None:
            return x
        return torch.addcmul(self._zero, x, mask, value=self._masks.scale)


def _write_gradients(layer: Layer, inputs: torch.Tensor, gradient: torch.Tensor) -> None:
    if inputs.shape[1] < gradient.shape[1]:  # few features: up to 3 times as fast
        layer.weight_gradient.copy_(torch.mm(inputs.t(), gradient).t())
    else:
        torch.mm(gradient.t(), inputs, out=layer.weight_gradient)
    torch.sum(gradient, 0, out=layer.bias_gradient)
