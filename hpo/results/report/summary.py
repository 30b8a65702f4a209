"""What the table holds: rows by part, and the training part's columns and target.

Of the test part only the number of rows is looked at.
"""

from dataclasses import dataclass

import polars as pl

from hpo.data.dataset import Dataset
from hpo.data.reader import time_text
from hpo.data.target import text_of
from hpo.results.report.text import share, shortened

SHOWN_VALUES = 3
PARTS = {"train": "training", "val": "validation", "test": "test"}


@dataclass(frozen=True, kw_only=True)
class Column:
    """A feature column, as the training part has it.

    Attributes:
        missing: the share of rows without a value.
        holds: its range, or its most frequent values.
    """

    name: str
    kind: str
    missing: str
    holds: str


@dataclass(frozen=True, kw_only=True)
class TableSummary:
    """A table in short.

    Attributes:
        rows: by part.
        n_numbers: numeric feature columns.
        n_dates: columns of dates.
        n_categories: categorical ones.
        n_with_missing: feature columns with a missing value in the training part.
        target: its range, or its classes.
    """

    rows: dict[str, int]
    n_numbers: int
    n_dates: int
    n_categories: int
    n_with_missing: int
    columns: tuple[Column, ...]
    target: str

    @property
    def n_rows(self) -> int:
        """Of all parts."""
        return sum(self.rows.values())


def summarise(frame: pl.DataFrame, dataset: Dataset) -> TableSummary:
    """Describe a typed table.

    Args:
        frame: the table that the data set was made of.
        dataset: says which columns and rows mean what.
    """
    schema, train = dataset.schema, frame[dataset.split.train.numpy()]
    numbers = [_number_column(train[name]) for name in schema.numeric]
    dates = [_date_column(train[column.name]) for column in schema.dates]
    texts = [_text_column(train[column.name]) for column in schema.categorical]
    columns = {column.name: column for column in (*numbers, *dates, *texts)}
    target = train[schema.target]
    return TableSummary(
        rows={said: len(getattr(dataset.split, part)) for part, said in PARTS.items()},
        n_numbers=len(numbers),
        n_dates=len(dates),
        n_categories=len(texts),
        n_with_missing=sum(train[name].null_count() > 0 for name in columns),
        columns=tuple(columns[name] for name in frame.columns if name in columns),
        target=_frequent(target, len(schema.classes)) if schema.classes else _range(target),
    )


def _number_column(column: pl.Series) -> Column:
    return Column(name=column.name, kind="number", missing=_missing(column), holds=_range(column))


def _date_column(column: pl.Series) -> Column:
    known = time_text(column.drop_nulls().cast(pl.Int64))
    ordered = known.sort().to_list()
    holds = f"{ordered[0]} to {ordered[-1]}" if ordered else "nothing"
    return Column(name=column.name, kind="date", missing=_missing(column), holds=holds)


def _text_column(column: pl.Series) -> Column:
    n_values = column.drop_nulls().n_unique()
    return Column(
        name=column.name,
        kind=f"{n_values:,} categories",
        missing=_missing(column),
        holds=_frequent(column, SHOWN_VALUES),
    )


def _missing(column: pl.Series) -> str:
    return share(column.null_count(), len(column)) if column.null_count() else ""


def _range(column: pl.Series) -> str:
    known = column.drop_nulls().cast(pl.Float64)
    if known.is_empty():
        return "nothing"
    low, middle, high = (known.quantile(at, "nearest") for at in (0.0, 0.5, 1.0))
    return f"{low:.5g} to {high:.5g}, median {middle:.5g}"


def _frequent(column: pl.Series, n_values: int) -> str:
    text = text_of(column.drop_nulls())
    counts = text.value_counts().sort(["count", text.name], descending=[True, False])
    rows = counts.head(min(n_values, 20)).rows()
    shown = ", ".join(f"{shortened(value, 30)} {share(n, len(column))}" for value, n in rows)
    return shown + (" …" if counts.height > len(rows) else "")
