"""Tables as hpo's first format typed them: numbers where every cell of a column is one, else text.

What was made in that format, such as a study or a trial's configuration, names its table by the
fingerprint of what came of that.
"""

from pathlib import Path

import polars as pl

from hpo.config.errors import DataError
from hpo.config.trial import DataConfig
from hpo.data.reader import MISSING, TEXTS, text_of_format_1, without
from hpo.data.sources import RawTable, read_raw
from hpo.data.table import Table, typed_table

POSTCODE = r"^[+-]?0\d"
"""01234 was no number."""


def read_recorded(data: DataConfig, base: Path) -> Table:
    """Read the table that a fingerprint was taken of, as it was read then.

    Args:
        data: where it is, what is said of its columns, and the fingerprint.
        base: the folder that a relative path starts from.

    Returns:
        The table; where the fingerprint is of no reading, that of today.

    Raises:
        DataError: it cannot be read, or its cells can be read in two ways.
    """
    raw = read_raw(data.source, base, separator=data.separator)
    try:
        table = typed_table(raw, data)
    except DataError:
        if (old := table_of_format_1(raw)).fingerprint() == data.fingerprint:
            return old
        raise
    names_a_class = data.task != "binary" or data.positive is not None  # as later formats do
    if not data.fingerprint or (names_a_class and table.fingerprint() == data.fingerprint):
        return table
    old = table_of_format_1(raw)
    return old if old.fingerprint() == data.fingerprint else table


def table_of_format_1(raw: RawTable) -> Table:
    """Type a raw table as the first format did."""
    columns = [_parsed(each) if raw.is_text else _typed(each) for each in raw.frame.get_columns()]
    return Table.of_format_1(pl.DataFrame(columns))


def _parsed(column: pl.Series) -> pl.Series:
    """A column of a text file."""
    text = _clean(column)
    if text.str.contains(POSTCODE).any():
        return text
    return _lossless(text, pl.Int64, pl.Float64)


def _typed(column: pl.Series) -> pl.Series:
    """A column of typed values; of one that is of no use, only its name and its kind are kept."""
    kind = column.dtype
    if kind.is_integer():
        return _lossless(column, pl.Int64, pl.Float64)
    if kind.is_numeric() or kind == pl.Null:
        return column.cast(pl.Float64).fill_nan(None)
    if kind in (*TEXTS, pl.Boolean, pl.Date, pl.Datetime, pl.Time):
        return _clean(column)
    return column.clear(len(column))


def _clean(column: pl.Series) -> pl.Series:
    return without(text_of_format_1(column, whole=False), MISSING)


def _lossless(column: pl.Series, *kinds: type[pl.DataType]) -> pl.Series:
    """The column in the first of the kinds that holds each of its values, or as it is."""
    for kind in kinds:
        cast = column.cast(kind, strict=False)
        if cast.null_count() == column.null_count():
            return cast
    return column
