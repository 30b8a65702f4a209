"""The target column: its task, its classes, and which of two is the positive one."""

from typing import Literal

import polars as pl

from hpo.config.errors import DataError, nearest
from hpo.config.parsing import format_value
from hpo.config.trial import DataConfig, Task
from hpo.data.reader import check_usable, typed_text
from hpo.data.table import Table

MAX_CLASSES = 20
"""Whole numbers of at most so many values are taken for classes when the task is `auto`."""

MAX_LISTED = 20

LabelType = Literal["text", "integer", "number", "boolean"]
LABEL_TYPES: dict[LabelType, type[pl.DataType]] = {
    "text": pl.String,
    "integer": pl.Int64,
    "number": pl.Float64,
    "boolean": pl.Boolean,
}
"""In which labels are given back."""


def resolve_task(table: Table, data: DataConfig) -> Task:
    """The task of a target column: as the study says, or by its values.

    Text is classes, and so are at most `MAX_CLASSES` different whole numbers (1.0 is one); two are
    binary. Other numbers are a regression.

    Raises:
        DataError: there is no such column, it has gaps, never changes, or does not suit the task;
            or the study names a positive class of a task that has none.
    """
    task = _task(target_column(table, data), data)
    if data.positive is not None and task != "binary":
        raise DataError(f"{data.source}: data.positive: is for a binary task, but this is {task}")
    return task


def _task(column: pl.Series, data: DataConfig) -> Task:
    where = f"{data.source}: target {format_value(column.name)}"
    if data.task == "regression" or (data.task == "auto" and not _is_classes(column)):
        _check_regression(column, where)
        return "regression"
    n_classes = len(class_labels(column))
    if n_classes == 1:
        raise DataError(f"{where} has only the class {format_value(column[0])}: nothing to learn")
    if column.dtype == pl.String and n_classes > max(MAX_CLASSES, len(column) // 2):
        raise DataError(
            f"{where} holds {n_classes:,} different texts in "
            f"{len(column):,} rows, such as {format_value(column[0])}: they are neither classes "
            "nor, as they stand, numbers"
        )
    if data.task == "binary" and n_classes != 2:
        raise DataError(f"{where} must have 2 classes, as data.task says, but has {n_classes:,}")
    if data.task == "auto":
        return "binary" if n_classes == 2 else "multiclass"
    return data.task


def target_column(table: Table, data: DataConfig) -> pl.Series:
    """The target, every cell of which holds a value.

    Raises:
        DataError: there is no such column, it holds lists or dates, or a value is missing.
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
            f"that are missing values; now {words or 'only an empty cell is'}"
        )
    return column


def class_labels(column: pl.Series) -> tuple[str, ...]:
    """The labels of a target column as text: numbers by value, text by alphabet."""
    return tuple(text_of(column.unique().sort()).unique(maintain_order=True))


def ordered_classes(column: pl.Series, task: Task, data: DataConfig) -> tuple[str, ...]:
    """Labels in the order of the network's outputs; of two, the second is the positive one.

    That is the one that the study names, or else the rarer. Of equally frequent ones it is the
    greater number or the later in the alphabet.

    Raises:
        DataError: the study names a class that is none.
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
    """In which type the labels of a target column stand."""
    for name, kind in LABEL_TYPES.items():
        if column.dtype == kind:
            return name
    raise AssertionError(column.dtype)


def labels_in(labels: tuple[str, ...], kind: LabelType) -> pl.Series:
    """Labels in their own type."""
    texts = pl.Series(labels, dtype=pl.String)
    return texts == "true" if kind == "boolean" else texts.cast(LABEL_TYPES[kind])


def text_of(column: pl.Series) -> pl.Series:
    """Typed values as text: 1 for 1.0, and a missing value is ""."""
    text = column if column.dtype == pl.String else typed_text(column)
    return text.fill_null("")


def no_column(table: Table, data: DataConfig, key: str, name: str) -> str:
    """What to say of a column that a key names and the table lacks."""
    columns = table.frame.columns
    hint = nearest(name, columns)
    listed = ", ".join(columns[:MAX_LISTED])
    more = len(columns) - MAX_LISTED
    rest = f" and {more} more" if more > 0 else ""
    return (
        f'{data.source}: has no column "{name}", which data.{key} names{hint}; '
        f"its columns are {listed}{rest}"
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


def _check_regression(target: pl.Series, where: str) -> None:
    if target.dtype == pl.String:
        raise DataError(f"{where} must hold numbers, as data.task says, but holds text")
    if target.n_unique() == 1:
        raise DataError(f"{where} is always {target[0]}: nothing to learn")
