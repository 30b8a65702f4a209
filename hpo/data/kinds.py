"""Choose the reader of each column: whether it holds numbers, dates or categories.

Readers are chosen once, from all cells of the table that a study is created on. A column whose
cells can be read in two ways is refused with both readings; nothing is guessed.
"""

from collections.abc import Sequence
from dataclasses import replace

import polars as pl

from hpo.config.errors import DataError
from hpo.config.parsing import format_value
from hpo.config.trial import DataConfig
from hpo.data.ambiguity import Choice, resolve_ambiguities
from hpo.data.cells import NumberFormat, parse_number_parts, parse_times, split_number
from hpo.data.plain import CODE, GROUP, plain_readers
from hpo.data.reader import (
    EXACT,
    MISSING,
    TEXTS,
    TRUTHS,
    Kind,
    Reader,
    is_usable,
    nan_as_null,
)
from hpo.data.text_column import N_SAMPLE, TextColumn

_CATEGORY = Reader(kind="category")

_LIKELY = 0.4
"""Minimum share of numbers or dates in a sample before a whole column is tried as such. At least
half of the cells of such a column are numbers or dates."""

_N_CODES = 3
"""Minimum number of words of letters and digits (V45) that make a column of numbers codes."""

_FEW = 3
"""Up to this many different numbers may have three digits after the point by chance."""

_SHORTEST_DAY = len("2024-2-3")
_DOTTED = r"^[0-9]{1,2}\.[0-9]{1,2}\.[0-9]{4}"
"""Dates written with dots have the day first."""

_WHOLE = r"^[+-]?(0|[1-9][0-9]*)(\.0*)?$"

_MARKS = (
    (".", ""),
    (".", ","),
    (",", ""),
    (",", "."),
    (".", " "),
    (",", " "),
    (".", "'"),
    (",", "'"),
)
"""Decimal mark and thousands separator. The first pair wins if several give the same numbers."""


def choose_readers(frame: pl.DataFrame, data: DataConfig, where: str) -> dict[str, Reader]:
    """Choose a reader for each column of numbers, text or times.

    Args:
        frame: cells as text, or typed values.
        data: the study's `[data]`.
        where: the table's name, which opens each message.

    Raises:
        DataError: a column's cells can be read in two ways; the message names both and the key that
            decides.
    """
    if data.target in data.drop:
        raise DataError(f"{where}: data.drop names the target {format_value(data.target)}")
    if data.decimal is not None and data.decimal == data.thousands:
        raise DataError(
            f"{where}: data.decimal and data.thousands must differ, "
            f"but both are {format_value(data.decimal)}"
        )
    chooser = _Chooser(data, where)
    columns = {column.name: column for column in frame.get_columns() if is_usable(column)}
    plain = chooser.plain(list(columns.values()))
    choices = {
        name: plain[name] if name in plain else chooser.choose(column)
        for name, column in columns.items()
    }
    return resolve_ambiguities(choices, columns, data, where)


def missing_words(data: DataConfig) -> tuple[str, ...]:
    """Words that mean a missing value in a text file."""
    return MISSING if data.missing is None else tuple(dict.fromkeys(("", *data.missing)))


