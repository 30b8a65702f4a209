"""A trained model with its preprocessing: one file that predicts on raw rows.

The file is safetensors: the tensors of the preprocessor and of the network side by side, and in its
header, as JSON text, the trial's configuration, the table's schema and the validation metrics.
Nothing in it can run code.

Does not know: studies, stores, splits.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import polars
import safetensors
import safetensors.torch
import torch

from hpo.data.preprocessing import Preprocessor
from hpo.data.schema import TableSchema
from hpo.data.sources import as_frame
from hpo.errors import InputError
from hpo.parsing import validate
from hpo.training import MLP, predictions
from hpo.trial import Environment, TrialConfig

FORMAT = 1
"""Raise by one when a file written today would be misread by yesterday's code; keep the reader of
every earlier number, and a file of it under `tests/`."""

BLOCK_ROWS = 65_536


@dataclass(frozen=True, kw_only=True)
class Model:
    """Preprocessor and network, and what they were trained by.

    Attributes:
        target_mean: mean of the training targets in a regression, otherwise 0.
        target_std: their standard deviation, otherwise 1.
        metrics: validation metrics at the best epoch, by name, in the target's own units.
        environment: what a bit-for-bit repetition depends on besides `config`.
    """

    config: TrialConfig
    schema: TableSchema
    preprocessor: Preprocessor
    network: MLP
    target_mean: float
    target_std: float
    metrics: dict[str, float]
    environment: Environment

    def predict(self, table: Any) -> polars.DataFrame:
        """Predict on raw rows.

        Args:
            table: a polars or pandas DataFrame, or a dict of columns, that holds the training
                table's feature columns in any order; others are ignored.

        Returns:
            A column `prediction` (the class's own label, or the number) and, for classes,
            `probability_<label>` each; row for row as the input.

        Raises:
            DataError: a column is missing or does not hold what it must.
        """
        outputs = self.outputs(*self.schema.encode(as_frame(table)))
        if self.schema.task == "regression":
            return polars.DataFrame({"prediction": outputs.numpy()})
        labels = polars.Series(self.schema.classes)
        columns = {"prediction": labels[outputs.argmax(dim=1).numpy()]}
        for index, label in enumerate(self.schema.classes):
            columns[f"probability_{label}"] = polars.Series(outputs[:, index].numpy())
        return polars.DataFrame(columns)

    @torch.inference_mode()
    def outputs(self, x_num: torch.Tensor, x_cat: torch.Tensor) -> torch.Tensor:
        """Predict on encoded rows, float32.

        Args:
            x_num: (rows, n_numeric) float32, missing is NaN.
            x_cat: (rows, n_categorical) int64 codes.

        Returns:
            (rows,) values in the target's units, or (rows, n_classes) probabilities.
        """
        self.network.eval()
        blocks = [
            predictions(
                self.schema.task,
                self.network(self.preprocessor(num, cat)),
                self.target_mean,
                self.target_std,
            )
            for num, cat in zip(
                torch.split(x_num, BLOCK_ROWS), torch.split(x_cat, BLOCK_ROWS), strict=True
            )
        ]
        return torch.cat(blocks)

    def to_bytes(self) -> bytes:
        """The file's content."""
        tensors = {f"preprocessor.{k}": v for k, v in self.preprocessor.state_dict().items()}
        tensors |= {f"network.{k}": v for k, v in self.network.state_dict().items()}
        header = {
            "format": str(FORMAT),
            "config": json.dumps(asdict(self.config)),
            "schema": self.schema.to_json(),
            "target": json.dumps([self.target_mean, self.target_std]),
            "metrics": json.dumps(self.metrics),
            "environment": json.dumps(asdict(self.environment)),
        }
        return safetensors.torch.save({k: v.contiguous() for k, v in tensors.items()}, header)

    @classmethod
    def from_bytes(cls, content: bytes, where: str) -> "Model":
        """Read what `to_bytes` wrote.

        Raises:
            InputError: it is no model of ours, or of a newer format.
        """
        try:
            tensors = safetensors.torch.load(content)
            length = int.from_bytes(content[:8], "little")
            header = json.loads(content[8 : 8 + length]).get("__metadata__", {})
        except (safetensors.SafetensorError, ValueError) as error:
            raise InputError(f"{where}: is not a model file: {error}") from None
        if header.get("format") != str(FORMAT):
            raise InputError(
                f"{where}: must be a model of format {FORMAT}, but got {header.get('format')}"
            )
        return cls._assemble(tensors, header, where)

    @classmethod
    def _assemble(
        cls, tensors: Mapping[str, torch.Tensor], header: Mapping[str, str], where: str
    ) -> "Model":
        config: TrialConfig = validate(TrialConfig, json.loads(header["config"]), where)
        schema = TableSchema.from_json(header["schema"])
        preprocessor = Preprocessor.empty(schema, config.preprocessing.numeric)
        preprocessor.load_state_dict(_under("preprocessor.", tensors))
        sizes, weights = (preprocessor.n_features, n_outputs(schema)), _under("network.", tensors)
        network = MLP.trained(*sizes, config.model, weights)
        mean, std = json.loads(header["target"])
        return cls(
            config=config,
            schema=schema,
            preprocessor=preprocessor,
            network=network,
            target_mean=mean,
            target_std=std,
            metrics=json.loads(header["metrics"]),
            environment=Environment(**json.loads(header["environment"])),
        )


def load_model(path: str | Path) -> Model:
    """Load an exported model, by its folder or its file.

    Raises:
        InputError: nothing is there, or it is no model.
    """
    file = Path(path)
    if file.is_dir():
        file = file / "model.safetensors"
    try:
        content = file.read_bytes()
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror})") from None
    return Model.from_bytes(content, str(file))


def n_outputs(schema: TableSchema) -> int:
    """Width of the network's last layer: a logit a class, or one number."""
    return len(schema.classes) if schema.task == "multiclass" else 1


def _under(prefix: str, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {key.removeprefix(prefix): t for key, t in tensors.items() if key.startswith(prefix)}
