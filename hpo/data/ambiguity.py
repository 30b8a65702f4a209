"""Resolve cells that two readers read as different values: by other columns, or by an error."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import polars as pl

from hpo.config.errors import AmbiguousCellsError
from hpo.config.parsing import format_value
from hpo.config.trial import DataConfig
from hpo.data.plain import GROUP
from hpo.data.reader import TEXTS, Reader, time_text

_FRACTION = r"^[+-]?[0-9]*\.[0-9]+$"
_POINT = r"[0-9]\.|\.[0-9]"


@dataclass(frozen=True, kw_only=True)
class Example:
    """The text of a cell, and its row, from 1."""

    cell: str
    row: int


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The reader of a column, and a rival that fits as well.

    Attributes:
        reader: the preferred reader.
        rival: another reader, which reads some cells as other values.
        evidence: the decimal mark or date order that this column proves; otherwise "".
        example: the first cell that reader and rival read differently.
    """

    reader: Reader
    rival: Reader | None = None
    evidence: str = ""
    example: Example | None = None


def resolve_ambiguities(
    choices: Mapping[str, Choice], columns: Mapping[str, pl.Series], data: DataConfig, where: str
) -> dict[str, Reader]:
    """Decide the reader of each column, given the other columns.

    Args:
        choices: the choice for each column, by name.
        columns: their cells.
        data: the study's `[data]`; columns that it drops are never refused.
        where: the table's name, which opens each message.

    Raises:
        AmbiguousCellsError: two readers remain for a column; the message names a cell, both values,
            and the key that decides.
    """
    dropped = set(data.drop)
    choices = {
        name: replace(choice, rival=None) if name in dropped else choice
        for name, choice in choices.items()
    }
    evidence = {choice.evidence for choice in choices.values()}
    orders, decimals = evidence & {"dmy", "mdy"}, evidence & {".", ","}
    is_in_doubt = any(
        choice.rival is not None and choice.reader.kind == "number" for choice in choices.values()
    )
    if data.decimal is not None:
        decimals = {data.decimal}
    elif is_in_doubt and any(_has_fractions(column) for column in columns.values()):
        decimals.add(".")
    readers = {
        name: _decide(choice, name, decimals, orders, where) for name, choice in choices.items()
    }
    kept = {name: column for name, column in columns.items() if name not in dropped}
    return readers | _of_decimal_commas(readers, kept, data.target)


def _has_fractions(column: pl.Series) -> bool:
    """Whether text cells are numbers with a decimal point that is no thousands separator."""
    if column.dtype not in TEXTS:
        return False
    cells = column.cast(pl.String).str.strip_chars()
    return bool((cells.str.contains(_FRACTION) & ~cells.str.contains(GROUP)).any())


def _of_decimal_commas(
    readers: Mapping[str, Reader], columns: Mapping[str, pl.Series], target: str
) -> dict[str, Reader]:
    """Readers of integers in a table with decimal commas, where a later 1.200 is not 1.2."""
    formats = {
        name: readers[name].written
        for name, column in columns.items()
        if readers[name].kind == "number" and column.dtype in TEXTS
    }
    commas = [written for written in formats.values() if written.decimal == ","]
    others = {
        name: columns[name].cast(pl.String)
        for name, written in formats.items()
        if written.decimal == "."
    }
    if not commas or any(cells.str.contains(_POINT).any() for cells in others.values()):
        return {}
    thousands = {written.thousands for written in commas if written.thousands}
    usual = thousands.pop() if len(thousands) == 1 else ""
    as_others = {
        name: replace(formats[name], decimal=",", thousands=formats[name].thousands or usual)
        for name, cells in others.items()
        if name != target and formats[name].thousands != "," and cells.str.contains("[0-9]").any()
    }
    return {name: replace(readers[name], written=written) for name, written in as_others.items()}


def _decide(choice: Choice, name: str, decimals: set[str], orders: set[str], where: str) -> Reader:
    """The reader of a column that agrees with the decimal marks and date orders of its table."""
    if choice.rival is None:
        return choice.reader
    both = (choice.reader, choice.rival)
    if choice.reader.kind == "date":
        key, options = "date_order", (choice.reader.order, choice.rival.order)
        fitting = [reader for reader in both if orders == {reader.order}]
    elif choice.reader.written.is_plain:
        if "," not in decimals:
            return choice.reader
        # Beside decimal commas, a point may be a thousands separator.
        key = "thousands"
        options = (choice.reader.written.thousands, choice.rival.written.thousands)
        fitting = []
    else:
        key, options = "decimal", (choice.reader.written.decimal, choice.rival.written.decimal)
        fitting = [reader for reader in both if decimals == {reader.written.decimal}]
    if fitting:
        return fitting[0]
    assert choice.example is not None
    cell, row = choice.example.cell, choice.example.row
    first, second = (_as_read(reader, cell) for reader in both)
    raise AmbiguousCellsError(
        f'{where}: column "{name}": row {row:,} holds {format_value(cell)}, which is {first} with '
        f'data.{key} = "{options[0]}", and {second} with "{options[1]}": say which',
        key,
        options,
    )


def _as_read(reader: Reader, cell: str) -> str:
    """The value that a reader reads from a cell, for messages."""
    values = reader.try_read(pl.Series([cell]), ())[0]
    return time_text(values)[0] if reader.kind == "date" else f"{values[0]:.12g}"
