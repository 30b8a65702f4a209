"""The input embedding of a network as a module, and in ONNX."""

import math

import torch
from torch import nn

from hpo.training.families.embeddings.passes import EmbeddingPasses, encoding
from hpo.training.families.embeddings.shape import SCALE_RATE, EmbeddingParts, EmbeddingShape
from hpo.training.families.family import Graph
from hpo.training.families.leaves import EmbeddingConfig
from hpo.training.inputs import Inputs
from hpo.training.random import uniform

_FIRST_STREAM = 1024  # linear layers use the smaller numbers


class InputEmbedding(nn.Module):
    """Embeds numbers and categories, and scales the first layer's inputs.

    Attributes:
        shape: the sizes of the parameters.
        knots: quantiles of the numbers, which are saved with the weights; None if numbers are not
            embedded.
    """

    knots: torch.Tensor | None

    def __init__(
        self, config: EmbeddingConfig, inputs: Inputs, shape: EmbeddingShape, *, seed: int | None
    ) -> None:
        """Build an embedding.

        Weights and biases of a periodic embedding are uniform within 1 / sqrt(n_entries). Linear
        terms and biases of a piecewise-linear embedding are uniform within 1 / sqrt(size), as are
        categories. The weights of encodings, unseen categories and scales start at 0, and so do
        weights, biases and phases of a cosine embedding. Frequencies are normal with standard
        deviation `sigma`.

        Args:
            config: kind and sizes of the embedding.
            inputs: columns of the preprocessed features.
            shape: `EmbeddingShape.of` these.
            seed: of the initial weights; None leaves the parameters on the meta device.
        """
        super().__init__()
        self.shape = shape
        knots = None
        if shape.n_numbers:
            knots = inputs.knots(config.n_bins if shape.kind == "piecewise_linear" else 1)
        self.register_buffer("knots", knots)
        shapes = shape.shapes
        for name, sizes in shapes._asdict().items():
            tensor = None
            if sizes is not None:
                tensor = torch.empty(sizes, device="meta" if seed is None else "cpu")
            self.register_parameter(name, None if tensor is None else nn.Parameter(tensor))
        if seed is not None:
            self._initialize(seed, config.sigma)

    @property
    def parts(self) -> EmbeddingParts[torch.Tensor]:
        """The parameters."""
        names = EmbeddingParts._fields
        found = [self.get_parameter(n) if getattr(self, n) is not None else None for n in names]
        return EmbeddingParts(*found)

    @property
    def passes(self) -> EmbeddingPasses:
        """The passes with the current knots, on their device."""
        return EmbeddingPasses(self.shape, self.knots, next(self.parameters()).device)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (rows, n_columns) features to the first layer's inputs."""
        return self.passes.forward(x, self.parts).outputs

    @torch.no_grad()
    def _initialize(self, seed: int, sigma: float) -> None:
        shape, parts = self.shape, self.parts

        def draw(part: torch.Tensor, index: int, bound: float) -> torch.Tensor:
            return uniform(seed, _FIRST_STREAM + index, tuple(part.shape), bound)

        for part in (parts.weight, parts.bias, parts.phases, parts.scale):
            if part is not None:
                part.zero_()
        if parts.weight is not None and parts.bias is not None and shape.kind != "cosine":
            is_periodic = shape.kind == "periodic"
            bound = (shape.n_entries if is_periodic else shape.size) ** -0.5
            parts.bias.copy_(draw(parts.bias, 1, bound))
            weight = draw(parts.weight, 0, bound)
            drawn = slice(None) if is_periodic else slice(1)
            parts.weight[:, drawn] = weight[:, drawn]
        if parts.frequencies is not None:
            shares = draw(parts.frequencies, 2, 1.0).double()
            parts.frequencies.copy_(torch.erfinv(shares) * (math.sqrt(2) * sigma))
        if parts.categories is not None:
            parts.categories.copy_(draw(parts.categories, 3, shape.category_size**-0.5))
            sizes = torch.tensor(shape.sizes)
            parts.categories[(sizes + 1).cumsum(0) - 1] = 0

    def to_onnx(self, graph: Graph, x: str) -> str:
        """Append the embedding to an ONNX graph; arguments as for `Family.to_onnx`."""
        shape, parts = self.shape, self.parts
        n, n_plain = shape.n_numbers, shape.n_numbers + shape.n_plain

        def columns(start: int, stop: int) -> str:
            return graph.add("Gather", x, graph.constant(range(start, stop), "i8"), axis=1)

        found = [columns(n, n_plain)] if shape.n_plain else []
        if parts.categories is not None:
            codes = graph.add("Cast", columns(n_plain, n_plain + len(shape.sizes)), to=_INT64)
            sizes = torch.tensor(shape.sizes) + 1
            rows = graph.add("Add", codes, graph.constant(sizes.cumsum(0) - sizes, "i8"))
            table = graph.constant(parts.categories.detach())
            found.append(graph.add("Flatten", graph.add("Gather", table, rows), axis=1))
        if n:
            found.append(self._numbers_to_onnx(graph, columns(0, n)))
        outputs = found[0] if len(found) == 1 else graph.add("Concat", *found, axis=1)
        if parts.scale is not None:
            scale = graph.constant(1 + SCALE_RATE * parts.scale.detach())
            outputs = graph.add("Mul", outputs, scale)
        return outputs

    def _numbers_to_onnx(self, graph: Graph, x: str) -> str:
        """Append the embedding of numbers, from (rows, n_numbers)."""
        parts, kind = self.parts, self.shape.kind
        assert self.knots is not None
        assert parts.weight is not None
        assert parts.bias is not None
        weight, bias = parts.weight.detach(), parts.bias.detach()
        found = encoding(self.knots, has_bins=kind == "piecewise_linear")
        start, slope, low, high = [graph.constant(part[..., 0]) for part in found]
        entries = graph.add("Unsqueeze", x, graph.constant([2], "i8"))
        entries = graph.add("Mul", graph.add("Sub", entries, start), slope)
        entries = graph.add("Min", graph.add("Max", entries, low), high)
        if parts.frequencies is not None:
            turns = graph.constant(2 * math.pi * parts.frequencies.detach()[:, 0])
            angles = graph.add("Mul", entries, turns)
            if parts.phases is not None:
                shift = graph.constant(2 * math.pi * parts.phases.detach()[:, 0])
                angles = graph.add("Add", angles, shift)
                waves = [entries, graph.add("Cos", angles)]
            else:
                waves = [graph.add(wave, angles) for wave in ("Cos", "Sin")]
                weight = torch.cat([weight[:, ::2], weight[:, 1::2]], dim=1)
            entries = graph.add("Concat", *waves, axis=2)
        entries = graph.add("Transpose", entries, perm=[1, 0, 2])
        product = "Mul" if kind == "cosine" else "MatMul"
        embedded = graph.add(product, entries, graph.constant(weight))
        embedded = graph.add("Add", embedded, graph.constant(bias))
        if kind == "periodic":
            embedded = graph.add("Relu", embedded)
        return graph.add("Flatten", graph.add("Transpose", embedded, perm=[1, 2, 0]), axis=1)


_INT64 = 7
"""`onnx.TensorProto.INT64`; families do without the package."""
