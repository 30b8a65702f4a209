"""The activations of an MLP: as a module, forward and backward in training, and in ONNX."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from hpo.config.trial import Activation
from hpo.training.families.family import Graph

aten = torch.ops.aten


@dataclass(frozen=True, kw_only=True)
class ActivationFunction:
    """One activation in each of its forms.

    Attributes:
        module: makes the layer of a network.
        forward: from what goes in to what comes out.
        backward: from the gradient, and either what went in or what came out, to the gradient of
            what went in.
        onnx: appends nodes to a graph; takes the input's name and returns the output's.
        from_output: `backward` takes what came out, which is cheaper.
        at_zero: the activation of 0.
    """

    module: Callable[[], nn.Module]
    forward: Callable[[torch.Tensor], torch.Tensor]
    backward: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    onnx: Callable[[Graph, str], str]
    from_output: bool = False
    at_zero: float = 0.0


def _tanh(z: torch.Tensor) -> torch.Tensor:
    """In bfloat16 on a CPU, by the sigmoid in float32, which is twice as fast."""
    if z.dtype != torch.bfloat16 or z.device.type != "cpu":
        return torch.tanh(z)
    return z.float().mul_(2).sigmoid_().mul_(2).sub_(1).to(z.dtype)


def _silu_onnx(graph: Graph, x: str) -> str:
    """Compute x / (1 + exp(-x)): ONNX Runtime's Sigmoid is never below 1e-8, even for large -x."""
    grown = graph.add("Exp", graph.add("Neg", x))
    return graph.add("Div", x, graph.add("Add", grown, graph.constant(1.0)))


def _gelu_onnx(graph: Graph, x: str) -> str:
    """Compute x (1 + erf(x / sqrt 2)) / 2."""
    share = graph.add("Erf", graph.add("Mul", x, graph.constant(0.5**0.5)))
    share = graph.add("Add", share, graph.constant(1.0))
    return graph.add("Mul", graph.add("Mul", x, graph.constant(0.5)), share)


def _mish_onnx(graph: Graph, x: str) -> str:
    """Compute x tanh(log(1 + exp x))."""
    return graph.add("Mul", x, graph.add("Tanh", graph.add("Softplus", x)))


ACTIVATIONS: dict[Activation, ActivationFunction] = {
    "relu": ActivationFunction(
        module=nn.ReLU,
        forward=torch.relu,
        backward=lambda gradient, a: aten.threshold_backward(gradient, a, 0),
        onnx=lambda graph, x: graph.add("Relu", x),
        from_output=True,
    ),
    "leaky_relu": ActivationFunction(
        module=nn.LeakyReLU,
        forward=functional.leaky_relu,
        backward=lambda gradient, z: aten.leaky_relu_backward(gradient, z, 0.01, False),
        onnx=lambda graph, x: graph.add("LeakyRelu", x, alpha=0.01),
    ),
    "tanh": ActivationFunction(
        module=nn.Tanh,
        forward=_tanh,
        backward=aten.tanh_backward,
        onnx=lambda graph, x: graph.add("Tanh", x),
        from_output=True,
    ),
    "sigmoid": ActivationFunction(
        module=nn.Sigmoid,
        forward=torch.sigmoid,
        backward=aten.sigmoid_backward,
        onnx=lambda graph, x: graph.add("Sigmoid", x),
        from_output=True,
        at_zero=0.5,
    ),
    "silu": ActivationFunction(
        module=nn.SiLU,
        forward=functional.silu,
        backward=aten.silu_backward,
        onnx=_silu_onnx,
    ),
    "gelu": ActivationFunction(
        module=nn.GELU,
        forward=functional.gelu,
        backward=aten.gelu_backward,
        onnx=_gelu_onnx,
    ),
    "mish": ActivationFunction(
        module=nn.Mish,
        forward=functional.mish,
        backward=aten.mish_backward,
        onnx=_mish_onnx,
    ),
}
