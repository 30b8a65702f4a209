"""Read the cells of a column: the same way for training and for every later table.

A reader turns a cell, whether text of a file or a typed value of a frame, into the same canonical
value: a number, a text, or microseconds since 1970 UTC.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Literal

import numpy as np
import polars as pl

from hpo.config.errors import DataError
from hpo.config.parsing import format_value
from hpo.data.blocks import blocks
from hpo.data.cells import DAY_MICROSECONDS, PLAIN, NumberFormat, parse_numbers, parse_times

Kind = Literal["number", "category", "date"]
"""The kind of values in a column."""

MISSING = ("", "NA", "N/A", "NaN", "nan", "null", "NULL", "?")
"""Cells of text files that mean a missing value, unless `data.missing` lists others."""

MISSING_LIKE = frozenset(
    (
        *("", "-", "--", "---", ".", "..", "...", "*", "?", "\\n", "(null)", "(none)", "(blank)"),
        *("none", "null", "nil", "nan", "na", "n/a", "n.a", "n.a.", "#n/a", "#na", "<na>", "nat"),
        *("#value!", "#div/0!", "#ref!", "#num!", "#name?", "#null!", "n/k", "tbd", "no data"),
        *("missing", "unknown", "undefined", "unavailable", "blank", "empty"),
        *("not available", "not_available", "not applicable", "not_applicable"),
    )
)
"""Words, in lower case, that mean a missing value among numbers or dates."""

CENSORED = r"^(?:[<>≤≥~≈]=?)\s*[0-9.,]+$"
"""A bound of a measurement (<0.5): not a number, but no evidence of a column of words either."""

TRUTHS = {"true": True, "false": False}
TEXTS = (pl.String, pl.Categorical, pl.Enum)
EXACT = 2**53 - 1
"""Up to this value all integers are distinct in float64."""

MAX_ODD = 20
"""Maximum number of distinct odd cells that a reader remembers. With this many, every other odd
cell counts as missing, too."""

_LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True, kw_only=True)
class Odd:
    """A cell among numbers or dates that is neither, and counts as missing.

    Attributes:
        word: the text of the cell.
        row: the first row that holds it, from 1.
        count: the number of rows that hold it.
    """

    word: str
    row: int
    count: int


@dataclass(frozen=True, kw_only=True)
class Reader:
    """Reads the cells of one column.

    Attributes:
        kind: the kind of its values.
        written: the number format.
        order: the order of a date's parts, a key of `hpo.data.cells.READINGS`. For a category, the
            order if its values are dates. Otherwise "".
        boolean: whether true and false are numbers.
        whole: whether the categories are integers, so that 1.0 is 1.
        odd: odd cells that count as missing, the most frequent first.
        legacy: whether cells are read as in table format 1.
    """

    kind: Kind = "number"
    written: NumberFormat = PLAIN
    order: str = ""
    boolean: bool = False
    whole: bool = False
    odd: tuple[Odd, ...] = ()
    legacy: bool = False

    def read(self, column: pl.Series, missing: Sequence[str], where: str) -> pl.Series:
        """Read cells as Float64, String or Int64 microseconds, null where missing.

        Args:
            column: cells as text, or typed values.
            missing: words that mean a missing value in a text file.
            where: the table's name, which opens each message.

        Raises:
            DataError: the column holds values such as lists, a cell is not of the column's kind, or
                a number is infinite. The message names row and cell.
        """
        check_usable(column, where)
        if nan_as_null(column).null_count() == len(column):
            dtypes = {"number": pl.Float64, "category": pl.String, "date": pl.Int64}
            return pl.Series(column.name, [None] * len(column), dtype=dtypes[self.kind])
        values, cells = self.try_read(column, missing)
        if values.null_count() > cells.null_count():
            wrong = values.is_null() & cells.is_not_null() & ~self._counts_as_missing(cells)
            if wrong.any():
                raise DataError(self._complaint(column, wrong, where))
        if self.kind == "number":
            check_finite(values, column, where)
        return values

    def try_read(self, column: pl.Series, missing: Sequence[str]) -> tuple[pl.Series, pl.Series]:
        """Read cells without checks.

        Returns:
            The canonical values, null where a cell is not of the column's kind; and the cells, null
            where missing.
        """
        if self.kind == "category":
            text = self.category_text(column)
            return text, text
        if column.dtype in TEXTS or (self.order == "compact" and column.dtype.is_numeric()):
            cells = non_missing_text(column, missing)
            return self._parsed(cells).rename(column.name), cells
        column = nan_as_null(column)
        if self.kind == "number":
            return _number(column), column
        return _microseconds(column, of_day=self.order == "time"), column

    def category_text(self, column: pl.Series) -> pl.Series:
        """The texts of a category column, missing words included."""
        if self.legacy:
            return text_of_format_1(column)
        if column.dtype not in TEXTS:
            return typed_text(nan_as_null(column))
        text = non_missing_text(column, ())
        if self.whole:
            text = text.str.replace(r"^\+?(-?[0-9]+)\.0*$", "${1}")
        if self.order:
            text = time_text(parse_times(text, self.order)).fill_null(text)
        return text

    def _parsed(self, cells: pl.Series) -> pl.Series:
        if self.kind == "date":
            return parse_times(cells, self.order)
        numbers = parse_numbers(cells, self.written)
        if self.boolean and numbers.null_count() > cells.null_count():
            truths = cells.str.to_lowercase().replace_strict(TRUTHS, default=None)
            numbers = numbers.fill_null(truths.cast(pl.Float64))
        return numbers

    def _counts_as_missing(self, cells: pl.Series) -> pl.Series:
        """Whether a cell that is not of the column's kind counts as missing."""
        if cells.dtype != pl.String:
            return pl.Series([False] * len(cells), dtype=pl.Boolean)
        if len(self.odd) == MAX_ODD:
            return cells.is_not_null()
        known = [odd.word for odd in self.odd]
        return (
            cells.str.to_lowercase().is_in(list(MISSING_LIKE))
            | cells.is_in(known)
            | cells.str.contains(CENSORED)
        ).fill_null(value=True)

    def _complaint(self, column: pl.Series, wrong: pl.Series, where: str) -> str:
        row = int(wrong.arg_true()[0])
        held = format_value(column[row]) if column.dtype in TEXTS else column[row]
        what = "numbers" if self.kind == "number" else "dates"
        spelled = "" if self.written.is_plain else f" such as {self.written.example()}"
        return (
            f'{where}: column "{column.name}" must hold {what}{spelled}, '
            f"but row {row + 1:,} holds {held}"
        )


