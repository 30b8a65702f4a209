"""Tables as tensors, split into parts."""

from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import polars as pl
import torch

from hpo.config.compatibility import LossChoices
from hpo.config.errors import DataError
from hpo.config.metrics import MetricName, find_metric
from hpo.config.parsing import format_value
from hpo.config.trial import DataConfig, ObjectiveConfig
from hpo.data.inference import infer_schema
from hpo.data.notes import notes_on
from hpo.data.reader import text_of_format_1
from hpo.data.schema import TableSchema
from hpo.data.split import Split, known_rows, split_rows
from hpo.data.split import for_refit as to_refit
from hpo.data.table import Table
from hpo.data.target import resolve_task
from hpo.data.weights import (
    ClassWeights,
    check_weights,
    class_weights,
    loss_weights,
    row_weights,
)

PartName = Literal["train", "val", "test"]


class Part(NamedTuple):
    """The encoded rows of a part.

    Attributes:
        x_num: as in `TableSchema.encode`, and so is `x_cat`.
        y: their targets; float64 for a regression.
        weights: (rows,) float64 weights of the rows in metrics; None if all are equal.
    """

    x_num: torch.Tensor
    x_cat: torch.Tensor
    y: torch.Tensor
    weights: torch.Tensor | None

    def picked(self, places: torch.Tensor) -> "Part":
        """The rows at some places."""
        weights = None if self.weights is None else self.weights[places]
        return Part(self.x_num[places], self.x_cat[places], self.y[places], weights)


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """All encoded rows; shapes as in `TableSchema.encode` and `TableSchema.encode_target`.

    Attributes:
        splits: one, or one for each fold; the folds share their test part.
        weights: of the rows, from `hpo.data.weights.row_weights`.
        class_weights: of the classes in the loss, from `hpo.data.weights.class_weights`.
    """

    schema: TableSchema
    splits: tuple[Split, ...]
    x_num: torch.Tensor
    x_cat: torch.Tensor
    y: torch.Tensor
    weights: torch.Tensor | None = None
    class_weights: ClassWeights = None

    @property
    def folds(self) -> tuple["Dataset", ...]:
        """The dataset of each fold; without folds, this one."""
        return tuple(replace(self, splits=(split,)) for split in self.splits)

    def rows(self, name: PartName) -> torch.Tensor:
        """The indices of the rows of a part, int64.

        With folds, the validation part is theirs, one after the other, and the training part is all
        rows but those for test.
        """
        if name == "val":
            return torch.cat([split.val for split in self.splits])
        if name == "train" and len(self.splits) > 1:
            return known_rows(self.splits)
        rows: torch.Tensor = getattr(self.splits[0], name)
        return rows

    def part(self, name: PartName) -> Part:
        """The rows of one part, see `rows`."""
        return Part(self.x_num, self.x_cat, self.y, self.weights).picked(self.rows(name))

    def loss_weights(self) -> torch.Tensor | None:
        """(rows,) float64 weights of the training rows in the loss; None if all are equal."""
        train = self.part("train")
        return loss_weights(self.class_weights, train.y, train.weights)

    def check_objective(self, objective: ObjectiveConfig, where: str) -> None:
        """Make sure that the metric is defined on the validation part.

        Raises:
            DataError: the metric is not defined; the message says why.
        """
        metric, classes = objective.metric, self.schema.classes
        if objective.k is not None and objective.k >= len(classes):
            raise DataError(
                f"{where}: objective.k: must be below {len(classes)}, the number of classes, "
                f"but got {objective.k}"
            )
        if why := self._why_undefined(metric):
            raise DataError(
                f"{where}: objective.metric: {metric} cannot be computed on the validation part: "
                f"{why}; take another metric, or another data.split"
            )

    def check_targets(self, choices: LossChoices, where: str) -> None:
        """Make sure that every target suits the losses and transforms.

        Raises:
            DataError: one does not; the message names its row.
        """
        wanted = {
            "training.loss: poisson needs targets of at least 0": self.y >= 0,
            "training.target_transform: log1p needs targets above -1": self.y > -1,
        }
        poisson, log1p = wanted
        used = {poisson: "poisson" in choices.losses, log1p: "log1p" in choices.transforms}
        for rule, is_fine in wanted.items():
            if used[rule] and not is_fine.all():
                row = int((~is_fine).nonzero()[0])
                raise DataError(f"{where}: {rule}, but row {row + 1:,} has {self.y[row]:.12g}")

    def _why_undefined(self, metric: MetricName) -> str:
        """Why a metric has no value on the validation part; empty if it has one."""
        val, classes = self.part("val"), self.schema.classes
        y = val.y if val.weights is None else val.y[val.weights > 0]
        present = set(y.tolist())
        match find_metric(metric).requires.get(self.schema.task):
            case "positive_class":
                absent = {1} - present
            case "every_class":
                absent = set(range(len(classes))) - present
            case "two_rows":
                return "it has a single row" if len(y) == 1 else ""
            case "no_zeros":
                return "it has a target of 0" if 0 in present else ""
            case "no_negatives":
                return f"it has the target {min(present):.12g}" if min(present) < 0 else ""
            case _:
                return ""
        lacking = [format_value(classes[code]) for code in sorted(absent)]
        return f"it has no row of the class {lacking[0]}" if lacking else ""


def load_dataset(table: Table, data: DataConfig, *, for_refit: bool = False) -> Dataset:
    """Check a typed table against a study's `[data]`, split and encode it.

    Args:
        table: the typed table.
        data: the study's `[data]`.
        for_refit: whether to train on the validation rows too, without folds.

    Raises:
        DataError: the table is not suited for training; the message says why.
    """
    if table.format == 1:  # format 1 cleaned texts after it stored them
        texts = [text_of_format_1(column) for column in table.frame if column.dtype == pl.String]
        table = replace(table, frame=table.frame.with_columns(texts))
    task = resolve_task(table, data)
    splits = split_rows(table, data, task)
    if for_refit:
        splits = (to_refit(splits),)
    # Folds share the schema, so that their networks can predict together.
    train = splits[0].train if len(splits) == 1 else known_rows(splits)
    schema, dropped, truncated = infer_schema(table, data, task, train)
    if table.format > 1:
        notes = notes_on(table, data, splits, schema, dropped, truncated)
        schema = replace(schema, notes=notes)
    encoded = schema.encode(table.frame, data.source)
    y = schema.encode_target(table.frame)
    dataset = Dataset(
        schema=schema,
        splits=splits,
        y=y,
        **encoded._asdict(),
        weights=row_weights(table, data),
        class_weights=class_weights(schema, data),
    )
    check_weights(dataset.weights, data, schema, y, splits)
    return dataset
