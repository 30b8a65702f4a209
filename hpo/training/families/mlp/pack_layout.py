"""The parameters of a pack of networks, in a few buffers that each hold a row for a slot.

Slots are in order of falling depth, so that the networks with a further hidden layer are always
the first ones: the block of a layer has a row for each of these and for no other, and depth costs
no padding. Width does: every hidden layer is as wide as the widest network's, the surplus being
weights of 0 that stay 0. A block keeps weights before biases, as one network alone does.

    block 0: first layer and output, a row for every slot, in the master type
    block l: the layer from hidden layer l to l + 1, a row for each network deeper than l, with
             working copies where training computes in another type
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch

from hpo.config.trial import ModelConfig


@dataclass(frozen=True, kw_only=True)
class Shape:
    """The shape of a pack.

    Attributes:
        n_inputs: preprocessed features.
        n_outputs: of each network.
        width: of every hidden layer, padding included.
        models: the networks, by slot.
    """

    n_inputs: int
    n_outputs: int
    width: int
    models: tuple[ModelConfig, ...]

    def n_deeper(self, n_layers: int) -> int:
        """Networks with more than so many hidden layers: the first slots."""
        return sum(model.depth > n_layers for model in self.models)

    @property
    def depth(self) -> int:
        """Hidden layers of the deepest network."""
        return self.models[0].depth


@dataclass(frozen=True, kw_only=True, eq=False)
class Linear:
    """A layer of all networks that have it.

    Attributes:
        weight: (slots, n_outputs, n_inputs).
        bias: (slots, 1, n_outputs).
    """

    weight: torch.Tensor
    bias: torch.Tensor


class Block:
    """The layers of one block, as they lie in any buffer of its size.

    Attributes:
        n_slots: rows.
        n: length of a row.
        n_weights: how many of it are weights; biases follow.
        layers: inputs and outputs of each layer in it.
    """

    def __init__(self, n_slots: int, layers: Sequence[tuple[int, int]]) -> None:
        """Lay out some layers, each by its inputs and outputs."""
        self.n_slots = n_slots
        self.layers = layers
        self.n_weights = sum(n_in * n_out for n_in, n_out in layers)
        self.n = self.n_weights + sum(n_out for _, n_out in layers)

    def linears(self, buffer: torch.Tensor) -> list[Linear]:
        """Views of the layers in a buffer (n_slots, n)."""
        sizes = [n_in * n_out for n_in, n_out in self.layers] + [out for _, out in self.layers]
        parts = torch.split(buffer, sizes, dim=1)
        n = len(self.layers)
        return [
            Linear(weight=weight.view(-1, n_out, n_in), bias=bias[:, None])
            for weight, bias, (n_in, n_out) in zip(parts[:n], parts[n:], self.layers, strict=True)
        ]


def blocks(shape: Shape) -> list[Block]:
    """The blocks of a pack."""
    outer = [(shape.n_inputs, shape.width), (shape.width, shape.n_outputs)]
    between = [
        Block(shape.n_deeper(layer), [(shape.width,) * 2]) for layer in range(1, shape.depth)
    ]
    return [Block(len(shape.models), outer), *between]


def zeros(of: Iterable[Block], dtype: torch.dtype, device: torch.device) -> list[torch.Tensor]:
    """A buffer for each block."""
    return [torch.zeros(block.n_slots, block.n, dtype=dtype, device=device) for block in of]


def cut(
    shape: Shape, of: Sequence[Block], buffers: Sequence[torch.Tensor], slot: int
) -> list[torch.Tensor]:
    """Views of one network's parameters without padding, in the order of its flat buffer.

    That order is the one of `hpo.training.families.mlp.parameters`: weights of the first layer, the output, the
    layers between; biases of the layers between, the first layer, the output.
    """
    model = shape.models[slot]
    views = [block.linears(buffer) for block, buffer in zip(of, buffers, strict=True)]
    (first, output), *between = views
    inner = [linear for (linear,) in between[: model.depth - 1]]
    width = slice(model.width)
    return [
        first.weight[slot, width],
        output.weight[slot, :, width],
        *[linear.weight[slot, width, width] for linear in inner],
        *[linear.bias[slot, 0, width] for linear in inner],
        first.bias[slot, 0, width],
        output.bias[slot, 0],
    ]
