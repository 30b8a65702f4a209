"""Which kind of values each column of a table holds, and how its cells are to be read.

Decided once, from all cells of the table that a study is created on. What two readings fit equally
well is refused with both, never guessed.

Does not know: files, encodings as tensors, splits.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import polars as pl

from hpo.data.cells import NumberFormat, dressed_numbers, parse_times, undressed
from hpo.data.plain import CODE, GROUP, plain_readers
from hpo.data.reader import (
    CENSORED,
    EXACT,
    MISSING,
    MISSING_LIKE,
    TEXTS,
    TRUTHS,
    Kind,
    Reader,
    is_usable,
    nan_as_null,
    time_text,
    trimmed,
    without,
)
from hpo.errors import AmbiguousCellsError, DataError
from hpo.parsing import shown
from hpo.trial import DataConfig

NEARLY_ALL = 0.95
"""Share of a column's cells that make it numbers or dates; the others count as missing."""

N_CODES = 3
"""So many words of letters with digits, such as V45, make a column of numbers one of codes."""

N_SAMPLE = 100
"""Different cells that are tried before a whole column is read as dates."""

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


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A reader, and what else might be meant.

    Attributes:
        reader: the first that fits.
        rival: one that reads the same cells as other values.
        evidence: the decimal mark or order of dates that this column shows beyond doubt; else "".
        example: a cell that the two read differently.
    """

    reader: Reader
    rival: Reader | None = None
    evidence: str = ""
    example: str = ""


def choose_readers(
    frame: pl.DataFrame, data: DataConfig, *, is_text: bool, where: str
) -> dict[str, Reader]:
    """A reader for each column that holds numbers, text or times.

    Args:
        frame: cells as text, or typed values.
        data: what the study says of its columns.
        is_text: whether the words of `MISSING` are missing values in all columns.
        where: the table's name, which opens each message.

    Raises:
        DataError: a column's cells can be read in two ways; names both and the key that decides.
    """
    chooser = _Chooser(data, is_text=is_text, where=where)
    usable = [column for column in frame.get_columns() if is_usable(column)]
    plain = chooser.plain(usable)
    choices = {
        column.name: plain[column.name] if column.name in plain else chooser.choose(column)
        for column in usable
    }
    if data.decimal is None:
        columns = {column.name: column for column in usable}
        evidence = {choice.evidence for choice in choices.values()} & {".", ","}
        if _is_in_doubt(choices, data) and not evidence & {"."}:
            evidence |= {"."} & {chooser.plain_evidence(columns[name]) for name in choices}
    else:
        evidence = {data.decimal}
    orders = {choice.evidence for choice in choices.values()} & {"dmy", "mdy"}
    dropped = frozenset(data.drop)
    return {
        name: choice.reader if name in dropped else _decided(choice, name, evidence, orders, where)
        for name, choice in choices.items()
    }


def _is_in_doubt(choices: dict[str, Choice], data: DataConfig) -> bool:
    dropped = frozenset(data.drop)
    return any(
        choice.rival is not None and choice.reader.kind == "number" and name not in dropped
        for name, choice in choices.items()
    )


def _decided(choice: Choice, name: str, decimals: set[str], orders: set[str], where: str) -> Reader:
    """The reader that what other columns show leaves."""
    if choice.rival is None:
        return choice.reader
    both = (choice.reader, choice.rival)
    if choice.reader.kind == "date":
        key, options = "date_order", (choice.reader.order, choice.rival.order)
        fitting = [reader for reader in both if orders == {reader.order}]
    else:
        key, options = "decimal", (choice.reader.written.decimal, choice.rival.written.decimal)
        fitting = [reader for reader in both if decimals == {reader.written.decimal}]
        if choice.reader.written.is_plain:
            if "," not in decimals:
                return choice.reader
            fitting = []  # a point among decimal commas may part thousands, or not
    if fitting:
        return fitting[0]
    first, second = (_example(reader, choice.example) for reader in both)
    raise AmbiguousCellsError(
        f'{where}: column "{name}": {shown(choice.example)} reads as {first} with data.{key} = '
        f'"{options[0]}" and as {second} with "{options[1]}": say which',
        key,
        options,
    )


def _example(reader: Reader, cell: str) -> str:
    """A cell as a reader takes it, for messages."""
    values = reader.attempt(pl.Series([cell]), ())[0]
    return time_text(values)[0] if reader.kind == "date" else f"{values[0]:.12g}"


class _Chooser:
    """Chooses readers column by column."""

    def __init__(self, data: DataConfig, *, is_text: bool, where: str) -> None:
        self._data = data
        self._missing = missing_words(data)
        self._is_text = is_text
        self._where = where
        self._kinds: dict[str, Kind] = {
            **dict.fromkeys(data.categorical, "category"),
            **dict.fromkeys(data.dates, "date"),
            **dict.fromkeys(data.numeric, "number"),
        }

    def plain(self, columns: Sequence[pl.Series]) -> dict[str, Choice]:
        """What `choose` would give for columns that are plain, as most are in a wide table."""
        data = self._data
        if data.decimal == "," or data.thousands or data.date_order is not None:
            return {}
        settled = {*self._kinds, data.target, data.split.column}
        texts = [c for c in columns if c.dtype == pl.String and c.name not in settled]
        readers = plain_readers(texts, self._missing)
        return {name: Choice(reader=reader) for name, reader in readers.items()}

    def choose(self, column: pl.Series) -> Choice:
        name, data = column.name, self._data
        forced = self._forced(name)
        if column.dtype in TEXTS:
            return self._choose_text(column, forced)
        if forced == "date" and column.dtype.is_integer():
            return Choice(reader=Reader(kind="date", order="compact"))
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

    def plain_evidence(self, column: pl.Series) -> str:
        """A point, where a column of plain numbers has some that can part no thousands."""
        if column.dtype not in TEXTS:
            return ""
        cells = column.cast(pl.String)
        is_fraction = cells.str.contains(r"^\s*[+-]?[0-9]*\.[0-9]+\s*$")
        is_group = cells.str.contains(r"^\s*[+-]?[1-9][0-9]{0,2}\.[0-9]{3}\s*$")
        return "." if (is_fraction & ~is_group).any() else ""

    def _forced(self, name: str) -> Kind | None:
        """The kind that the study gives a column."""
        data = self._data
        if name == data.target and data.task == "regression":
            return "number"
        return self._kinds.get(name, "category" if name == data.split.column else None)

    def _choose_text(self, column: pl.Series, forced: Kind | None) -> Choice:
        name, data = column.name, self._data
        cells = without(trimmed(column), self._missing)
        known = cells.drop_nulls()
        if name == data.target and data.task in ("binary", "multiclass"):
            return Choice(reader=_label_reader(known))
        if forced == "category":
            return Choice(reader=_category(text=known))
        if known.is_empty():
            return Choice(reader=Reader(kind=forced or "number", order="ymd" * (forced == "date")))
        if forced is None and _are_truths(known):
            is_label = name == data.target
            return Choice(reader=Reader(kind="category") if is_label else Reader(boolean=True))
        if forced != "date":
            plain = known.cast(pl.Float64, strict=False).fill_nan(None)
            if plain.null_count() == 0:
                return self._plain(known, plain, forced)
        tally = _Tally(known)
        found: Choice | None = None
        if forced != "date":
            found = self._numbers(tally, forced)
        if found is None and forced != "number":
            found = self._dates(tally, forced)
        if found is None and forced is not None:
            what = "numbers" if forced == "number" else "dates"
            row = int(cells.is_not_null().arg_true()[0])
            raise DataError(
                f'{self._where}: column "{name}" must hold {what}, as the study says, but row '
                f"{row + 1:,} holds {shown(cells[row])} and no other reads as one"
            )
        return found or Choice(reader=_category())

    def _plain(self, known: pl.Series, plain: pl.Series, forced: Kind | None) -> Choice:
        """Numbers as programs write them, unless they are codes."""
        if forced is None and known.str.contains(CODE).any():
            return Choice(reader=_category())
        if forced is None and _has_long_integers(known, plain):
            return Choice(reader=Reader(kind="category", whole=True))
        if self._data.decimal == "," and self._data.thousands != "":
            found = self._numbers(_Tally(known), forced)
            return found or Choice(reader=Reader())
        is_group = known.str.contains(GROUP)
        has_point = known.str.contains(".", literal=True)
        if is_group.any() and (is_group | ~has_point).all():
            example = known.filter(is_group)[0]
            grouped = Reader(written=NumberFormat(decimal=",", thousands="."))
            return Choice(reader=Reader(), rival=grouped, example=example)
        return Choice(reader=Reader())

    def _numbers(self, tally: "_Tally", forced: Kind | None) -> Choice | None:
        """A reader of numbers, if nearly all cells are."""
        data = self._data
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
                example = tally.values.filter(differs)[0]
                rival = Reader(written=other)
                return Choice(reader=Reader(written=first), rival=rival, example=example)
        shows = (marked & read[first].is_not_null()).any()
        return Choice(reader=Reader(written=first), evidence=first.decimal if shows else "")

    def _are_numbers(self, tally: "_Tally", parts: pl.DataFrame, n_read: int) -> bool:
        if not tally.is_nearly_all(n_read):
            return False
        words = tally.values
        if words.str.contains(r"^[+-]?0[0-9]+$").any():
            return False
        is_code = words.str.contains(r"^[\w./-]*([A-Za-z][\w./-]*[0-9]|[0-9][\w./-]*[A-Za-z])")
        is_code &= parts.to_series(4).is_null()
        is_repeated = len(words) * 4 <= tally.n
        return not (is_repeated and int(is_code.sum()) >= N_CODES)

    def _dates(self, tally: "_Tally", forced: Kind | None) -> Choice | None:
        """A reader of dates or times, if nearly all cells are."""
        sample = tally.values.head(N_SAMPLE)
        orders = ["ymd", "dmy", "mdy", "time"]
        if forced == "date":
            orders.append("compact")
        if self._data.date_order is not None:
            orders = [order for order in orders if order not in {"dmy", "mdy"}]
            orders.insert(0, self._data.date_order)
        if not any(
            2 * parse_times(sample, order).is_not_null().sum() > len(sample) for order in orders
        ):
            return None
        read = {order: parse_times(tally.values, order) for order in dict.fromkeys(orders)}
        shares = {order: tally.count(values.is_not_null()) for order, values in read.items()}
        best = max(shares.values())
        if best == 0 or (forced is None and not tally.is_nearly_all(best)):
            return None
        first, *others = [order for order in read if shares[order] == best]
        reader = Reader(kind="date", order=first)
        if first == "dmy" and "mdy" in others:
            differs = (read["dmy"] != read["mdy"]).fill_null(value=False)
            if differs.any():
                rival = Reader(kind="date", order="mdy")
                example = tally.values.filter(differs)[0]
                return Choice(reader=reader, rival=rival, example=example)
        return Choice(reader=reader, evidence=first if first in ("dmy", "mdy") else "")


class _Tally:
    """The different cells of a column, and how often each stands there."""

    def __init__(self, known: pl.Series) -> None:
        counts = pl.DataFrame({"cell": known}).group_by("cell", maintain_order=True).len()
        self.values = values = counts["cell"]
        self._counts = counts["len"]
        self.n = len(known)
        is_missing = values.str.to_lowercase().is_in(list(MISSING_LIKE))
        self._n_told = self.n - self.count(is_missing | values.str.contains(CENSORED))

    def count(self, chosen: pl.Series) -> int:
        """Rows whose cell is among the chosen."""
        return int(self._counts.filter(chosen).sum())

    def is_nearly_all(self, n_read: int) -> bool:
        """Whether so many cells, of those that say anything, make the column's kind."""
        return n_read >= NEARLY_ALL * self._n_told and 2 * n_read >= self.n


