"""The input embedding of a network as a module, and in ONNX."""

import torch
from torch import nn

from hpo.training.families.embeddings.numbers import Encoding
from hpo.training.families.embeddings.parts import SCALE_RATE, EmbeddingParts
from hpo.training.families.embeddings.passes import EmbeddingPasses
from hpo.training.families.embeddings.shape import EmbeddingShape
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

        Categories are uniform within 1 / sqrt(size). Unseen categories and scales start at 0. The
        kinds of `hpo.training.families.embeddings` say how the parameters of numbers start.

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
            knots = shape.number_embedding.knots(config, inputs)
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

        for parameter in self.parameters():
            parameter.zero_()
        if parts.numbers is not None:
            shape.number_embedding.initialize(parts.numbers, draw, sigma)
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
        if self.knots is not None and parts.numbers is not None:
            encoded = _encoded(graph, columns(0, n), shape.number_embedding.encoding(self.knots))
            embedded = shape.number_embedding.to_onnx(graph, encoded, parts.numbers)
            embedded = graph.add("Transpose", embedded, perm=[1, 2, 0])
            found.append(graph.add("Flatten", embedded, axis=1))
        outputs = found[0] if len(found) == 1 else graph.add("Concat", *found, axis=1)
        if parts.scale is not None:
            scale = graph.constant(1 + SCALE_RATE * parts.scale.detach())
            outputs = graph.add("Mul", outputs, scale)
        return outputs


def _encoded(graph: Graph, x: str, encoding: Encoding) -> str:
    """Append an encoding to an ONNX graph, from (rows, n_numbers)."""
    start, slope, low, high = [graph.constant(part[..., 0]) for part in encoding]
    found = graph.add("Unsqueeze", x, graph.constant([2], "i8"))
    found = graph.add("Mul", graph.add("Sub", found, start), slope)
    return graph.add("Min", graph.add("Max", found, low), high)


_INT64 = 7
"""`onnx.TensorProto.INT64`; families do without the package."""
