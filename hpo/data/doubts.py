"""Cells that may mean something else than what was read, a sentence each."""

from collections.abc import Iterable

import polars as pl

from hpo.config.parsing import format_value
from hpo.config.trial import DataConfig
from hpo.data.cells import DAY_MICROSECONDS, parse_times
from hpo.data.reader import Reader
from hpo.data.table import Table

HALF = 0.5
"""A text column of which so many cells are numbers, or begin with digits, is worth a word."""

MANY = 20
"""Fewer different texts are categories that a person may well have meant."""

COMPACT = (19_000_101, 21_001_231)
"""Whole numbers between these may be dates such as 20240203."""

PLACEHOLDERS = tuple(sign * (10**n - 1) for sign in (1, -1) for n in range(2, 10))
"""Numbers that are written where there is none: 99, -999 and so on."""

USUAL_DAYS = (-62_092, 84_006)
"""Days since 1970 from 1800 to 2200; beyond lie dates that stand for none."""

MIN_SUMMED = 5
"""The last of fewer numbers may be the sum of the others by chance."""

ROUNDED = 1e-4
"""By so much of itself a sum may differ from that of numbers as they are written."""


def doubts(table: Table, data: DataConfig, readers: dict[str, Reader]) -> Iterable[str]:
    """What may have been meant otherwise.

    Args:
        table: the typed table.
        data: what the study says of it; what it says is beyond doubt.
        readers: of the columns that are looked at.
    """
    yield from _total(table, readers)
    for name, reader in readers.items():
        if reader.kind == "category" and name != data.split.column:
            yield from _spelled_alike(table.frame[name])
    settled = {*data.categorical, *data.numeric, data.target, data.split.column}
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
    """A last row of sums."""
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
    if last is None or int((others != 0).sum()) < MIN_SUMMED:
        return False
    is_apart = (others.abs() < abs(last)).all()
    return is_apart and bool(abs(last - others.sum()) <= ROUNDED * abs(last))


def _spelled_alike(column: pl.Series) -> Iterable[str]:
    """Texts that differ in capitals or in the width of spaces alone."""
    texts = column.drop_nulls().unique().sort()
    folded = texts.str.to_lowercase().str.replace_all(r"\s+", " ")
    if folded.n_unique() == len(folded):
        return
    first, second = texts.filter(folded == folded.filter(folded.is_duplicated())[0])[:2]
    yield (
        f"column {format_value(column.name)}: {format_value(first)} and {format_value(second)} "
        "differ in capitals or spaces alone, and are different categories"
    )


def _texts(column: pl.Series, reader: Reader) -> Iterable[str]:
    """Texts of which many are numbers, or begin with digits, or are beyond float64."""
    where = f"column {format_value(column.name)}"
    if reader.whole:
        yield (
            f"{where}: holds whole numbers beyond 2^53, so it is read as text; "
            "data.numeric reads it as numbers all the same"
        )
        return
    is_number = column.cast(pl.Float64, strict=False).is_not_null()
    n = int(is_number.sum())
    if HALF * len(column) <= n < len(column):
        word = column.filter(~is_number)[0]
        yield (
            f"{where}: {n / len(column):.0%} of its cells are numbers, others are "
            f"such as {format_value(word)}: read as categories; data.numeric reads it as numbers"
        )
        return
    begins = column.str.contains(r"^[^\w]*[0-9]")
    if int(begins.sum()) >= HALF * len(column) and column.n_unique() > MANY:
        yield (
            f"{where}: its texts begin with digits, such as "
            f"{format_value(column.filter(begins)[0])}, but are no numbers or dates "
            "as they stand: read as categories"
        )


def _numbers(column: pl.Series) -> Iterable[str]:
    where = f"column {format_value(column.name)}"
    if _may_be_dates(column):
        yield (
            f"{where}: its whole numbers, such as {column[0]}, may be dates: read as numbers; "
            "data.dates reads them as dates"
        )
    for value in _apart(column):
        if value in PLACEHOLDERS:
            yield _far(where, f"{value:.0f}", int((column == value).sum()), "numbers")


def _may_be_dates(column: pl.Series) -> bool:
    if not column.dtype.is_integer() or column.is_empty():
        return False
    low, high = column.min(), column.max()
    if low < COMPACT[0] or high > COMPACT[1]:  # type: ignore[operator]
        return False
    values = column.unique().cast(pl.String)
    return len(values) > 1 and parse_times(values, "compact").null_count() == 0


def _far_dates(column: pl.Series) -> Iterable[str]:
    first, last = (day * DAY_MICROSECONDS for day in USUAL_DAYS)
    times = column.cast(pl.Int64)
    for value in _apart(times):
        if not first <= value <= last:
            n = int((times == value).sum())
            day = pl.Series([value]).cast(pl.Int64).cast(pl.Datetime("us")).dt.to_string("%Y-%m-%d")
            yield _far(f"column {format_value(column.name)}", day[0], n, "dates")


def _apart(column: pl.Series) -> Iterable[float]:
    """The least and the greatest value, where it lies further off than all others are wide."""
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
        f"{where}: {value} stands in {rows}, far from all other {what}: where it says that a value "
        "is missing, leave the cell empty"
    )
