"""Test rows for exported files: held-out rows, and awkward variants of them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars

from hpo.data.cells import DAY_MICROSECONDS
from hpo.data.reader import EXACT
from hpo.data.schema import TableSchema
from hpo.data.target import text_of

Columns = dict[str, np.ndarray]
"""Raw cells for programs without `hpo`: numbers with NaN for missing, or text with ""."""

N_BASE = 4
"""Number of held-out rows that are changed in each awkward way."""

MAX_COLUMNS = 64
"""Largest number of columns that are changed one at a time; all are also changed together."""

MIN_COLUMNS = 8
"""Smallest number of columns that are changed one at a time, in any table."""

MAX_CELLS = 2**16
"""Largest number of cells for each awkward kind, which limits the rows of wide tables."""

MAX_WORDS = 2000
"""More categories than this are tried only in all columns at once."""

FAR = 1e6
"""Distance of extreme values, in multiples of a column's range."""

LARGEST = float(np.finfo(np.float32).max)

UNSEEN = (
    "\N{SNOWMAN} unheard of",
    "x" * 10_000,
    "Ünïcödé 日本語",
    "'\"\\,;\t\n.",
    "nan0",
    "-1e309",
)


@dataclass(frozen=True, kw_only=True)
class Group:
    """Rows of one kind.

    Attributes:
        kind: what is awkward about the rows, as listed on a model card.
        where: the kind with the column's name, for messages.
        n_rows: number of rows.
        changed: the changed columns; all others are those of held-out rows.
    """

    kind: str
    where: str
    n_rows: int
    changed: Columns

    def __len__(self) -> int:
        return self.n_rows


def groups(
    schema: TableSchema, held: polars.DataFrame, *, bounded: bool
) -> tuple[list[Group], Columns]:
    """Every kind of row, held-out rows first, and all rows concatenated.

    Args:
        schema: of the table.
        held: at least one raw row that training did not see.
        bounded: whether the model clips numbers, so that it must handle the largest ones.
    """
    rows = _columns(schema, held)
    awkward = [
        *_missing(schema, rows),
        *_texts(schema),
        *_extremes(schema, rows, bounded=bounded),
    ]
    first = Group(kind="held", where="held rows", n_rows=held.height, changed={})
    return [first, *awkward], _joined(rows, awkward)


def _joined(rows: Columns, awkward: list[Group]) -> Columns:
    """Held-out rows, followed by the changed rows of each group."""
    n_held = len(next(iter(rows.values())))
    of_base = np.concatenate([np.arange(len(group)) % N_BASE % n_held for group in awkward])
    joined = {name: np.concatenate([held, held[of_base]]) for name, held in rows.items()}
    start = n_held
    for group in awkward:
        for name, cells in group.changed.items():
            joined[name][start : start + len(group)] = np.resize(cells, len(group))
        start += len(group)
    return joined


def _columns(schema: TableSchema, held: polars.DataFrame) -> Columns:
    numbers = schema.encode(held).x_num.numpy()
    exact = schema.exact
    columns: Columns = {
        name: numbers[:, i].astype("f8" if name in exact else "f4")
        for i, name in enumerate(schema.numbers)
    }
    for column in schema.categorical:
        columns[column.name] = np.array(text_of(held[column.name]).to_list(), dtype=object)
    return columns


def _missing(schema: TableSchema, rows: Columns) -> Iterator[Group]:
    gaps = {
        name: np.full_like(cells[:1], "" if cells.dtype == object else np.nan)
        for name, cells in rows.items()
    }
    for name in _some(list(schema.columns)):
        changed = {name: gaps[name]}
        yield Group(kind="missing", where=f'"{name}" missing', n_rows=N_BASE, changed=changed)
    yield Group(kind="missing", where="everything missing", n_rows=N_BASE, changed=gaps)


def _texts(schema: TableSchema) -> Iterator[Group]:
    known: dict[str, list[str]] = {}
    unseen: dict[str, list[str]] = {}
    for column in schema.categorical:
        known[column.name] = list(schema.spellings(column))
        unseen[column.name] = [word for word in UNSEEN if word not in known[column.name]]
    for kind, words in (("known category", known), ("unseen category", unseen)):
        is_many = sum(map(len, words.values())) > MAX_WORDS
        for name in () if is_many else _some(list(words)):
            yield _spread(kind, {name: words[name]})
        if words:
            yield _spread(kind, words)


def _extremes(schema: TableSchema, rows: Columns, *, bounded: bool) -> Iterator[Group]:
    together: dict[str, list[float]] = {}
    for name in schema.numeric:
        known = rows[name][~np.isnan(rows[name])].astype("f8")
        low, high = (known.min(), known.max()) if len(known) else (0.0, 0.0)
        far = FAR * ((high - low) or max(abs(high), 1.0))
        values = [low, high, low - far, high + far, 0.0, -0.0, 1e-40, 1.0]
        values += [LARGEST, -LARGEST] if bounded else []
        together[name] = [min(max(float(value), -LARGEST), LARGEST) for value in values]
    for column in schema.dates:
        known = rows[column.name][~np.isnan(rows[column.name])]
        low, high = (known.min(), known.max()) if len(known) else (0.0, 0.0)
        far = FAR * ((high - low) or DAY_MICROSECONDS)
        values = [low, high, low - far, high + far, 0.0, 1.0]
        is_clock = schema.reader(column.name).order == "time"
        first, last = (0, DAY_MICROSECONDS - 1) if is_clock else (-EXACT, EXACT)
        together[column.name] = [float(min(max(round(value), first), last)) for value in values]
    for name in _some(list(together)):
        yield _spread("extreme number", {name: together[name]})
    if together:
        yield _spread("extreme number", together)


def _spread(kind: str, values: Mapping[str, Sequence[float] | Sequence[str]]) -> Group:
    """A row for each value of the columns; shorter lists of values repeat."""
    (name, *more) = values
    place = f"{len(values)} columns" if more else f'"{name}"'
    return Group(
        kind=kind,
        where=f"{kind} in {place}",
        n_rows=max(len(column) for column in values.values()),
        changed={name: _cells(column) for name, column in values.items()},
    )


def _cells(values: Sequence[float] | Sequence[str]) -> np.ndarray:
    return np.array(values, dtype=object if isinstance(values[0], str) else "f8")


def _some(names: list[str]) -> list[str]:
    """The columns that are changed one at a time, evenly spaced."""
    most = min(MAX_COLUMNS, max(MIN_COLUMNS, MAX_CELLS // max(1, len(names))))
    return names[:: max(1, -(-len(names) // most))]
