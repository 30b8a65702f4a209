"""The target column: its task, its classes, and the positive class."""

from typing import Literal

import polars as pl

from hpo.config.errors import DataError, nearest
from hpo.config.parsing import format_list, format_value
from hpo.config.trial import DataConfig, Task
from hpo.data.reader import check_usable, typed_text
from hpo.data.table import Table

MAX_CLASSES = 20
"""Maximum number of distinct integers that are taken for classes if the task is `auto`."""

_MAX_LISTED = 20

LabelType = Literal["text", "integer", "number", "boolean"]
LABEL_TYPES: dict[LabelType, type[pl.DataType]] = {
    "text": pl.String,
    "integer": pl.Int64,
    "number": pl.Float64,
    "boolean": pl.Boolean,
}
"""The polars type of labels."""


def resolve_task(table: Table, data: DataConfig) -> Task:
    """The task that the study sets, or that the values of the target suggest.

    Text and up to `MAX_CLASSES` distinct integers (1.0 is one) are classes; two classes are a
    binary task. Other numbers are a regression.

    Raises:
        DataError: the target column is missing, has missing values, is constant, or does not suit
            the task; or the study names a positive class for another than a binary task.
    """
    task = _task(target_column(table, data), data)
    if data.positive is not None and task != "binary":
        raise DataError(f"{data.source}: data.positive: is for a binary task, but this is {task}")
    return task


def _task(column: pl.Series, data: DataConfig) -> Task:
    where = f"{data.source}: target {format_value(column.name)}"
    if data.task == "regression" or (data.task == "auto" and not _is_classes(column)):
        if column.dtype == pl.String:
            raise DataError(f"{where} must hold numbers, as data.task says, but holds text")
        if column.n_unique() == 1:
            raise DataError(f"{where} is always {column[0]}: nothing to learn")
        return "regression"
    n_classes = len(class_labels(column))
    if n_classes == 1:
        raise DataError(f"{where} has only the class {format_value(column[0])}: nothing to learn")
    if column.dtype == pl.String and n_classes > max(MAX_CLASSES, len(column) // 2):
        raise DataError(
            f"{where} holds {n_classes:,} different texts in "
            f"{len(column):,} rows, such as {format_value(column[0])}: they are neither classes "
            "nor numbers"
        )
    if data.task == "binary" and n_classes != 2:
        raise DataError(f"{where} must have 2 classes, as data.task says, but has {n_classes:,}")
    if data.task == "auto":
        return "binary" if n_classes == 2 else "multiclass"
    return data.task


def target_column(table: Table, data: DataConfig) -> pl.Series:
    """The target column, which has no missing values.

    Raises:
        DataError: the column is missing, holds lists or dates, or has missing values.
    """
    frame, name = table.frame, data.target
    if name not in frame.columns:
        raise DataError(no_column(table, data, "target", name))
    column = frame[name]
    check_usable(column, data.source)
    if column.dtype == pl.Datetime:
        raise DataError(
            f'{data.source}: target "{name}" holds dates: make it a number, such as days, '
            'or classes, with data.task = "multiclass"'
        )
    if n_missing := column.null_count():
        first = int(column.is_null().arg_true()[0]) + 1
        odd = table.readers[name].odd
        holds = f", which holds {format_value(odd[0].word)}" if odd and odd[0].row == first else ""
        words = ", ".join(format_value(word) for word in table.missing if word)
        raise DataError(
            f'{data.source}: target "{name}" is missing in {n_missing:,} of {len(column):,} rows, '
            f"first in row {first:,}{holds}: remove such rows, or list in data.missing the words "
            f"that mean a missing value; now {words or 'only an empty cell does'}"
        )
    return column


def class_labels(column: pl.Series) -> tuple[str, ...]:
    """The distinct labels as text, sorted by number or alphabetically."""
    return tuple(text_of(column.unique().sort()).unique(maintain_order=True))


def ordered_classes(column: pl.Series, task: Task, data: DataConfig) -> tuple[str, ...]:
    """The class labels in the order of the network's outputs; of two, the second is positive.

    The positive class is the one that the study names, or the rarer one, or the last one of
    `class_labels` if both are equally frequent.

    Raises:
        DataError: the study names a class that does not exist.
    """
    labels = class_labels(column)
    if task != "binary":
        return labels
    if data.positive is None:
        text = text_of(column)
        n_second = int((text == labels[1]).sum())
        return labels if 2 * n_second <= len(text) else labels[::-1]
    for label in labels:
        if _is_named(label, data.positive):
            return (*(other for other in labels if other != label), label)
    listed = " or ".join(format_value(label) for label in labels)
    raise DataError(
        f"{data.source}: data.positive: must be {listed}, the classes of the target "
        f'"{data.target}", but got {format_value(data.positive)}'
        f"{nearest(str(data.positive), labels)}"
    )


def label_type(column: pl.Series) -> LabelType:
    """The type of the labels of a target column."""
    return next(name for name, dtype in LABEL_TYPES.items() if column.dtype == dtype)


def labels_in(labels: tuple[str, ...], dtype: LabelType) -> pl.Series:
    """Convert text labels to their type."""
    texts = pl.Series(labels, dtype=pl.String)
    return texts == "true" if dtype == "boolean" else texts.cast(LABEL_TYPES[dtype])


def text_of(column: pl.Series) -> pl.Series:
    """Typed values as text: 1 for 1.0, "" for a missing value."""
    text = column if column.dtype == pl.String else typed_text(column)
    return text.fill_null("")


def no_column(table: Table, data: DataConfig, key: str, name: str) -> str:
    """The message for a column that a key names and the table lacks."""
    columns = table.frame.columns
    return (
        f'{data.source}: has no column "{name}", which data.{key} names{nearest(name, columns)}; '
        f"its columns are {format_list(columns, _MAX_LISTED)}"
    )


def _is_named(label: str, named: str | float) -> bool:
    if isinstance(named, str):
        return label == named
    if isinstance(named, bool):
        return label.lower() == str(named).lower()
    try:
        return float(label) == named
    except ValueError:
        return False


def _is_classes(column: pl.Series) -> bool:
    if column.dtype in (pl.String, pl.Boolean):
        return True
    return bool((column == column.floor()).all()) and column.n_unique() <= MAX_CLASSES
