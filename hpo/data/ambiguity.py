"""Cells that two readers take for different values: decided by other columns, or refused."""

from dataclasses import dataclass

import polars as pl

from hpo.config.errors import AmbiguousCellsError
from hpo.config.parsing import shown
from hpo.data.reader import Reader, time_text


@dataclass(frozen=True, kw_only=True)
class Example:
    """A cell as it stands, and its row, from 1."""

    cell: str
    row: int


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A reader, and what else might be meant.

    Attributes:
        reader: the first that fits.
        rival: one that reads the same cells as other values.
        evidence: the decimal mark or order of dates that this column shows beyond doubt; else "".
        example: the first cell that the two read differently.
    """

    reader: Reader
    rival: Reader | None = None
    evidence: str = ""
    example: Example | None = None


def decide(choice: Choice, name: str, decimals: set[str], orders: set[str], where: str) -> Reader:
    """The reader of a column, as far as the table leaves one.

    Args:
        choice: the column's own readers.
        name: the column's.
        decimals: decimal marks that columns show, or the one that the study says.
        orders: orders of dates that columns show.
        where: the table's name, which opens the message.

    Raises:
        AmbiguousCellsError: it leaves two; names a cell, what each makes of it, and the key.
    """
    if choice.rival is None:
        return choice.reader
    both = (choice.reader, choice.rival)
    if choice.reader.kind == "date":
        key, options = "date_order", (choice.reader.order, choice.rival.order)
        fitting = [reader for reader in both if orders == {reader.order}]
    elif choice.reader.written.is_plain:
        if "," not in decimals:
            return choice.reader
        # A point among decimal commas may part thousands, or not.
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
        f'{where}: column "{name}": row {row:,} holds {shown(cell)}, which is {first} with '
        f'data.{key} = "{options[0]}", and {second} with "{options[1]}": say which',
        key,
        options,
    )


def _as_read(reader: Reader, cell: str) -> str:
    """A cell as a reader takes it, for messages."""
    values = reader.attempt(pl.Series([cell]), ())[0]
    return time_text(values)[0] if reader.kind == "date" else f"{values[0]:.12g}"
