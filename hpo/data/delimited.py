"""CSV and TSV to columns of text, by the separator that the file shows."""

import codecs
import csv
import io
import re
from contextlib import suppress
from typing import Any

import polars as pl

from hpo.config.errors import DataError
from hpo.config.parsing import format_value

SEPARATORS = (",", ";", "\t", "|")


N_LINES = 50
"""Lines of a file that are looked at for its separator."""


def parse(
    content: bytes, where: str, separator: str | None, usual: str
) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """Read a table whose first line names its columns; every cell is text, an empty one null.

    Args:
        content: UTF-8, or UTF-16 with its mark. A byte order mark and blank lines around the table
            do not count.
        where: the table's name, which opens each message.
        separator: between cells; found from the file where it is None.
        usual: the separator of files of this name, where others fit no better.

    Returns:
        The table, and notes on rows that are shorter than the header or repeat it.

    Raises:
        DataError: it is no such text, a row is longer than the header, or two columns have one
            name.
    """
    content = _as_utf8(content, where).lstrip(b"\r\n")
    content, named = _without_note(content)
    separator = separator or named or find_separator(content, usual)
    options: dict[str, Any] = {"separator": separator, "infer_schema": False}
    try:
        header = pl.read_csv(content, has_header=False, n_rows=1, **options)
        names = [name or "" for name in header.row(0)]
        check_names(names, where)
        if len(names) > 1:  # in a single column, blank lines are missing values
            content = content.rstrip(b"\r\n")
        frame = pl.read_csv(content, **options)
        frame.columns = names  # as cells are read: polars leaves quotes in a header doubled
    except pl.exceptions.NoDataError:
        raise DataError(f"{where}: is empty") from None
    except pl.exceptions.PolarsError:
        frame = _with_loose_quotes(content, separator, where)
    if b"\0" in content:
        raise DataError(f"{where}: {_mistake(content, separator)}")
    return frame, (*_short_rows(content, separator, frame), *_repeated_header(frame))


def find_separator(content: bytes, usual: str) -> str:
    """What stands between the cells of a text.

    It is in the header, and as often in each of the first lines, outside quotes. Where several
    are, the usual one is taken, and otherwise the most frequent.
    """
    lines = _first_lines(content)
    counts = {mark: [line.count(mark) for line in lines] for mark in SEPARATORS}
    steady = {mark: n[0] for mark, n in counts.items() if len(set(n)) == 1 and n[0]}
    if usual in steady:
        # A comma a line may be the decimal mark of the one number in it.
        others = {mark: n for mark, n in steady.items() if n > steady[usual]}
        return max(others, key=lambda mark: others[mark]) if others else usual
    if steady:
        return max(steady, key=lambda mark: steady[mark])
    in_header = {mark: n[0] for mark, n in counts.items() if n and n[0]}
    if usual in in_header or not in_header:
        return usual
    return max(in_header, key=lambda mark: in_header[mark])


def _first_lines(content: bytes) -> list[str]:
    """The first rows, what is quoted left out."""
    start = content[: 2**16]
    text = start.decode(errors="ignore")
    rows = re.sub(r'(?<![^,;|\t\r\n])"(?:[^"]|"")*"', "", text).splitlines()
    if len(start) < len(content):
        rows = rows[:-1] or rows  # the last one is cut off
    return [row for row in rows[:N_LINES] if row.strip()]


def _short_rows(content: bytes, separator: str, frame: pl.DataFrame) -> tuple[str, ...]:
    """A note on rows with fewer cells than the header; the last column has gaps there."""
    if frame.width < 2 or not frame.to_series(-1).null_count():
        return ()
    text = io.StringIO(content.decode(), newline="")
    rows = csv.reader(text, delimiter=separator)
    short: list[int] = []
    with suppress(csv.Error):  # of a cell beyond its limit, which polars reads
        short += [at for at, row in enumerate(rows) if len(row) < frame.width]
    if not short:
        return ()
    rows_are = "1 row is" if len(short) == 1 else f"{len(short):,} rows are"
    which = "row" if len(short) == 1 else "first row"
    return (
        f"{rows_are} shorter than the header, {which} {short[0]:,}: "
        "the cells that lack count as missing",
    )


def _repeated_header(frame: pl.DataFrame) -> tuple[str, ...]:
    """A note on rows that hold the columns' names, as where files were put together."""
    names = tuple(frame.columns)
    likely = (frame.to_series(0) == names[0]).arg_true()
    rows = [row + 1 for row in likely if frame.row(row) == names]
    if not rows or len(names) < 2:
        return ()
    if len(rows) == 1:
        return (f"row {rows[0]:,} repeats the header: remove it",)
    return (f"{len(rows):,} rows repeat the header, first row {rows[0]:,}: remove them",)


def _as_utf8(content: bytes, where: str) -> bytes:
    """Without its byte order mark; what spreadsheets save as "Unicode text" is UTF-16."""
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        try:
            return content.decode("utf-16").encode()
        except UnicodeDecodeError:
            raise DataError(f"{where}: cannot be parsed: is broken UTF-16") from None
    return content.removeprefix(codecs.BOM_UTF8)


def _without_note(content: bytes) -> tuple[bytes, str | None]:
    """The text after a first line such as sep=; that spreadsheets write, and what it names."""
    if found := re.match(rb"\"?sep=([,;|\t])\"?\r?\n", content):
        return content[found.end() :].lstrip(b"\r\n"), found[1].decode()
    return content, None


def check_names(names: list[str], where: str) -> None:
    """Refuse a table whose columns cannot be told apart by name.

    Raises:
        DataError: two have one name, or one is named as polars writes a pattern of names.
    """
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        which = (
            f"named {format_value(twice)}"
            if twice
            else "without a name: is its header another line?"
        )
        raise DataError(f"{where}: has two columns {which}")
    for name in names:
        if name.startswith("^") and name.endswith("$"):
            raise DataError(
                f"{where}: has a column named {format_value(name)}: a name must not both "
                "begin with ^ and end with $"
            )


def _with_loose_quotes(content: bytes, separator: str, where: str) -> pl.DataFrame:
    """A table whose cells may hold quotes that begin none, such as those of inches.

    Raises:
        DataError: it is no such table either, or has columns of one name.
    """
    if why := _mistake(content, separator):
        raise DataError(f"{where}: {why}")
    text = io.StringIO(content.decode().rstrip("\r\n"), newline="")
    names, *rows = csv.reader(text, delimiter=separator)
    check_names(names, where)
    width = len(names)
    cells = [[cell or None for cell in row] + [None] * (width - len(row)) for row in rows]
    columns = zip(*cells, strict=True) if cells else [()] * width
    return pl.DataFrame(
        {
            name: pl.Series(column, dtype=pl.String)
            for name, column in zip(names, columns, strict=True)
        }
    )


def _mistake(content: bytes, separator: str) -> str:
    """What a person can mend in a text that is no table; empty where there is nothing."""
    if b"\0" in content:
        return "must be text in UTF-8, but holds bytes of zero"
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        line, byte = content.count(b"\n", 0, error.start) + 1, content[error.start]
        return f"must be text in UTF-8, but line {line} holds the byte 0x{byte:02x}"
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    try:
        header = next(rows, [])
        for row in rows:
            if len(row) > len(header):
                first = (
                    f"{format_value(header[0])} and so on"
                    if len(header) > 1
                    else format_value(header[0])
                )
                return (
                    f"line {rows.line_num} has {len(row)} cells, but the header, {first}, "
                    f"has {len(header)}"
                )
    except csv.Error as error:
        return f"line {rows.line_num} cannot be parsed, perhaps for its quotes: {error}"
    return ""
