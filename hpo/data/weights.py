"""Weights of rows and of classes.

A row's weight counts in the loss and in all metrics, a class's weight in the loss alone. Only the
ratios of weights matter.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

import polars as pl
import torch

from hpo.config.errors import DataError, nearest
from hpo.config.parsing import format_list, format_value
from hpo.config.trial import DataConfig
from hpo.data.schema import TableSchema
from hpo.data.split import Split
from hpo.data.table import Table
from hpo.data.target import no_column

ClassWeights = Literal["balanced"] | tuple[float, ...] | None
"""A weight for each class in the order of the schema, or one over its weight in training."""

_MAX_CLASSES = 20
"""Maximum number of classes in a message."""


def row_weights(table: Table, data: DataConfig) -> torch.Tensor | None:
    """The weights of all rows, (rows,) float64, at least 0; None if the study names no column.

    Raises:
        DataError: the column is missing, or does not hold a number of at least 0 in every row.
    """
    if (name := data.weight) is None:
        return None
    if name not in table.frame.columns:
        raise DataError(no_column(table, data, "weight", name))
    column = table.frame[name]
    where = f"{data.source}: data.weight: column {format_value(name)} must hold numbers"
    if not (column.dtype.is_numeric() or column.dtype == pl.Boolean):
        raise DataError(f"{where}, but holds {column.dtype}")
    weights = column.cast(pl.Float64)
    if (bad := weights.is_null() | (weights < 0)).any():
        row = int(bad.arg_true()[0])
        found = "missing" if weights[row] is None else f"{weights[row]:g}"
        raise DataError(f"{where} of at least 0, but is {found} in row {row + 1:,}")
    return torch.from_numpy(weights.to_numpy().copy())


def class_weights(schema: TableSchema, data: DataConfig) -> ClassWeights:
    """The weights of the classes.

    Raises:
        DataError: the task is a regression, or the study names other classes than the target has.
    """
    given = data.class_weight
    if given is None:
        return None
    where = f"{data.source}: data.class_weight"
    if not schema.classes:
        raise DataError(f"{where}: is for classes, but this is a regression")
    if not isinstance(given, Mapping):
        return given
    listed = format_list([format_value(label) for label in schema.classes], _MAX_CLASSES)
    if unknown := sorted(given.keys() - set(schema.classes)):
        raise DataError(
            f"{where}: {format_value(unknown[0])} must be a class of the target "
            f'"{data.target}"{nearest(unknown[0], schema.classes)}; its classes are {listed}'
        )
    if lacking := [label for label in schema.classes if label not in given]:
        raise DataError(
            f"{where}: must have a weight for each of the classes {listed}, "
            f"but has none for {format_value(lacking[0])}"
        )
    return tuple(given[label] for label in schema.classes)


def loss_weights(
    of_classes: ClassWeights, y: torch.Tensor, of_rows: torch.Tensor | None
) -> torch.Tensor | None:
    """The weights of training rows in the loss.

    Args:
        of_classes: the weights of the classes.
        y: (rows,) encoded targets, with each class.
        of_rows: (rows,) float64 weights; None if all are equal.

    Returns:
        (rows,) float64; None if all are equal. With balanced classes, those of scikit-learn's
        `compute_class_weight`, times the rows' own.
    """
    if of_classes is None:
        return of_rows
    codes = y.long()
    if of_classes == "balanced":
        counts = torch.bincount(codes, of_rows).double()
        by_class = counts.sum() / (len(counts) * counts)
    else:
        by_class = torch.tensor(of_classes, dtype=torch.float64)
    return by_class[codes] if of_rows is None else by_class[codes] * of_rows


def check_weights(
    weights: torch.Tensor | None,
    data: DataConfig,
    schema: TableSchema,
    y: torch.Tensor,
    splits: Sequence[Split],
) -> None:
    """Make sure that each part, and each class in training, has rows of weight above 0.

    Args:
        weights: of all rows.
        data: the study's `[data]`.
        schema: of the table.
        y: (rows,) encoded targets.
        splits: of the rows.

    Raises:
        DataError: one has not.
    """
    if weights is None:
        return
    where = f"{data.source}: data.weight: column {format_value(data.weight)} is zero in every row"
    for split in splits:
        parts = {"training": split.train, "validation": split.val, "test": split.test}
        for part, rows in parts.items():
            if len(rows) and not weights[rows].any():
                raise DataError(f"{where} of the {part} part")
        if schema.classes:
            counts = torch.bincount(y[split.train].long(), weights[split.train])
            for label, weight in zip(schema.classes, counts.tolist(), strict=True):
                if weight == 0:
                    raise DataError(f"{where} of the class {format_value(label)} in training")
