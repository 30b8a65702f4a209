"""Typed tables: columns of one kind each, and their readers for later cells.

A typed column holds numbers (Int64, Float64 or Boolean), text (String) or times (Datetime in UTC);
a missing value is null. A column of other values, such as lists, is kept without its values.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import polars as pl

from hpo.config.errors import DataError, InputError
from hpo.config.parsing import parse_json
from hpo.config.trial import DataConfig
from hpo.data.blocks import Block, blocks
from hpo.data.kinds import choose_readers, missing_words
from hpo.data.reader import (
    MAX_ODD,
    TEXTS,
    USUAL,
    Odd,
    Reader,
    check_finite,
    is_usable,
    non_missing_text,
    words_as_null,
)
from hpo.data.sources import RawTable, read_parquet, read_raw, write_parquet

_METADATA_KEY = "hpo"
"""The key of a stored table's metadata, which holds the readers. Format 1 has no metadata."""

_FORMAT = 2
"""Version of a typed table. Version 1 has numbers and text without readers; both are read."""

_NAME_AS_MISSING = "; name it in data.missing to count it as missing"


@dataclass(frozen=True, kw_only=True)
class Table:
    """A typed table.

    Attributes:
        frame: the columns.
        readers: the readers of the usable columns, by name.
        missing: words that mean a missing value in a text file.
        format: the version of the table, 1 or 2.
        notes: sentences on oddities of the file.
    """

    frame: pl.DataFrame
    readers: Mapping[str, Reader]
    missing: tuple[str, ...] = ()
    format: int = _FORMAT
    notes: tuple[str, ...] = ()

    def fingerprint(self) -> str:
        """SHA-256 of the names, kinds and values of the columns in their order, in hex.

        It does not depend on the file format; 1 and 1.0 are the same. It includes readers that
        change the values of later cells, for example of decimal commas.
        """
        digest = hashlib.sha256(f"{self.frame.height}".encode())
        for column in self.frame.get_columns():
            _add(digest, column)
        for name, tree in self._reading().items():
            digest.update(f"\0{name}\0{json.dumps(tree, sort_keys=True)}".encode())
        return digest.hexdigest()

    def write(self, file: Path | BinaryIO) -> None:
        """Write the table as Parquet.

        Raises:
            OSError: the file cannot be written.
        """
        trees = {reader: asdict(reader) for reader in set(self.readers.values())}
        readers = {name: trees[reader] for name, reader in self.readers.items()}
        about = {
            "format": self.format,
            "missing": self.missing,
            "readers": readers,
            "notes": self.notes,
        }
        metadata = None if self.format == 1 else {_METADATA_KEY: json.dumps(about)}
        write_parquet(self.frame, file, metadata)

    @classmethod
    def read(cls, path: Path) -> "Table":
        """Read a file that `write` of this or an earlier version wrote.

        Raises:
            DataError: the file is not such a table, or is incomplete.
            OSError: the file cannot be read.
        """
        frame = read_parquet(path, str(path))
        metadata = pl.read_parquet_metadata(path).get(_METADATA_KEY)
        if metadata is None:
            return cls.of_format_1(frame)
        try:
            about: _About = parse_json(_About, metadata, str(path))
        except InputError as error:
            raise DataError(str(error)) from None
        return cls(frame=frame, readers=about.readers, missing=about.missing, notes=about.notes)

    @classmethod
    def of_format_1(cls, frame: pl.DataFrame) -> "Table":
        """A table of format 1: numbers and text, before columns had readers."""
        readers = {
            column.name: Reader(
                kind="category" if column.dtype == pl.String else "number", legacy=True
            )
            for column in frame.get_columns()
            if is_usable(column)
        }
        return cls(frame=frame, readers=readers, format=1)

    def _reading(self) -> dict[str, Any]:
        """Properties of the readers that the typed values do not show, by column."""
        if self.format == 1:
            return {}
        unusual = {n: _unusual(r) for n, r in self.readers.items() if r not in USUAL}
        return {name: tree for name, tree in unusual.items() if tree}


@dataclass(frozen=True, kw_only=True)
class _About:
    """The metadata of a stored table."""

    format: int
    missing: tuple[str, ...] = ()
    readers: dict[str, Reader] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def read_table(data: DataConfig, base: Path) -> Table:
    """Read the table of a study, and choose the readers of its columns.

    Args:
        data: the study's `[data]`.
        base: the folder that relative paths start from.

    Raises:
        DataError: the table cannot be read, or its cells can be read in two ways.
    """
    return typed_table(read_raw(data.source, base, separator=data.separator), data)


