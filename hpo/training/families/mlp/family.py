"""The MLP as a model family."""

from collections.abc import Hashable, Sequence

import torch
from torch import nn

from hpo.training.families.activations import ACTIVATIONS
from hpo.training.families.embeddings.passes import packed_embedding
from hpo.training.families.embeddings.shape import NUMBER_EMBEDDINGS
from hpo.training.families.family import Family, Graph
from hpo.training.families.mlp import MLPConfig
from hpo.training.families.mlp.network import MLP
from hpo.training.families.mlp.pack_layout import PackLayout, padded_size, padded_width
from hpo.training.families.mlp.pack_passes import PackedMLPs
from hpo.training.families.mlp.parameters import MLPParameters, ordered
from hpo.training.families.mlp.passes import MLPPasses
from hpo.training.families.packing import PackSpec
from hpo.training.inputs import Inputs
from hpo.training.losses import Gradient
from hpo.training.random import DropoutMasks, PackedMasks

_RANKS = {name: rank for rank, name in enumerate(ACTIVATIONS)}


class _MLPPacking:
    """Packs of MLPs."""

    def key(self, config: MLPConfig, inputs: Inputs) -> Hashable:
        """The width that hidden layers are padded to, and the kind and sizes of embeddings.

        What the inputs leave without effect is not part of it.
        """
        kind = config.embedding if inputs.n_numbers else "none"
        sizes = () if kind == "none" else NUMBER_EMBEDDINGS[kind].padded_sizes(config)
        padded = tuple(padded_size(size, 4) for size in sizes)
        category_size = config.category_size if inputs.sizes else 0
        return padded_width(config.width), kind, padded, category_size, config.scale

    def order(self, config: MLPConfig) -> tuple[int, ...]:
        """Deepest first; then by activation, there and back, so that few neighbors differ."""
        rank = _RANKS[config.activation]
        return -config.depth, rank if config.depth % 2 else -rank

    def networks(self, spec: PackSpec[MLPConfig]) -> PackedMLPs:
        """The networks of a pack, no wider than the widest needs."""
        configs, device = spec.configs, spec.device
        widest = max(-(-config.width // 8) * 8 for config in configs)
        width = min(padded_width(configs[0].width), widest)
        rates = [config.dropout for config in configs]
        masks = None
        if any(rates):
            masks = PackedMasks.of(spec.seeds, rates, width, spec.master, device)
        layout = PackLayout(configs, spec.inputs, spec.n_outputs, width)
        embedding = packed_embedding(layout.shape, configs, spec.inputs, spec.master, device)
        return PackedMLPs(layout, masks, spec.gradient, spec.working, device, embedding)


class _MLPFamily:
    """Hand-written passes, alone and in packs."""

    packing = _MLPPacking()

    def build(self, config: MLPConfig, inputs: Inputs, n_outputs: int, *, seed: int | None) -> MLP:
        """Build a network."""
        return MLP(inputs, n_outputs, config, seed=seed)

    def parameters(self, network: MLP) -> tuple[Sequence[torch.Tensor], Sequence[torch.Tensor]]:
        """Weights, which decay, and biases, frequencies, phases and scales."""
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
        embedding = None if network.embedding is None else network.embedding.passes
        return MLPPasses(parameters, config.activation, masks, gradient, working, embedding)

    def describe(self, config: MLPConfig) -> str:
        """The network in a few words."""
        embedding = config.describe_embedding()
        said = [embedding] if embedding else []
        said += ["a learned scale for each input of its first layer"] if config.scale else []
        return f"MLP of {config.describe_layers()}{', with ' if said else ''}{' and '.join(said)}"

    def to_onnx(self, config: MLPConfig, network: MLP, graph: Graph, x: str) -> str:
        """Append the network to an ONNX graph."""

        def linear(layer: nn.Module, x: str) -> str:
            weight = graph.constant(layer.get_parameter("weight").detach())
            bias = graph.constant(layer.get_parameter("bias").detach())
            return graph.add("Gemm", x, weight, bias, transB=1)

        activation = ACTIVATIONS[config.activation]
        if network.embedding is not None:
            x = network.embedding.to_onnx(graph, x)
        for layer in network.hidden:
            x = activation.onnx(graph, linear(layer, x))
        return linear(network.output, x)


FAMILY: Family[MLPConfig, MLP] = _MLPFamily()
