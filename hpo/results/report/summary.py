"""A summary of the table: rows by part, and the training part's columns and target.

Of the test part only the number of rows is used.
"""

from dataclasses import dataclass

import polars as pl

from hpo.data.dataset import Dataset
from hpo.data.reader import time_text
from hpo.data.target import text_of
from hpo.results.report.text import percent, shortened

_MAX_VALUES, _MAX_CLASSES = 3, 20
"""Most frequent values of a column, and classes, that are shown."""
_PARTS = {"train": "training", "val": "validation", "test": "test"}


@dataclass(frozen=True, kw_only=True)
class Column:
    """A feature column in the training part.

    Attributes:
        kind: `number`, `date` or `category`.
        missing: the share of rows without a value; empty if there are none.
        values: the range, or the number of categories and the most frequent ones.
    """

    name: str
    kind: str
    missing: str
    values: str


@dataclass(frozen=True, kw_only=True)
class TableSummary:
    """A table in short.

    Attributes:
        rows: number of rows by part.
        columns: feature columns in the table's order.
        target: the target's range, or its classes.
    """

    rows: dict[str, int]
    columns: tuple[Column, ...]
    target: str


def summarize(frame: pl.DataFrame, dataset: Dataset) -> TableSummary:
    """Summarize a typed table.

    Args:
        frame: the table that the dataset was made of.
        dataset: holds the schema and the split.
    """
    schema, train = dataset.schema, frame[dataset.split.train.numpy()]
    kinds = dict.fromkeys(schema.numeric, "number")
    kinds |= {column.name: "date" for column in schema.dates}
    kinds |= {column.name: "category" for column in schema.categorical}
    target = train[schema.target]
    return TableSummary(
        rows={name: len(getattr(dataset.split, part)) for part, name in _PARTS.items()},
        columns=tuple(_column(train[name], kinds[name]) for name in frame.columns if name in kinds),
        target=_frequent(target, _MAX_CLASSES) if schema.classes else _range(target),
    )


def _column(column: pl.Series, kind: str) -> Column:
    n_missing = column.null_count()
    if n_missing == len(column):
        values = "nothing"
    elif kind == "number":
        values = _range(column)
    elif kind == "date":
        dates = time_text(column.drop_nulls().cast(pl.Int64)).sort()
        values = f"{dates[0]} to {dates[-1]}"
    else:
        values = f"{column.drop_nulls().n_unique():,} values: {_frequent(column, _MAX_VALUES)}"
    missing = percent(n_missing, len(column)) if n_missing else ""
    return Column(name=column.name, kind=kind, missing=missing, values=values)


def _range(column: pl.Series) -> str:
    known = column.drop_nulls().cast(pl.Float64)
    low, middle, high = (known.quantile(at, "nearest") for at in (0.0, 0.5, 1.0))
    return f"{low:.5g} to {high:.5g}, median {middle:.5g}"


def _frequent(column: pl.Series, n_values: int) -> str:
    text = text_of(column.drop_nulls())
    counts = text.value_counts().sort(["count", text.name], descending=[True, False])
    rows = counts.head(n_values).rows()
    shown = ", ".join(f"{shortened(value, 30)} {percent(n, len(column))}" for value, n in rows)
    return shown + (" …" if counts.height > len(rows) else "")
