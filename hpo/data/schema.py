"""The schema of a table: which columns mean what, and their encoding as tensors.

Owns strings: behind `encode` there are only numbers. Learned from the training part, so that a
category is known when training saw it.

Does not know: files, scaling, networks.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import torch

from hpo.data.sources import is_usable
from hpo.errors import DataError, InputError, nearest
from hpo.parsing import parse_json, shown
from hpo.trial import DataConfig, Task

FORMAT = 1
"""Raise by one when a schema written today would be misread by yesterday's code; `from_json` then
reads both, and a schema of the earlier number is kept under `tests/`."""

MAX_CLASSES = 20
"""Whole numbers of at most so many values are taken for classes when the task is `auto`."""

MAX_LISTED = 20

MAX_CATEGORIES = 256
"""So many of a column's categories, the most frequent in training, are told apart; others count as
unseen. It bounds the network's width where a column of names or identifiers slips in."""


class Encoded(NamedTuple):
    """Rows as tensors.

    `x_num` is (rows, n_numeric) float32 with NaN for missing, `x_cat` (rows, n_categorical) int64:
    a value's place among its column's categories, or their number when training has not seen it.
    """

    x_num: torch.Tensor
    x_cat: torch.Tensor


@dataclass(frozen=True, kw_only=True)
class Categories:
    """A text column and the values that training saw; a missing value is the text ""."""

    name: str
    values: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class TableSchema:
    """What training and prediction must agree on.

    Attributes:
        target: the column that is predicted.
        task: what kind of prediction.
        numeric: columns of numbers.
        numeric_missing: those of them with missing values in training.
        categorical: columns of text, and those that the study says are such.
        classes: labels in the order of the network's outputs: whole numbers by value, text by
            alphabet. Of two, the second is the positive one. Empty in a regression.
        n_train: rows of the training part.
    """

    target: str
    task: Task
    numeric: tuple[str, ...]
    numeric_missing: tuple[str, ...]
    categorical: tuple[Categories, ...]
    classes: tuple[str, ...]
    n_train: int

    @classmethod
    def infer(cls, frame: pl.DataFrame, data: DataConfig, train: torch.Tensor) -> "TableSchema":
        """Learn the schema of a table.

        Args:
            frame: a typed table.
            data: what the study says of its columns.
            train: indices of the training rows, int64.

        Raises:
            DataError: the table cannot be trained on, and why.
        """
        task = resolve_task(frame, data)
        numeric, categorical = _kinds(frame, data)
        rows = frame[train.numpy()]
        return cls(
            target=data.target,
            task=task,
            numeric=tuple(numeric),
            numeric_missing=tuple(name for name in numeric if rows[name].null_count()),
            categorical=tuple(
                Categories(name=name, values=_frequent(text_of(rows[name]))) for name in categorical
            ),
            classes=() if task == "regression" else class_labels(frame[data.target]),
            n_train=len(rows),
        )

    def encode(self, frame: pl.DataFrame) -> Encoded:
        """Encode rows, their columns in any order; others and the target are ignored.

        Raises:
            DataError: a column is missing, or holds what it must not.
        """
        wanted = [*self.numeric, *(column.name for column in self.categorical)]
        if missing := [name for name in wanted if name not in frame.columns]:
            raise DataError(f"the table lacks what was trained on: {', '.join(missing)}")
        for name in wanted:
            check_usable(frame[name])
        numbers = [_numbers(frame[name]) for name in self.numeric]
        codes = [_codes(frame[column.name], column.values) for column in self.categorical]
        return Encoded(_stack(numbers, frame.height, "f4"), _stack(codes, frame.height, "i8"))

    def encode_target(self, frame: pl.DataFrame) -> torch.Tensor:
        """The target: (rows,) float64 numbers; of two classes float32 0 and 1; else int64 classes.

        Labels must be among `classes`, as those of the table that the schema was learned from are.
        """
        column = frame[self.target]
        if self.task == "regression":
            return torch.from_numpy(column.cast(pl.Float64).to_numpy().copy())
        codes = torch.from_numpy(_codes(column, self.classes).astype("i8"))
        return codes.float() if self.task == "binary" else codes

    def to_json(self) -> str:
        """The schema as text."""
        return json.dumps({"format": FORMAT, **asdict(self)}, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str, where: str = "the schema") -> "TableSchema":
        """Read what `to_json` wrote.

        Raises:
            InputError: it is none, or of another format.
        """
        tree: dict[str, Any] = parse_json(dict[str, Any], text, where)
        if (version := tree.get("format")) != FORMAT:
            raise InputError(f"{where} must be of format {FORMAT}, but got {shown(version)}")
        schema: TableSchema = parse_json(cls, text, where)
        if not schema._is_sound():
            raise InputError(f"{where}: its columns or classes contradict each other")
        return schema

    def _is_sound(self) -> bool:
        """Whether a table can have this schema."""
        n_classes = {"regression": 0, "binary": 2}.get(self.task, max(2, len(self.classes)))
        names = (*self.numeric, *(column.name for column in self.categorical))
        listed = (names, self.classes, *(column.values for column in self.categorical))
        return (
            len(self.classes) == n_classes
            and set(self.numeric_missing) <= set(self.numeric)
            and all(len(set(each)) == len(each) for each in listed)
        )