@dataclass(frozen=True, kw_only=True)
class _Dress:
    percent: bool
    currency: str


def _dress(parts: pl.DataFrame, tally: _Tally) -> _Dress:
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
    if parse_times(text.head(N_SAMPLE), "ymd").null_count() == 0:
        is_time = parse_times(text, "ymd").null_count() == 0
        return Reader(kind="category", order="ymd" if is_time else "")
    return Reader(kind="category")


def _label_reader(known: pl.Series) -> Reader:
    """A reader of class labels: numbers where that loses nothing of how they are written."""
    numbers = known.cast(pl.Float64, strict=False).fill_nan(None)
    is_number = numbers.null_count() == 0 and not known.str.contains(CODE).any()
    if not is_number or _has_long_integers(known, numbers):
        return Reader(kind="category")
    is_told_apart = numbers.n_unique() == known.n_unique() or _are_whole(known)
    return Reader(kind="number" if is_told_apart else "category")


def _are_whole(cells: pl.Series) -> bool:
    return bool(cells.str.contains(r"^[+-]?[0-9]+(\.0*)?$").all())


def _has_long_integers(cells: pl.Series, numbers: pl.Series) -> bool:
    is_far = numbers.abs() > EXACT
    return bool(is_far.any() and (is_far & cells.str.contains(r"^[+-]?[0-9]+$")).any())


def _is_beyond_float64(column: pl.Series) -> bool:
    if not column.dtype.is_integer() or column.is_empty():
        return False
    ends: Iterable[int | None] = (column.min(), column.max())  # type: ignore[assignment]
    return any(end is not None and abs(end) > EXACT for end in ends)


def _are_truths(known: pl.Series) -> bool:
    """Whether all cells say true or false."""
    sample = known.head(N_SAMPLE).str.to_lowercase().is_in(list(TRUTHS))
    return bool(sample.all()) and bool(known.str.to_lowercase().is_in(list(TRUTHS)).all())


def _all(column: pl.Series, holds: Callable[[pl.Series], pl.Series]) -> bool:
    return bool(holds(column.drop_nulls()).all())