class _Chooser:
    """Chooses a reader for one column at a time."""

    def __init__(self, data: DataConfig, where: str) -> None:
        self._data = data
        self._missing = missing_words(data)
        self._where = where
        self._declared: dict[str | None, Kind] = {
            data.split.groups: "category",
            data.weight: "number",
            **dict.fromkeys(data.dates, "date"),
            **dict.fromkeys((*data.categorical, data.split.column), "category"),
            **dict.fromkeys(data.numeric, "number"),
            **({data.target: "number"} if data.task == "regression" else {}),
        }

    def plain(self, columns: Sequence[pl.Series]) -> dict[str, Choice]:
        """The same as `choose` for the plain columns, which are most columns of a wide table."""
        data = self._data
        if data.decimal == "," or data.thousands or data.date_order is not None:
            return {}
        settled = {*self._declared, data.target}
        texts = [c for c in columns if c.dtype == pl.String and c.name not in settled]
        readers = plain_readers(texts, self._missing)
        return {name: Choice(reader=reader) for name, reader in readers.items()}

    def choose(self, column: pl.Series) -> Choice:
        kind = self._declared.get(column.name)
        if column.dtype in TEXTS or (kind == "date" and column.dtype.is_numeric()):
            return self._choose_text(TextColumn(column, self._missing, kind))
        return Choice(reader=self._typed_reader(column, kind))

    def _is_label(self, name: str) -> bool:
        return name == self._data.target and self._data.task in ("binary", "multiclass")

    def _typed_reader(self, column: pl.Series, kind: Kind | None) -> Reader:
        """The reader of typed values.

        Raises:
            DataError: the study declares another kind.
        """
        name, is_time = column.name, column.dtype.is_temporal() and column.dtype != pl.Duration
        key, said = ("dates", "dates") if kind == "date" else ("numeric", "numbers")
        is_wrong = is_time if kind == "number" else kind == "date" and not is_time
        if is_wrong and name in getattr(self._data, key) and column.dtype != pl.Null:
            raise DataError(
                f"{self._where}: column {format_value(name)} must hold {said}, as data.{key} says, "
                f"but holds {column.dtype}"
            )
        if kind == "category":
            return _typed_category(column)
        if is_time:
            order = "time" if column.dtype == pl.Time else "ymd"
            return Reader(kind="category" if self._is_label(name) else "date", order=order)
        if kind != "number" and _is_beyond_float64(column):
            return Reader(kind="category", whole=True)
        return Reader(boolean=column.dtype == pl.Boolean)

    def _choose_text(self, column: TextColumn) -> Choice:
        """The choice of the first rule that applies."""
        for rule in (self._settled, self._program_numbers, self._numbers, self._dates):
            if (choice := rule(column)) is not None:
                return choice
        if column.kind is not None:
            raise self._unread(column)
        return Choice(reader=_CATEGORY)

    def _settled(self, column: TextColumn) -> Choice | None:
        """Labels, declared categories, empty columns, and columns of true and false."""
        known, kind = column.known, column.kind
        if self._is_label(column.name):
            return Choice(reader=_label_reader(known))
        if kind == "category":
            return Choice(reader=_text_category(known))
        if known.is_empty():
            order = "compact" if column.is_typed else "ymd"
            return Choice(reader=Reader(kind=kind or "number", order=order * (kind == "date")))
        if kind != "date" and _are_truths(known):
            is_target = column.name == self._data.target and kind is None
            return Choice(reader=_CATEGORY if is_target else Reader(boolean=True))
        return None

    def _program_numbers(self, column: TextColumn) -> Choice | None:
        """Numbers as programs write them, unless they are codes."""
        known, kind = column.known, column.kind
        if kind == "date":
            return None
        numbers = nan_as_null(known.cast(pl.Float64, strict=False))
        if numbers.null_count():
            return None
        if kind is None and known.str.contains(CODE).any():
            return Choice(reader=_CATEGORY)
        if kind is None and _has_long_integers(known, numbers):
            return Choice(reader=Reader(kind="category", whole=True))
        usual = Choice(reader=Reader())
        if self._data.thousands == "":
            return usual
        if self._data.decimal == "," or self._data.thousands == ".":
            return self._numbers(column) or usual
        is_group = known.str.contains(GROUP)
        is_whole = ~known.str.contains(".", literal=True)
        if not is_group.any() or not (is_group | is_whole).all():
            return usual
        # Programs write 5.000 beside 1.234, people write 950.
        is_small = numbers.filter(is_whole).abs() < 1000
        by_hand = len(is_small) and is_small.all() and known.filter(is_group).n_unique() > _FEW
        return Choice(
            reader=Reader(),
            rival=Reader(written=NumberFormat(decimal=",", thousands=".")),
            example=column.first(column.distinct.str.contains(GROUP)),
            evidence="," if by_hand else "",
        )

    def _numbers(self, column: TextColumn) -> Choice | None:
        """Numbers as people write them, if nearly all cells are such numbers."""
        data, kind = self._data, column.kind
        if kind == "date":
            return None
        if kind is None:
            n_likely = split_number(column.sample)["digits"].count()
            if n_likely < _LIKELY * len(column.sample):
                return None
        parts = split_number(column.distinct)
        affixes = _percent_or_currency(parts, column)
        allowed = [
            replace(affixes, decimal=decimal, thousands=thousands)
            for decimal, thousands in _MARKS
            if data.decimal in (None, decimal)
            and (data.thousands is None or thousands in ("", data.thousands))
            and decimal != data.thousands
        ]
        read = {written: parse_number_parts(parts, written) for written in allowed}
        counts = {written: column.count(values.is_not_null()) for written, values in read.items()}
        best = max(counts.values())
        if best == 0 or (kind is None and not _are_numbers(column, parts, best)):
            return None
        first, *others = [written for written in allowed if counts[written] == best]
        for other in others:
            differs = (read[first] != read[other]).fill_null(value=False)
            if differs.any():
                rival = Reader(written=other)
                example = column.first(differs)
                return Choice(reader=Reader(written=first), rival=rival, example=example)
        marked = column.distinct.str.contains(first.decimal, literal=True)
        # Points between thousands show that commas are decimal, and the other way round.
        shows = first.thousands in (".", ",") or (marked & read[first].is_not_null()).any()
        return Choice(reader=Reader(written=first), evidence=first.decimal if shows else "")

    def _dates(self, column: TextColumn) -> Choice | None:
        """Dates or times, if nearly all cells are such."""
        kind, wanted = column.kind, self._data.date_order
        if kind == "number":
            return None
        orders = ["ymd", "dmy", "mdy", "time"]
        if wanted is not None:
            orders = list(dict.fromkeys(("ymd", wanted, "time")))
        if column.is_typed:
            orders = ["compact"]
        elif kind == "date":
            orders.append("compact")
        else:
            orders = _likely(orders, column.sample)
        read = {order: parse_times(column.distinct, order) for order in orders}
        counts = {order: column.count(values.is_not_null()) for order, values in read.items()}
        best = max(counts.values(), default=0)
        if best == 0 or (kind is None and not column.is_nearly_all(best)):
            return None
        first, *others = [order for order in orders if counts[order] == best]
        if wanted in others and not read[wanted].equals(read[first]):
            first, others = wanted, []
        if first == "ymd" and column.distinct.str.contains(_DOTTED).any():
            first, others = "dmy", []  # so that a note mentions it
        reader = Reader(kind="date", order=first)
        if first == "dmy" and "mdy" in others:
            differs = (read["dmy"] != read["mdy"]).fill_null(value=False)
            if differs.any():
                rival = Reader(kind="date", order="mdy")
                return Choice(reader=reader, rival=rival, example=column.first(differs))
        return Choice(reader=reader, evidence=first if first in ("dmy", "mdy") else "")

    def _unread(self, column: TextColumn) -> DataError:
        """The error for a column without a cell of the kind that the study declares."""
        data, name = self._data, column.name
        what, key, marks = "dates", "dates", ["date_order"]
        if column.kind == "number":
            what, marks = "numbers", ["decimal", "thousands"]
            keys = {data.target: "task", data.weight: "weight"}
            key = keys.get(name, "numeric")
        given = {mark: getattr(data, mark) for mark in marks}
        said = [
            f"data.{mark} = {format_value(sign)}"
            for mark, sign in given.items()
            if sign is not None
        ]
        by = f" with {' and '.join(said)}" if said else ""
        first = column.first(column.distinct.is_not_null())
        return DataError(
            f'{self._where}: column "{name}" must hold {what}, as data.{key} says, but row '
            f"{first.row:,} holds {format_value(first.cell)} and no other reads as one{by}"
        )


