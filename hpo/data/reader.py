"""How a column's cells are read: decided once, and the same for every later source.

Whatever a cell comes in, text of a file or a typed value of a frame, the reader gives the same
canonical value: a number, a text, or microseconds since 1970 UTC.
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

MISSING = ("", "NA", "N/A", "NaN", "nan", "null", "NULL", "?")
"""Cells of text files that are missing values, unless `data.missing` says otherwise."""

MISSING_LIKE = frozenset(
    (
        *("", "-", "--", "---", ".", "..", "...", "*", "?", "\\n", "(null)", "(none)", "(blank)"),
        *("none", "null", "nil", "nan", "na", "n/a", "n.a", "n.a.", "#n/a", "#na", "<na>", "nat"),
        *("#value!", "#div/0!", "#ref!", "#num!", "#name?", "#null!", "n/k", "tbd", "no data"),
        *("missing", "unknown", "undefined", "unavailable", "blank", "empty"),
        *("not available", "not_available", "not applicable", "not_applicable"),
    )
)
"""Words, in lower case, that among numbers or dates say that a value is missing."""

CENSORED = r"^(?:[<>≤≥~≈]=?)\s*[0-9.,]+$"
"""A bound of a measurement, such as <0.5: no number, and no sign of a column of words."""

TRUTHS = {"true": True, "false": False}
TEXTS = (pl.String, pl.Categorical, pl.Enum)
EXACT = 2**53 - 1
"""Up to here, no two whole numbers are one in float64."""

MAX_ODD = 20
"""Different odd cells of a column that are remembered, the most frequent; where there were so many,
any other counts as missing, too."""

LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True, kw_only=True)
class Odd:
    """A cell among numbers or dates that is none, and counts as missing.

    Attributes:
        word: the cell as it stands.
        row: the first that holds it, from 1.
        count: how many rows do.
    """

    word: str
    row: int
    count: int


@dataclass(frozen=True, kw_only=True)
class Reader:
    """Reads the cells of one column.

    Attributes:
        kind: what its values are.
        written: how its numbers are written.
        order: of its dates, one of `hpo.data.cells.READINGS`; of a category, where its values are
            dates that are taken for categories. Else "".
        boolean: whether its numbers are written as true and false.
        whole: whether its categories are whole numbers, so that 1.0 is 1.
        odd: cells that were found and count as missing, the most frequent first.
        legacy: whether it reads as hpo's first format did.
    """

    kind: Kind = "number"
    written: NumberFormat = PLAIN
    order: str = ""
    boolean: bool = False
    whole: bool = False
    odd: tuple[Odd, ...] = ()
    legacy: bool = False

    def read(self, column: pl.Series, missing: Sequence[str], where: str) -> pl.Series:
        """Canonical values: Float64, String or Int64 microseconds, null where missing.

        Args:
            column: cells as text, or typed values; lists and the like are refused.
            missing: words that are missing values in a text file.
            where: the table's name, which opens each message.

        Raises:
            DataError: a cell is not of the column's kind, or a number is infinite; names row and
                cell.
        """
        check_usable(column, where)
        if is_empty(column):
            return pl.Series(column.name, [None] * len(column), dtype=self._dtype)
        values, cells = self.attempt(column, missing)
        if values.null_count() > cells.null_count():
            wrong = values.is_null() & cells.is_not_null() & ~self._counts_as_missing(cells)
            if wrong.any():
                raise DataError(self._complaint(column, wrong, where))
        if self.kind == "number":
            check_finite(values, column, where)
        return values

    def attempt(self, column: pl.Series, missing: Sequence[str]) -> tuple[pl.Series, pl.Series]:
        """Canonical values, null where a cell is not of the kind; and the cells that hold a value.

        Returns:
            The values and, as text or as they came, the cells that are not missing.
        """
        if self.kind == "category":
            text = self.category_text(column)
            return text, text
        if column.dtype in TEXTS or (self.order == "compact" and column.dtype.is_numeric()):
            cells = present(column, missing)
            return self._parsed(cells).rename(column.name), cells
        column = nan_as_null(column)
        if self.kind == "number":
            return _number(column), column
        return (_of_day if self.order == "time" else _microseconds)(column), column

    def category_text(self, column: pl.Series) -> pl.Series:
        """Texts of a category column, missing words not yet taken out."""
        if self.legacy:
            return text_of_format_1(column)
        if column.dtype not in TEXTS:
            return typed_text(nan_as_null(column))
        text = trimmed(column)
        if self.whole:
            text = text.str.replace(r"^\+?(-?[0-9]+)\.0*$", "${1}")
        if self.order:
            days = time_text(parse_times(text, self.order))
            text = days.fill_null(text)
        return text

    @property
    def _dtype(self) -> type[pl.DataType]:
        kinds = {"number": pl.Float64, "category": pl.String, "date": pl.Int64}
        return kinds[self.kind]

    def _parsed(self, cells: pl.Series) -> pl.Series:
        if self.kind == "date":
            return parse_times(cells, self.order)
        numbers = parse_numbers(cells, self.written)
        if self.boolean and numbers.null_count() > cells.null_count():
            truths = cells.str.to_lowercase().replace_strict(TRUTHS, default=None)
            numbers = numbers.fill_null(truths.cast(pl.Float64))
        return numbers

    def _counts_as_missing(self, cells: pl.Series) -> pl.Series:
        """Whether a cell that is not of the kind is a missing value all the same."""
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
"""Readers that say no more than what kind their column's values are."""


