"""Polars columns of Python, numpy and pandas values, with every value unchanged.

Polars alone would read 2.5 after numpy's 1 as 2, a date among numbers as a number, and 10**39 as
null.
"""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import polars as pl

from hpo.config.errors import DataError, first_line
from hpo.config.parsing import format_value

NOTHING: type = type(None)
NUMBERS = {bool, int, float, Decimal}
TIMES = {date, datetime}
SCALARS = {str, *NUMBERS, *TIMES, time}
"""What may stand among texts, and is then one."""

NESTED = {list, dict, bytes}
"""What polars has types for, and hpo no use."""

UNIFORM = ({str}, {float}, {bool})
"""Kinds of lists that need no second look."""


def column_of(name: str, values: Any, where: str) -> pl.Series:
    """A column of values; of mixed kinds it is text, and what is no value stays an object.

    Args:
        name: the column's.
        values: a sequence, an array, or a column of pandas or polars.
        where: the table's name, which opens each message.

    Raises:
        DataError: they are no column, or one of them cannot be held.
    """
    if isinstance(values, pl.Series):
        return values.alias(name)
    is_listed = hasattr(values, "__iter__") and getattr(values, "ndim", 1) != 0
    if isinstance(values, str) or not is_listed:
        raise DataError(
            f'{where}: column "{name}" must be a list of values, but got {format_value(values)}'
        )
    try:
        if (array := _as_array(values)) is not None:
            return pl.Series(name, array)
        return _of_list(name, _listed(values))
    except (pl.exceptions.PolarsError, ValueError, TypeError, OverflowError) as error:
        why = first_line(error)
        raise DataError(f'{where}: column "{name}" cannot be read: {why}') from None


def _as_array(values: Any) -> np.ndarray | None:
    """Numbers and times of numpy and of pandas as an array that polars takes."""
    dtype = getattr(values, "dtype", None)
    if getattr(dtype, "tz", None) is not None:
        return np.asarray(values, dtype="M8[us]")  # pandas gives UTC
    if not isinstance(dtype, np.dtype):
        return None
    array = np.asarray(values)
    if array.ndim != 1 or dtype.kind not in "iufbMm":
        return None
    if dtype.kind in "Mm":  # polars knows no seconds, and microseconds are what is kept
        return array.astype(f"{dtype.kind}8[us]")
    if dtype.kind == "f" and dtype.itemsize not in (4, 8):
        return array.astype("f4" if dtype.itemsize == 2 else "f8")
    return array


def _listed(values: Iterable[Any]) -> list[Any]:
    listed = values.tolist() if hasattr(values, "tolist") else list(values)
    if hasattr(values, "isna"):  # pandas, which has several values for missing
        gone = values.isna().tolist()
        listed = [None if is_gone else v for v, is_gone in zip(listed, gone, strict=True)]
    return listed


def _of_list(name: str, listed: list[Any]) -> pl.Series:
    kinds = set(map(type, listed)) - {NOTHING}
    if kinds not in UNIFORM:
        listed = [_plain(value) for value in listed]
        kinds = set(map(type, listed)) - {NOTHING}
    if kinds <= {bool, int}:
        return _whole(name, listed) if int in kinds else pl.Series(name, listed)
    if kinds <= NUMBERS - {Decimal}:
        return pl.Series(name, listed, dtype=pl.Float64, strict=False)
    if kinds <= NUMBERS:
        return pl.Series(name, [None if v is None else float(v) for v in listed])
    if kinds in ({date}, {time}, {timedelta}):
        return pl.Series(name, listed)
    if kinds <= TIMES:
        return pl.Series(name, [_midnight(value) for value in listed])
    if str in kinds and kinds <= SCALARS:
        return pl.Series(name, [None if value is None else _text(value) for value in listed])
    if len(kinds) == 1 and kinds <= NESTED:
        with suppress(pl.exceptions.PolarsError, TypeError):
            return pl.Series(name, listed)
    return pl.Series(name, listed, dtype=pl.Object)


def _whole(name: str, listed: Sequence[int | None]) -> pl.Series:
    """Whole numbers; where no type of them holds every digit, as text."""
    known = [int(value) for value in listed if value is not None]
    for kind, bits in ((pl.Int64, 63), (pl.Int128, 127)):
        if -(2**bits) <= min(known) and max(known) < 2**bits:
            return pl.Series(name, [None if v is None else int(v) for v in listed], dtype=kind)
    return pl.Series(name, [None if v is None else str(Decimal(v)) for v in listed])


def _plain(value: Any) -> Any:
    """A value of Python's own; None for each of the ways to say that there is none."""
    if isinstance(value, (np.datetime64, np.timedelta64)):
        value = value.astype("M8[us]" if isinstance(value, np.datetime64) else "m8[us]").item()
    elif isinstance(value, np.generic):
        value = value.item()
    if type(value).__name__ in ("NaTType", "NAType"):
        return None
    if isinstance(value, (float, Decimal)) and value != value:
        return None
    if isinstance(value, datetime):
        return _instant(value)
    if isinstance(value, timedelta):
        return timedelta(days=value.days, seconds=value.seconds, microseconds=value.microseconds)
    for kind in (bool, int, float, str):
        if isinstance(value, kind):
            return kind(value)
    return value


def _instant(value: datetime) -> datetime:
    """A time as Python's own, in UTC where it has a zone."""
    if hasattr(value, "to_pydatetime"):
        value = value.to_pydatetime(warn=False)
    return value if value.tzinfo is None else value.astimezone(UTC).replace(tzinfo=None)


def _midnight(value: date | None) -> datetime | None:
    """A day's first moment."""
    if value is None or isinstance(value, datetime):
        return value
    return datetime(value.year, value.month, value.day)


def _text(value: Any) -> str:
    """A value among texts as the shortest exact text."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)