def _are_numbers(column: TextColumn, parts: pl.DataFrame, n_read: int) -> bool:
    """Whether a column of this many readable numbers holds numbers, and no codes."""
    if not column.is_nearly_all(n_read):
        return False
    words = column.distinct
    if words.str.contains(r"^[+-]?0[0-9]+$").any():
        return False
    is_code = words.str.contains(r"^[\w./-]*([A-Za-z][\w./-]*[0-9]|[0-9][\w./-]*[A-Za-z])")
    is_code &= parts["digits"].is_null()
    is_repeated = len(words) * 4 <= len(column.known)
    return not (is_repeated and int(is_code.sum()) >= _N_CODES)


def _likely(orders: list[str], sample: pl.Series) -> list[str]:
    """The orders in which many cells of a sample are times."""
    if not sample.str.contains(r"[0-9][0-9]").any():
        return []
    return [
        order
        for order in orders
        if len(sample) - parse_times(sample, order).null_count() >= _LIKELY * len(sample)
    ]


def _percent_or_currency(parts: pl.DataFrame, column: TextColumn) -> NumberFormat:
    """Percent if most numbers are percentages, else the most frequent currency."""
    before, after = parts["before"], parts["after"]
    is_percent = (after == "%").fill_null(value=False)
    if 2 * column.count(is_percent) > column.count(parts["digits"].is_not_null()):
        return NumberFormat(percent=True)
    marks = before.fill_null(after)
    named = {mark for mark in marks.drop_nulls().unique() if mark != "%"}
    counts = {mark: column.count((marks == mark).fill_null(value=False)) for mark in sorted(named)}
    return NumberFormat(currency=max(counts, key=lambda mark: counts[mark]) if counts else "")


