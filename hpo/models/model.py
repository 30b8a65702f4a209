"""Predictors, and the trained network with its preprocessing.

A model's file holds the tensors of the preprocessor and of the network. Its header holds the
trial's configuration, the table's schema and the validation metrics.
"""

import json
from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass, field
from typing import Any

import polars
import torch
from torch import nn

from hpo.config import metrics
from hpo.config.errors import InputError
from hpo.config.families import package_of
from hpo.config.trial import Calibration, Environment, TrialConfig
from hpo.data.preprocessing import Preprocessor
from hpo.data.schema import TableSchema
from hpo.data.sources import as_frame
from hpo.models.content import (
    MODEL,
    Header,
    Tensors,
    deserialize,
    header_text,
    header_value,
    serialize,
    strip_prefix,
)
from hpo.training.families.family import trained_network
from hpo.training.inputs import Inputs
from hpo.training.metrics import count_outputs, mean_over_heads, predictions
from hpo.training.targets import Link, TargetScale

BLOCK_ROWS = 65_536


@dataclass(frozen=True, kw_only=True)
class Predictor(ABC):
    """A model or ensemble that predicts on raw rows.

    Attributes:
        schema: of the training table.
        metrics: validation metrics, by name, in the target's own units; those that are undefined on
            the validation part are missing. A refitted model, which saw the validation rows, has
            none.
        calibration: of the predictions.
    """

    schema: TableSchema
    metrics: dict[str, float]
    calibration: Calibration = field(default_factory=Calibration)

    @property
    @abstractmethod
    def parts(self) -> tuple[tuple[float, "Model"], ...]:
        """Pairs of weight and model, whose predictions are averaged; weights add up to 1."""

    @abstractmethod
    def of_fold(self, index: int) -> "Predictor":
        """The networks of a fold, from 0; a predictor without folds is its own only fold."""

    @abstractmethod
    def raw_logits(self, x_num: torch.Tensor, x_cat: torch.Tensor) -> torch.Tensor:
        """Logits before the calibration, or values; arguments are those of `outputs`.

        Returns:
            (rows, n_outputs) logits or, in a regression, float64 values in the target's own units.
        """

    def logits(self, x_num: torch.Tensor, x_cat: torch.Tensor) -> torch.Tensor:
        """Logits or values for metrics, as `raw_logits` returns them."""
        return self.raw_logits(x_num, x_cat) / self.calibration.temperature

    @abstractmethod
    def block_outputs(self, x_num: torch.Tensor, x_cat: torch.Tensor) -> torch.Tensor:
        """`outputs` of at most `BLOCK_ROWS` rows."""

    @abstractmethod
    def to_bytes(self) -> bytes:
        """The file's content."""

    @property
    @abstractmethod
    def formats(self) -> tuple[int, int]:
        """The formats of the file without and with a calibration."""

    @property
    def format(self) -> int:
        """The format of the file."""
        return self.formats[self.calibration != Calibration()]

    @property
    def is_bounded(self) -> bool:
        """Whether all numbers are clipped to the range of training."""
        scaled = {part.preprocessor.numeric for _, part in self.parts}
        return scaled == {"quantile"} and not self.schema.dates

    def predict(self, table: Any, where: str = "the table") -> polars.DataFrame:
        """Predict on raw rows.

        Args:
            table: a polars or pandas DataFrame, or a dict of columns, with the feature columns of
                the training table in any order; others are ignored. The schema decides how cells
                are read, whatever their type.
            where: the table's name, for messages.

        Returns:
            A column `prediction` (the class's label in its own type, or the number) and a column
            `probability_<label>` for each class; rows are in the order of the input.

        Raises:
            DataError: a column is missing or has invalid cells.
        """
        outputs = self.outputs(*self.schema.encode(as_frame(table, where), where))
        if self.schema.task == "regression":
            return polars.DataFrame({"prediction": outputs.numpy()})
        labels = self.schema.label_values()
        columns = {"prediction": labels[self.predicted_classes(outputs).numpy()]}
        for index, label in enumerate(self.schema.classes):
            columns[f"probability_{label}"] = polars.Series(outputs[:, index].numpy())
        return polars.DataFrame(columns)

    def predicted_classes(self, probabilities: torch.Tensor) -> torch.Tensor:
        """(rows,) indices of the predicted classes, of `outputs`."""
        if self.calibration.threshold is None:
            return probabilities.argmax(dim=1)
        return (probabilities[:, 1].double() > self.calibration.threshold).long()

    @torch.inference_mode()
    def outputs(self, x_num: torch.Tensor, x_cat: torch.Tensor) -> torch.Tensor:
        """Predict on encoded rows, float64 in a regression and float32 otherwise.

        Args:
            x_num: (rows, n_numbers) float64, NaN if missing.
            x_cat: (rows, n_categorical) int64 codes.

        Returns:
            (rows,) float64 values in the target's units, or (rows, n_classes) float32
            probabilities.
        """
        blocks = zip(torch.split(x_num, BLOCK_ROWS), torch.split(x_cat, BLOCK_ROWS), strict=True)
        return torch.cat([self.block_outputs(num, cat) for num, cat in blocks])


