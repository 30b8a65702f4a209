"""The forward and backward pass of an MLP in training, written out.

The same mathematics as autograd over `hpo.training.families.mlp.network.MLP`, without its bookkeeping: gradients
land in the flat buffers by themselves, and dropout draws from `hpo.training.random`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from hpo.config.trial import Activation
from hpo.training.families.mlp.parameters import FlatParameters, Layer
from hpo.training.losses import Gradient
from hpo.training.random import DropoutMasks

aten = torch.ops.aten


@dataclass(frozen=True, kw_only=True)
class Derivative:
    """An activation, and its backward pass.

    `backward` takes the gradient and either what went into the activation or what came out of it:
    whichever the derivative is cheaper from. `at_zero` is what the activation makes of 0.
    """

    forward: Callable[[torch.Tensor], torch.Tensor]
    backward: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    from_output: bool = False
    at_zero: float = 0.0


def _tanh(z: torch.Tensor) -> torch.Tensor:
    """By the logistic function in float32 for bfloat16 on a processor, which is twice as fast."""
    if z.dtype != torch.bfloat16 or z.device.type != "cpu":
        return torch.tanh(z)
    return z.float().mul_(2).sigmoid_().mul_(2).sub_(1).to(z.dtype)


DERIVATIVES: dict[Activation, Derivative] = {
    "relu": Derivative(
        forward=torch.relu,
        backward=lambda gradient, a: aten.threshold_backward(gradient, a, 0),
        from_output=True,
    ),
    "leaky_relu": Derivative(
        forward=torch.nn.functional.leaky_relu,
        backward=lambda gradient, z: aten.leaky_relu_backward(gradient, z, 0.01, False),
    ),
    "tanh": Derivative(forward=_tanh, backward=aten.tanh_backward, from_output=True),
    "sigmoid": Derivative(
        forward=torch.sigmoid, backward=aten.sigmoid_backward, from_output=True, at_zero=0.5
    ),
    "silu": Derivative(forward=torch.nn.functional.silu, backward=aten.silu_backward),
    "gelu": Derivative(forward=torch.nn.functional.gelu, backward=aten.gelu_backward),
    "mish": Derivative(forward=torch.nn.functional.mish, backward=aten.mish_backward),
}


@dataclass(frozen=True, kw_only=True, eq=False)
class Trace:
    """What the backward pass of one hidden layer needs from the forward pass."""

    inputs: torch.Tensor
    kept: torch.Tensor
    mask: torch.Tensor | None


class Passes:
    """Computes the gradients of a batch."""

    def __init__(
        self,
        parameters: FlatParameters,
        activation: Activation,
        masks: DropoutMasks | None,
        gradient: Gradient,
        working: torch.dtype,
    ) -> None:
        """Bind a network's parameters.

        Args:
            parameters: read, and their gradients written.
            activation: of every hidden layer.
            masks: of dropout; None is no dropout.
            gradient: of the loss.
            working: the type of activations.
        """
        self._parameters = parameters
        self._activation = DERIVATIVES[activation]
        self._masks = masks
        self._gradient = gradient
        self._working = working
        self._zero = torch.zeros((), dtype=working, device=parameters.values.device)

    def run(self, x: torch.Tensor, y: torch.Tensor, step: int) -> None:
        """Leave the gradients of a batch's mean loss in the flat buffer.

        Args:
            x: (rows, n_inputs) float32.
            y: (rows,) targets.
            step: of the run; dropout depends on it.
        """
        *hidden, output = self._parameters.layers
        masks: Sequence[torch.Tensor | None] = [None] * len(hidden)
        if self._masks:
            masks = self._masks.draw(step, len(x), x.device).unbind()
        traces = []
        for layer, mask in zip(hidden, masks, strict=True):
            trace, x = self._forward(layer, x, mask)
            traces.append(trace)
        x = x.to(output.weight.dtype)
        gradient = self._gradient(torch.addmm(output.bias, x, output.weight_t), y, 1 / len(y))
        _write_gradients(output, x, gradient)
        above = output
        for layer, trace in zip(reversed(hidden), reversed(traces), strict=True):
            gradient = self._backward(torch.mm(gradient, above.weight), trace)
            gradient = gradient.to(layer.weight.dtype)
            _write_gradients(layer, trace.inputs, gradient)
            above = layer
        self._parameters.collect_gradients()

    def outputs(self, x: torch.Tensor) -> torch.Tensor:
        """The network's outputs without dropout, computed in the types of training."""
        *hidden, output = self._parameters.layers
        for layer in hidden:
            _, x = self._forward(layer, x, None)
        return torch.addmm(output.bias, x.to(output.weight.dtype), output.weight_t)

    def _forward(
        self, layer: Layer, x: torch.Tensor, mask: torch.Tensor | None
    ) -> tuple[Trace, torch.Tensor]:
        """Linear, activation, dropout; what to remember, and what comes out."""
        inputs = x.to(layer.weight.dtype)
        z = torch.addmm(layer.bias, inputs, layer.weight_t).to(self._working)
        a = self._activation.forward(z)
        kept = a if self._activation.from_output else z
        return Trace(inputs=inputs, kept=kept, mask=mask), self._drop(a, mask)

    def _backward(self, gradient: torch.Tensor, trace: Trace) -> torch.Tensor:
        """From what comes out of dropout to what goes into the activation."""
        return self._activation.backward(
            self._drop(gradient.to(self._working), trace.mask), trace.kept
        )

    def _drop(self, x: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        """Mask and scale, in one kernel."""
        if mask is None or self._masks is None:
            return x
        return torch.addcmul(self._zero, x, mask, value=self._masks.scale)


def _write_gradients(layer: Layer, inputs: torch.Tensor, gradient: torch.Tensor) -> None:
    if inputs.shape[1] < gradient.shape[1]:  # few features: this way round is up to 3 times as fast
        layer.weight_gradient.copy_(torch.mm(inputs.t(), gradient).t())
    else:
        torch.mm(gradient.t(), inputs, out=layer.weight_gradient)
    torch.sum(gradient, 0, out=layer.bias_gradient)
