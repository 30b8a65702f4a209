"""What predicts, and first of all a trained model with its preprocessing.

A model's file holds the tensors of the preprocessor and of the network side by side, and in the
header the trial's configuration, the table's schema and the validation metrics.
"""

import json
from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from typing import Any

import polars
import torch

from hpo.config.errors import InputError
from hpo.config.trial import Environment, TrialConfig
from hpo.data.preprocessing import Preprocessor
from hpo.data.schema import TableSchema
from hpo.data.sources import as_frame
from hpo.models.content import MODEL, Header, Tensors, pack, part, text, under, unpack
from hpo.training import MLP, predictions

BLOCK_ROWS = 65_536


@dataclass(frozen=True, kw_only=True)
class Predictor(ABC):
    """What has a table's schema and predicts on raw rows.

    Attributes:
        schema: of the table that it was trained on.
        metrics: validation metrics, by name, in the target's own units; one that has no value on
            the validation part is missing.
    """

    schema: TableSchema
    metrics: dict[str, float]

    @property
    @abstractmethod
    def parts(self) -> tuple[tuple[float, "Model"], ...]:
        """The models whose predictions are averaged, each after its weight; weights add up to 1."""

    @abstractmethod
    def logits(self, x_num: torch.Tensor, x_cat: torch.Tensor) -> torch.Tensor:
        """What metrics are computed from; rows as for `outputs`.

        Returns:
            (rows, n_outputs) logits or, in a regression, float64 values in the target's own units.
        """

    @abstractmethod
    def block_outputs(self, x_num: torch.Tensor, x_cat: torch.Tensor) -> torch.Tensor:
        """`outputs` of so few rows that they may be in memory at once."""

    @abstractmethod
    def to_bytes(self) -> bytes:
        """The file's content."""

    @property
    def is_bounded(self) -> bool:
        """Whether it cuts all numbers off beyond those of training."""
        scaled = {part.preprocessor.numeric for _, part in self.parts}
        return scaled == {"quantile"} and not self.schema.dates

    def predict(self, table: Any, where: str = "the table") -> polars.DataFrame:
        """Predict on raw rows.

        Args:
            table: a polars or pandas DataFrame, or a dict of columns, that holds the training
                table's feature columns in any order; others are ignored. Cells are read as the
                schema says, whatever type they come in.
            where: the table's name, which opens each message.

        Returns:
            A column `prediction` (the class's label in its own type, or the number) and, for
            classes, `probability_<label>` each; row for row as the input.

        Raises:
            DataError: a column is missing or does not hold what it must.
        """
        outputs = self.outputs(*self.schema.encode(as_frame(table, where), where))
        if self.schema.task == "regression":
            return polars.DataFrame({"prediction": outputs.numpy()})
        labels = self.schema.label_values()
        columns = {"prediction": labels[outputs.argmax(dim=1).numpy()]}
        for index, label in enumerate(self.schema.classes):
            columns[f"probability_{label}"] = polars.Series(outputs[:, index].numpy())
        return polars.DataFrame(columns)

    @torch.inference_mode()
    def outputs(self, x_num: torch.Tensor, x_cat: torch.Tensor) -> torch.Tensor:
        """Predict on encoded rows, float64 in a regression and float32 otherwise.

        Args:
            x_num: (rows, n_numbers) float64, missing is NaN.
            x_cat: (rows, n_categorical) int64 codes.

        Returns:
            (rows,) float64 values in the target's units, or (rows, n_classes) float32
            probabilities.
        """
        blocks = zip(torch.split(x_num, BLOCK_ROWS), torch.split(x_cat, BLOCK_ROWS), strict=True)
        return torch.cat([self.block_outputs(num, cat) for num, cat in blocks])


@dataclass(frozen=True, kw_only=True)
class Model(Predictor):
    """Preprocessor and network, and what they were trained by.

    Attributes:
        target_mean: mean of the training targets in a regression, otherwise 0.
        target_std: their standard deviation, otherwise 1.
        metrics: validation metrics at the best epoch.
        environment: what a bit-for-bit repetition depends on besides `config`.
    """

    config: TrialConfig
    preprocessor: Preprocessor
    network: MLP
    target_mean: float
    target_std: float
    environment: Environment

    @property
    def parts(self) -> tuple[tuple[float, "Model"], ...]:
        """Itself alone."""
        return ((1.0, self),)

    @torch.inference_mode()
    def logits(self, x_num: torch.Tensor, x_cat: torch.Tensor) -> torch.Tensor:
        """What metrics are computed from: logits, or values in the target's own units."""
        logits: torch.Tensor = self.network.eval()(self.preprocessor(x_num, x_cat))
        if self.schema.task == "regression":
            return predictions("regression", logits, self.target_mean, self.target_std)[:, None]
        return logits

    def block_outputs(self, x_num: torch.Tensor, x_cat: torch.Tensor) -> torch.Tensor:
        """The network's predictions."""
        return predictions(self.schema.task, self.logits(x_num, x_cat), 0.0, 1.0)

    def to_bytes(self) -> bytes:
        """The file's content."""
        header = {"format": str(MODEL), "schema": self.schema.to_json(), **self.header()}
        return pack(self.tensors(), header)

    @classmethod
    def from_bytes(cls, content: bytes, where: str) -> "Model":
        """Read what `to_bytes` wrote.

        Raises:
            InputError: it is no model of ours, or of a newer format.
        """
        tensors, header = unpack(content, where, MODEL)
        return cls.assemble(read_schema(header, where), tensors, header, where)

    def tensors(self) -> Tensors:
        """Everything that was learned, by name."""
        tensors = {f"preprocessor.{k}": v for k, v in self.preprocessor.state_dict().items()}
        return tensors | {f"network.{k}": v for k, v in self.network.state_dict().items()}

    def header(self) -> Header:
        """What else there is to know of it besides the schema, as JSON texts."""
        return {
            "config": json.dumps(asdict(self.config)),
            "target": json.dumps([self.target_mean, self.target_std]),
            "metrics": json.dumps(self.metrics),
            "environment": json.dumps(asdict(self.environment)),
        }

    @classmethod
    def assemble(cls, schema: TableSchema, tensors: Tensors, header: Header, where: str) -> "Model":
        """Make one of a schema and what `tensors` and `header` gave.

        Raises:
            InputError: the header does not say what it must, or the tensors are others.
        """
        config: TrialConfig = part(header, "config", TrialConfig, where)
        mean, std = part(header, "target", tuple[float, float], where)
        try:
            preprocessor = Preprocessor(schema, config.preprocessing.numeric)
            preprocessor.restore(under("preprocessor.", tensors))
            sizes = preprocessor.n_features, n_outputs(schema)
            network = MLP.trained(*sizes, config.model, under("network.", tensors))
        except RuntimeError:
            raise InputError(f"{where}: its tensors do not fit its configuration") from None
        return cls(
            config=config,
            schema=schema,
            preprocessor=preprocessor,
            network=network,
            target_mean=mean,
            target_std=std,
            metrics=part(header, "metrics", dict[str, float], where),
            environment=part(header, "environment", Environment, where),
        )


def read_schema(header: Header, where: str) -> TableSchema:
    """The schema that a header holds.

    Raises:
        InputError: it holds none.
    """
    return TableSchema.from_json(text(header, "schema", where), f"{where}: schema")


def n_outputs(schema: TableSchema) -> int:
    """Width of the network's last layer: a logit a class, or one number."""
    return len(schema.classes) if schema.task == "multiclass" else 1