def _typed_category(column: pl.Series) -> Reader:
    """The reader of typed values that are declared to be categories."""
    if column.dtype in (pl.Date, pl.Datetime):
        return Reader(kind="category", order="ymd")
    is_whole = column.dtype.is_integer()
    if column.dtype.is_float():
        known = nan_as_null(column).drop_nulls()
        is_whole = bool((known == known.floor()).all())
    return Reader(kind="category", whole=is_whole)


def _text_category(known: pl.Series) -> Reader:
    """The reader of text that is declared to be categories: words, whole numbers or dates."""
    if known.is_empty():
        return _CATEGORY
    if known.str.contains(_WHOLE).all():
        return Reader(kind="category", whole=True)
    if known.str.len_chars().min() < _SHORTEST_DAY:  # type: ignore[operator]
        return _CATEGORY  # 2024.1 and 2024.10 are versions, not months
    if parse_times(known.head(N_SAMPLE), "ymd").null_count() == 0:
        is_time = parse_times(known, "ymd").null_count() == 0
        return Reader(kind="category", order="ymd" if is_time else "")
    return _CATEGORY


def _label_reader(known: pl.Series) -> Reader:
    """The reader of class labels: numbers if distinct labels stay distinct as numbers."""
    numbers = known.cast(pl.Float64, strict=False).fill_nan(None)
    is_number = numbers.null_count() == 0 and not known.str.contains(CODE).any()
    if known.is_empty() or not is_number or _has_long_integers(known, numbers):
        return _CATEGORY
    is_distinct = numbers.n_unique() == known.n_unique() or known.str.contains(_WHOLE).all()
    return Reader() if is_distinct else _CATEGORY


def _has_long_integers(cells: pl.Series, numbers: pl.Series) -> bool:
    if max(-numbers.min(), numbers.max()) <= EXACT:  # type: ignore[operator, type-var]
        return False
    return bool(((numbers.abs() > EXACT) & cells.str.contains(r"^[+-]?[0-9]+$")).any())


def _is_beyond_float64(column: pl.Series) -> bool:
    """Whether some integers are not exact in float64."""
    if not column.dtype.is_integer():
        return False
    ends: tuple[int | None, int | None] = (column.min(), column.max())  # type: ignore[assignment]
    return any(end is not None and abs(end) > EXACT for end in ends)


def _are_truths(known: pl.Series) -> bool:
    """Whether all cells are true or false."""
    if known[0].lower() not in TRUTHS:
        return False
    return bool(known.str.to_lowercase().is_in(list(TRUTHS)).all())
