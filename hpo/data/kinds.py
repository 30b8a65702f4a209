"""Which kind of values each column of a table holds, and how its cells are to be read.

Decided once, from all cells of the table that a study is created on. What two readings fit equally
well is refused with both, never guessed.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import polars as pl

from hpo.config.errors import DataError
from hpo.config.parsing import format_value
from hpo.config.trial import DataConfig
from hpo.data.ambiguity import Choice, Example, settle
from hpo.data.cells import NumberFormat, dressed_numbers, parse_times, undressed
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
    present,
    typed_text,
)
from hpo.data.tally import N_SAMPLE, Tally

N_CODES = 3
"""So many words of letters with digits, such as V45, make a column of numbers one of codes."""

FEW = 3
"""So many different numbers may have three digits after their points by chance."""

LIKELY = 0.4
"""A whole column of text is tried as numbers or dates if this share of a sample is. In a column of
either, half of all cells are at least."""

SHORTEST_DAY = len("2024-2-3")
DOTTED = r"^[0-9]{1,2}\.[0-9]{1,2}\.[0-9]{4}"
"""Dates that are written so have the day first."""

FORMATS = tuple(
    NumberFormat(decimal=decimal, thousands=thousands)
    for decimal, thousands in (
        (".", ""),
        (".", ","),
        (",", ""),
        (",", "."),
        (".", " "),
        (",", " "),
        (".", "'"),
        (",", "'"),
    )
)
"""In the order of preference, where several read the same cells as the same numbers."""


def choose_readers(frame: pl.DataFrame, data: DataConfig, where: str) -> dict[str, Reader]:
    """A reader for each column that holds numbers, text or times.

    Args:
        frame: cells as text, or typed values.
        data: what the study says of its columns.
        where: the table's name, which opens each message.

    Raises:
        DataError: a column's cells can be read in two ways; names both and the key that decides.
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
    return settle(choices, columns, data, where)


