"""The schema of a table: the columns, their readers, and their encoding as tensors.

Strings end here: `encode` returns only numbers.
"""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any, Literal, NamedTuple

import numpy as np
import polars as pl
import torch

from hpo.config.errors import DataError, InputError
from hpo.config.parsing import format_list, format_value, parse_json
from hpo.config.trial import Task
from hpo.data.cells import DAY_MICROSECONDS
from hpo.data.reader import EXACT, MISSING, Reader, check_usable, read_numbers, read_texts
from hpo.data.target import LabelType, labels_in, text_of

FORMAT = 2
"""Version of the schema. Increase it when older code would misread a new schema; `from_json` keeps
reading all versions, and a schema of the old version is kept under `tests/`.

1: float32 numbers, texts cleaned as in table format 1, the second of two classes positive, labels
returned as text. 2: readers, dates, labels in their own type.
"""

Cycle = Literal["day", "week", "year"]
PERIODS: dict[Cycle, float] = {
    "day": float(DAY_MICROSECONDS),
    "week": 7.0 * DAY_MICROSECONDS,
    "year": 365.2425 * DAY_MICROSECONDS,
}
"""Cycle lengths in microseconds; the year is the mean Gregorian year."""

_KEYS_OF_FORMAT_1 = (
    *("target", "task", "numeric", "numeric_missing", "categorical", "classes", "n_train"),
)


class Encoded(NamedTuple):
    """Rows as tensors.

    Attributes:
        x_num: (rows, n_numbers) float64, NaN where missing: numeric columns, then dates in
            microseconds since 1970 UTC.
        x_cat: (rows, n_categorical) int64: the index of the category in its column; the number of
            categories for an unseen one.
    """

    x_num: torch.Tensor
    x_cat: torch.Tensor


@dataclass(frozen=True, kw_only=True)
class Categories:
    """A text column and its values in the training part; "" is a missing value."""

    name: str
    values: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class DateColumn:
    """A column of dates or times, and the cycles that occur at least twice in training."""

    name: str
    cycles: tuple[Cycle, ...] = ()


