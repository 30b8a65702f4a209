"""A predictor as one module, and as a program of `torch.export`.

Text cannot enter tensors, so inputs are `x_num` and `x_cat` from `TableSchema.encode`. The file has
torch's own format. It holds pickled tensors (the sample inputs), unlike all other files of an
export, so that it is written only on request, and read only by its proof.
"""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from hpo.models.model import Predictor
from hpo.training.metrics import mean_over_heads, predictions


class PredictorModule(nn.Module):
    """The parts of a predictor and their weighted mean."""

    def __init__(self, model: Predictor) -> None:
        """Take the parts of a predictor."""
        super().__init__()
        self.task = model.schema.task
        self.weights = [weight for weight, _ in model.parts]
        self.scales = [part.scale for _, part in model.parts]
        self.preprocessors = nn.ModuleList(part.preprocessor for _, part in model.parts)
        self.networks = nn.ModuleList(part.network for _, part in model.parts)

    def forward(self, x_num: torch.Tensor, x_cat: torch.Tensor) -> torch.Tensor:
        """(rows,) values or (rows, n_classes) probabilities."""
        mixed = torch.zeros(())
        for weight, scale, preprocess, network in zip(
            self.weights, self.scales, self.preprocessors, self.networks, strict=True
        ):
            logits = mean_over_heads(self.task, network(preprocess(x_num, x_cat)))
            mixed = mixed + weight * predictions(self.task, logits, scale)
        return mixed


def write_program(model: Predictor, file: Path) -> None:
    """Write `model.pt2`, for any number of rows."""
    schema = model.schema
    example = (
        torch.zeros(4, len(schema.numbers), dtype=torch.float64),
        torch.zeros(4, len(schema.categorical), dtype=torch.int64),
    )
    rows = torch.export.Dim("rows")
    program = torch.export.export(
        PredictorModule(model).eval(), example, dynamic_shapes=({0: rows}, {0: rows})
    )
    torch.export.save(program, file)


def read_program(file: Path) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    """Read a program, as a function of `x_num` and `x_cat`."""
    module: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    module = torch.export.load(file).module()
    return torch.inference_mode()(module)
