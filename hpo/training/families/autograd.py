"""The passes of any PyTorch module, by autograd.

Gradients land in the flat buffers of `hpo.training.parameters`, so that updates and checkpoints are
those of every family. A step runs under a random state of its own, which depends on the run's seed
and the step. A trial repeats and resumes to the bit, whatever random numbers the module draws.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import nn

from hpo.config.errors import first_line
from hpo.training.losses import Gradient
from hpo.training.memory import is_out_of_memory
from hpo.training.parameters import FlatParameters, split
from hpo.training.random import WORD, Stream, key


class NetworkError(RuntimeError):
    """A family's module raised or has outputs of a wrong shape; the message names the family."""


class AutogradPasses:
    """Computes the gradients of a batch by autograd.

    Attributes:
        parameters: of the network.
    """

    def __init__(
        self,
        family: str,
        network: nn.Module,
        weights: Sequence[torch.Tensor],
        others: Sequence[torch.Tensor],
        *,
        seed: int,
        gradient: Gradient,
        working: torch.dtype,
    ) -> None:
        """Move a network's parameters into flat buffers.

        Args:
            family: its name, for messages.
            network: maps (rows, n_inputs) to (rows, n_outputs) or (rows, heads, n_outputs).
            weights: the network's parameters that weight decay acts on.
            others: its other parameters and buffers.
            seed: of the random numbers that the network draws in training.
            gradient: of the loss. The loss of several heads is the mean of theirs.
            working: bfloat16 runs the network under autocast.
        """
        self.parameters = FlatParameters(weights, others)
        self._family = family
        self._network = network
        self._seed = seed
        self._gradient = gradient
        self._working = working
        tensors = [*weights, *others]
        parts = split(self.parameters.gradients, [tensor.shape for tensor in tensors])
        for tensor, part in zip(tensors, parts, strict=True):
            if tensor.requires_grad:
                tensor.grad = part  # autograd adds to it in place

    def run(
        self, x: torch.Tensor, y: torch.Tensor, step: int, weights: torch.Tensor | None = None
    ) -> None:
        """Write the gradients of a batch's mean loss to the flat buffer."""
        self.parameters.gradients.zero_()
        state = random_state(x.device, Stream.DROPOUT, self._seed, step)
        with state, torch.enable_grad(), _blamed(self._family):
            outputs = self._forward(x, is_training=True)
            heads = outputs.detach()[:, None] if outputs.ndim == 2 else outputs.detach()
            rows_and_heads = heads.shape[:2]
            targets = y[:, None].expand(*rows_and_heads, *y.shape[1:])
            share = 1 / rows_and_heads.numel()
            weight = share if weights is None else share * weights[:, None, None]
            gradient = self._gradient(heads, targets, weight).view_as(outputs)
            torch.autograd.backward(outputs, gradient)

    def outputs(self, x: torch.Tensor) -> torch.Tensor:
        """Outputs of all heads without dropout, computed in the types of training."""
        return self._forward(x, is_training=False)

    def _forward(self, x: torch.Tensor, *, is_training: bool) -> torch.Tensor:
        if self._network.training != is_training:
            self._network.train(is_training)
        master = self.parameters.values.dtype
        is_mixed = self._working != master
        with _blamed(self._family), torch.autocast(x.device.type, self._working, is_mixed):
            outputs: torch.Tensor = self._network(x.to(master))
        return outputs.to(master)


def probe(family: str, network: nn.Module, n_inputs: int, n_outputs: int) -> None:
    """Run a network on a few rows of zeros and check the shape of its outputs.

    Raises:
        NetworkError: it raises, or its outputs are not (rows, n_outputs) or
            (rows, heads, n_outputs).
    """
    n_rows = 3
    with _blamed(family), torch.no_grad():
        outputs = network.eval()(torch.zeros(n_rows, n_inputs))
    shape = tuple(outputs.shape) if isinstance(outputs, torch.Tensor) else type(outputs).__name__
    if not isinstance(shape, tuple) or len(shape) != 3:
        is_right = shape == (n_rows, n_outputs)
    else:
        is_right = shape[1] > 0 and (shape[0], shape[2]) == (n_rows, n_outputs)
    if not is_right:
        raise NetworkError(
            f"model family {family}: the outputs of {n_rows} rows must have the shape "
            f"({n_rows}, {n_outputs}) or ({n_rows}, heads, {n_outputs}), but got {shape}"
        )


@contextmanager
def random_state(device: torch.device, stream: Stream, *counters: int) -> Iterator[None]:
    """Seed torch's generators by counters, and restore their states at the end."""
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices):
        torch.manual_seed(key(stream, *counters) & WORD)
        yield


def built(family: str, make: Callable[[], nn.Module]) -> nn.Module:
    """Call a family's constructor of networks.

    Raises:
        NetworkError: it raises, or makes something else.
    """
    with _blamed(family):
        network = make()
        if not isinstance(network, nn.Module):
            raise TypeError(f"must build a torch.nn.Module, but got {type(network).__name__}")
    return network


@contextmanager
def _blamed(family: str) -> Iterator[None]:
    """Name the family in what its code raises; memory that runs out is not its fault."""
    try:
        yield
    except Exception as error:
        if isinstance(error, NetworkError) or is_out_of_memory(error):
            raise
        text = f"{type(error).__name__}: {first_line(error)}"
        raise NetworkError(f"model family {family}: {text}") from error
