"""Parse text cells as numbers or times of a given format; a cell that does not fit is null."""

import re
from dataclasses import dataclass
from functools import cache

import numpy as np
import polars as pl

_CURRENCIES = r"[$€£¥₹₽₩₺₴₪]|R\$|kr|zł|USD|EUR|GBP|CHF|JPY|CNY|INR|AUD|CAD|NZD|SEK|NOK|DKK|PLN|CZK"
_SPACES = "[\u00a0\u202f\u2009]"  # no-break and thin spaces between digits
_NUMBER = (
    rf"^(\()?\s*([+\-])?\s*({_CURRENCIES})?\s*([+\-])?\s*"
    rf"([0-9.,](?:[0-9.,' ]*[0-9.,])?(?:[eE][+\-]?[0-9]+)?)\s*(%|{_CURRENCIES})?\s*(\))?$"
)
"""A number as people write it: bracket, sign, currency, sign, digits, percent or currency."""

DAY_MICROSECONDS = 86_400_000_000
_MONTHS = (
    *("january", "february", "march", "april", "may", "june", "july", "august", "september"),
    *("october", "november", "december"),
)
_MONTH_NUMBERS = {"": "1", "sept": "9"} | {
    name[:n]: str(number) for number, name in enumerate(_MONTHS, 1) for n in (3, len(name))
}
_CLOCK = (
    r"([0-9]{1,2}):([0-9]{2})(?::([0-9]{2})(?:[.,]([0-9]{1,9}))?)?\s*(?:([AaPp])\.?[Mm]\.?)?"
    r"\s*(Z|z|UTC|[+\-][0-9]{2}(?::?[0-9]{2})?)?"
)
_CLOCK_IF_ANY = rf"(?:,?[T ]\s*{_CLOCK})?$"
_NUMERIC_DAY = r"^([0-9]{1,2})[-/.]([0-9]{1,2})[-/.]([0-9]{4})"
_SHORT_DAY = r"^([0-9]{1,2})/([0-9]{1,2})/([0-9]{2})"
_PATTERNS = {
    "ymd": (
        rf"^([0-9]{{4}})[-/.]([0-9]{{1,2}})(?:[-/.]([0-9]{{1,2}})(?:[T ]\s*{_CLOCK})?)?$",
        "ymd",
    ),
    "dmy": (_NUMERIC_DAY + _CLOCK_IF_ANY, "dmy"),
    "mdy": (_NUMERIC_DAY + _CLOCK_IF_ANY, "mdy"),
    "dmy2": (_SHORT_DAY + _CLOCK_IF_ANY, "dmy"),
    "mdy2": (_SHORT_DAY + _CLOCK_IF_ANY, "mdy"),
    "dotted": (r"^([0-9]{1,2})\.([0-9]{1,2})\.([0-9]{4})" + _CLOCK_IF_ANY, "dmy"),
    "named": (r"^([0-9]{1,2})\.?[ \-]([A-Za-z]{3,9})\.?,?[ \-]([0-9]{4})" + _CLOCK_IF_ANY, "dmy"),
    "american": (r"^([A-Za-z]{3,9})\.? ([0-9]{1,2}),? ([0-9]{4})" + _CLOCK_IF_ANY, "mdy"),
    "compact": (rf"^([0-9]{{4}})([0-9]{{2}})([0-9]{{2}})(?:[T ]?{_CLOCK})?$", "ymd"),
    "time": (rf"^()()(){_CLOCK}$", "ymd"),
}
"""Patterns of times, and the order of their first three groups."""

READINGS = {
    "ymd": ("ymd", "named", "american", "dotted"),
    "dmy": ("dmy", "dmy2", "ymd", "named", "american"),
    "mdy": ("mdy", "mdy2", "ymd", "named", "american"),
    "compact": ("compact", "ymd", "named", "american", "dotted"),
    "time": ("time",),
}
"""The patterns that a column of an order may hold; beside its own only unambiguous ones."""

_FURTHEST_ZONE = 14  # hours from UTC
_CENTURY_TURN = 69  # two-digit years from here on are 19xx, as in POSIX


@dataclass(frozen=True, kw_only=True)
class NumberFormat:
    """The format of the numbers in a column.

    Attributes:
        decimal: the decimal mark.
        thousands: the thousands separator, "" if there is none.
        percent: whether cells end in % and mean hundredths.
        currency: the currency that may precede or follow a number.
    """

    decimal: str = "."
    thousands: str = ""
    percent: bool = False
    currency: str = ""

    @property
    def is_plain(self) -> bool:
        """Whether it is the format that programs write."""
        return self == PLAIN

    def example(self) -> str:
        """The number 1000.5 in this format."""
        number = f"1{self.thousands}000{self.decimal}5"
        return f"{self.currency}{number}{'%' if self.percent else ''}"


PLAIN = NumberFormat()


def parse_numbers(text: pl.Series, written: NumberFormat) -> pl.Series:
    """Parse trimmed cells as Float64; null where a cell is not a number of this format."""
    if written.is_plain:
        numbers = text.cast(pl.Float64, strict=False).fill_nan(None)
        if numbers.null_count() == text.null_count():
            return numbers
        return numbers.fill_null(parse_number_parts(split_number(text), written))
    return parse_number_parts(split_number(text), written)


def split_number(text: pl.Series) -> pl.DataFrame:
    """Split numbers as people write them into parts; null where a cell is no such number."""
    names = ("open", "sign", "before", "inner", "digits", "after", "close")
    plain = (
        text.str.replace_all(_SPACES, " ")
        .str.replace_all("\u2019", "'")
        .str.replace_all("\u2212", "-")
    )
    groups = plain.str.extract_groups(_NUMBER)
    return groups.struct.rename_fields(list(names)).struct.unnest()