@dataclass(frozen=True, kw_only=True)
class TableSchema:
    """The columns and encoding that training and prediction share.

    Attributes:
        target: the target column.
        task: the prediction task.
        numeric: the numeric columns.
        numeric_missing: the columns of `numeric` and `dates` with missing values in training.
        categorical: the categorical columns.
        classes: class labels as text in the order of the network's outputs; of two classes, the
            second is the positive one. Empty for a regression.
        n_train: the number of training rows.
        dates: the columns of dates and times.
        double: the numeric columns, and possibly the target, that float32 cannot represent.
        labels: the type of the predicted labels.
        readers: readers by column, where they are not the usual one of their kind.
        missing: words that mean a missing value in text.
        notes: sentences on what a person might not expect in the reading of the table.
        format: the version of the schema; see `FORMAT`.
    """

    target: str
    task: Task
    numeric: tuple[str, ...]
    numeric_missing: tuple[str, ...]
    categorical: tuple[Categories, ...]
    classes: tuple[str, ...]
    n_train: int
    dates: tuple[DateColumn, ...] = ()
    double: tuple[str, ...] = ()
    labels: LabelType = "text"
    readers: dict[str, Reader] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    format: int = FORMAT

    @property
    def numbers(self) -> tuple[str, ...]:
        """The columns of `Encoded.x_num`."""
        return (*self.numeric, *(column.name for column in self.dates))

    @property
    def columns(self) -> tuple[str, ...]:
        """The feature columns: those of `x_num`, then those of `x_cat`."""
        return (*self.numbers, *(column.name for column in self.categorical))

    @property
    def exact(self) -> frozenset[str]:
        """The columns that float32 cannot represent: those of `double`, and dates."""
        return frozenset((*self.double, *(column.name for column in self.dates)))

    @property
    def positive(self) -> str | None:
        """The positive class of a binary task."""
        return self.classes[1] if self.task == "binary" else None

    def reader(self, name: str) -> Reader:
        """The reader of a feature column."""
        return self._all_readers[name]

    def encode(self, frame: pl.DataFrame, where: str = "the table") -> Encoded:
        """Encode the feature columns of a table, which may be in any order.

        Args:
            frame: raw or typed cells.
            where: the table's name, which opens each message.

        Raises:
            DataError: a column is missing or holds values of another kind.
        """
        given = {column.name: column for column in frame.get_columns()}
        if lacking := [name for name in self.columns if name not in given]:
            listed = format_list(lacking, 20)
            raise DataError(f"{where}: lacks columns of the training table: {listed}")
        readers = self._all_readers
        numbers = read_numbers(
            [given[name] for name in self.numbers],
            [readers[name] for name in self.numbers],
            self.missing,
            where,
        )
        cells = [given[column.name] for column in self.categorical]
        for column in cells:
            check_usable(column, where)
        texts = read_texts(cells, [readers[column.name] for column in cells])
        x_cat = np.empty((frame.height, len(cells)), dtype=np.int64)
        for index, each in enumerate(zip(self.categorical, cells, texts, strict=True)):
            x_cat[:, index] = self._codes(*each)
        x_num = torch.from_numpy(numbers.reshape(frame.height, len(self.numbers)))
        exact = self.exact
        single = [place for place, name in enumerate(self.numbers) if name not in exact]
        x_num[:, single] = x_num[:, single].float().double()  # as `model.onnx` takes them
        return Encoded(x_num, torch.from_numpy(x_cat))

    def encode_target(self, frame: pl.DataFrame) -> torch.Tensor:
        """Encode the target of typed rows, (rows,): float64 numbers, float32 0 and 1, or int64.

        All labels must be among `classes`.
        """
        column = frame[self.target]
        if self.task == "regression":
            return torch.from_numpy(column.cast(pl.Float64).to_numpy().copy())
        places = list(range(len(self.classes)))
        codes = text_of(column).replace_strict(list(self.classes), places, return_dtype=pl.Int64)
        classes = torch.from_numpy(codes.to_numpy().copy())
        return classes.float() if self.task == "binary" else classes

    def codes(self, column: Categories, cells: pl.Series) -> np.ndarray:
        """The category codes of a column's cells, (rows,) int64."""
        return self._codes(column, cells, *read_texts([cells], [self.reader(column.name)]))

    def _codes(self, column: Categories, cells: pl.Series, text: pl.Series) -> np.ndarray:
        """The category codes of cells, given also as text."""
        words = self.spellings(column)
        codes = text.replace_strict(
            list(words), list(words.values()), default=len(column.values), return_dtype=pl.Int64
        )
        unseen = codes == len(column.values)
        is_typed = cells.dtype != pl.String or self.reader(column.name).legacy
        if is_typed and unseen.any():
            by_value = _codes_by_value(column, cells)
            codes = pl.select(pl.when(unseen).then(by_value).otherwise(codes)).to_series()
        return codes.to_numpy()

    def spellings(self, column: Categories) -> dict[str, int]:
        """All spellings of the categories, and their codes."""
        reader = self.reader(column.name)
        words = {value: code for code, value in enumerate(column.values)}
        for value, code in list(words.items()):
            if reader.legacy:
                alike = {"true": ("True", "TRUE"), "false": ("False", "FALSE")}.get(value, ())
                words |= {word: code for word in alike if word not in words}
            if (reader.whole or reader.legacy) and value.removeprefix("-").isdecimal():
                words.setdefault(f"{value}.0", code)
        if "" in words:
            words |= {word: words[""] for word in self.missing if word not in words}
        return words

    def label_values(self) -> pl.Series:
        """The class labels in the type of the target."""
        return labels_in(self.classes, self.labels)

    def to_json(self) -> str:
        """The schema as JSON."""
        tree = asdict(self)
        if self.format == 1:
            tree = {"format": 1, **{key: tree[key] for key in _KEYS_OF_FORMAT_1}}
        else:
            defaults = asdict(Reader())
            tree["readers"] = {
                name: {key: value for key, value in reader.items() if value != defaults[key]}
                for name, reader in tree["readers"].items()
            }
        return json.dumps(tree, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str, where: str = "the schema") -> "TableSchema":
        """Read the text that `to_json` returns.

        Raises:
            InputError: the text is not a schema, or of an unknown format.
        """
        tree: dict[str, Any] = parse_json(dict[str, Any], text, where)
        if (version := tree.get("format")) not in (1, FORMAT):
            raise InputError(
                f"{where} must be of format 1 or {FORMAT}, but got {format_value(version)}"
            )
        schema: TableSchema = parse_json(cls, text, where)
        if version == 1:
            schema = replace(schema, missing=MISSING)
        if not schema._is_sound():
            raise InputError(f"{where}: its columns or classes contradict each other")
        return schema

    @cached_property
    def _all_readers(self) -> Mapping[str, Reader]:
        """The readers of all feature columns."""
        legacy = self.format == 1
        number, date = Reader(legacy=legacy), Reader(kind="date", order="ymd")
        category = Reader(kind="category", legacy=legacy)
        return {
            **dict.fromkeys(self.numeric, number),
            **dict.fromkeys((column.name for column in self.dates), date),
            **dict.fromkeys((column.name for column in self.categorical), category),
            **self.readers,
        }

    def _is_sound(self) -> bool:
        """Whether the parts of the schema agree with each other."""
        n_classes = {"regression": 0, "binary": 2}.get(self.task, max(2, len(self.classes)))
        listed = (self.columns, self.classes, *(column.values for column in self.categorical))
        return (
            len(self.classes) == n_classes
            and set(self.numeric_missing) <= set(self.numbers)
            and set(self.readers) <= set(self.columns)
            and all(len(set(each)) == len(each) for each in listed)
            and self._has_labels()
        )

    def _has_labels(self) -> bool:
        try:
            return self.label_values().n_unique() == len(self.classes)
        except pl.exceptions.InvalidOperationError:
            return False


def _codes_by_value(column: Categories, cells: pl.Series) -> pl.Series:
    """Codes of typed values by value: 1.1 is the category 1.10 if no other category is 1.1."""
    n = len(column.values)
    if cells.dtype == pl.Boolean:
        names = pl.Series(column.values, dtype=pl.String).str.to_lowercase()
        worth: list[Any] = [{"true": True, "false": False}.get(name) for name in names]
        values = cells
    elif cells.dtype.is_numeric() or cells.dtype == pl.String:
        texts = pl.Series(column.values, dtype=pl.String)
        worth = texts.cast(pl.Float64, strict=False).fill_nan(None).to_list()
        values = cells.cast(pl.Float64, strict=False)
    else:
        return pl.Series([n] * len(cells), dtype=pl.Int64)
    counts = Counter(worth)
    known = {
        value: code
        for code, value in enumerate(worth)
        if value is not None and counts[value] == 1 and abs(value) <= EXACT
    }
    return values.replace_strict(
        list(known), list(known.values()), default=n, return_dtype=pl.Int64
    )
