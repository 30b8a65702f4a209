"""Random tables with every spelling and type of each value."""

import csv
import datetime
import gzip
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
from hypothesis import strategies as st

from hpo.config.trial import DataConfig

Draw = st.DrawFn
Cells = list[str]

N_ROWS = 40
UTC = datetime.UTC
EAST = datetime.timezone(datetime.timedelta(hours=5, minutes=45))
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=UTC)
ODD = ("-", "n/a", "<0.5", "none")
CODES = (
    *("1.10", "2.5b", "1E5", "007", "3", "-4.50", "2e-3", "V45", "12-B", "1/2"),
    *("größe", "日本", "🙂", "a,b", "a;b", "a\tb", 'say "hi"', "two  words", "it's", "#1", "*"),
)


@dataclass(frozen=True, kw_only=True)
class Written:
    """Number and date format of a text file.

    Attributes:
        decimal: the decimal mark.
        thousands: the separator between groups of digits.
        date: formats an instant, or a day.
    """

    decimal: str = "."
    thousands: str = ""
    date: Callable[[datetime.datetime, bool], str] = field(
        default=lambda time, is_day: iso(time, is_day, "T")
    )


def iso(time: datetime.datetime, is_day: bool, mark: str, zone: int | None = None) -> str:
    """ISO 8601: a day, or an instant in UTC or at an offset of `zone` hours."""
    if is_day:
        return f"{time:%Y-%m-%d}"
    if zone is not None:
        time = time.astimezone(datetime.timezone(datetime.timedelta(hours=zone)))
    text = f"{time:%Y-%m-%d}{mark}{time:%H:%M:%S}"
    text += f".{time.microsecond:06}" if time.microsecond else ""
    return text + ("" if zone is None else f"{zone:+03}:00" if zone else "Z")


def day_first(time: datetime.datetime, is_day: bool) -> str:
    """03.02.2024, with the time of day unless `is_day`."""
    return f"{time:%d.%m.%Y}" if is_day else f"{time:%d.%m.%Y %H:%M:%S.%f}"


