"""Typed tables: each column of one kind, and how later cells of it are read.

A typed column is numbers (Int64, Float64, or Boolean), text (String) or times (Datetime in UTC); a
missing value is null. Of a column that holds anything else, such as lists, only its name and its
kind are kept.
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
    present,
    without,
)
from hpo.data.sources import RawTable, read_parquet, read_raw, write_parquet

ABOUT = "hpo"
"""Under this key a stored table says how its columns are read; one without it is of format 1."""

FORMAT = 2
"""Of a typed table. 1 had numbers and text alone, without readers; both are read."""

NAME_AS_MISSING = "; name it in data.missing to count it as missing"


@dataclass(frozen=True, kw_only=True)
class Table:
    """A typed table.

    Attributes:
        frame: its columns.
        readers: how the cells of a column are read, by name; of usable columns only.
        missing: words that are missing values in a text file.
        format: of the reading; see `FORMAT`.
        notes: on what is odd about its file, a sentence each.
    """

    frame: pl.DataFrame
    readers: Mapping[str, Reader]
    missing: tuple[str, ...] = ()
    format: int = FORMAT
    notes: tuple[str, ...] = ()

    def fingerprint(self) -> str:
        """SHA-256 of the content: names, kinds and values, in their order, in hex.

        The same values give the same fingerprint whatever file they came from; 1 and 1.0 are the
        same. Readers that later cells depend on, such as of decimal commas, are part of it.
        """
        digest = hashlib.sha256(f"{self.frame.height}".encode())
        for column in self.frame.get_columns():
            _add(digest, column)
        for name, tree in self._reading().items():
            digest.update(f"\0{name}\0{json.dumps(tree, sort_keys=True)}".encode())
        return digest.hexdigest()

    def write(self, file: Path | BinaryIO) -> None:
        """Write it as Parquet.

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
        told = None if self.format == 1 else {ABOUT: json.dumps(about)}
        write_parquet(self.frame, file, told)

    @classmethod
    def read(cls, path: Path) -> "Table":
        """What `write` wrote, now or in an earlier version.

        Raises:
            DataError: it is no such file, or only a part of one.
            OSError: it cannot be read.
        """
        frame = read_parquet(path, str(path))
        told = pl.read_parquet_metadata(path).get(ABOUT)
        if told is None:
            return cls.of_format_1(frame)
        try:
            about: _About = parse_json(_About, told, str(path))
        except InputError as error:
            raise DataError(str(error)) from None
        return cls(frame=frame, readers=about.readers, missing=about.missing, notes=about.notes)

    @classmethod
    def of_format_1(cls, frame: pl.DataFrame) -> "Table":
        """A table of numbers and text, as they were typed before columns had readers."""
        readers = {
            column.name: Reader(
                kind="category" if column.dtype == pl.String else "number", legacy=True
            )
            for column in frame.get_columns()
            if is_usable(column)
        }
        return cls(frame=frame, readers=readers, format=1)

    def _reading(self) -> dict[str, Any]:
        """What the readers say that is not seen in the values, by column."""
        if self.format == 1:
            return {}
        telling = {name: reader for name, reader in self.readers.items() if reader not in USUAL}
        trees = {name: _unusual(reader) for name, reader in telling.items()}
        return {name: tree for name, tree in trees.items() if tree}


@dataclass(frozen=True, kw_only=True)
class _About:
    """What a stored table says of itself."""

    format: int
    missing: tuple[str, ...] = ()
    readers: dict[str, Reader] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def read_table(data: DataConfig, base: Path) -> Table:
    """Read the table that a study names, and decide how its cells are read.

    Args:
        data: where it is, and what is said of its columns.
        base: the folder that a relative path starts from.

    Raises:
        DataError: it cannot be read, or its cells can be read in two ways.
    """
    return typed_table(read_raw(data.source, base, separator=data.separator), data)


def typed_table(raw: RawTable, data: DataConfig) -> Table:
    """Decide how the cells of a raw table are read, and read them.

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
            if column.name == data.target and column.dtype in TEXTS:  # for when it is refused
                odd = odd_cells(values, present(column, ()))
            typed[column.name] = values.rename(column.name)
            readers[column.name] = replace(reader, odd=odd) if odd else reader
    dropped = set(data.drop)
    for column in given:
        if typed[column.name].dtype == pl.Float64 and column.name not in dropped:
            hint = NAME_AS_MISSING if raw.is_text else ""
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
    """The canonical values of columns in their own type, and their odd cells."""
    values, cells = reader.attempt(block.cells, missing)
    if reader.kind == "category":
        text = without(values, missing) if is_text else values
        return [(part, ()) for part in block.parts(text)]
    odd = [odd_cells(*pair) for pair in zip(block.parts(values), block.parts(cells), strict=True)]
    if reader.kind == "date":
        return zip(block.parts(values.cast(pl.Datetime("us"))), odd, strict=True)
    if block.cells.dtype == pl.Boolean:
        return zip(block.parts(block.cells), odd, strict=True)
    return zip(_as_whole(block, values, cells), odd, strict=True)


def _as_whole(block: Block, numbers: pl.Series, cells: pl.Series) -> list[pl.Series]:
    """Columns of numbers, Int64 where they were written as whole ones."""
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
    """Cells of text that were read as no value, the most frequent first."""
    if values.null_count() == cells.null_count() or cells.dtype != pl.String:
        return ()
    rows = (values.is_null() & cells.is_not_null()).arg_true()
    found = pl.DataFrame({"word": cells.gather(rows), "row": rows})
    each = found.group_by("word").agg(pl.col("row").min(), pl.len().alias("count"))
    ordered = each.sort(["count", "row"], descending=[True, False]).head(MAX_ODD)
    return tuple(Odd(word=word, row=row + 1, count=n) for word, row, n in ordered.rows())


def _unusual(reader: Reader) -> dict[str, Any]:
    """The keys in which a reader is no default, apart from what typed values show."""
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
