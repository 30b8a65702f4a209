"""Parse CSV and TSV into columns of text, with the separator detected from the file."""

import codecs
import csv
import io
import re
from contextlib import suppress
from typing import Any

import polars as pl

from hpo.config.errors import DataError
from hpo.config.parsing import format_value

_SEPARATORS = (",", ";", "\t", "|")

_N_LINES = 50
"""Number of lines that the separator is detected from."""


def parse(
    content: bytes, where: str, separator: str | None, usual: str
) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """Parse a table whose first line holds the column names; each cell is text, null if empty.

    Args:
        content: UTF-8, or UTF-16 with a byte order mark. Blank lines around the table are ignored.
        where: the table's name, which opens each message.
        separator: the cell separator; None detects it from the file.
        usual: the usual separator for this file extension, preferred if several fit.

    Returns:
        The table, and notes on rows that are shorter than the header or repeat it.

    Raises:
        DataError: the content is not such text, a row is longer than the header, or two columns
            have the same name.
    """
    content = _as_utf8(content, where).lstrip(b"\r\n")
    content, named = _without_sep_line(content)
    separator = separator or named or _find_separator(content, usual)
    options: dict[str, Any] = {"separator": separator, "infer_schema": False}
    try:
        header = pl.read_csv(content, has_header=False, n_rows=1, **options)
        names = [name or "" for name in header.row(0)]
        check_names(names, where)
        if len(names) > 1:  # in a single column, blank lines are missing values
            content = content.rstrip(b"\r\n")
        frame = pl.read_csv(content, **options)
        frame.columns = names  # polars leaves quotes doubled in a header
    except pl.exceptions.NoDataError:
        raise DataError(f"{where}: is empty") from None
    except pl.exceptions.PolarsError:
        frame = _parse_rows(content, separator, where)
    return frame, (*_short_rows(content, separator, frame), *_repeated_header(frame))


def check_names(names: list[str], where: str) -> None:
    """Refuse column names that are ambiguous.

    Raises:
        DataError: two names are equal, or a name is a polars pattern (^...$).
    """
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        named = f"named {format_value(twice)}" if twice else "without a name"
        hint = "" if twice else ": is its header another line?"
        raise DataError(f"{where}: has two columns {named}{hint}")
    for name in names:
        if name.startswith("^") and name.endswith("$"):
            raise DataError(
                f"{where}: has a column named {format_value(name)}: a name must not both "
                "begin with ^ and end with $"
            )


def _find_separator(content: bytes, usual: str) -> str:
    """The mark that occurs in the header and equally often in each of the first lines.

    Quoted text is ignored. If several marks qualify, the usual one wins, then the most frequent.
    """
    lines = _first_lines(content)
    counts = {mark: [line.count(mark) for line in lines] for mark in _SEPARATORS}
    steady = {mark: n[0] for mark, n in counts.items() if len(set(n)) == 1 and n[0]}
    if usual in steady:
        # One comma per line may be the decimal mark of the only number.
        others = {mark: n for mark, n in steady.items() if n > steady[usual]}
        return max(others, key=lambda mark: others[mark]) if others else usual
    in_header = {mark: n[0] for mark, n in counts.items() if n and n[0]}
    if not steady and usual in in_header:
        return usual
    found = steady or in_header
    return max(found, key=lambda mark: found[mark], default=usual)


def _first_lines(content: bytes) -> list[str]:
    """The first lines, without quoted text."""
    start = content[: 2**16]
    text = start.decode(errors="ignore")
    rows = re.sub(r'(?<![^,;|\t\r\n])"(?:[^"]|"")*"', "", text).splitlines()
    if len(start) < len(content):
        rows = rows[:-1] or rows  # the last one is cut off
    return [row for row in rows[:_N_LINES] if row.strip()]


def _short_rows(content: bytes, separator: str, frame: pl.DataFrame) -> tuple[str, ...]:
    """A note on rows with fewer cells than the header; such rows lack the last column."""
    if frame.width < 2 or not frame.to_series(-1).null_count():
        return ()
    text = io.StringIO(content.decode(), newline="")
    rows = csv.reader(text, delimiter=separator)
    short: list[int] = []
    with suppress(csv.Error):  # a cell longer than Python's limit, which polars reads
        short += [at for at, row in enumerate(rows) if len(row) < frame.width]
    if not short:
        return ()
    rows_are = "1 row is" if len(short) == 1 else f"{len(short):,} rows are"
    which = "row" if len(short) == 1 else "first row"
    return (
        f"{rows_are} shorter than the header, {which} {short[0]:,}: "
        "the absent cells count as missing",
    )


def _repeated_header(frame: pl.DataFrame) -> tuple[str, ...]:
    """A note on rows that repeat the header, as in concatenated files."""
    names = tuple(frame.columns)
    likely = (frame.to_series(0) == names[0]).arg_true()
    rows = [row + 1 for row in likely if frame.row(row) == names]
    if not rows or len(names) < 2:
        return ()
    if len(rows) == 1:
        return (f"row {rows[0]:,} repeats the header: remove it",)
    return (f"{len(rows):,} rows repeat the header, first row {rows[0]:,}: remove them",)


def _as_utf8(content: bytes, where: str) -> bytes:
    """UTF-8 without a byte order mark; spreadsheets save "Unicode text" as UTF-16."""
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        try:
            content = content.decode("utf-16").encode()
        except UnicodeDecodeError:
            raise DataError(f"{where}: cannot be parsed: is broken UTF-16") from None
    if b"\0" in content:
        raise DataError(f"{where}: must be text in UTF-8, but holds bytes of zero")
    return content.removeprefix(codecs.BOM_UTF8)


def _without_sep_line(content: bytes) -> tuple[bytes, str | None]:
    """Strip a first line `sep=;`, as spreadsheets write, and return its separator."""
    if found := re.match(rb"\"?sep=([,;|\t])\"?\r?\n", content):
        return content[found.end() :].lstrip(b"\r\n"), found[1].decode()
    return content, None


def _parse_rows(content: bytes, separator: str, where: str) -> pl.DataFrame:
    """Parse with Python's csv module, which accepts stray quotes such as those of inches.

    Raises:
        DataError: the text cannot be parsed; the message names the line.
    """
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        line, byte = content.count(b"\n", 0, error.start) + 1, content[error.start]
        raise DataError(
            f"{where}: must be text in UTF-8, but line {line} holds the byte 0x{byte:02x}"
        ) from None
    rows = csv.reader(
        io.StringIO(text.rstrip("\r\n"), newline=""), delimiter=separator, strict=True
    )
    cells: list[list[str | None]] = []
    try:
        names = next(rows)
        for row in rows:
            if len(row) > len(names):
                header = format_value(names[0]) + (" and so on" if len(names) > 1 else "")
                raise DataError(
                    f"{where}: line {rows.line_num} has {len(row)} cells, but the header, "
                    f"{header}, has {len(names)}"
                )
            cells.append([cell or None for cell in row] + [None] * (len(names) - len(row)))
    except csv.Error as error:
        raise DataError(
            f"{where}: line {rows.line_num} cannot be parsed, perhaps for its quotes: {error}"
        ) from None
    check_names(names, where)
    return pl.DataFrame(cells, schema=dict.fromkeys(names, pl.String), orient="row")