class _Chooser:
    """Chooses readers column by column."""

    def __init__(self, data: DataConfig, where: str) -> None:
        self._data = data
        self._missing = missing_words(data)
        self._where = where
        self._kinds: dict[str | None, Kind] = {
            **dict.fromkeys(data.dates, "date"),
            **dict.fromkeys((*data.categorical, data.split.column), "category"),
            **dict.fromkeys(data.numeric, "number"),
            **({data.target: "number"} if data.task == "regression" else {}),
        }

    def plain(self, columns: Sequence[pl.Series]) -> dict[str, Choice]:
        """What `choose` would give for columns that are plain, as most are in a wide table."""
        data = self._data
        if data.decimal == "," or data.thousands or data.date_order is not None:
            return {}
        settled = {*self._kinds, data.target}
        texts = [c for c in columns if c.dtype == pl.String and c.name not in settled]
        readers = plain_readers(texts, self._missing)
        return {name: Choice(reader=reader) for name, reader in readers.items()}

    def choose(self, column: pl.Series) -> Choice:
        name, data = column.name, self._data
        forced = self._kinds.get(name)
        if column.dtype in TEXTS:
            return self._choose_text(column, forced)
        if forced == "date" and column.dtype.is_numeric():
            found = self._choose_text(typed_text(nan_as_null(column)), forced)
            return Choice(reader=replace(found.reader, order="compact"))
        self._check_forced(column, forced)
        if forced == "category":
            return Choice(reader=_category(typed=column))
        if column.dtype.is_temporal() and column.dtype != pl.Duration:
            order = "time" if column.dtype == pl.Time else "ymd"
            is_label = name == data.target and data.task in ("binary", "multiclass")
            kind: Kind = "category" if is_label else "date"
            return Choice(reader=Reader(kind=kind, order=order))
        if forced != "number" and _is_beyond_float64(column):
            return Choice(reader=Reader(kind="category", whole=True))
        return Choice(reader=Reader(boolean=column.dtype == pl.Boolean))

    def _check_forced(self, column: pl.Series, forced: Kind | None) -> None:
        """Refuse typed values of another kind than the study says."""
        name, is_time = column.name, column.dtype.is_temporal() and column.dtype != pl.Duration
        key, said = ("dates", "dates") if forced == "date" else ("numeric", "numbers")
        is_wrong = is_time if forced == "number" else forced == "date" and not is_time
        if is_wrong and name in getattr(self._data, key) and column.dtype != pl.Null:
            raise DataError(
                f"{self._where}: column {format_value(name)} must hold {said}, as data.{key} says, "
                f"but holds {column.dtype}"
            )

    def _choose_text(self, column: pl.Series, forced: Kind | None) -> Choice:
        name, data = column.name, self._data
        cells = present(column, self._missing)
        known = cells.drop_nulls()
        if name == data.target and data.task in ("binary", "multiclass"):
            return Choice(reader=_label_reader(known))
        if forced == "category":
            return Choice(reader=_category(text=known))
        if known.is_empty():
            return Choice(reader=Reader(kind=forced or "number", order="ymd" * (forced == "date")))
        if forced != "date" and _are_truths(known):
            is_label = name == data.target and forced is None
            return Choice(reader=Reader(kind="category") if is_label else Reader(boolean=True))
        if forced != "date":
            plain = nan_as_null(known.cast(pl.Float64, strict=False))
            if plain.null_count() == 0:
                return self._plain(cells, known, plain, forced)
        tally = Tally(cells)
        found: Choice | None = None
        if forced != "date":
            found = self._numbers(tally, forced)
        if found is None and forced != "number":
            found = self._dates(tally, forced)
        if found is None and forced is not None:
            raise self._unread(cells, forced)
        return found or Choice(reader=_category())

    def _unread(self, cells: pl.Series, forced: Kind) -> DataError:
        """No cell of a column is of the kind that the study gives it."""
        data, name = self._data, cells.name
        what, key, marks = "dates", "dates", ["date_order"]
        if forced == "number":
            what, marks = "numbers", ["decimal", "thousands"]
            key = "numeric" if name in data.numeric else "task"
        given = {mark: getattr(data, mark) for mark in marks}
        said = [
            f"data.{mark} = {format_value(sign)}"
            for mark, sign in given.items()
            if sign is not None
        ]
        by = f" with {' and '.join(said)}" if said else ""
        row = int(cells.is_not_null().arg_true()[0])
        return DataError(
            f'{self._where}: column "{name}" must hold {what}, as data.{key} says, but row '
            f"{row + 1:,} holds {format_value(cells[row])} and no other reads as one{by}"
        )

    def _plain(
        self, cells: pl.Series, known: pl.Series, plain: pl.Series, forced: Kind | None
    ) -> Choice:
        """Numbers as programs write them, unless they are codes."""
        if forced is None and known.str.contains(CODE).any():
            return Choice(reader=_category())
        if forced is None and _has_long_integers(known, plain):
            return Choice(reader=Reader(kind="category", whole=True))
        if self._data.thousands == "":
            return Choice(reader=Reader())
        if self._data.decimal == "," or self._data.thousands == ".":
            found = self._numbers(Tally(cells), forced)
            return found or Choice(reader=Reader())
        is_group = known.str.contains(GROUP)
        is_whole = ~known.str.contains(".", literal=True)
        if is_group.any() and (is_group | is_whole).all():
            grouped = Reader(written=NumberFormat(decimal=",", thousands="."))
            example = _example(cells, known.filter(is_group)[0])
            # Programs write 5.000 beside 1.234, people 950.
            is_small = plain.filter(is_whole).abs() < 1000
            by_hand = len(is_small) and is_small.all() and known.filter(is_group).n_unique() > FEW
            evidence = "," if by_hand else ""
            return Choice(reader=Reader(), rival=grouped, example=example, evidence=evidence)
        return Choice(reader=Reader())

    def _numbers(self, tally: Tally, forced: Kind | None) -> Choice | None:
        """A reader of numbers, if nearly all cells are."""
        data = self._data
        if forced is None:
            n_likely = undressed(tally.sample)["digits"].count()
            if n_likely < LIKELY * len(tally.sample):
                return None
        parts = undressed(tally.values)
        dress = _dress(parts, tally)
        allowed = [
            replace(written, percent=dress.percent, currency=dress.currency)
            for written in FORMATS
            if data.decimal in (None, written.decimal)
            and (data.thousands is None or written.thousands in ("", data.thousands))
            and written.decimal != data.thousands
        ]
        read = {written: dressed_numbers(parts, written) for written in allowed}
        shares = {written: tally.count(values.is_not_null()) for written, values in read.items()}
        best = max(shares.values())
        if best == 0 or (forced is None and not self._are_numbers(tally, parts, best)):
            return None
        first, *others = [written for written in allowed if shares[written] == best]
        marked = tally.values.str.contains(first.decimal, literal=True)
        for other in others:
            differs = (read[first] != read[other]).fill_null(value=False)
            if differs.any():
                example = tally.first(differs)
                rival = Reader(written=other)
                return Choice(reader=Reader(written=first), rival=rival, example=example)
        # Points that part thousands show that commas are decimal, and the other way round.
        shows = first.thousands in (".", ",") or (marked & read[first].is_not_null()).any()
        return Choice(reader=Reader(written=first), evidence=first.decimal if shows else "")

    def _are_numbers(self, tally: Tally, parts: pl.DataFrame, n_read: int) -> bool:
        if not tally.is_nearly_all(n_read):
            return False
        words = tally.values
        if words.str.contains(r"^[+-]?0[0-9]+$").any():
            return False
        is_code = words.str.contains(r"^[\w./-]*([A-Za-z][\w./-]*[0-9]|[0-9][\w./-]*[A-Za-z])")
        is_code &= parts.to_series(4).is_null()
        is_repeated = len(words) * 4 <= tally.n
        return not (is_repeated and int(is_code.sum()) >= N_CODES)

    def _dates(self, tally: Tally, forced: Kind | None) -> Choice | None:
        """A reader of dates or times, if nearly all cells are."""
        orders = ["ymd", "dmy", "mdy", "time"]
        if self._data.date_order is not None:
            orders = list(dict.fromkeys(("ymd", self._data.date_order, "time")))
        if forced == "date":
            orders.append("compact")
        else:
            orders = _likely(orders, tally.sample)
        read = {order: parse_times(tally.values, order) for order in orders}
        shares = {order: tally.count(values.is_not_null()) for order, values in read.items()}
        best = max(shares.values(), default=0)
        if best == 0 or (forced is None and not tally.is_nearly_all(best)):
            return None
        first, *others = [order for order in orders if shares[order] == best]
        if self._data.date_order in others and not read[self._data.date_order].equals(read[first]):
            first, others = self._data.date_order, []
        if first == "ymd" and tally.values.str.contains(DOTTED).any():
            first, others = "dmy", []  # so that it is said
        reader = Reader(kind="date", order=first)
        if first == "dmy" and "mdy" in others:
            differs = (read["dmy"] != read["mdy"]).fill_null(value=False)
            if differs.any():
                rival = Reader(kind="date", order="mdy")
                return Choice(reader=reader, rival=rival, example=tally.first(differs))
        return Choice(reader=reader, evidence=first if first in ("dmy", "mdy") else "")