@dataclass(frozen=True, kw_only=True)
class Model(Predictor):
    """A preprocessor and a network, with the configuration of their training.

    Attributes:
        scale: of the training targets in a regression, otherwise `IDENTITY`.
        metrics: validation metrics at the best epoch; empty for a refit.
        environment: what a bit-for-bit repetition depends on besides `config`.
    """

    config: TrialConfig
    preprocessor: Preprocessor
    network: nn.Module
    scale: TargetScale
    environment: Environment

    @property
    def parts(self) -> tuple[tuple[float, "Model"], ...]:
        """The model itself with weight 1."""
        return ((1.0, self),)

    def of_fold(self, index: int) -> "Model":
        """The model itself."""
        return self

    @torch.inference_mode()
    def raw_logits(self, x_num: torch.Tensor, x_cat: torch.Tensor) -> torch.Tensor:
        """Logits before the calibration, or values in the target's own units."""
        outputs = self.network.eval()(self.preprocessor(x_num, x_cat))
        logits = mean_over_heads(self.schema.task, outputs)
        if self.schema.task == "regression":
            return predictions("regression", logits, self.scale)[:, None]
        return logits

    def block_outputs(self, x_num: torch.Tensor, x_cat: torch.Tensor) -> torch.Tensor:
        """Predictions of at most `BLOCK_ROWS` rows."""
        return predictions(self.schema.task, self.logits(x_num, x_cat))

    @property
    def formats(self) -> tuple[int, int]:
        """The formats of a model."""
        return MODEL

    def to_bytes(self) -> bytes:
        """The file's content."""
        header = {"format": str(self.format), "schema": self.schema.to_json(), **self.header()}
        return serialize(self.tensors(), header)

    @classmethod
    def from_bytes(cls, content: bytes, where: str) -> "Model":
        """Read the content of a file.

        Raises:
            InputError: the content is no model, or has a newer format.
        """
        tensors, header = deserialize(content, where, *MODEL)
        return cls.assemble(read_schema(header, where), tensors, header, where)

    def tensors(self) -> Tensors:
        """All learned tensors, by name."""
        tensors = {f"preprocessor.{k}": v for k, v in self.preprocessor.state_dict().items()}
        return tensors | {f"network.{k}": v for k, v in self.network.state_dict().items()}

    def header(self) -> Header:
        """The header of the file, without format and schema, as JSON texts."""
        packages = {
            "package": package_of(self.config.model.family),
            "metric_package": metrics.REGISTRY.package_of(self.config.objective.metric),
        }
        return {
            **{key: package for key, package in packages.items() if package},
            "config": json.dumps(self.config.to_tree()),
            "target": json.dumps(self._target()),
            "metrics": json.dumps(self.metrics),
            "environment": json.dumps(asdict(self.environment)),
            **calibration_header(self.calibration),
        }

    def _target(self) -> list[float | str]:
        """The scale in the header; earlier versions know no link but `identity`."""
        scale = self.scale
        link = [] if scale.link == "identity" else [scale.link]
        return [scale.mean, scale.std, *link]

    @classmethod
    def assemble(cls, schema: TableSchema, tensors: Tensors, header: Header, where: str) -> "Model":
        """Build a model of a schema, tensors and a header.

        Raises:
            InputError: the header is incomplete or invalid, or the tensors do not fit it.
        """
        try:
            config: TrialConfig = header_value(header, "config", TrialConfig, where)
        except InputError as error:
            parts = {"model family": "package", "metric": "metric_package"}
            more = [
                f"; the {part} is part of the package {header[key]}"
                for part, key in parts.items()
                if header.get(key) and f"the {part} " in str(error)
            ]
            raise InputError(f"{error}{''.join(more)}") from None
        has_link = header.get("target", "").count(",") > 1
        kind = tuple[float, float, Link] if has_link else tuple[float, float]
        target = header_value(header, "target", kind, where)
        try:
            preprocessor = Preprocessor(schema, config.preprocessing)
            preprocessor.restore(strip_prefix("preprocessor.", tensors))
            n_outputs = count_outputs(schema.task, len(schema.classes))
            weights = strip_prefix("network.", tensors)
            inputs = columns_of(preprocessor)
            network = trained_network(config.model, inputs, n_outputs, weights)
        except RuntimeError:
            raise InputError(f"{where}: its tensors do not fit its configuration") from None
        return cls(
            config=config,
            schema=schema,
            preprocessor=preprocessor,
            network=network,
            scale=TargetScale(*target),
            metrics=header_value(header, "metrics", dict[str, float], where),
            environment=header_value(header, "environment", Environment, where),
            calibration=read_calibration(header, where),
        )


def columns_of(preprocessor: Preprocessor) -> Inputs:
    """What the columns hold that a preprocessor makes."""
    return Inputs(
        n_numbers=preprocessor.n_numbers,
        flagged=tuple(preprocessor.missing.tolist()),
        n_others=preprocessor.n_others,
        sizes=tuple(preprocessor.sizes[preprocessor.coded].tolist()),
    )


def calibration_header(calibration: Calibration) -> Header:
    """The entry of a header for a calibration; empty without one."""
    tree = calibration.to_tree()
    return {"calibration": json.dumps(tree)} if tree else {}


def read_calibration(header: Header, where: str) -> Calibration:
    """The calibration in a header; earlier versions wrote none.

    Raises:
        InputError: it is invalid.
    """
    if not header.get("calibration"):
        return Calibration()
    found: Calibration = header_value(header, "calibration", Calibration, where)
    return found


def read_schema(header: Header, where: str) -> TableSchema:
    """The schema in a header.

    Raises:
        InputError: the schema is missing or invalid.
    """
    return TableSchema.from_json(header_text(header, "schema", where), f"{where}: schema")
