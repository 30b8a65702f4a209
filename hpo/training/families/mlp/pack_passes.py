"""The forward and backward pass of a pack of networks of different depth and activation.

A layer of all networks that have it is one batched product. The networks whose last hidden layer it
is hand over to the output, which all have; on the way back they join there. Activations are taken
network by network where neighbours differ, and run by run where they agree.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby

import torch

from hpo.training.families.mlp.pack_layout import Linear, Shape
from hpo.training.families.mlp.passes import DERIVATIVES, Derivative
from hpo.training.losses import Gradient
from hpo.training.random import PackedMasks

Dropout = Callable[[torch.Tensor, torch.Tensor, PackedMasks], torch.Tensor]
"""`hpo.training.random.dropped`, as it is or compiled."""
Keys = Callable[[PackedMasks, torch.Tensor, int, int], torch.Tensor]
"""`PackedMasks.keys`, likewise."""


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """Neighbouring slots with the same activation.

    Attributes:
        is_shifted: whether it has padded units, and these would not stay 0.
    """

    start: int
    stop: int
    derivative: Derivative
    is_shifted: bool


class PackPasses:
    """Computes the gradients and the outputs of all networks of a pack."""

    def __init__(
        self,
        shape: Shape,
        masks: PackedMasks | None,
        gradient: Gradient,
        working: torch.dtype,
        device: torch.device,
    ) -> None:
        """Prepare for networks of a shape.

        Args:
            shape: of the pack.
            masks: of dropout; None where no network has any.
            gradient: of the loss.
            working: the type of activations.
            device: where it is computed.
        """
        self._n_deeper = [shape.n_deeper(layer) for layer in range(shape.depth + 1)]
        self._masks = masks
        self._gradient = gradient
        self._working = working
        self._stretches = [_stretches(shape, n) for n in self._n_deeper[:-1]]
        widths = torch.tensor([model.width for model in shape.models], device=device)
        units = torch.arange(shape.width, device=device)
        self._is_unit = (units < widths[:, None]).to(working)[:, None]

    def run(
        self,
        linears: Sequence[Linear],
        gradients: Sequence[Linear],
        x: torch.Tensor,
        y: torch.Tensor,
        weights: torch.Tensor,
        steps: torch.Tensor,
        drop: Dropout,
        draw: Keys,
    ) -> None:
        """Leave the gradients of a batch's weighted losses in their buffers.

        Args:
            linears: the layers: first, output, between.
            gradients: likewise.
            x: (slots, rows, n_inputs).
            y: (slots, rows) targets.
            weights: of the rows, (slots, rows, 1).
            steps: of each run, (slots,); dropout depends on them.
            drop: applies a layer's mask.
            draw: makes what masks are made of.
        """
        first, output, *between = linears
        keys = None
        if self._masks:
            keys = draw(self._masks, steps, len(self._n_deeper) - 1, x.shape[1])
        inputs, kept, ends = [], [], []
        for layer, linear in enumerate([first, *between]):
            n, n_on = self._n_deeper[layer : layer + 2]
            x = x[:n].to(linear.weight.dtype)
            z = _linear(x, linear).to(self._working)
            a = self._activated(layer, z)
            inputs.append(x)
            kept.append((z, a))
            x = drop(a, keys[layer, :n], self._masks) if self._masks and keys is not None else a
            ends.append(x[n_on:])
        x = _joined(ends[::-1]).to(output.weight.dtype)
        gradient = self._gradient(_linear(x, output), y, weights)
        _write(gradients[1], x, gradient)
        gradient = torch.bmm(gradient, output.weight).to(self._working)
        layers = [*zip([first, *between], [gradients[0], *gradients[2:]], strict=True)]
        for layer in reversed(range(len(layers))):
            linear, found = layers[layer]
            n = self._n_deeper[layer]
            g = gradient[:n]
            if self._masks and keys is not None:
                g = drop(g, keys[layer, :n], self._masks)
            g = self._backward(layer, g, *kept[layer]).to(linear.weight.dtype)
            _write(found, inputs[layer], g)
            if layer:
                torch.bmm(g, linear.weight, out=gradient[:n])

    def outputs(self, linears: Sequence[Linear], x: torch.Tensor) -> torch.Tensor:
        """All networks' outputs without dropout: (slots, rows, n_outputs).

        Args:
            linears: the layers: first, output, between.
            x: (rows, n_inputs), the same for all.
        """
        first, output, *between = linears
        ends = []
        x = x.expand(len(first.weight), *x.shape)
        for layer, linear in enumerate([first, *between]):
            n, n_on = self._n_deeper[layer : layer + 2]
            z = _linear(x[:n].to(linear.weight.dtype), linear).to(self._working)
            x = self._activated(layer, z)
            ends.append(x[n_on:])
        return _linear(_joined(ends[::-1]).to(output.weight.dtype), output)

    def _activated(self, layer: int, z: torch.Tensor) -> torch.Tensor:
        """Padded units stay 0: the next layer's gradients would not, were they anything else."""
        parts = []
        for stretch in self._stretches[layer]:
            a = stretch.derivative.forward(z[stretch.start : stretch.stop])
            if stretch.is_shifted:
                a = a * self._is_unit[stretch.start : stretch.stop]
            parts.append(a)
        return _joined(parts)

    def _backward(
        self, layer: int, gradient: torch.Tensor, z: torch.Tensor, a: torch.Tensor
    ) -> torch.Tensor:
        """From what comes out of the activations to what goes in."""
        parts = []
        for stretch in self._stretches[layer]:
            slots = slice(stretch.start, stretch.stop)
            kept = (a if stretch.derivative.from_output else z)[slots]
            parts.append(stretch.derivative.backward(gradient[slots], kept))
        return _joined(parts)


def _stretches(shape: Shape, n_slots: int) -> list[Stretch]:
    """The first slots, cut where the activation changes."""
    found, start = [], 0
    for name, models in groupby(shape.models[:n_slots], lambda model: model.activation):
        group, derivative = list(models), DERIVATIVES[name]
        is_padded = any(model.width < shape.width for model in group)
        found.append(
            Stretch(
                start=start,
                stop=start + len(group),
                derivative=derivative,
                is_shifted=is_padded and derivative.at_zero != 0,
            )
        )
        start += len(group)
    return found


def _joined(parts: Sequence[torch.Tensor]) -> torch.Tensor:
    """Parts by slots as one; those without a slot cost nothing."""
    found = [part for part in parts if len(part)]
    return found[0] if len(found) == 1 else torch.cat(found)


def _linear(x: torch.Tensor, linear: Linear) -> torch.Tensor:
    return torch.baddbmm(linear.bias, x, linear.weight.transpose(1, 2))


def _write(found: Linear, inputs: torch.Tensor, gradient: torch.Tensor) -> None:
    torch.bmm(gradient.transpose(1, 2), inputs, out=found.weight)
    torch.sum(gradient, 1, keepdim=True, out=found.bias)