def _likely(orders: list[str], sample: pl.Series) -> list[str]:
    """The orders in which most cells of a sample are times."""
    if not sample.str.contains(r"[0-9][0-9]").any():
        return []
    return [
        order
        for order in orders
        if len(sample) - parse_times(sample, order).null_count() >= LIKELY * len(sample)
    ]


@dataclass(frozen=True, kw_only=True)
class _Dress:
    percent: bool
    currency: str


def _dress(parts: pl.DataFrame, tally: Tally) -> _Dress:
    """Whether most numbers are percentages, and their most frequent currency."""
    before, after = parts["before"], parts["after"]
    is_percent = (after == "%").fill_null(value=False)
    n_numbers = tally.count(parts["digits"].is_not_null())
    marks = before.fill_null(after)
    named = {mark for mark in marks.drop_nulls().unique() if mark != "%"}
    counts = {mark: tally.count((marks == mark).fill_null(value=False)) for mark in sorted(named)}
    percent = 2 * tally.count(is_percent) > n_numbers
    currency = max(counts, key=lambda mark: counts[mark]) if counts and not percent else ""
    return _Dress(percent=percent, currency=currency)


def _example(cells: pl.Series, cell: str) -> Example:
    row = (cells == cell).arg_max()
    return Example(cell=cell, row=0 if row is None else row + 1)


