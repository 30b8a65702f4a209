"""The base classes of families whose networks are plain PyTorch modules.

A subclass says how its networks are built. Training by autograd, checkpoints, exports and model
cards follow.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict
from typing import Generic

import torch
from torch import nn

from hpo.training.families.autograd import AutogradPasses, NetworkError, built, probe, random_state
from hpo.training.families.embeddings.module import InputEmbedding
from hpo.training.families.family import Graph
from hpo.training.families.packing import Config, Packing
from hpo.training.inputs import Inputs
from hpo.training.losses import Gradient
from hpo.training.random import Stream


class AutogradFamily(ABC, Generic[Config]):
    """A family that trains by autograd, with defaults for all but its networks.

    Attributes:
        packing: None by default: a worker trains the networks in turn.
    """

    packing: Packing[Config] | None = None

    @abstractmethod
    def network_for(self, config: Config, inputs: Inputs, n_outputs: int) -> nn.Module:
        """Build a network with initial weights from torch's generator, which has a seed here.

        The network maps (rows, n_columns) float32 features to (rows, n_outputs) outputs, or to
        (rows, heads, n_outputs) for an ensemble of heads. The loss of an ensemble is the mean of
        its heads' losses. Its prediction is the mean of the heads' probabilities, or values in a
        regression.

        The network's parameters and floating-point buffers are the state of a training run. A
        network must have no other state that training changes.

        Args:
            config: of the network.
            inputs: columns of the preprocessed features, for which
                `hpo.training.families.embeddings.module.InputEmbedding` has embeddings.
            n_outputs: logits: one for a binary task, one a class for several; 1 in a regression.
        """

    def decays(self, name: str, parameter: torch.Tensor) -> bool:
        """Whether weight decay and L1 act on a parameter; by default on matrices, not on biases.

        Args:
            name: of the parameter in the network's `state_dict`.
            parameter: its value.
        """
        return parameter.ndim > 1 and not name.endswith("bias")

    def describe(self, config: Config) -> str:
        """The network in a few words, for model cards."""
        leaves = asdict(config)
        family = leaves.pop("family")
        return f"{family} ({', '.join(f'{name} {value}' for name, value in leaves.items())})"

    def width(self, config: Config) -> int:
        """Size of the widest matrix products; by default unknown, for which `auto` is float32.

        On GPUs, `auto` is bfloat16 for every width. The network then runs under autocast.
        """
        return 0

    def to_onnx(self, config: Config, network: nn.Module, graph: Graph, x: str) -> str:
        """Append the network, without dropout, to an ONNX graph; by default by torch's exporter."""
        return graph.add_module(network, x)

    def build(
        self, config: Config, inputs: Inputs, n_outputs: int, *, seed: int | None
    ) -> nn.Module:
        """Build a network under a random state of the seed.

        Raises:
            NetworkError: it cannot be built, or has outputs of a wrong shape.
        """
        with random_state(torch.device("cpu"), Stream.WEIGHTS, seed or 0):
            network = built(config.family, lambda: self.network_for(config, inputs, n_outputs))
            probe(config.family, network, inputs.n_columns, n_outputs)
        return network

    def parameters(
        self, network: nn.Module
    ) -> tuple[Sequence[torch.Tensor], Sequence[torch.Tensor]]:
        """The parameters that weight decay acts on; the others and the floating-point buffers."""
        embeddings = [each for each in network.modules() if isinstance(each, InputEmbedding)]
        exempt = {id(part) for each in embeddings for part in (*each.parts.others, each.knots)}
        weights: list[torch.Tensor] = []
        others: list[torch.Tensor] = []
        for name, parameter in network.named_parameters():
            is_weight = id(parameter) not in exempt and self.decays(name, parameter)
            (weights if is_weight else others).append(parameter)
        kept = network.state_dict(keep_vars=True).values()
        buffers = {id(t): t for t in kept if not isinstance(t, nn.Parameter)}
        others += [t for key, t in buffers.items() if t.is_floating_point() and key not in exempt]
        return weights, others

    def passes(
        self,
        config: Config,
        network: nn.Module,
        *,
        seed: int,
        gradient: Gradient,
        working: torch.dtype,
    ) -> AutogradPasses:
        """The passes of a network in training."""
        weights, others = self.parameters(network)
        return AutogradPasses(
            config.family,
            network,
            weights,
            others,
            seed=seed,
            gradient=gradient,
            working=working,
        )


class ModuleFamily(AutogradFamily[Config]):
    """A family whose networks take all features for numbers."""

    @abstractmethod
    def network(self, config: Config, n_inputs: int, n_outputs: int) -> nn.Module:
        """Build a network as `network_for` does, for a number of features.

        Args:
            config: of the network.
            n_inputs: preprocessed features.
            n_outputs: logits: one for a binary task, one a class for several; 1 in a regression.
        """

    def network_for(self, config: Config, inputs: Inputs, n_outputs: int) -> nn.Module:
        """Build a network.

        Raises:
            NetworkError: there are columns of category codes, which would be taken for numbers.
        """
        if inputs.sizes:
            raise NetworkError(
                f"the model family {config.family} has no embeddings of categories: "
                "preprocessing.max_one_hot must be at least the number of categories of a column, "
                f"but a column has {max(inputs.sizes)}"
            )
        return self.network(config, inputs.n_columns, n_outputs)
