"""A predictor as one module, and as a program of `torch.export`.

Text cannot enter tensors, so inputs are `x_num` and `x_cat` from `TableSchema.encode`. The file has
torch's own format. It holds pickled tensors (the sample inputs), unlike all other files of an
export, so that it is written only on request, and read only by its proof.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from hpo.models.ensemble import as_logits
from hpo.models.model import Model, Predictor
from hpo.training.metrics import mean_over_heads, predictions


class PredictorModule(nn.Module):
    """The parts of a predictor and their weighted mean."""

    def __init__(self, model: Predictor) -> None:
        """Take the parts of a predictor."""
        super().__init__()
        self.task = model.schema.task
        self.temperature = model.calibration.temperature
        self.is_mean = not isinstance(model, Model)
        self.weights = [weight for weight, _ in model.parts]
        self.scales = [part.scale for _, part in model.parts]
        self.preprocessors = nn.ModuleList(part.preprocessor for _, part in model.parts)
        self.networks = nn.ModuleList(part.network for _, part in model.parts)

    def forward(self, x_num: torch.Tensor, x_cat: torch.Tensor) -> torch.Tensor:
        """(rows,) values or (rows, n_classes) probabilities."""
        mixed, temperature = torch.zeros(()), self.temperature
        for weight, scale, preprocess, network in zip(
            self.weights, self.scales, self.preprocessors, self.networks, strict=True
        ):
            logits = mean_over_heads(self.task, network(preprocess(x_num, x_cat)))
            if temperature != 1:
                dtype = logits.dtype
                logits = logits.double() if self.is_mean else logits / temperature
            mixed = mixed + weight * predictions(self.task, logits, scale)
        if self.is_mean and temperature != 1:
            mean = as_logits(self.task, mixed)
            mixed = predictions(self.task, mean / temperature).to(dtype)
        return mixed


class DecidingModule(PredictorModule):
    """A predictor of two classes with a decision threshold."""

    def __init__(self, model: Predictor) -> None:
        """Take the parts of a predictor and its threshold."""
        super().__init__(model)
        assert model.calibration.threshold is not None
        self.threshold = model.calibration.threshold

    def forward(self, x_num: torch.Tensor, x_cat: torch.Tensor) -> Any:
        """(rows, n_classes) probabilities and (rows,) indices of the predicted classes."""
        probabilities = super().forward(x_num, x_cat)
        return probabilities, (probabilities[:, 1].double() > self.threshold).long()


def write_program(model: Predictor, file: Path) -> None:
    """Write `model.pt2`, for any number of rows.

    It returns what `PredictorModule` does, or `DecidingModule` for a model with a threshold.
    """
    schema = model.schema
    example = (
        torch.zeros(4, len(schema.numbers), dtype=torch.float64),
        torch.zeros(4, len(schema.categorical), dtype=torch.int64),
    )
    rows = torch.export.Dim("rows")
    kind = PredictorModule if model.calibration.threshold is None else DecidingModule
    program = torch.export.export(
        kind(model).eval(), example, dynamic_shapes=({0: rows}, {0: rows})
    )
    torch.export.save(program, file)


def read_program(file: Path) -> Callable[[torch.Tensor, torch.Tensor], Any]:
    """Read a program, as a function of `x_num` and `x_cat`."""
    module: Callable[[torch.Tensor, torch.Tensor], Any]
    module = torch.export.load(file).module()
    return torch.inference_mode()(module)