def typed_table(raw: RawTable, data: DataConfig) -> Table:
    """Choose the readers of a raw table, and read its cells.

    Raises:
        DataError: a column's cells can be read in two ways, or a number is infinite.
    """
    readers = choose_readers(raw.frame, data, raw.where)
    missing = missing_words(data)
    given = [column for column in raw.frame.get_columns() if column.name in readers]
    typed: dict[str, pl.Series] = {}
    for block in blocks(given, [readers[column.name] for column in given]):
        some = [given[place] for place in block.places]
        reader = readers[some[0].name]
        read = _typed(block, reader, missing, is_text=raw.is_text)
        for column, (values, odd) in zip(some, read, strict=True):
            if (
                column.name == data.target and column.dtype in TEXTS
            ):  # for the error on a missing target
                odd = odd_cells(values, non_missing_text(column, ()))
            typed[column.name] = values.rename(column.name)
            readers[column.name] = replace(reader, odd=odd) if odd else reader
    dropped = set(data.drop)
    for column in given:
        if typed[column.name].dtype == pl.Float64 and column.name not in dropped:
            hint = _NAME_AS_MISSING if raw.is_text else ""
            check_finite(typed[column.name], column, raw.where, hint)
    columns = {
        column.name: typed[column.name] if column.name in typed else column.clear(len(column))
        for column in raw.frame.get_columns()
    }
    frame = pl.DataFrame(columns)
    return Table(frame=frame, readers=readers, missing=missing, notes=raw.notes)


def _typed(
    block: Block, reader: Reader, missing: tuple[str, ...], *, is_text: bool
) -> Iterable[tuple[pl.Series, tuple[Odd, ...]]]:
    """The typed values and the odd cells of each column of a block."""
    values, cells = reader.try_read(block.cells, missing)
    if reader.kind == "category":
        text = words_as_null(values, missing) if is_text else values
        return [(part, ()) for part in block.parts(text)]
    odd = [odd_cells(*pair) for pair in zip(block.parts(values), block.parts(cells), strict=True)]
    if reader.kind == "date":
        return zip(block.parts(values.cast(pl.Datetime("us"))), odd, strict=True)
    if block.cells.dtype == pl.Boolean:
        return zip(block.parts(block.cells), odd, strict=True)
    return zip(_as_whole(block, values, cells), odd, strict=True)


def _as_whole(block: Block, numbers: pl.Series, cells: pl.Series) -> list[pl.Series]:
    """The columns of a block of numbers, as Int64 if all their cells are integers."""
    parts = block.parts(numbers)
    if cells.dtype not in TEXTS and not cells.dtype.is_integer():
        return parts
    whole = cells.cast(pl.Int64, strict=False)
    each = zip(parts, block.parts(whole), block.parts(cells), strict=True)
    return [
        as_whole if as_whole.null_count() == part.null_count() == given.null_count() else part
        for part, as_whole, given in each
    ]


def odd_cells(values: pl.Series, cells: pl.Series) -> tuple[Odd, ...]:
    """Text cells without a value, the most frequent first."""
    if values.null_count() == cells.null_count() or cells.dtype != pl.String:
        return ()
    rows = (values.is_null() & cells.is_not_null()).arg_true()
    found = pl.DataFrame({"word": cells.gather(rows), "row": rows})
    each = found.group_by("word").agg(pl.col("row").min(), pl.len().alias("count"))
    ordered = each.sort(["count", "row"], descending=[True, False]).head(MAX_ODD)
    return tuple(Odd(word=word, row=row + 1, count=n) for word, row, n in ordered.rows())


def _unusual(reader: Reader) -> dict[str, Any]:
    """The properties of a reader without those that are default or that typed values show."""
    tree, defaults = asdict(reader), asdict(Reader())
    seen = {"kind", "whole", *(["order"] if reader.order == "ymd" else [])}
    return {key: value for key, value in tree.items() if key not in seen and value != defaults[key]}


def _add(digest: Any, column: pl.Series) -> None:
    """Add a column to a fingerprint."""
    if not is_usable(column):
        digest.update(f"\0{column.name}\0other\0".encode())
        return
    is_text = column.dtype == pl.String
    kind = "text" if is_text else "time" if column.dtype == pl.Datetime else "number"
    digest.update(f"\0{column.name}\0{kind}\0".encode())
    gaps = column.is_null().to_numpy() if column.null_count() else np.zeros(len(column), dtype=bool)
    digest.update(np.packbits(gaps).tobytes())
    if is_text:
        text = column.fill_null("") if column.null_count() else column
        digest.update(text.str.len_bytes().to_numpy().astype("<i8").tobytes())
        digest.update("".join(text.to_list()).encode())
        return
    values = (column.cast(pl.Int64) if kind == "time" else column).cast(pl.Float64)
    if values.null_count():
        values = values.fill_null(0)
    digest.update(values.to_numpy().astype("<f8").tobytes())