def missing_words(data: DataConfig) -> tuple[str, ...]:
    """Words that are missing values in a text file."""
    return MISSING if data.missing is None else tuple(dict.fromkeys(("", *data.missing)))


def _category(*, text: pl.Series | None = None, typed: pl.Series | None = None) -> Reader:
    """A reader of categories; of declared ones it is looked whether they are whole or dates."""
    if typed is not None:
        is_time = typed.dtype in (pl.Date, pl.Datetime)
        is_whole = typed.dtype.is_integer() or (
            typed.dtype.is_float() and _all(nan_as_null(typed), lambda x: x == x.floor())
        )
        return Reader(kind="category", whole=is_whole, order="ymd" if is_time else "")
    if text is None or text.is_empty():
        return Reader(kind="category")
    if _all(text, lambda cells: cells.str.contains(r"^[+-]?(0|[1-9][0-9]*)(\.0*)?$")):
        return Reader(kind="category", whole=True)
    if text.str.len_chars().min() < SHORTEST_DAY:  # type: ignore[operator]
        return Reader(kind="category")  # 2024.1 and 2024.10 are no months, but versions
    if parse_times(text.head(N_SAMPLE), "ymd").null_count() == 0:
        is_time = parse_times(text, "ymd").null_count() == 0
        return Reader(kind="category", order="ymd" if is_time else "")
    return Reader(kind="category")


def _label_reader(known: pl.Series) -> Reader:
    """A reader of class labels: numbers where that loses nothing of how they are written."""
    numbers = known.cast(pl.Float64, strict=False).fill_nan(None)
    is_number = numbers.null_count() == 0 and not known.str.contains(CODE).any()
    if known.is_empty() or not is_number or _has_long_integers(known, numbers):
        return Reader(kind="category")
    is_told_apart = numbers.n_unique() == known.n_unique() or _are_whole(known)
    return Reader(kind="number" if is_told_apart else "category")


def _are_whole(cells: pl.Series) -> bool:
    return bool(cells.str.contains(r"^[+-]?[0-9]+(\.0*)?$").all())


def _has_long_integers(cells: pl.Series, numbers: pl.Series) -> bool:
    if max(-numbers.min(), numbers.max()) <= EXACT:  # type: ignore[operator, type-var]
        return False
    return bool(((numbers.abs() > EXACT) & cells.str.contains(r"^[+-]?[0-9]+$")).any())


def _is_beyond_float64(column: pl.Series) -> bool:
    if not column.dtype.is_integer() or column.is_empty():
        return False
    ends: Iterable[int | None] = (column.min(), column.max())  # type: ignore[assignment]
    return any(end is not None and abs(end) > EXACT for end in ends)


def _are_truths(known: pl.Series) -> bool:
    """Whether all cells say true or false."""
    if known[0].lower() not in TRUTHS:
        return False
    return bool(known.str.to_lowercase().is_in(list(TRUTHS)).all())


def _all(column: pl.Series, holds: Callable[[pl.Series], pl.Series]) -> bool:
    return bool(holds(column.drop_nulls()).all())
