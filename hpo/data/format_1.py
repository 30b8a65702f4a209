"""Tables in format 1: a column is numeric if all its cells are numbers, otherwise text.

Studies and trial configurations of that time hold the fingerprint of such a table.
"""

from pathlib import Path

import polars as pl

from hpo.config.errors import DataError
from hpo.config.trial import DataConfig
from hpo.data.reader import MISSING, TEXTS, text_of_format_1, words_as_null
from hpo.data.sources import RawTable, read_raw
from hpo.data.table import Table, typed_table

_POSTCODE = r"^[+-]?0\d"
"""Codes such as 01234 are not numbers."""


def read_recorded(data: DataConfig, base: Path) -> Table:
    """Read the table of a recorded `[data]` in the format that its fingerprint was computed in.

    Args:
        data: `[data]` with a fingerprint.
        base: the folder that relative paths start from.

    Returns:
        The table, in the current format if the fingerprint matches no format.

    Raises:
        DataError: the table cannot be read, or its cells can be read in two ways.
    """
    raw = read_raw(data.source, base, separator=data.separator)
    try:
        table = typed_table(raw, data)
    except DataError:
        if (old := table_of_format_1(raw)).fingerprint() == data.fingerprint:
            return old
        raise
    names_a_class = data.task != "binary" or data.positive is not None  # later formats do
    if not data.fingerprint or (names_a_class and table.fingerprint() == data.fingerprint):
        return table
    old = table_of_format_1(raw)
    return old if old.fingerprint() == data.fingerprint else table


def table_of_format_1(raw: RawTable) -> Table:
    """Type a raw table in format 1."""
    columns = [_parsed(each) if raw.is_text else _typed(each) for each in raw.frame.get_columns()]
    return Table.of_format_1(pl.DataFrame(columns))


def _parsed(column: pl.Series) -> pl.Series:
    """A column of a text file."""
    text = _clean(column)
    if text.str.contains(_POSTCODE).any():
        return text
    return _as_numbers(text)


def _typed(column: pl.Series) -> pl.Series:
    """A column of typed values, without its values if they are neither numbers, text nor times."""
    dtype = column.dtype
    if dtype.is_integer():
        return _as_numbers(column)
    if dtype.is_numeric() or dtype == pl.Null:
        return column.cast(pl.Float64).fill_nan(None)
    if dtype in (*TEXTS, pl.Boolean, pl.Date, pl.Datetime, pl.Time):
        return _clean(column)
    return column.clear(len(column))


def _clean(column: pl.Series) -> pl.Series:
    return words_as_null(text_of_format_1(column, whole=False), MISSING)


def _as_numbers(column: pl.Series) -> pl.Series:
    """Cast to Int64 or Float64, if one of them can hold all values."""
    for dtype in (pl.Int64, pl.Float64):
        cast = column.cast(dtype, strict=False)
        if cast.null_count() == column.null_count():
            return cast
    return column