def parse_number_parts(parts: pl.DataFrame, written: NumberFormat) -> pl.Series:
    """Parse the parts that `split_number` returns, like `parse_numbers`."""
    digits = pl.col("digits")
    bare = (
        digits.str.replace_all(written.thousands, "", literal=True) if written.thousands else digits
    )
    shift = pl.lit("e-2") if written.percent else pl.lit("")
    value = (bare.str.replace_all(written.decimal, ".", literal=True) + shift).cast(
        pl.Float64, strict=False
    )
    after = pl.col("after").fill_null("")
    currencies = ["", written.currency]
    is_negative = ((pl.col("sign").fill_null("") + pl.col("inner").fill_null("")) == "-") | pl.col(
        "open"
    ).is_not_null()
    fits = (
        digits.str.contains(_digits(written.decimal, written.thousands))
        & (pl.col("open").is_null() == pl.col("close").is_null())
        & (pl.col("sign").is_null() | pl.col("inner").is_null())
        & pl.col("before").fill_null("").is_in(currencies)
        & ((after == "%") if written.percent else after.is_in(currencies))
    )
    number = pl.when(fits).then(pl.when(is_negative).then(-value).otherwise(value))
    return parts.select(number.alias("number")).to_series()


@cache
def _digits(decimal: str, thousands: str) -> str:
    point = re.escape(decimal)
    whole = r"[0-9]+"
    if thousands:
        whole = rf"(?:[1-9][0-9]{{0,2}}(?:{re.escape(thousands)}[0-9]{{3}})+|[0-9]+)"
    return rf"^(?:{whole}(?:{point}[0-9]*)?|{point}[0-9]+)(?:[eE][+\-]?[0-9]+)?$"


def parse_times(text: pl.Series, order: str) -> pl.Series:
    """Parse trimmed cells as Int64 microseconds since 1970 UTC; null where a cell is no time.

    Times without a zone are UTC. Times of the order "time" count from midnight.

    Args:
        text: the cells.
        order: a key of `READINGS`.
    """
    found = np.zeros(len(text), dtype=np.int64)
    is_time = np.zeros(len(text), dtype=bool)
    rest = np.flatnonzero(text.is_not_null().to_numpy())
    for spelling in READINGS[order]:
        if not len(rest):
            break
        pattern, parts = _PATTERNS[spelling]
        cells = text[rest]
        fits = cells.str.contains(pattern).to_numpy()
        if not fits.any():
            continue
        found[rest[fits]], is_time[rest[fits]] = _times(cells.filter(fits), pattern, parts)
        rest = rest[~fits]  # a cell matches at most one pattern
    gone = pl.Series(found).set(~pl.Series(is_time, dtype=pl.Boolean), None)
    return gone.rename(text.name)


def _times(cells: pl.Series, pattern: str, order: str) -> tuple[np.ndarray, np.ndarray]:
    """Microseconds of cells that match a pattern, and whether each is a valid time."""
    rows = cells.str.extract_groups(pattern).struct.unnest()
    days, is_day = _days(rows, order)
    clock, is_clock = _clock(rows)
    return days * DAY_MICROSECONDS + clock, is_day & is_clock


def _whole(column: pl.Series, default: int) -> np.ndarray:
    return column.replace("", None).cast(pl.Int64, strict=False).fill_null(default).to_numpy()


def _days(rows: pl.DataFrame, order: str) -> tuple[np.ndarray, np.ndarray]:
    """Days since 1970, and whether each day is valid."""
    year, month, day = (rows.to_series(order.index(part)) for part in "ymd")
    named = month.str.to_lowercase().replace(_MONTH_NUMBERS)
    y, m, d = _whole(year, 1970), _whole(named, 0), _whole(day, 1)
    is_short = (year.str.len_chars() == 2).to_numpy()
    y = np.where(is_short, y + np.where(y < _CENTURY_TURN, 2000, 1900), y)
    is_month = (m >= 1) & (m <= 12)
    months = (y - 1970) * 12 + np.where(is_month, m, 1) - 1  # since January 1970
    first, following = (n.astype("M8[M]").astype("M8[D]").astype(int) for n in (months, months + 1))
    return first + d - 1, (y >= 1) & is_month & (d >= 1) & (d <= following - first)


def _clock(rows: pl.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Microseconds since midnight UTC, and whether each time is valid."""
    hour, minute, second = (_whole(rows.to_series(at), 0) for at in (3, 4, 5))
    fraction = _whole(rows.to_series(6).fill_null("0").str.pad_end(6, "0").str.slice(0, 6), 0)
    half = rows.to_series(7).fill_null("").str.to_lowercase().to_numpy()
    is_half = half != ""
    valid = (minute < 60) & (second < 60) & np.where(is_half, (hour >= 1) & (hour <= 12), hour < 24)
    hour = np.where(is_half, hour % 12 + np.where(half == "p", 12, 0), hour)
    zone = rows.to_series(8).fill_null("Z").str.replace("Z|z|UTC", "+00:00").str.replace(":", "")
    sign = np.where(zone.str.starts_with("-").to_numpy(), -1, 1)
    hours, minutes = _whole(zone.str.slice(1, 2), 0), _whole(zone.str.slice(3, 2), 0)
    valid &= (hours <= _FURTHEST_ZONE) & (minutes < 60)
    offset = hours * 60 + minutes
    seconds = hour * 3600 + (minute - sign * offset) * 60 + second
    return seconds * 1_000_000 + fraction, valid
