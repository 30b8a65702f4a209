"""CSV and TSV to columns of text, and what is wrong with one that cannot be read.

Does not know: files, kinds of columns, missing values.
"""

import codecs
import csv
import io
from contextlib import suppress
from typing import Any

import polars as pl

from hpo.errors import DataError, first_line

SEPARATORS = {",": "commas", "\t": "tabs", ";": "semicolons", "|": "bars"}


def parse(content: bytes, separator: str, where: str) -> pl.DataFrame:
    """Read a table whose first line names its columns; every cell is text, an empty one null.

    Args:
        content: UTF-8. A byte order mark and blank lines around the table do not count.
        separator: between cells.
        where: the table's name, which opens each message.

    Raises:
        DataError: it is no such text, a row is longer than the header, or two columns have one
            name.
    """
    content = content.removeprefix(codecs.BOM_UTF8).lstrip(b"\r\n")
    options: dict[str, Any] = {"separator": separator, "infer_schema": False}
    try:
        header = pl.read_csv(content, has_header=False, n_rows=1, **options)
        names = [name or "" for name in header.row(0)]
        check_names(names, where)
        if len(names) > 1:  # in a single column, blank lines are missing values
            content = content.rstrip(b"\r\n")
        frame = pl.read_csv(content, **options)
    except pl.exceptions.PolarsError as error:
        why = _mistake(content, separator) or f"cannot be parsed: {first_line(error)}"
        raise DataError(f"{where}: {why}") from None
    if b"\0" in content or (len(names) == 1 and _other_separator(content, separator)):
        raise DataError(f"{where}: {_mistake(content, separator)}")
    frame.columns = names  # as cells are read: polars leaves quotes in a header doubled
    return frame


def check_names(names: list[str], where: str) -> None:
    """Refuse a table of which two columns have one name.

    Raises:
        DataError: they have.
    """
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise DataError(f'{where}: has two columns named "{twice}"')


def _mistake(content: bytes, separator: str) -> str:
    """What a person can mend in a text that is no table; empty where it is not known."""
    if b"\0" in content:
        return "must be text in UTF-8, but holds bytes of zero"
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        line, byte = content.count(b"\n", 0, error.start) + 1, content[error.start]
        return f"must be text in UTF-8, but line {line} holds the byte 0x{byte:02x}"
    if other := _other_separator(content, separator):
        return f"must have {SEPARATORS[separator]} between its cells, but has {SEPARATORS[other]}"
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    with suppress(csv.Error):
        n_columns = len(next(rows, []))
        for row in rows:
            if len(row) > n_columns:
                return f"line {rows.line_num} has {len(row)} cells, but the header {n_columns}"
    return ""


def _other_separator(content: bytes, separator: str) -> str:
    """What stands between cells instead, if the first two lines agree in that."""
    first, second = [*content.split(b"\n", 2), b""][:2]
    if separator.encode() in first:
        return ""
    counts = {other: first.count(other.encode()) for other in SEPARATORS}
    most = max(counts, key=lambda other: counts[other])
    return most if counts[most] and second.count(most.encode()) == counts[most] else ""