def slashed(time: datetime.datetime, is_day: bool) -> str:
    """03/02/2024, with the time of day unless `is_day`."""
    return f"{time:%d/%m/%Y}" if is_day else f"{time:%d/%m/%Y %H:%M:%S.%f}"


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column's values, None where missing.

    Attributes:
        values: Python values.
        text: formats a value for a text file.
        typed: the column in each type that Parquet may hold.
        plain: converts a value for `model.onnx`.
        odd: words for missing values in text, by row.
    """

    name: str
    values: list[Any]
    text: Callable[[Any, Written], str]
    typed: Callable[[], Sequence[pl.Series]]
    plain: Callable[[Any], Any]
    odd: dict[int, str] = field(default_factory=dict)

    def cells(self, rows: range, written: Written) -> Cells:
        """Cells of some rows in a text file."""
        return [
            self.odd.get(row, "")
            if self.values[row] is None
            else self.text(self.values[row], written)
            for row in rows
        ]


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """A table and the data section of its study."""

    columns: tuple[Column, ...]
    labels: tuple[str, ...]
    data: DataConfig
    written: Written

    def _repr_pretty_(self, printer: Any, is_cycle: bool) -> None:
        """Representation that hypothesis prints of a failing example."""
        printer.text(f"{self.data}\n{content(self, range(N_ROWS), separator='|').decode()}")

    @property
    def names(self) -> list[str]:
        return [column.name for column in self.columns]


def numbers(draw: Draw, name: str) -> Column:
    """Numbers of a few digits, small or large."""
    digits = draw(st.integers(0, 3))
    base = draw(st.sampled_from([0, 0, 0, 2000, 1_700_000_000]))
    wide = draw(st.sampled_from([99, 9_999, 5_000_000]))
    whole = _some(draw, st.integers(-wide, wide))
    values = [None if v is None else float(f"{base * 10**digits + v}e-{digits}") for v in whole]

    def text(value: float, written: Written) -> str:
        plain = f"{value:,.{digits}f}".replace(",", "|").replace(".", written.decimal)
        return plain.replace("|", written.thousands)

    def typed() -> list[pl.Series]:
        made = [pl.Series(name, values, dtype=pl.Float64)]
        made += [made[0].cast(pl.Decimal(30, digits))]
        single = made[0].cast(pl.Float32)
        if (single.cast(pl.Float64) == made[0]).all():
            made.append(single)
        if digits == 0:
            made += [made[0].cast(pl.Int64), made[0].cast(pl.Int128)]
        if digits == 0 and base == 0 and wide == 99:
            made.append(made[0].cast(pl.Int8))
        return made

    return Column(
        name=name, values=values, text=text, typed=typed, plain=_number, odd=_odd(draw, values)
    )


def dressed(draw: Draw, name: str) -> Column:
    """Percentages or money."""
    percent = draw(st.booleans())
    whole = _some(draw, st.integers(-9_999, 9_999))
    values = [None if v is None else float(f"{v}e{-3 if percent else -1}") for v in whole]

    def text(value: float, written: Written) -> str:
        shown = f"{abs(value) * (100 if percent else 1):.1f}".replace(".", written.decimal)
        sign = "-" if value < 0 else ""
        return f"{sign}{shown}%" if percent else f"{sign}€{shown}"

    return Column(
        name=name,
        values=values,
        text=text,
        typed=lambda: [pl.Series(name, values, dtype=pl.Float64)],
        plain=_number,
        odd=_odd(draw, values),
    )


def truths(draw: Draw, name: str) -> Column:
    """Booleans, or 1 and 0."""
    words = draw(st.sampled_from([("true", "false"), ("True", "False"), ("TRUE", "FALSE")]))
    values = _some(draw, st.booleans())
    held = pl.Series(name, values, dtype=pl.Boolean)
    return Column(
        name=name,
        values=values,
        text=lambda value, written: words[0] if value else words[1],
        typed=lambda: [held, held.cast(pl.Int8)],
        plain=_number,
    )


def plain_truths(draw: Draw, name: str) -> Column:
    """Booleans; a table of 1 and 0 differs."""
    column = truths(draw, name)
    return replace(column, typed=lambda: column.typed()[:1])


def codes(draw: Draw, name: str) -> Column:
    """Texts, some of which look like numbers."""
    pool = draw(st.lists(st.sampled_from(CODES), min_size=2, max_size=6, unique=True))
    letters = [code for code in CODES if code[0].isalpha()]
    pool += [draw(st.sampled_from(letters))]  # so that all alone are no column of numbers
    values = _some(draw, st.sampled_from(pool))
    values[: 2 * len(pool)] = [*pool, *pool]
    text = pl.Series(name, values, dtype=pl.String)
    return Column(
        name=name,
        values=values,
        text=lambda value, written: value,
        typed=lambda: [text, text.cast(pl.Categorical), text.cast(pl.Enum(sorted(set(pool))))],
        plain=lambda value: value or "",
    )


def kinds(draw: Draw, name: str) -> Column:
    """Integers that the study declares categorical."""
    values = _some(draw, st.integers(-3, 12))
    whole = pl.Series(name, values, dtype=pl.Int64)
    return Column(
        name=name,
        values=values,
        text=lambda value, written: str(value),
        typed=lambda: [whole, whole.cast(pl.Int8), whole.cast(pl.Float64), whole.cast(pl.Float32)],
        plain=lambda value: "" if value is None else str(value),
    )


def long_ids(draw: Draw, name: str) -> Column:
    """Account numbers of 20 digits, each in a few rows."""
    pool = [10**19 + draw(st.integers(0, 8 * 10**18)) for _ in range(5)]
    values = [pool[row % 5] for row in range(N_ROWS)]
    return Column(
        name=name,
        values=values,
        text=lambda value, written: str(value),
        typed=lambda: [
            pl.Series(name, values, dtype=pl.UInt64),
            pl.Series(name, values, dtype=pl.Int128),
            pl.Series(name, [str(value) for value in values]),
        ],
        plain=str,
    )


def dates(draw: Draw, name: str) -> Column:
    """Days or times, some before 1970."""
    is_day = draw(st.booleans())
    finest = draw(st.sampled_from([1, 1_000_000]))
    first, last = datetime.datetime(1955, 1, 1), datetime.datetime(2040, 1, 1)
    drawn = _some(draw, st.datetimes(first, last))
    values = [None if time is None else _coarse(time, is_day, finest) for time in drawn]

    def typed() -> list[pl.Series]:
        times = pl.Series(name, values, dtype=pl.Datetime("us", "UTC"))
        made = [times, times.dt.convert_time_zone("Asia/Kathmandu")]
        made += [times.dt.replace_time_zone(None), times.dt.cast_time_unit("ns")]
        if finest > 1 or is_day:
            made.append(times.dt.cast_time_unit("ms").dt.replace_time_zone(None))
        return [*made, times.cast(pl.Date)] if is_day else made

    return Column(
        name=name,
        values=values,
        text=lambda value, written: written.date(value, is_day),
        typed=typed,
        plain=lambda value: np.nan if value is None else (value - EPOCH) // _MICROSECOND,
        odd={row: word for row, word in _odd(draw, values).items() if word != "<0.5"},
    )


def clocks(draw: Draw, name: str) -> Column:
    """Times of day."""
    values = _some(draw, st.times().map(lambda time: time.replace(microsecond=0)))
    return Column(
        name=name,
        values=values,
        text=lambda value, written: f"{value:%H:%M:%S}",
        typed=lambda: [pl.Series(name, values, dtype=pl.Time)],
        plain=lambda value: (
            np.nan
            if value is None
            else (value.hour * 3600 + value.minute * 60 + value.second) * 1e6
        ),
    )


_MICROSECOND = datetime.timedelta(microseconds=1)
KINDS: tuple[Callable[[Draw, str], Column], ...] = (
    *(numbers, numbers, dressed, truths, codes, kinds, long_ids, dates, clocks),
)
PLAIN_KINDS = (numbers, numbers, plain_truths, codes, kinds, long_ids, dates, clocks)


@st.composite
def tables(draw: Draw, is_plain: bool = False) -> Drawn:
    """A table of several kinds of columns, a format, and its study.

    Args:
        draw: hypothesis's.
        is_plain: whether it is written as programs do, without odd words.
    """
    of = PLAIN_KINDS if is_plain else KINDS
    chosen = draw(st.lists(st.sampled_from(of), min_size=2, max_size=5))
    columns = tuple(make(draw, f"{make.__name__} {i}") for i, make in enumerate(chosen))
    decimal, thousands = draw(st.sampled_from([(".", ""), (".", ","), (",", ""), (",", ".")]))
    date = draw(st.sampled_from([None, day_first, slashed]))
    if is_plain:
        decimal, thousands, date = ".", "", None
        columns = tuple(replace(column, odd={}) for column in columns)
    written = Written(decimal=decimal, thousands=thousands, **({"date": date} if date else {}))
    data = DataConfig(
        source="t.csv",
        target="y",
        categorical=tuple(c.name for c in columns if c.name.startswith("kinds")),
        decimal=decimal,  # type: ignore[arg-type]
        thousands=thousands,  # type: ignore[arg-type]
        date_order="dmy" if date else None,
    )
    labels = tuple("yes" if row % 3 else "no" for row in range(N_ROWS))
    return Drawn(columns=columns, labels=labels, data=data, written=written)


def content(
    drawn: Drawn,
    rows: range,
    *,
    separator: str = ",",
    quoting: Any = csv.QUOTE_MINIMAL,
    written: Written | None = None,
    labels: bool = False,
    before: bytes = b"",
    end: str = "\n",
) -> bytes:
    """Rows as a text file."""
    columns = [column.cells(rows, written or drawn.written) for column in drawn.columns]
    names = drawn.names
    if labels:
        names, columns = [*names, "y"], [*columns, [drawn.labels[row] for row in rows]]
    text = io.StringIO()
    writer = csv.writer(text, delimiter=separator, quoting=quoting, lineterminator=end)
    writer.writerow(names)
    writer.writerows(zip(*columns, strict=True))
    return before + text.getvalue().encode()


def text_files(drawn: Drawn, rows: range, *, labels: bool = False) -> dict[str, bytes]:
    """The same rows in text files of many spellings, by name with extension."""
    made = partial(content, drawn, rows, labels=labels)
    everything = {
        "comma.csv": made(),
        "semicolon.csv": made(separator=";"),
        "tab.csv": made(separator="\t"),
        "tab.tsv": made(separator="\t"),
        "pipe.tsv": made(separator="|"),
        "all quoted.csv": made(quoting=csv.QUOTE_ALL),
        "marked.csv": made(before=b"\xef\xbb\xbf", end="\r\n"),
        "excel.csv": content(
            drawn, rows, labels=labels, separator=";", before=b"sep=;\r\n", end="\r\n"
        ),
        "zipped.csv.gz": gzip.compress(made()),
    }
    everything["wide.csv"] = everything["comma.csv"].decode().encode("utf-16")
    for name, mark, zone in (("T", "T", None), ("space", " ", None), ("Z", "T", 0), ("+5", " ", 5)):

        def date(time: datetime.datetime, is_day: bool, mark: str = mark, zone: Any = zone) -> str:
            return iso(time, is_day, mark, zone)

        other = Written(decimal=drawn.written.decimal, thousands=drawn.written.thousands, date=date)
        everything[f"iso {name}.csv"] = made(written=other)
    return everything


def typed_frames(drawn: Drawn, rows: range) -> list[pl.DataFrame]:
    """The same rows as polars frames, in each type that holds them."""
    choices = [column.typed() for column in drawn.columns]
    n = max(len(choice) for choice in choices)
    return [
        pl.DataFrame([choice[i % len(choice)][rows.start : rows.stop] for choice in choices])
        for i in range(n)
    ]


def in_memory(drawn: Drawn, rows: range) -> dict[str, Any]:
    """The same rows as Python and pandas values."""
    lists = {c.name: [c.values[row] for row in rows] for c in drawn.columns}
    made: dict[str, Any] = {"dict": lists}
    made["zoned"] = {name: [_eastern(value) for value in values] for name, values in lists.items()}
    made["objects"] = pd.DataFrame({k: pd.Series(v, dtype=object) for k, v in lists.items()})
    made["pandas"] = pd.DataFrame(lists)
    made["nullable"] = pd.DataFrame(lists).convert_dtypes()
    made["polars"] = typed_frames(drawn, rows)[0]
    for unit in ("s", "ms", "us", "ns"):
        frame = pd.DataFrame(lists)
        for column in drawn.columns:
            is_fine = unit in ("s", "ms") and any(v and v.microsecond for v in _times(column))
            if _times(column) and not is_fine:
                times = pd.to_datetime(pd.Series(lists[column.name]), utc=True)
                frame[column.name] = times.dt.tz_localize(None).astype(f"datetime64[{unit}]")
            elif column.name.startswith(("codes", "kinds")):
                frame[column.name] = pd.Series(lists[column.name], dtype="category")
        made[f"pandas {unit}"] = frame
    return made


def pandas_reads(drawn: Drawn, rows: range) -> pd.DataFrame:
    """The CSV file as pandas reads it."""
    file = io.BytesIO(content(drawn, rows, separator="|"))
    return pd.read_csv(file, sep="|", decimal=drawn.written.decimal)


def onnx_feeds(drawn: Drawn, rows: range, described: dict[str, dict[str, str]]) -> dict[str, Any]:
    """The same rows as inputs of `model.onnx`, according to `schema.json`."""
    types = {"float": np.float32, "double": np.float64, "string": object}
    columns = {column.name: column for column in drawn.columns}
    feeds = {}
    for name, said in described.items():
        column = columns[name]
        cells = [column.plain(column.values[row]) for row in rows]
        feeds[said["name"]] = np.array(cells, dtype=types[said["type"]])[:, None]
    return feeds


def write(folder: Path, name: str, made: bytes | pl.DataFrame) -> str:
    """Write a file with an extension; return its path."""
    path = folder / name.replace(" ", "-")
    if isinstance(made, bytes):
        path.write_bytes(made)
    else:
        made.write_parquet(path)
    return str(path)


def _some(draw: Draw, of: st.SearchStrategy[Any]) -> list[Any]:
    """Values, some of them missing."""
    values: list[Any] = draw(st.lists(of, min_size=N_ROWS, max_size=N_ROWS))
    gaps = draw(st.sets(st.integers(0, N_ROWS - 1), max_size=4))
    return [None if row in gaps else value for row, value in enumerate(values)]


def _odd(draw: Draw, values: list[Any]) -> dict[int, str]:
    gaps = [row for row, value in enumerate(values) if value is None]
    return {row: draw(st.sampled_from(ODD)) for row in gaps[:2]}


def _coarse(time: datetime.datetime, is_day: bool, finest: int) -> datetime.datetime:
    if is_day:
        time = time.replace(hour=0, minute=0, second=0, microsecond=0)
    elif finest > 1:
        time = time.replace(microsecond=0)
    return time.replace(tzinfo=UTC)


def _eastern(value: Any) -> Any:
    """The same instant in another time zone."""
    is_time = isinstance(value, datetime.datetime)
    return value.astimezone(EAST) if is_time else value


def _times(column: Column) -> list[datetime.datetime]:
    return [value for value in column.values if isinstance(value, datetime.datetime)]


def _number(value: Any) -> float:
    return float("nan") if value is None else float(value)
