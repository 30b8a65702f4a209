"""The MLP as a model family."""

from collections.abc import Sequence

import torch
from torch import nn

from hpo.training.families.activations import ACTIVATIONS
from hpo.training.families.family import Family, Graph
from hpo.training.families.mlp import MLPConfig
from hpo.training.families.mlp.network import MLP
from hpo.training.families.mlp.pack_layout import PackLayout, padded_width
from hpo.training.families.mlp.pack_passes import PackedMLPs
from hpo.training.families.mlp.parameters import MLPParameters, ordered
from hpo.training.families.mlp.passes import MLPPasses
from hpo.training.losses import Gradient
from hpo.training.random import DropoutMasks, PackedMasks

_RANKS = {name: rank for rank, name in enumerate(ACTIVATIONS)}


class _MLPFamily:
    """Hand-written passes, alone and in packs."""

    def build(self, config: MLPConfig, n_inputs: int, n_outputs: int, *, seed: int | None) -> MLP:
        """Build a network."""
        return MLP(n_inputs, n_outputs, config, seed=seed)

    def parameters(self, network: MLP) -> tuple[Sequence[torch.Tensor], Sequence[torch.Tensor]]:
        """Weights, which decay, and biases."""
        return ordered(network)

    def width(self, config: MLPConfig) -> int:
        """Units of a hidden layer."""
        return config.width

    def passes(
        self,
        config: MLPConfig,
        network: MLP,
        *,
        seed: int,
        gradient: Gradient,
        working: torch.dtype,
    ) -> MLPPasses:
        """The passes of a network in training."""
        masks = None
        if config.dropout:
            masks = DropoutMasks(seed, config.dropout, config.depth, config.width, working)
        parameters = MLPParameters(network, working)
        return MLPPasses(parameters, config.activation, masks, gradient, working)

    def pack_key(self, config: MLPConfig) -> int:
        """The width that hidden layers are padded to."""
        return padded_width(config.width)

    def pack_order(self, config: MLPConfig) -> tuple[int, ...]:
        """Deepest first; then by activation, there and back, so that few neighbors differ."""
        rank = _RANKS[config.activation]
        return -config.depth, rank if config.depth % 2 else -rank

    def pack(
        self,
        configs: Sequence[MLPConfig],
        n_inputs: int,
        n_outputs: int,
        *,
        seeds: Sequence[int],
        gradient: Gradient,
        master: torch.dtype,
        working: torch.dtype,
        device: torch.device,
    ) -> PackedMLPs:
        """The networks of a pack, no wider than the widest needs."""
        widest = max(-(-config.width // 8) * 8 for config in configs)
        width = min(padded_width(configs[0].width), widest)
        rates = [config.dropout for config in configs]
        masks = PackedMasks.of(seeds, rates, width, master, device) if any(rates) else None
        layout = PackLayout(configs, n_inputs, n_outputs, width)
        return PackedMLPs(layout, masks, gradient, working, device)

    def describe(self, config: MLPConfig) -> str:
        """The network in a few words."""
        layers = "1 hidden layer" if config.depth == 1 else f"{config.depth} hidden layers"
        dropout = f", dropout {config.dropout:.3g}" if config.dropout else ""
        return f"MLP of {layers} of {config.width} units ({config.activation}{dropout})"

    def to_onnx(self, config: MLPConfig, network: MLP, graph: Graph, x: str) -> str:
        """Append the network to an ONNX graph."""

        def linear(layer: nn.Module, x: str) -> str:
            weight = graph.constant(layer.get_parameter("weight").detach())
            bias = graph.constant(layer.get_parameter("bias").detach())
            return graph.add("Gemm", x, weight, bias, transB=1)

        activation = ACTIVATIONS[config.activation]
        for layer in network.hidden:
            x = activation.onnx(graph, linear(layer, x))
        return linear(network.output, x)


FAMILY: Family[MLPConfig, MLP] = _MLPFamily()
