"""TabM as a model family."""

import torch
from torch import nn

from hpo.training.families.activations import ACTIVATIONS
from hpo.training.families.family import Family, Graph
from hpo.training.families.module import AutogradFamily
from hpo.training.families.tabm import TabMConfig
from hpo.training.families.tabm.network import TabM
from hpo.training.inputs import Inputs


class _TabMFamily(AutogradFamily[TabMConfig]):
    """Trained by autograd; its ONNX graph is written by hand, which takes no time."""

    def network_for(self, config: TabMConfig, inputs: Inputs, n_outputs: int) -> TabM:
        """Build a network."""
        return TabM(inputs, n_outputs, config)

    def width(self, config: TabMConfig) -> int:
        """Units of a hidden layer."""
        return config.width

    def describe(self, config: TabMConfig) -> str:
        """The network in a few words."""
        kind = "TabM-mini" if config.mini else "TabM"
        embedding = config.describe_embedding()
        return (
            f"{kind} of {config.k} members of {config.describe_layers()}"
            f"{', with ' if embedding else ''}{embedding}"
        )

    def to_onnx(self, config: TabMConfig, network: nn.Module, graph: Graph, x: str) -> str:
        """Append the network to an ONNX graph."""
        assert isinstance(network, TabM)

        def scaled(x: str, factors: torch.Tensor | None) -> str:
            if factors is None:
                return x
            return graph.add("Mul", x, graph.constant(factors.detach()))

        def members_first(x: str) -> str:
            return graph.add("Transpose", x, perm=[1, 0, 2])

        if network.embedding is not None:
            x = network.embedding.to_onnx(graph, x)
        x = graph.add("Unsqueeze", x, graph.constant([1], "i8"))
        x = scaled(x, network.factors)
        for layer in network.layers:
            x = scaled(x, layer.r)
            x = graph.add("MatMul", x, graph.constant(layer.weight.detach().t()))
            x = graph.add("Add", scaled(x, layer.s), graph.constant(layer.bias.detach()))
            x = ACTIVATIONS[config.activation].onnx(graph, x)
        weight = graph.constant(network.heads.weight.detach())
        outputs = members_first(graph.add("MatMul", members_first(x), weight))
        return graph.add("Add", outputs, graph.constant(network.heads.bias.detach()))


FAMILY: Family[TabMConfig, nn.Module] = _TabMFamily()