def read_numbers(
    columns: Sequence[pl.Series], readers: Sequence[Reader], missing: Sequence[str], where: str
) -> np.ndarray:
    """What `Reader.read` gives for each of several columns, (rows, columns) float64.

    Args:
        columns: of one length.
        readers: of numbers or dates, one a column.
        missing: as for `Reader.read`.
        where: likewise.

    Raises:
        DataError: a cell is not of its column's kind, or a number is infinite; names row and cell.
    """
    for column in columns:
        check_usable(column, where)
    numbers, odd = attempt_numbers(columns, readers, missing)
    too_large = np.flatnonzero((np.abs(numbers) > LARGEST).any(axis=0))
    for place in sorted({*odd, *too_large.tolist()}):
        readers[place].read(columns[place], missing, where)  # refuses what must not be there
    return numbers


def attempt_numbers(
    columns: Sequence[pl.Series], readers: Sequence[Reader], missing: Sequence[str]
) -> tuple[np.ndarray, list[int]]:
    """Likewise, NaN for cells that are not of their column's kind.

    Returns:
        The numbers, and the places of the columns that hold such cells.
    """
    found = np.empty((len(columns[0]) if columns else 0, len(columns)))
    odd: list[int] = []
    for block in blocks(columns, [replace(reader, odd=()) for reader in readers]):
        values, cells = readers[block.places[0]].attempt(block.cells, missing)
        numbers = values.cast(pl.Float64).fill_null(np.nan)
        found[:, block.places] = block.by_column(numbers).T
        wrong = block.any(values.is_null() & cells.is_not_null())
        odd += [block.places[i] for i in np.flatnonzero(wrong)]
    return found, sorted(odd)


def read_texts(columns: Sequence[pl.Series], readers: Sequence[Reader]) -> list[pl.Series]:
    """`Reader.category_text` of each of several columns of one length; "" where missing."""
    found: dict[int, pl.Series] = {}
    for block in blocks(columns, readers):
        text = readers[block.places[0]].category_text(block.cells).fill_null("")
        found.update(zip(block.places, block.parts(text), strict=True))
    return [found[place] for place in range(len(columns))]


def is_usable(column: pl.Series) -> bool:
    """Whether a column holds numbers, text or times."""
    kind = column.dtype
    return kind.is_numeric() or kind in (pl.Boolean, pl.Null, *TEXTS) or kind.is_temporal()


def check_usable(column: pl.Series, where: str) -> None:
    """Refuse a column of lists and the like.

    Raises:
        DataError: it is one.
    """
    if not is_usable(column):
        raise DataError(
            f'{where}: column "{column.name}" must hold numbers, text or dates, '
            f"but holds {column.dtype}"
        )


def check_finite(numbers: pl.Series, cells: pl.Series, where: str, hint: str = "") -> None:
    """Refuse numbers that float32 cannot hold.

    Args:
        numbers: the values of a column, Float64.
        cells: as they stand in the table.
        where: the table's name, which opens the message.
        hint: what ends it.

    Raises:
        DataError: there is one; names its row.
    """
    low, high = numbers.min(), numbers.max()
    if low is not None and (low < -LARGEST or high > LARGEST):  # type: ignore[operator]
        row = int((numbers.abs() > LARGEST).arg_true()[0])
        raise DataError(
            f'{where}: column "{cells.name}" must hold finite numbers up to 3.4e38, '
            f"but row {row + 1:,} holds {cells[row]}{hint}"
        )


