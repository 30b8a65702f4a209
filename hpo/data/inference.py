"""Infer the schema of a table from its training part, which alone defines the categories."""

from itertools import combinations

import numpy as np
import polars as pl
import torch

from hpo.config.errors import DataError
from hpo.config.parsing import format_value
from hpo.config.trial import DataConfig, Task
from hpo.data.cells import DAY_MICROSECONDS
from hpo.data.notes import Dropped, truncated_note
from hpo.data.reader import USUAL, Kind, Reader, check_usable
from hpo.data.schema import PERIODS, Categories, Cycle, DateColumn, TableSchema
from hpo.data.table import Table
from hpo.data.target import label_type, no_column, ordered_classes, target_column, text_of

FEW_ROWS = 20
"""In fewer rows, all texts may be distinct by chance."""

NAMELESS = ("", "Unnamed: 0", "__index_level_0__")
"""Names that programs give to an unnamed column of row numbers."""

_LOST = 1e-5
"""Maximum rounding error of float32, relative to a column's standard deviation."""


def infer_schema(
    table: Table, data: DataConfig, task: Task, train: torch.Tensor
) -> tuple[TableSchema, Dropped, list[str]]:
    """Infer the schema of a table.

    Args:
        table: the typed table.
        data: the study's `[data]`.
        task: the task of the target.
        train: indices of the training rows, int64.

    Returns:
        The schema, without notes; the columns dropped by default; and notes on text columns with
        more than `data.max_categories` categories.

    Raises:
        DataError: a column that the study names is missing, or there is none to learn from.
    """
    names, dropped = _features(table, data)
    frame = table.frame[names][train.numpy()]  # `select` would expand * and ^a$
    columns = {column.name: column for column in frame.get_columns()}
    kinds = {name: _kind(table, data, name) for name in names}
    numeric = [name for name in names if kinds[name] == "number"]
    dates = [name for name in names if kinds[name] == "date"]
    texts = [name for name in names if kinds[name] == "category"]
    categories = {name: _counted(text_of(columns[name])) for name in texts}
    limit = data.max_categories
    target = target_column(table, data)
    of_format_1 = table.format == 1
    classes: tuple[str, ...] = ()
    if task != "regression":
        classes = ordered_classes(target, task, data)
        if of_format_1:
            classes = tuple(sorted(classes, key=list(text_of(target.unique().sort())).index))
    unusual = {name: table.readers[name] for name in names if table.readers[name] not in USUAL}
    double = [name for name in numeric if not of_format_1 and is_double(columns[name])]
    if task == "regression" and is_double(target[train.numpy()]):
        double.append(data.target)
    schema = TableSchema(
        target=data.target,
        task=task,
        numeric=tuple(numeric),
        numeric_missing=tuple(name for name in (*numeric, *dates) if columns[name].null_count()),
        categorical=tuple(
            Categories(name=name, values=tuple(sorted(counts["value"][:limit])))
            for name, counts in categories.items()
        ),
        classes=classes,
        n_train=len(train),
        dates=tuple(
            DateColumn(name=name, cycles=_cycles(columns[name], table.readers[name]))
            for name in dates
        ),
        double=tuple(double),
        labels="text" if of_format_1 or task == "regression" else label_type(target),
        readers={} if of_format_1 else unusual,
        missing=table.missing,
        format=table.format,
    )
    truncated = [
        truncated_note(name, counts["count"], limit)
        for name, counts in categories.items()
        if counts.height > limit
    ]
    return schema, dropped, truncated


def is_double(column: pl.Series) -> bool:
    """Whether float32 cannot represent the differences between a column's values."""
    values = column.drop_nulls().cast(pl.Float64).to_numpy()
    if not len(values):
        return False
    with np.errstate(over="ignore"):  # large numbers are refused later
        lost = np.abs(values - values.astype("f4").astype("f8")).max()
    return bool(lost > _LOST * values.std())


def identifier(column: pl.Series) -> str:
    """Why a typed text column is an identifier; empty if it is not."""
    is_text = column.dtype == pl.String and len(column) >= FEW_ROWS
    if is_text and not column.null_count() and column.n_unique() == len(column):
        return "has a different text in every row, like an identifier"
    return ""


def numbers_the_rows(column: pl.Series) -> bool:
    """Whether the values are the row numbers from 0 or 1, in any order."""
    if not column.dtype.is_integer() or column.null_count() or len(column) < 2:
        return False
    low, high = column.min(), column.max()
    is_range = low in (0, 1) and high == low + len(column) - 1  # type: ignore[operator]
    return is_range and column.n_unique() == len(column)


def _features(table: Table, data: DataConfig) -> tuple[list[str], Dropped]:
    """Names of the feature columns in the table's order, and the columns dropped by default."""
    frame = table.frame
    given = set(frame.columns)
    for key in ("drop", "numeric", "categorical", "dates"):
        for name in getattr(data, key):
            if name not in given:
                raise DataError(no_column(table, data, key, name))
    named = {*data.numeric, *data.categorical, *data.dates}
    for one, other in combinations(("numeric", "categorical", "dates"), 2):
        if both := sorted(set(getattr(data, one)) & set(getattr(data, other))):
            raise DataError(
                f"{data.source}: column {format_value(both[0])} is named in both data.{one} "
                f"and data.{other}"
            )
    split = data.split
    roles = {split.column, data.weight, *({split.groups, split.time} - named)}
    left_out = {*data.drop, data.target, *roles}
    features = [column for column in frame.get_columns() if column.name not in left_out]
    if not features:
        raise DataError(f"{data.source}: has no feature column besides the target")
    for column in features:
        check_usable(column, data.source, "; name it in data.drop to leave it out")
    dropped: Dropped = {}
    if table.format > 1:
        first = frame.columns[0]
        for column in features:
            name = column.name
            if name in named:
                continue
            if why := identifier(column):
                dropped.setdefault((why, "categorical"), []).append(name)
            elif name == first and first in NAMELESS and numbers_the_rows(column):
                reason = ("has no name and holds row numbers", "numeric")
                dropped.setdefault(reason, []).append(name)
    gone = {name for names in dropped.values() for name in names}
    if len(gone) == len(features):
        (why, key), names = next(iter(dropped.items()))
        raise DataError(
            f'{data.source}: has no feature column to learn from: "{names[0]}" {why}; '
            f"name it in data.{key} to use it"
        )
    return [column.name for column in features if column.name not in gone], dropped


def _kind(table: Table, data: DataConfig, name: str) -> Kind:
    """The kind of a feature column; in table format 1 the study may declare another."""
    kind = table.readers[name].kind
    if table.format == 1 and name in (*data.numeric, *data.categorical):
        kind = "category" if name in data.categorical else "number"
    return kind


def _counted(text: pl.Series) -> pl.DataFrame:
    """The values of a text column and their counts, the most frequent first."""
    counts = text.rename("value").value_counts()
    return counts.sort(["count", "value"], descending=[True, False])


def _cycles(column: pl.Series, reader: Reader) -> tuple[Cycle, ...]:
    """The cycles that a column of times spans at least twice."""
    times = column.drop_nulls().cast(pl.Int64)
    if reader.order == "time":
        return ("day",)
    if times.is_empty():
        return ()
    span = int(times.max()) - int(times.min())  # type: ignore[arg-type]
    has_clock = bool((times % DAY_MICROSECONDS != 0).any())
    return tuple(
        cycle
        for cycle, period in PERIODS.items()
        if span >= 2 * period and (cycle != "day" or has_clock)
    )
