"""Notes on cells whose value is doubtful."""

from collections.abc import Iterable

import polars as pl

from hpo.config.parsing import format_value
from hpo.config.trial import DataConfig
from hpo.data.cells import DAY_MICROSECONDS, parse_times
from hpo.data.reader import Reader
from hpo.data.table import Table

_HALF = 0.5
"""Minimum share of numbers, or of texts that begin with a digit, in a doubtful text column."""

_MANY = 20
"""Up to this many distinct texts are taken for intended categories."""

_COMPACT = (19_000_101, 21_001_231)
"""Integers in this interval may be dates such as 20240203."""

_PLACEHOLDERS = tuple(sign * (10**n - 1) for sign in (1, -1) for n in range(2, 10))
"""Numbers that often mean a missing value: 99, -999 and so on."""

_USUAL_DAYS = (-62_092, 84_006)
"""The years 1800 to 2200 in days since 1970; dates beyond often mean a missing value."""

_MIN_SUMMED = 5
"""The last of fewer numbers may be the sum of the others by chance."""

_ROUNDED = 1e-4
"""Maximum relative difference between a total and the sum of rounded numbers."""


def doubts(table: Table, data: DataConfig, readers: dict[str, Reader]) -> Iterable[str]:
    """Notes on doubtful cells.

    Args:
        table: the typed table.
        data: the study's `[data]`; what it declares is not doubted.
        readers: the readers of the columns to check.
    """
    yield from _total(table, readers)
    for name, reader in readers.items():
        if reader.kind == "category" and name != data.split.column:
            yield from _spelled_alike(table.frame[name])
    settled = {*data.categorical, *data.numeric, data.target, data.weight}
    settled |= {data.split.column, data.split.groups}
    for name, reader in readers.items():
        if name in settled:
            continue
        column = table.frame[name].drop_nulls()
        if reader.kind == "category":
            yield from _texts(column, reader)
        elif column.dtype == pl.Datetime:
            yield from _far_dates(column)
        else:
            yield from _numbers(column)


def _total(table: Table, readers: Iterable[str]) -> Iterable[str]:
    """A last row that holds the sums of the others."""
    for name in readers:
        column = table.frame[name]
        if column.dtype.is_numeric() and _ends_in_sum(column.cast(pl.Float64)):
            yield (
                f"column {format_value(name)}: its last row, {len(column):,}, holds the sum of all "
                "others: if that is a total, remove the row"
            )
            return


def _ends_in_sum(numbers: pl.Series) -> bool:
    last, others = numbers[-1], numbers[:-1].drop_nulls()
    if last is None or int((others != 0).sum()) < _MIN_SUMMED:
        return False
    is_apart = (others.abs() < abs(last)).all()
    return is_apart and bool(abs(last - others.sum()) <= _ROUNDED * abs(last))


def _spelled_alike(column: pl.Series) -> Iterable[str]:
    """Texts that differ only in case or in spaces."""
    texts = column.drop_nulls().unique().sort()
    folded = texts.str.to_lowercase().str.replace_all(r"\s+", " ")
    if folded.n_unique() == len(folded):
        return
    first, second = texts.filter(folded == folded.filter(folded.is_duplicated())[0])[:2]
    yield (
        f"column {format_value(column.name)}: {format_value(first)} and {format_value(second)} "
        "differ in case or spaces alone, and are different categories"
    )


def _texts(column: pl.Series, reader: Reader) -> Iterable[str]:
    """Texts that are integers beyond float64, or many of which are numbers or begin with digits."""
    where = f"column {format_value(column.name)}"
    if reader.whole:
        yield (
            f"{where}: holds integers beyond 2^53, so it is read as text; "
            "data.numeric reads it as numbers"
        )
        return
    is_number = column.cast(pl.Float64, strict=False).is_not_null()
    n = int(is_number.sum())
    if _HALF * len(column) <= n < len(column):
        word = column.filter(~is_number)[0]
        yield (
            f"{where}: {n / len(column):.0%} of its cells are numbers, but not "
            f"{format_value(word)}: read as categories; data.numeric reads it as numbers"
        )
        return
    begins = column.str.contains(r"^[^\w]*[0-9]")
    if int(begins.sum()) >= _HALF * len(column) and column.n_unique() > _MANY:
        yield (
            f"{where}: its texts begin with digits, such as "
            f"{format_value(column.filter(begins)[0])}, but are not "
            "numbers or dates: read as categories"
        )


def _numbers(column: pl.Series) -> Iterable[str]:
    where = f"column {format_value(column.name)}"
    if _may_be_dates(column):
        yield (
            f"{where}: its integers, such as {column[0]}, may be dates: read as numbers; "
            "data.dates reads them as dates"
        )
    for value in _apart(column):
        if value in _PLACEHOLDERS:
            yield _far(where, f"{value:.0f}", int((column == value).sum()), "numbers")


def _may_be_dates(column: pl.Series) -> bool:
    if not column.dtype.is_integer() or column.is_empty():
        return False
    low, high = column.min(), column.max()
    if low < _COMPACT[0] or high > _COMPACT[1]:  # type: ignore[operator]
        return False
    values = column.unique().cast(pl.String)
    return len(values) > 1 and parse_times(values, "compact").null_count() == 0


def _far_dates(column: pl.Series) -> Iterable[str]:
    first, last = (day * DAY_MICROSECONDS for day in _USUAL_DAYS)
    times = column.cast(pl.Int64)
    for value in _apart(times):
        if not first <= value <= last:
            n = int((times == value).sum())
            day = pl.Series([value]).cast(pl.Int64).cast(pl.Datetime("us")).dt.to_string("%Y-%m-%d")
            yield _far(f"column {format_value(column.name)}", day[0], n, "dates")


def _apart(column: pl.Series) -> Iterable[float]:
    """The minimum and maximum if farther from the other values than those are from each other."""
    ends = column.unique().sort()
    if len(ends) < 3 or not ends.dtype.is_numeric():
        return
    values = ends.cast(pl.Float64)
    if values[1] - values[0] > values[-1] - values[1]:
        yield values[0]
    if values[-1] - values[-2] > values[-2] - values[0]:
        yield values[-1]


def _far(where: str, value: str, n: int, what: str) -> str:
    rows = "1 row" if n == 1 else f"{n:,} rows"
    return (
        f"{where}: {value} occurs in {rows}, far from all other {what}: if it means a missing "
        "value, leave the cell empty"
    )
