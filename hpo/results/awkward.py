"""Rows that exports are tried on: held ones, and awkward ones made of them.

Does not know: models, how rows are predicted on.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars

from hpo.data.cells import DAY_MICROSECONDS
from hpo.data.reader import EXACT
from hpo.data.schema import TableSchema
from hpo.data.target import text_of

Columns = dict[str, np.ndarray]
"""Raw rows as a program without `hpo` has them: numbers, missing NaN; or text, missing ""."""

N_BASE = 4
"""So many held rows are changed in each awkward way."""

MAX_COLUMNS = 64
"""Of more columns than that, only some are changed one at a time, and all of them together."""

MAX_WORDS = 2000
"""More categories than that are tried in all columns at once only."""

FAR = 1e6
"""How many times a column's spread its far values lie out."""

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
        kind: what is awkward about them, as a model card lists it.
        where: the same with the column's name.
    """

    kind: str
    where: str
    rows: Columns

    def __len__(self) -> int:
        return len(next(iter(self.rows.values())))


def groups(schema: TableSchema, held: polars.DataFrame, *, bounded: bool) -> list[Group]:
    """Every kind of row.

    Args:
        schema: of the table.
        held: raw rows that training did not see, one at least.
        bounded: whether the model cuts numbers off, so that the largest there are must do.
    """
    rows = _columns(schema, held)
    base = {name: np.resize(values[:N_BASE], N_BASE) for name, values in rows.items()}
    return [
        Group(kind="held", where="held rows", rows=rows),
        *_missing(schema, base),
        *_texts(schema, base),
        *_extremes(schema, base, rows, bounded=bounded),
    ]


def joined(parts: list[Group]) -> Columns:
    """The rows of all groups, one after the other."""
    return {name: np.concatenate([group.rows[name] for group in parts]) for name in parts[0].rows}


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


def _missing(schema: TableSchema, base: Columns) -> Iterator[Group]:
    gaps = {
        name: np.full_like(values, "" if values.dtype == object else np.nan)
        for name, values in base.items()
    }
    for name in _some(list(schema.columns)):
        changed = {**base, name: gaps[name]}
        yield Group(kind="missing", where=f'"{name}" missing', rows=changed)
    yield Group(kind="missing", where="everything missing", rows=gaps)


def _texts(schema: TableSchema, base: Columns) -> Iterator[Group]:
    known: dict[str, list[str]] = {}
    unseen: dict[str, list[str]] = {}
    for column in schema.categorical:
        known[column.name] = list(schema.spellings(column))
        unseen[column.name] = [word for word in UNSEEN if word not in known[column.name]]
    for kind, words in (("known category", known), ("unseen category", unseen)):
        is_many = sum(map(len, words.values())) > MAX_WORDS
        for name in () if is_many else _some(list(words)):
            yield _spread(kind, {name: words[name]}, base)
        if words:
            yield _spread(kind, words, base)


def _extremes(
    schema: TableSchema, base: Columns, rows: Columns, *, bounded: bool
) -> Iterator[Group]:
    together: dict[str, list[float]] = {}
    for name in schema.numeric:
        known = rows[name][~np.isnan(rows[name])].astype("f8")
        low, high = (known.min(), known.max()) if len(known) else (0.0, 0.0)
        far = FAR * ((high - low) or max(abs(high), 1.0))
        values = [low, high, low - far, high + far, 0.0, -0.0, 1e-40, 1.0]
        values += [LARGEST, -LARGEST] if bounded else []
        together[name] = [float(np.clip(value, -LARGEST, LARGEST)) for value in values]
    for column in schema.dates:
        known = rows[column.name][~np.isnan(rows[column.name])]
        low, high = (known.min(), known.max()) if len(known) else (0.0, 0.0)
        far = FAR * ((high - low) or DAY_MICROSECONDS)
        values = [low, high, low - far, high + far, 0.0, 1.0]
        is_clock = schema.reader(column.name).order == "time"
        first, last = (0, DAY_MICROSECONDS - 1) if is_clock else (-EXACT, EXACT)
        together[column.name] = [float(np.clip(round(value), first, last)) for value in values]
    for name in _some(list(together)):
        yield _spread("extreme number", {name: together[name]}, base)
    if together:
        yield _spread("extreme number", together, base)


def _spread(
    kind: str, values: Mapping[str, Sequence[float] | Sequence[str]], base: Columns
) -> Group:
    """A row for each value of the columns, by turns; the others as in the base rows by turns."""
    n_rows = max(len(column) for column in values.values())
    rows = {
        name: np.resize(np.array(values.get(name, old), dtype=old.dtype), n_rows)
        for name, old in base.items()
    }
    (name, *more) = values
    place = f"{len(values)} columns" if more else f'"{name}"'
    return Group(kind=kind, where=f"{kind} in {place}", rows=rows)


def _some(names: list[str]) -> list[str]:
    """`MAX_COLUMNS` of them at most, evenly spaced."""
    return names[:: max(1, -(-len(names) // MAX_COLUMNS))]
