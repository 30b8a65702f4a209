"""The layout of a pack's MLPs: a few buffers that each hold a row for a slot.

Slots are in order of falling depth, so that the networks with a further hidden layer are always
the first ones: the block of a layer has a row for each of these and for no other, and depth needs
no padding. Width does: every hidden layer is as wide as the pack's widest, the surplus being
weights of 0 that stay 0. So are the sizes of numeric embeddings, and each network's own entries
and features are the first ones. A block keeps weights before biases, as flat parameters do.

    block 0: embedding, first layer and output, a row for every slot, in the master type
    block l: the layer from hidden layer l to l + 1, a row for each network deeper than l, with
             working copies where training computes in another type
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from hpo.training.families.embeddings.parts import EmbeddingParts
from hpo.training.families.embeddings.shape import EmbeddingShape
from hpo.training.families.mlp import MLPConfig
from hpo.training.families.packing import ParameterBlock
from hpo.training.inputs import Inputs


@dataclass(frozen=True, kw_only=True, eq=False)
class PackedLinear:
    """A linear layer of all networks that have it.

    Attributes:
        weight: (slots, n_outputs, n_inputs).
        bias: (slots, 1, n_outputs).
    """

    weight: torch.Tensor
    bias: torch.Tensor


class PackLayout:
    """Where each network's parameters lie.

    Attributes:
        configs: of the networks, by slot.
        shapes: of their embeddings.
        shape: of all embeddings, padding included.
        width: of every hidden layer, padding included.
        depth: hidden layers of the deepest network.
        blocks: what the parameters lie in.
    """

    def __init__(
        self, configs: Sequence[MLPConfig], inputs: Inputs, n_outputs: int, width: int
    ) -> None:
        """Lay out networks, the deepest first."""
        self.configs = configs
        self.width = width
        self.depth = configs[0].depth
        self.shapes = [
            EmbeddingShape.of(config, inputs, has_scale=config.scale) for config in configs
        ]
        self.shape = replace(
            self.shapes[0],
            n_entries=max(shape.n_entries for shape in self.shapes),
            size=max(shape.size for shape in self.shapes),
        )
        between = [[(width, width)]] * (self.depth - 1)
        self._layers = [[(self.shape.n_outputs, width), (width, n_outputs)], *between]
        parts = self.shape.shapes
        self._n_weights, self._n_others = (
            sum(math.prod(shape) for shape in shapes) for shapes in (parts.weights, parts.others)
        )
        self.blocks = [
            _block(self.n_deeper(index), layers, is_master=index == 0)
            for index, layers in enumerate(self._layers)
        ]
        linears = self.blocks[0]
        self.blocks[0] = replace(
            linears,
            n=self._n_weights + linears.n + self._n_others,
            n_weights=self._n_weights + linears.n_weights,
        )

    def n_deeper(self, n_layers: int) -> int:
        """Networks with more than `n_layers` hidden layers: the first slots."""
        return sum(config.depth > n_layers for config in self.configs)

    def linears(self, buffers: Sequence[torch.Tensor]) -> list[PackedLinear]:
        """Views of the layers in some buffers: first, output, between."""
        outer, *rest = buffers
        outer = outer[:, self._n_weights : outer.shape[1] - self._n_others]
        pairs = zip(self._layers, [outer, *rest], strict=True)
        return [linear for layers, buffer in pairs for linear in _linears(layers, buffer)]

    def embedding(self, buffers: Sequence[torch.Tensor]) -> EmbeddingParts[torch.Tensor]:
        """Views of the embeddings' parameters in some buffers: (slots, ...)."""
        outer, parts = buffers[0], self.shape.shapes
        shapes = [*parts.weights, *parts.others]
        sides = outer[:, : self._n_weights], outer[:, outer.shape[1] - self._n_others :]
        views: list[torch.Tensor] = []
        for side, own in zip(sides, (parts.weights, parts.others), strict=True):
            views += torch.split(side, [math.prod(shape) for shape in own], dim=1)
        pairs = zip(views, shapes, strict=True)
        return parts.filled([view.view(-1, *shape) for view, shape in pairs])

    def cut(self, buffers: Sequence[torch.Tensor], slot: int) -> list[torch.Tensor]:
        """Views of one network's parameters without padding, in the order of `MLPParameters`."""
        config = self.configs[slot]
        first, output, *between = self.linears(buffers)
        inner = between[: config.depth - 1]
        width = slice(config.width)
        own, padded = self.shapes[slot], self.embedding(buffers)
        pairs = zip(padded, own.shapes, strict=True)
        parts = EmbeddingParts[torch.Tensor](
            *[
                view[slot][tuple(slice(size) for size in shape)]
                if view is not None and shape
                else None
                for view, shape in pairs
            ]
        )
        return [
            *parts.weights,
            first.weight[slot, width, : own.n_outputs],
            output.weight[slot, :, width],
            *[linear.weight[slot, width, width] for linear in inner],
            *[linear.bias[slot, 0, width] for linear in inner],
            first.bias[slot, 0, width],
            output.bias[slot, 0],
            *parts.others,
        ]


def padded_width(width: int) -> int:
    """The next of 16, 24, 32, 48, 64, 96, ...: at most half as wide again, from 16 on."""
    return padded_size(width, 16)


def padded_size(size: int, least: int) -> int:
    """The next power of 2, or three quarters of it, from `least` on."""
    power = max(least, 1 << (size - 1).bit_length())
    return power * 3 // 4 if power > least and size <= power * 3 // 4 else power


def _block(n_slots: int, layers: Sequence[tuple[int, int]], *, is_master: bool) -> ParameterBlock:
    n_weights = sum(n_in * n_out for n_in, n_out in layers)
    n = n_weights + sum(n_out for _, n_out in layers)
    return ParameterBlock(n_slots=n_slots, n=n, n_weights=n_weights, is_master=is_master)


def _linears(layers: Sequence[tuple[int, int]], buffer: torch.Tensor) -> list[PackedLinear]:
    """Views of a block's layers, each by its inputs and outputs, in a buffer (n_slots, n)."""
    sizes = [n_in * n_out for n_in, n_out in layers] + [n_out for _, n_out in layers]
    parts = torch.split(buffer, sizes, dim=1)
    n = len(layers)
    return [
        PackedLinear(weight=weight.view(-1, n_out, n_in), bias=bias[:, None])
        for weight, bias, (n_in, n_out) in zip(parts[:n], parts[n:], layers, strict=True)
    ]
