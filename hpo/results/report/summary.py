"""A summary of the table: rows by part, and the training part's columns and target.

Of the test part only the number of rows is used.
"""

from dataclasses import dataclass

import polars as pl

from hpo.data.dataset import Dataset, PartName
from hpo.data.reader import time_text
from hpo.data.target import text_of
from hpo.results.report.text import percent, shortened

_MAX_VALUES, _MAX_CLASSES = 3, 20
"""Most frequent values of a column, and classes, that are shown."""
_PARTS: dict[PartName, str] = {"train": "training", "val": "validation", "test": "test"}


@dataclass(frozen=True, kw_only=True)
class Column:
    """A feature column in the training part, or in all folds.

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
        rows: number of rows by part; the folds are one part.
        n_folds: 1 without folds.
        n_validated: number of rows of the validation part, or of those of all folds together.
        columns: feature columns in the table's order.
        target: the target's range, or its classes.
    """

    rows: dict[str, int]
    n_folds: int
    n_validated: int
    columns: tuple[Column, ...]
    target: str

    @property
    def fitted(self) -> str:
        """What models are fitted on."""
        if self.n_folds > 1:
            return f"the training rows of each of the {self.n_folds} folds"
        return f"the {self.rows['training']:,} rows of the training part"

    @property
    def validated(self) -> str:
        """What models are chosen by."""
        if self.n_folds > 1:
            return f"the rows of {self.n_folds} folds, each by the network that did not see it"
        return "the validation part"


def summarize(frame: pl.DataFrame, dataset: Dataset) -> TableSummary:
    """Summarize a typed table.

    Args:
        frame: the table that the dataset was made of.
        dataset: holds the schema and the split.
    """
    schema, train = dataset.schema, frame[dataset.rows("train").numpy()]
    parts: dict[PartName, str] = _PARTS
    n_folds = len(dataset.splits)
    if n_folds > 1:
        parts = {"train": f"in {n_folds} folds", "test": "test"}
    kinds = dict.fromkeys(schema.numeric, "number")
    kinds |= {column.name: "date" for column in schema.dates}
    kinds |= {column.name: "category" for column in schema.categorical}
    target = train[schema.target]
    return TableSummary(
        rows={name: len(dataset.rows(part)) for part, name in parts.items()},
        n_folds=n_folds,
        n_validated=len(dataset.rows("val")),
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