USUAL = frozenset(
    (Reader(), Reader(kind="category"), Reader(kind="date", order="ymd")),
)
"""Readers that are fully described by the kind of their column."""


def read_numbers(
    columns: Sequence[pl.Series], readers: Sequence[Reader], missing: Sequence[str], where: str
) -> np.ndarray:
    """Read several columns as `Reader.read` does, (rows, columns) float64, NaN where missing.

    Args:
        columns: columns of one length.
        readers: their readers, of numbers or dates.
        missing: words that mean a missing value in a text file.
        where: the table's name, which opens each message.

    Raises:
        DataError: as `Reader.read`.
    """
    for column in columns:
        check_usable(column, where)
    numbers, odd = try_read_numbers(columns, readers, missing)
    too_large = np.flatnonzero((np.abs(numbers) > _LARGEST).any(axis=0))
    for place in sorted({*odd, *too_large.tolist()}):
        readers[place].read(columns[place], missing, where)  # raises if a cell is wrong
    return numbers


def try_read_numbers(
    columns: Sequence[pl.Series], readers: Sequence[Reader], missing: Sequence[str]
) -> tuple[np.ndarray, list[int]]:
    """Read several columns of one length as numbers, without checks.

    Returns:
        The numbers, (rows, columns), NaN for cells that are missing or of another kind; and the
        indices of the columns with cells of another kind.
    """
    found = np.empty((len(columns[0]) if columns else 0, len(columns)))
    odd: list[int] = []
    for block in blocks(columns, [replace(reader, odd=()) for reader in readers]):
        values, cells = readers[block.places[0]].try_read(block.cells, missing)
        numbers = values.cast(pl.Float64).fill_null(np.nan)
        found[:, block.places] = block.by_column(numbers).T
        wrong = block.any(values.is_null() & cells.is_not_null())
        odd += [block.places[i] for i in np.flatnonzero(wrong)]
    return found, sorted(odd)


def read_texts(columns: Sequence[pl.Series], readers: Sequence[Reader]) -> list[pl.Series]:
    """The `Reader.category_text` of several columns of one length, "" where missing."""
    found: dict[int, pl.Series] = {}
    for block in blocks(columns, readers):
        text = readers[block.places[0]].category_text(block.cells).fill_null("")
        found.update(zip(block.places, block.parts(text), strict=True))
    return [found[place] for place in range(len(columns))]


def is_usable(column: pl.Series) -> bool:
    """Whether a column holds numbers, text or times."""
    dtype = column.dtype
    return dtype.is_numeric() or dtype in (pl.Boolean, pl.Null, *TEXTS) or dtype.is_temporal()


def check_usable(column: pl.Series, where: str, hint: str = "") -> None:
    """Refuse a column of values such as lists; `hint` ends the message.

    Raises:
        DataError: the column holds neither numbers nor text nor times.
    """
    if not is_usable(column):
        raise DataError(
            f'{where}: column "{column.name}" must hold numbers, text or dates, '
            f"but holds {column.dtype}{hint}"
        )


