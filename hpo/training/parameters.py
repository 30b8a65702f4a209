"""A network's parameters, and their gradients, as flat buffers.

One buffer holds all parameters, so that an update of the whole network is a handful of kernels
however deep it is; the network's own parameters become views of it.
"""

from collections.abc import Sequence

import torch


class FlatParameters:
    """The buffers of one network.

    Attributes:
        values: (n,) master parameters in the network's own type; its parameters are views of them.
        gradients: (n,), in the same order.
        n_weights: parameters at the start that weight decay acts on.
    """

    def __init__(self, weights: Sequence[torch.Tensor], others: Sequence[torch.Tensor]) -> None:
        """Move parameters into a buffer on the same device.

        Args:
            weights: parameters that weight decay acts on.
            others: all others.
        """
        parameters = [*weights, *others]
        shapes = [parameter.shape for parameter in parameters]
        self.n_weights = sum(parameter.numel() for parameter in weights)
        self.values = torch.cat([parameter.detach().flatten() for parameter in parameters])
        self.gradients = torch.zeros_like(self.values)
        for parameter, part in zip(parameters, split(self.values, shapes), strict=True):
            parameter.data = part


def split(buffer: torch.Tensor, shapes: Sequence[torch.Size]) -> list[torch.Tensor]:
    """Cut a flat buffer into views of these shapes, one after the other."""
    parts = torch.split(buffer, [shape.numel() for shape in shapes])
    return [part.view(shape) for part, shape in zip(parts, shapes, strict=True)]
