"""The interface of a model family, and what its parts are made of.

A family builds plain PyTorch modules and supplies the passes that train one network at a time. It
may also supply a packing, by which many networks train at once.
"""

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any, Protocol, TypeVar

import torch
from torch import nn

from hpo.config.families import ModelConfig
from hpo.training.families.packing import Config, Packing
from hpo.training.inputs import Inputs
from hpo.training.losses import Gradient
from hpo.training.parameters import FlatParameters

Network = TypeVar("Network", bound=nn.Module)


class Passes(Protocol):
    """The forward and backward pass of one network in training."""

    @property
    def parameters(self) -> FlatParameters:
        """The network's parameters and their gradients."""

    def run(
        self, x: torch.Tensor, y: torch.Tensor, step: int, weights: torch.Tensor | None = None
    ) -> None:
        """Write the gradients of a batch's mean loss to `parameters.gradients`.

        Args:
            x: (rows, n_columns) float32.
            y: (rows,) targets; of several smoothed classes (rows, n_outputs) probabilities.
            step: of the run; dropout depends on it.
            weights: (rows,) factors of the rows' losses, of which the mean is taken; 1 if None.
        """

    def outputs(self, x: torch.Tensor) -> torch.Tensor:
        """Outputs of the network without dropout, computed in the types of training."""


class Graph(Protocol):
    """An ONNX graph under construction."""

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Append a node of the standard operators; returns the name of its output."""

    def constant(self, values: Any, kind: str = "f4") -> str:
        """Append a constant of a numpy type, by default float32; returns its name."""

    def add_module(self, module: nn.Module, x: str) -> str:
        """Append the nodes that torch's exporter makes of a module; returns the output's name.

        Args:
            module: from (rows, n_columns) float32 features to one tensor.
            x: name of the features.
        """


class Family(Protocol[Config, Network]):
    """A model family. Everything outside its package reaches its networks by these members."""

    @property
    def packing(self) -> Packing[Config] | None:
        """How networks train in packs; None if they are trained in turn."""

    def build(self, config: Config, inputs: Inputs, n_outputs: int, *, seed: int | None) -> Network:
        """Build a network, from (rows, n_columns) features to outputs.

        Outputs are (rows, n_outputs), or (rows, heads, n_outputs) for an ensemble of heads, of
        which `hpo.training.metrics.mean_over_heads` makes (rows, n_outputs).

        Args:
            config: of the network.
            inputs: columns of the preprocessed features.
            n_outputs: logits: one for a binary task, one a class for several; 1 in a regression.
            seed: of the initial weights; None may leave the parameters on the meta device.
        """

    def parameters(self, network: Network) -> tuple[Sequence[torch.Tensor], Sequence[torch.Tensor]]:
        """The parameters that weight decay acts on, and the others, with buffers that change.

        Their order is that of flat buffers and so of checkpoints: it must never change.
        """

    def width(self, config: Config) -> int:
        """Size of the widest matrix products; `precision = "auto"` depends on it."""

    def passes(
        self,
        config: Config,
        network: Network,
        *,
        seed: int,
        gradient: Gradient,
        working: torch.dtype,
    ) -> Passes:
        """The passes of a network in training.

        Args:
            config: of the network.
            network: its parameters become views of flat buffers.
            seed: of the run's dropout.
            gradient: of the loss.
            working: the type to compute in; parameters and optimizer keep the network's own.
        """

    def describe(self, config: Config) -> str:
        """The network in a few words, for model cards."""

    def to_onnx(self, config: Config, network: Network, graph: Graph, x: str) -> str:
        """Append the network, without dropout, to an ONNX graph.

        Args:
            config: of the network.
            network: with trained weights.
            graph: to append to.
            x: name of the (rows, n_columns) float32 features.

        Returns:
            The name of the outputs, of the network's shape.
        """


def family_of(config: Config) -> Family[Config, Any]:
    """The family of a model's configuration."""
    found: Family[Config, Any] = import_module(config.implementation).FAMILY
    return found


def count_parameters(config: ModelConfig, inputs: Inputs, n_outputs: int) -> int:
    """Length of the flat buffer of a network's parameters."""
    family = family_of(config)
    parts = family.parameters(family.build(config, inputs, n_outputs, seed=None))
    return sum(tensor.numel() for part in parts for tensor in part)


def flatten(config: ModelConfig, network: nn.Module) -> FlatParameters:
    """Move a network's parameters into a flat buffer."""
    return FlatParameters(*family_of(config).parameters(network))


def trained_network(
    config: ModelConfig, inputs: Inputs, n_outputs: int, weights: Mapping[str, torch.Tensor]
) -> nn.Module:
    """A network with the weights of a `state_dict`.

    Raises:
        RuntimeError: the weights do not fit the configuration.
    """
    network: nn.Module = family_of(config).build(config, inputs, n_outputs, seed=None)
    types = {name: tensor.dtype for name, tensor in network.state_dict().items()}
    network.load_state_dict(weights, assign=True)
    if types != {name: tensor.dtype for name, tensor in weights.items()}:
        raise RuntimeError("the weights are of another type")
    return network
