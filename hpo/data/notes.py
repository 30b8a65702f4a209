"""Notes: sentences on what a person might not expect in the reading of a table."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
import polars as pl
import torch

from hpo.config.parsing import format_list, format_value
from hpo.config.trial import DataConfig
from hpo.data.doubts import doubts
from hpo.data.reader import Reader, try_read_numbers
from hpo.data.schema import TableSchema
from hpo.data.split import Split
from hpo.data.table import Table, odd_cells
from hpo.data.target import text_of

_MAX_WORDS = 3
"""Maximum number of odd cells listed for a column."""

_MAX_COLUMNS = 5
"""Maximum number of columns or classes listed in a note."""

_MIN_REPEATS = 2.0
"""Minimum mean number of rows per value in a column that may name groups."""


Dropped = dict[tuple[str, str], list[str]]
"""Feature columns that are dropped by default: names by the reason and the key that keeps them."""


def notes_on(
    table: Table,
    data: DataConfig,
    splits: Sequence[Split],
    schema: TableSchema,
    dropped: Dropped,
    truncated: Sequence[str],
) -> tuple[str, ...]:
    """All notes on a table to train on; `truncated` are those of `truncated_note`."""
    return (
        *reading_notes(table, data),
        *_dropped(dropped),
        *_of_split(data, schema),
        *_of_weights(data),
        *truncated,
        *filter(None, [positive_note(table, data, schema)]),
        *_absent(table, splits, schema),
        *_repeated(table, splits, schema),
        *_groups(table, data, schema),
    )


def reading_notes(table: Table, data: DataConfig) -> list[str]:
    """Notes on how the cells of a table are read."""
    dropped = set(data.drop)
    readers = {name: reader for name, reader in table.readers.items() if name not in dropped}
    return [
        *table.notes,
        *_formats(readers),
        *_date_orders(readers),
        *(odd_note(name, reader) for name, reader in readers.items() if reader.odd),
        *doubts(table, data, readers),
    ]


def prediction_notes(schema: TableSchema, frame: pl.DataFrame) -> list[str]:
    """Notes on cells to predict from that unexpectedly count as missing or as unseen.

    Args:
        schema: the model's schema.
        frame: the raw rows.
    """
    return [*_odd_numbers(schema, frame), *_unseen(schema, frame)]


def _odd_numbers(schema: TableSchema, frame: pl.DataFrame) -> Iterable[str]:
    columns = [frame[name] for name in schema.numbers]
    readers = [schema.reader(name) for name in schema.numbers]
    read, places = try_read_numbers(columns, readers, schema.missing)
    n_missing = dict(zip(schema.numbers, np.isnan(read).sum(axis=0).tolist(), strict=True))
    said = {*schema.numeric_missing, *(columns[place].name for place in places)}
    gaps = [name for name, n in n_missing.items() if n and name not in said]
    if gaps:
        n = sum(n_missing[name] for name in gaps)
        cells = "1 cell is" if n == 1 else f"{n:,} cells are"
        yield (
            f"{_columns(gaps)}: {cells} missing, where training had every value: "
            "the model uses the middle of the training values"
        )
    for place in places:
        column, reader = columns[place], readers[place]
        if odd := odd_cells(*reader.try_read(column, schema.missing)):
            yield odd_note(column.name, replace(reader, odd=odd))


def _unseen(schema: TableSchema, frame: pl.DataFrame) -> Iterable[str]:
    for column in schema.categorical:
        cells = frame[column.name]
        is_unseen = schema.codes(column, cells) == len(column.values)
        if not is_unseen.any():
            continue
        text = text_of(cells).str.strip_chars()
        unseen = pl.Series(is_unseen) & ~text.is_in(["", *schema.missing])
        if n := int(unseen.sum()):
            row = int(unseen.arg_true()[0])
            yield (
                f"column {format_value(column.name)}: {n:,} of {len(cells):,} cells hold "
                f"categories that the model does not know, first {format_value(text[row])} "
                f"in row {row + 1:,}"
            )


def odd_note(name: str, reader: Reader) -> str:
    """The note on cells among numbers or dates that count as missing."""
    what = "number" if reader.kind == "number" else "date"
    n = sum(odd.count for odd in reader.odd)
    listed = ", ".join(
        f"{format_value(odd.word)} in row {odd.row:,}"
        if odd.count == 1
        else f"{format_value(odd.word)} in {odd.count:,} rows, first in row {odd.row:,}"
        for odd in reader.odd[:_MAX_WORDS]
    )
    more = len(reader.odd) - _MAX_WORDS
    rest = f" and {more} other words" if more > 1 else " and 1 other word" if more == 1 else ""
    cells = (
        f"1 cell is not a {what} and counts" if n == 1 else f"{n:,} cells are not {what}s and count"
    )
    return f"column {format_value(name)}: {cells} as missing: {listed}{rest}"


def _formats(readers: dict[str, Reader]) -> Iterable[str]:
    by_format: dict[str, list[str]] = {}
    for name, reader in readers.items():
        written = reader.written
        if reader.kind != "number" or written.is_plain:
            continue
        signs = {
            f"{format_value(written.decimal)} as the decimal mark": written.decimal != ".",
            f"{format_value(written.thousands)} between thousands": written.thousands,
            f"the currency {written.currency}": written.currency,
            "% as hundredths": written.percent,
        }
        how = " and ".join(sign for sign, holds in signs.items() if holds)
        by_format.setdefault(how, []).append(name)
    for how, names in by_format.items():
        yield f"{_columns(names)}: numbers are read with {how}"


def _date_orders(readers: dict[str, Reader]) -> Iterable[str]:
    said = {"dmy": "the day first", "mdy": "the month first", "compact": "digits alone"}
    by_order: dict[str, list[str]] = {}
    for name, reader in readers.items():
        if reader.kind == "date" and reader.order in said:
            by_order.setdefault(said[reader.order], []).append(name)
    for order, names in by_order.items():
        yield f"{_columns(names)}: dates are read with {order}"
    clocks = [name for name, reader in readers.items() if reader.order == "time"]
    if clocks:
        yield f"{_columns(clocks)}: read as times of day"


def _dropped(dropped: Dropped) -> Iterable[str]:
    for (why, key), names in dropped.items():
        it, them = ("each", "them") if len(names) > 1 else ("it", "it")
        yield f"{_columns(names)}: dropped, because {it} {why}; data.{key} keeps {them}"


def _of_weights(data: DataConfig) -> Iterable[str]:
    if data.weight is not None:
        yield f"column {format_value(data.weight)}: weighs the rows in the loss and in metrics"
    if data.class_weight is not None:
        yield (
            "data.class_weight weighs the classes in the loss: predicted probabilities lean toward "
            "the classes of greater weight"
        )


def _of_split(data: DataConfig, schema: TableSchema) -> Iterable[str]:
    """Columns that are no features because the split uses them."""
    uses = {"groups": ("keeps rows together", "categorical"), "time": ("orders the rows", "dates")}
    for key, (does, feature) in uses.items():
        name = getattr(data.split, key)
        if name is not None and name not in schema.columns:
            yield (
                f"column {format_value(name)}: {does} in data.split.{key}, and is no feature; "
                f"data.{feature} or data.numeric makes it one"
            )


def truncated_note(name: str, counts: pl.Series, n_kept: int) -> str:
    """The note on a column of which only the most frequent categories are encoded.

    Args:
        name: the column's name.
        counts: the training rows of each category, in descending order.
        n_kept: the number of encoded categories.
    """
    share = int(counts[:n_kept].sum()) / int(counts.sum())
    return (
        f"column {format_value(name)}: of {len(counts):,} categories, the {n_kept:,} most "
        f"frequent are encoded, {share:.0%} of the training rows; the others count as unseen "
        "(data.max_categories)"
    )


def positive_note(table: Table, data: DataConfig, schema: TableSchema) -> str | None:
    """The note on a positive class that the study does not name; None where it names it."""
    if schema.positive is None or data.positive is not None or table.format == 1:
        return None
    text = text_of(table.frame[schema.target])
    share = int((text == schema.positive).sum()) / len(text)
    return (
        f"the positive class is {format_value(schema.positive)}, with {share:.1%} of the rows; "
        "data.positive names another"
    )


def _absent(table: Table, splits: Sequence[Split], schema: TableSchema) -> Iterable[str]:
    """Classes without a row in the validation or test part."""
    if not schema.classes:
        return
    text = text_of(table.frame[schema.target])
    parts = {"validation": [split.val for split in splits], "test": [splits[0].test]}
    for said, found in parts.items():
        rows = torch.cat(found).numpy()
        present = set(text[rows].unique())
        if len(rows) and (absent := [label for label in schema.classes if label not in present]):
            listed = format_list([format_value(label) for label in absent], _MAX_COLUMNS)
            yield f"the {said} part has no row of {listed}: its metrics leave them out"


def _repeated(table: Table, splits: Sequence[Split], schema: TableSchema) -> Iterable[str]:
    """Validation or test rows that equal a training row in all features and the target."""
    hashes = table.frame[[*schema.columns, schema.target]].hash_rows()
    known = [hashes[split.train.numpy()].unique() for split in splits]
    parts = {
        "validation": list(zip([split.val for split in splits], known, strict=True)),
        "test": [(splits[0].test, pl.concat(known).unique())],
    }
    for said, found in parts.items():
        n_rows = sum(len(rows) for rows, _ in found)
        pairs = [(hashes[rows.numpy()], trained) for rows, trained in found if len(rows)]
        if n := sum(int(own.is_in(trained.implode()).sum()) for own, trained in pairs):
            yield f"{n:,} of the {n_rows:,} {said} rows also occur in the training part"


def _groups(table: Table, data: DataConfig, schema: TableSchema) -> Iterable[str]:
    """Columns in which all rows with the same value have the same label, but not the same part."""
    if not schema.classes:
        return
    frame, target = table.frame, schema.target
    groups = None if data.split.groups is None else frame[data.split.groups]
    labels = text_of(frame[target])
    settled = {target, data.split.column, data.split.groups, data.weight}
    for column in frame.get_columns():
        name = column.name
        is_exact = column.dtype.is_integer() or column.dtype == pl.String
        if name in settled or not is_exact:
            continue
        n_values = column.n_unique()
        if n_values <= 4 * len(schema.classes) or len(column) < _MIN_REPEATS * n_values:
            continue
        value = column.alias("value")
        if pl.DataFrame([value, labels.alias("label")]).n_unique() != n_values:
            continue
        if groups is None or pl.DataFrame([value, groups.alias("group")]).n_unique() != n_values:
            yield (
                f"column {format_value(name)}: rows with the same value always share their label, "
                "as rows of one person or place do: where that is so, data.split.groups keeps them "
                "in one part"
            )


def _columns(names: Sequence[str]) -> str:
    listed = format_list([format_value(name) for name in names], _MAX_COLUMNS)
    return f"columns {listed}" if len(names) > 1 else f"column {listed}"