def resolve_task(frame: pl.DataFrame, data: DataConfig) -> Task:
    """The task of a target column: as the study says, or by its values.

    Text is classes, and so are at most `MAX_CLASSES` different whole numbers (1.0 is one); two are
    binary. Other numbers are a regression.

    Raises:
        DataError: there is no such column, it has gaps, never changes, or does not suit the task.
    """
    column = _target(frame, data)
    if column.dtype != pl.String:
        _check_finite(column)
    if data.task == "regression" or (data.task == "auto" and not _is_classes(column)):
        _check_regression(column)
        return "regression"
    n_classes = len(class_labels(column))
    if n_classes == 1:
        raise DataError(f'target "{column.name}" has only the class {column[0]}: nothing to learn')
    if data.task == "binary" and n_classes != 2:
        raise DataError(f'target "{column.name}" must have 2 classes, but has {n_classes}')
    if data.task == "auto":
        return "binary" if n_classes == 2 else "multiclass"
    return data.task


def class_labels(column: pl.Series) -> tuple[str, ...]:
    """The labels of a target column: numbers by value, text by alphabet."""
    return tuple(text_of(column.unique().sort()).unique(maintain_order=True))


def text_of(column: pl.Series) -> pl.Series:
    """Values as text: 1, 1.0, "1" and "1.0" agree, and a missing value is ""."""
    text = column.cast(pl.String).fill_null("")
    return text if column.dtype.is_integer() else text.str.replace(r"^(-?\d+)\.0+$", "${1}")


def check_usable(column: pl.Series) -> None:
    """Refuse a column of lists and the like.

    Raises:
        DataError: it is one.
    """
    if not is_usable(column):
        kind = column.dtype
        raise DataError(f'column "{column.name}" must hold numbers or text, but holds {kind}')


def _target(frame: pl.DataFrame, data: DataConfig) -> pl.Series:
    if data.target not in frame.columns:
        raise DataError(_no_column(frame, data, "target", data.target))
    column = frame[data.target]
    check_usable(column)
    if n_missing := column.null_count():
        first = int(column.is_null().arg_true()[0]) + 1
        raise DataError(
            f'target "{data.target}" is missing in {n_missing:,} of {len(column):,} rows, first in '
            f"row {first:,}: remove such rows"
        )
    return column


def _is_classes(column: pl.Series) -> bool:
    if column.dtype == pl.String:
        return True
    return bool((column == column.floor()).all()) and column.n_unique() <= MAX_CLASSES


def _check_regression(target: pl.Series) -> None:
    if target.dtype == pl.String:
        raise DataError(f'target "{target.name}" must hold numbers for a regression, not text')
    if target.n_unique() == 1:
        raise DataError(f'target "{target.name}" is always {target[0]}: nothing to learn')


def _kinds(frame: pl.DataFrame, data: DataConfig) -> tuple[list[str], list[str]]:
    """Names of the numeric and of the categorical feature columns, in the table's order."""
    for key in ("drop", "numeric", "categorical"):
        for name in getattr(data, key):
            if name not in frame.columns:
                raise DataError(_no_column(frame, data, key, name))
    if both := sorted(set(data.numeric) & set(data.categorical)):
        raise DataError(f'column "{both[0]}" is named in both data.numeric and data.categorical')
    left_out = {*data.drop, data.target, data.split.column}
    features = [name for name in frame.columns if name not in left_out]
    if not features:
        raise DataError(f"{data.source}: has no feature column besides the target")
    if unusable := [name for name in features if not is_usable(frame[name])]:
        kind = frame[unusable[0]].dtype
        raise DataError(
            f'{data.source}: column "{unusable[0]}" must hold numbers or text, but holds {kind}; '
            "name it in data.drop to leave it out"
        )
    categorical = [
        name
        for name in features
        if name in data.categorical or (frame[name].dtype == pl.String and name not in data.numeric)
    ]
    return [name for name in features if name not in categorical], categorical


def _no_column(frame: pl.DataFrame, data: DataConfig, key: str, name: str) -> str:
    hint = nearest(name, frame.columns)
    listed = ", ".join(frame.columns[:MAX_LISTED])
    more = len(frame.columns) - MAX_LISTED
    rest = f" and {more} more" if more > 0 else ""
    return (
        f'{data.source}: has no column "{name}", which data.{key} names{hint}; '
        f"its columns are {listed}{rest}"
    )


def _frequent(column: pl.Series) -> tuple[str, ...]:
    """The values of a text column that are told apart, by alphabet."""
    counts = column.value_counts().sort(["count", column.name], descending=[True, False])
    return tuple(sorted(counts[column.name][:MAX_CATEGORIES].to_list()))


def _numbers(column: pl.Series) -> np.ndarray:
    """The column as float32, missing as NaN."""
    if column.dtype == pl.String:
        numbers = column.cast(pl.Float64, strict=False)
        wrong = numbers.is_null() & column.is_not_null()
        if wrong.any():
            raise DataError(_bad_cell(column, wrong, "numbers"))
        column = numbers
    _check_finite(column)
    return column.cast(pl.Float32).fill_null(float("nan")).to_numpy()


def _check_finite(column: pl.Series) -> None:
    infinite = column.cast(pl.Float32).is_infinite()
    if infinite.any():
        raise DataError(_bad_cell(column, infinite, "finite numbers up to 3.4e38"))


def _bad_cell(column: pl.Series, wrong: pl.Series, allowed: str) -> str:
    row = int(wrong.arg_true()[0])
    held = shown(column[row]) if column.dtype == pl.String else column[row]
    return f'column "{column.name}" must hold {allowed}, but row {row + 1} holds {held}'


def _codes(column: pl.Series, values: Sequence[str]) -> np.ndarray:
    codes = text_of(column).replace_strict(
        list(values), list(range(len(values))), default=len(values), return_dtype=pl.Int64
    )
    return codes.to_numpy()


def _stack(columns: list[np.ndarray], height: int, kind: str) -> torch.Tensor:
    stacked = np.stack(columns, axis=1) if columns else np.empty((height, 0))
    return torch.from_numpy(stacked.astype(kind))