def check_finite(numbers: pl.Series, cells: pl.Series, where: str, hint: str = "") -> None:
    """Refuse numbers beyond the range of float32.

    Args:
        numbers: the values of a column, Float64.
        cells: its original cells.
        where: the table's name, which opens the message.
        hint: the end of the message.

    Raises:
        DataError: a number is infinite or too large; the message names its row.
    """
    low, high = numbers.min(), numbers.max()
    if low is not None and (low < -_LARGEST or high > _LARGEST):  # type: ignore[operator]
        row = int((numbers.abs() > _LARGEST).arg_true()[0])
        raise DataError(
            f'{where}: column "{cells.name}" must hold finite numbers up to 3.4e38, '
            f"but row {row + 1:,} holds {cells[row]}{hint}"
        )


def nan_as_null(column: pl.Series) -> pl.Series:
    """Replace NaN by null."""
    if not column.dtype.is_float() or not math.isnan(column.sum()):
        return column  # a sum takes a tenth of the time of a check of each value
    return column.fill_nan(None)


def non_missing_text(column: pl.Series, missing: Sequence[str]) -> pl.Series:
    """Text or numbers as trimmed text, null where empty or one of the missing words."""
    text = typed_text(nan_as_null(column)) if column.dtype.is_numeric() else column
    cells = text.cast(pl.String).to_frame("cells")
    return cells.select_seq(_non_missing(tuple(missing))).to_series().rename(column.name)


@cache
def _non_missing(missing: tuple[str, ...]) -> pl.Expr:
    text = pl.col("cells").str.strip_chars()
    return pl.when(~text.is_in(["", *missing])).then(text)


def words_as_null(text: pl.Series, words: Sequence[str]) -> pl.Series:
    """Replace the given words by null."""
    return text.set(text.is_in(list(words)), None) if words else text


def typed_text(column: pl.Series) -> pl.Series:
    """Typed values as the shortest exact text: 7 for 7.0, "true", 2024-02-03."""
    if column.dtype == pl.Duration:
        column = _number(column)
    if column.dtype.is_float():
        whole = pl.select(
            pl.when((column == column.floor()) & (column.abs() <= EXACT)).then(column)
        ).to_series()
        return whole.cast(pl.Int64).cast(pl.String).fill_null(column.cast(pl.String))
    if column.dtype in (pl.Date, pl.Datetime):
        return time_text(_microseconds(column)).rename(column.name)
    return column.cast(pl.String)


def text_of_format_1(column: pl.Series, *, whole: bool = True) -> pl.Series:
    """Values as text in table format 1: "true" for True, times as polars formats them.

    Args:
        column: text or typed values.
        whole: whether 7.0 becomes 7, as where format 1 compared values.
    """
    if column.dtype.is_numeric() and not column.dtype.is_integer():
        column = column.cast(pl.Float64).fill_nan(None)
    text = non_missing_text(column.cast(pl.String), ())
    text = text.replace({"True": "true", "TRUE": "true", "False": "false", "FALSE": "false"})
    return text.str.replace(r"^(-?[0-9]+)\.0+$", "${1}") if whole else text


def time_text(microseconds: pl.Series) -> pl.Series:
    """Times as the shortest ISO text: only the day at midnight."""
    times = microseconds.cast(pl.Datetime("us"))
    is_day = times.dt.truncate("1d") == times
    text = times.dt.to_string("%Y-%m-%d %H:%M:%S%.f")
    days = times.dt.to_string("%Y-%m-%d")
    return pl.select(pl.when(is_day).then(days).otherwise(text)).to_series()


def _number(column: pl.Series) -> pl.Series:
    """Typed numbers as Float64, durations in seconds; null for other types."""
    if column.dtype == pl.Duration:
        return column.dt.total_microseconds().cast(pl.Float64) / 1e6
    if column.dtype.is_temporal():
        return pl.Series(column.name, [None] * len(column), dtype=pl.Float64)
    return column.cast(pl.Float64)


def _microseconds(column: pl.Series, *, of_day: bool = False) -> pl.Series:
    """Typed times as Int64 microseconds since 1970 UTC or since midnight; null for other types."""
    if column.dtype == pl.Time and of_day:
        return (column.cast(pl.Int64) // 1000).rename(column.name)
    if column.dtype == pl.Date and not of_day:
        column = column.cast(pl.Datetime("us"))
    if column.dtype != pl.Datetime:
        return pl.Series(column.name, [None] * len(column), dtype=pl.Int64)
    if getattr(column.dtype, "time_zone", None):
        column = column.dt.convert_time_zone("UTC")
    instants = column.dt.cast_time_unit("us").cast(pl.Int64)
    return instants % DAY_MICROSECONDS if of_day else instants
