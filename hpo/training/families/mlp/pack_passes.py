"""The forward and backward pass of a pack of MLPs of different depth and activation.

A layer of all networks that have it is one batched product. Networks that end at a hidden layer
join the output there, which all networks have; on the way back they enter there. Activations are
applied to neighboring slots with the same activation at a time.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

import torch

from hpo.training.families.activations import ACTIVATIONS, ActivationFunction
from hpo.training.families.embeddings.parts import EmbeddingParts
from hpo.training.families.embeddings.passes import EmbeddingPasses
from hpo.training.families.mlp.pack_layout import PackedLinear, PackLayout
from hpo.training.families.packing import Dropout, MaskKeys, ParameterBlock
from hpo.training.losses import Gradient
from hpo.training.random import PackedMasks


@dataclass(frozen=True, kw_only=True)
class _Stretch:
    """Neighboring slots with the same activation.

    Attributes:
        is_shifted: the slots have padded units, and the activation would not keep them at 0.
    """

    start: int
    stop: int
    activation: ActivationFunction
    is_shifted: bool


class PackedMLPs:
    """Computes the gradients and the outputs of all networks of a pack.

    Attributes:
        blocks: what the parameters lie in.
    """

    def __init__(
        self,
        layout: PackLayout,
        masks: PackedMasks | None,
        gradient: Gradient,
        working: torch.dtype,
        device: torch.device,
        embedding: EmbeddingPasses | None = None,
    ) -> None:
        """Prepare for networks of a layout.

        Args:
            layout: of the pack.
            masks: of dropout; None where no network has any.
            gradient: of the loss.
            working: the type of activations.
            device: to compute on.
            embedding: the passes in front of the first layer; None if features enter as they are.
        """
        self._embedding = embedding
        self.blocks: Sequence[ParameterBlock] = layout.blocks
        self._layout = layout
        self._n_deeper = [layout.n_deeper(layer) for layer in range(layout.depth + 1)]
        self._masks = masks
        self._gradient = gradient
        self._working = working
        self._stretches = [_stretches(layout, n) for n in self._n_deeper[:-1]]
        widths = torch.tensor([config.width for config in layout.configs], device=device)
        units = torch.arange(layout.width, device=device)
        self._is_unit = (units < widths[:, None]).to(working)[:, None]

    def cut(self, buffers: Sequence[torch.Tensor], slot: int) -> list[torch.Tensor]:
        """Views of one network's parameters without padding."""
        return self._layout.cut(buffers, slot)

    def bind(self, values: Sequence[torch.Tensor], gradients: Sequence[torch.Tensor]) -> None:
        """Set the buffers that `run` reads parameters from and writes gradients to."""
        self._linears = self._layout.linears(values)
        self._gradient_linears = self._layout.linears(gradients)
        self._parts = self._layout.embedding(values)
        self._gradient_parts = self._layout.embedding(gradients)

    def run(
        self,
        x: torch.Tensor,
        y: torch.Tensor,
        weights: torch.Tensor,
        steps: torch.Tensor,
        drop: Dropout,
        draw: MaskKeys,
    ) -> None:
        """Write the gradients of each network's weighted losses to the bound buffers."""
        first, output, *between = self._linears
        found_first, found_output, *found_between = self._gradient_linears
        keys = None
        if self._masks:
            keys = draw(self._masks, steps, len(self._n_deeper) - 1, x.shape[1])
        embedded = None
        if self._embedding is not None:
            embedded = self._embedding.forward(x.to(first.weight.dtype), self._parts)
            x = embedded.outputs
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
        _write(found_output, x, gradient)
        gradient = torch.bmm(gradient, output.weight).to(self._working)
        layers = [*zip([first, *between], [found_first, *found_between], strict=True)]
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
            elif self._embedding is not None and embedded is not None:
                found_inputs = torch.bmm(g, linear.weight)
                self._embedding.backward(found_inputs, embedded, self._parts, self._gradient_parts)

    def outputs(
        self, values: Sequence[torch.Tensor], blocks: Iterable[torch.Tensor]
    ) -> torch.Tensor:
        """All networks' outputs without dropout: (slots, rows, n_outputs)."""
        linears, parts = self._layout.linears(values), self._layout.embedding(values)
        return torch.cat([self._outputs(linears, parts, x) for x in blocks], dim=1)

    def _outputs(
        self,
        linears: Sequence[PackedLinear],
        parts: EmbeddingParts[torch.Tensor],
        x: torch.Tensor,
    ) -> torch.Tensor:
        first, output, *between = linears
        ends = []
        x = x.expand(len(first.weight), *x.shape)
        if self._embedding is not None:
            x = self._embedding.forward(x.to(first.weight.dtype), parts).outputs
        for layer, linear in enumerate([first, *between]):
            n, n_on = self._n_deeper[layer : layer + 2]
            z = _linear(x[:n].to(linear.weight.dtype), linear).to(self._working)
            x = self._activated(layer, z)
            ends.append(x[n_on:])
        return _linear(_joined(ends[::-1]).to(output.weight.dtype), output)

    def _activated(self, layer: int, z: torch.Tensor) -> torch.Tensor:
        """Apply the activations; padded units stay 0, as their gradients in the next layer must."""
        parts = []
        for stretch in self._stretches[layer]:
            a = stretch.activation.forward(z[stretch.start : stretch.stop])
            if stretch.is_shifted:
                a = a * self._is_unit[stretch.start : stretch.stop]
            parts.append(a)
        return _joined(parts)

    def _backward(
        self, layer: int, gradient: torch.Tensor, z: torch.Tensor, a: torch.Tensor
    ) -> torch.Tensor:
        """From the gradient of the activations' outputs to that of their inputs."""
        parts = []
        for stretch in self._stretches[layer]:
            slots = slice(stretch.start, stretch.stop)
            kept = (a if stretch.activation.from_output else z)[slots]
            parts.append(stretch.activation.backward(gradient[slots], kept))
        return _joined(parts)


def _stretches(layout: PackLayout, n_slots: int) -> list[_Stretch]:
    """The first slots, cut where the activation changes."""
    found, start = [], 0
    for name, configs in groupby(layout.configs[:n_slots], lambda config: config.activation):
        group, activation = list(configs), ACTIVATIONS[name]
        is_padded = any(config.width < layout.width for config in group)
        found.append(
            _Stretch(
                start=start,
                stop=start + len(group),
                activation=activation,
                is_shifted=is_padded and activation.at_zero != 0,
            )
        )
        start += len(group)
    return found


def _joined(parts: Sequence[torch.Tensor]) -> torch.Tensor:
    """Concatenate parts by slot, skipping empty ones."""
    found = [part for part in parts if len(part)]
    return found[0] if len(found) == 1 else torch.cat(found)


def _linear(x: torch.Tensor, linear: PackedLinear) -> torch.Tensor:
    return torch.baddbmm(linear.bias, x, linear.weight.transpose(1, 2))


def _write(found: PackedLinear, inputs: torch.Tensor, gradient: torch.Tensor) -> None:
    torch.bmm(gradient.transpose(1, 2), inputs, out=found.weight)
    torch.sum(gradient, 1, keepdim=True, out=found.bias)
