"""Small tables, read by the real reader."""

from typing import Any

from hpo.config.trial import DataConfig
from hpo.data.delimited import parse
from hpo.data.sources import RawTable, as_frame
from hpo.data.table import Table, typed_table

WHERE = "t.csv"


def named(**changes: Any) -> DataConfig:
    """The data section of a study whose target is `y`."""
    return DataConfig(**{"source": WHERE, "target": "y", **changes})


def raw_csv(text: str, separator: str | None = None) -> RawTable:
    """The cells of a CSV file."""
    frame, notes = parse(text.encode(), WHERE, separator, ",")
    return RawTable(frame=frame, is_text=True, where=WHERE, notes=notes)


def csv(text: str, **changes: Any) -> Table:
    """A CSV file as a typed table."""
    return typed_table(raw_csv(text), named(**changes))


def cells(*column: str, **changes: Any) -> Table:
    """A text file with these cells in column `x`, and a constant column `z`."""
    text = "x|z\n" + "".join(f"{cell}|a\n" for cell in column)
    return typed_table(raw_csv(text, "|"), named(**changes))


def table(columns: Any, **changes: Any) -> Table:
    """A dict of columns or a frame as a typed table."""
    return typed_table(
        RawTable(frame=as_frame(columns), is_text=False, where=WHERE), named(**changes)
    )