def is_empty(column: pl.Series) -> bool:
    """Whether it holds no value at all."""
    return nan_as_null(column).null_count() == len(column)


def nan_as_null(column: pl.Series) -> pl.Series:
    """A missing number is null."""
    if not column.dtype.is_float() or not math.isnan(column.sum()):
        return column  # a sum costs a tenth of looking at each value
    return column.fill_nan(None)


def trimmed(column: pl.Series) -> pl.Series:
    """Text without space around it; an empty one is null."""
    return column.cast(pl.String).str.strip_chars().replace("", None)


def present(column: pl.Series, missing: Sequence[str]) -> pl.Series:
    """Trimmed text of text or numbers; null where it is empty or a missing word."""
    text = typed_text(nan_as_null(column)) if column.dtype.is_numeric() else column
    cells = text.cast(pl.String).to_frame("cells")
    return cells.select_seq(_present(tuple(missing))).to_series().rename(column.name)


@cache
def _present(missing: tuple[str, ...]) -> pl.Expr:
    text = pl.col("cells").str.strip_chars()
    return pl.when(~text.is_in(["", *missing])).then(text)


def without(text: pl.Series, words: Sequence[str]) -> pl.Series:
    """The texts, null where one is among the words."""
    return text.set(text.is_in(list(words)), None) if words else text


def typed_text(column: pl.Series) -> pl.Series:
    """Typed values as the shortest exact text: 7 for 7.0, "true", 2024-02-03."""
    kind = column.dtype
    if kind == pl.Duration:
        column, kind = _number(column), pl.Float64()
    if kind.is_float():
        whole = pl.select(
            pl.when((column == column.floor()) & (column.abs() <= EXACT)).then(column)
        ).to_series()
        return whole.cast(pl.Int64).cast(pl.String).fill_null(column.cast(pl.String))
    if kind in (pl.Date, pl.Datetime):
        return time_text(_microseconds(column)).rename(column.name)
    return column.cast(pl.String)


def text_of_format_1(column: pl.Series, *, whole: bool = True) -> pl.Series:
    """Values as hpo's first format gave them: true for True, times as polars writes them.

    Args:
        column: text or typed values.
        whole: whether 7.0 is 7, as it was where values were compared.
    """
    kind = column.dtype
    if kind.is_numeric() and not kind.is_integer():
        column = column.cast(pl.Float64).fill_nan(None)
    text = trimmed(column)
    text = text.replace({"True": "true", "TRUE": "true", "False": "false", "FALSE": "false"})
    return text.str.replace(r"^(-?[0-9]+)\.0+$", "${1}") if whole else text


def time_text(microseconds: pl.Series) -> pl.Series:
    """Times as the shortest ISO text: the day alone at midnight."""
    times = microseconds.cast(pl.Datetime("us"))
    is_day = times.dt.truncate("1d") == times
    text = times.dt.to_string("%Y-%m-%d %H:%M:%S%.f")
    days = times.dt.to_string("%Y-%m-%d")
    return pl.select(pl.when(is_day).then(days).otherwise(text)).to_series()


def _number(column: pl.Series) -> pl.Series:
    """Typed numbers as Float64; null where they are none, such as dates."""
    if column.dtype == pl.Duration:
        return column.dt.total_microseconds().cast(pl.Float64) / 1e6
    if column.dtype.is_temporal():
        return pl.Series(column.name, [None] * len(column), dtype=pl.Float64)
    return column.cast(pl.Float64)


def _microseconds(column: pl.Series) -> pl.Series:
    """Typed times as Int64 microseconds since 1970 UTC; null for others."""
    if column.dtype == pl.Date:
        column = column.cast(pl.Datetime("us"))
    if column.dtype == pl.Datetime:
        return _instants(column)
    return pl.Series(column.name, [None] * len(column), dtype=pl.Int64)


def _of_day(column: pl.Series) -> pl.Series:
    """Typed times as Int64 microseconds since midnight; null for others."""
    if column.dtype == pl.Time:
        return (column.cast(pl.Int64) // 1000).rename(column.name)
    if column.dtype == pl.Datetime:
        return _instants(column) % DAY_MICROSECONDS
    return pl.Series(column.name, [None] * len(column), dtype=pl.Int64)


def _instants(column: pl.Series) -> pl.Series:
    aware = getattr(column.dtype, "time_zone", None)
    utc = column.dt.convert_time_zone("UTC") if aware else column
    return utc.dt.cast_time_unit("us").cast(pl.Int64)
