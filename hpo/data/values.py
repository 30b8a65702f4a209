"""Convert Python, numpy and pandas values to polars columns without changing a value.

Polars itself would convert 2.5 after numpy's 1 to 2, a date among numbers to a number, and 10**39
to null.
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

_NONE_TYPE: type = type(None)
_NUMBERS = {bool, int, float, Decimal}
_TIMES = {date, datetime}
_SCALARS = {str, *_NUMBERS, *_TIMES, time}
"""Types that become text in a column with texts."""

_NESTED = {list, dict, bytes}
"""Types that polars supports and hpo does not use."""

_UNIFORM = ({str}, {float}, {bool})
"""Sets of types that polars converts without change."""


def column_of(name: str, values: Any, where: str) -> pl.Series:
    """Convert values to a column: text if types are mixed, objects if a type is unknown.

    Args:
        name: the column's name.
        values: a sequence, an array, or a column of pandas or polars.
        where: the table's name, which opens each message.

    Raises:
        DataError: the values are not a sequence, or polars cannot hold one of them.
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
    """Numbers and times of numpy and pandas as an array that polars accepts, if possible."""
    dtype = getattr(values, "dtype", None)
    if getattr(dtype, "tz", None) is not None:
        return np.asarray(values, dtype="M8[us]")  # pandas converts to UTC
    if not isinstance(dtype, np.dtype):
        return None
    array = np.asarray(values)
    if array.ndim != 1 or dtype.kind not in "iufbMm":
        return None
    if dtype.kind in "Mm":  # polars has no seconds, and hpo keeps microseconds
        return array.astype(f"{dtype.kind}8[us]")
    if dtype.kind == "f" and dtype.itemsize not in (4, 8):
        return array.astype("f4" if dtype.itemsize == 2 else "f8")
    return array


def _listed(values: Iterable[Any]) -> list[Any]:
    listed = values.tolist() if hasattr(values, "tolist") else list(values)
    if hasattr(values, "isna"):  # pandas has several missing values
        gone = values.isna().tolist()
        listed = [None if is_gone else v for v, is_gone in zip(listed, gone, strict=True)]
    return listed


def _of_list(name: str, listed: list[Any]) -> pl.Series:
    types = set(map(type, listed)) - {_NONE_TYPE}
    if types not in _UNIFORM:
        listed = [_plain(value) for value in listed]
        types = set(map(type, listed)) - {_NONE_TYPE}
    if types <= {bool, int}:
        return _whole(name, listed) if int in types else pl.Series(name, listed)
    if types <= _NUMBERS - {Decimal}:
        return pl.Series(name, listed, dtype=pl.Float64, strict=False)
    if types <= _NUMBERS:
        return pl.Series(name, [None if v is None else float(v) for v in listed])
    if types in ({date}, {time}, {timedelta}):
        return pl.Series(name, listed)
    if types <= _TIMES:
        return pl.Series(name, [_midnight(value) for value in listed])
    if str in types and types <= _SCALARS:
        return pl.Series(name, [None if value is None else _text(value) for value in listed])
    if len(types) == 1 and types <= _NESTED:
        with suppress(pl.exceptions.PolarsError, TypeError):
            return pl.Series(name, listed)
    return pl.Series(name, listed, dtype=pl.Object)


def _whole(name: str, listed: Sequence[int | None]) -> pl.Series:
    """Integers, as text if they exceed 128 bits."""
    known = [int(value) for value in listed if value is not None]
    for dtype, bits in ((pl.Int64, 63), (pl.Int128, 127)):
        if -(2**bits) <= min(known) and max(known) < 2**bits:
            return pl.Series(name, [None if v is None else int(v) for v in listed], dtype=dtype)
    return pl.Series(name, [None if v is None else str(Decimal(v)) for v in listed])


def _plain(value: Any) -> Any:
    """Convert a scalar to a Python value, times to UTC; None for all types of missing values."""
    if isinstance(value, (np.datetime64, np.timedelta64)):
        value = value.astype("M8[us]" if isinstance(value, np.datetime64) else "m8[us]").item()
    elif isinstance(value, np.generic):
        value = value.item()
    if type(value).__name__ in ("NaTType", "NAType"):
        return None
    if isinstance(value, (float, Decimal)) and value != value:
        return None
    if isinstance(value, datetime):
        if hasattr(value, "to_pydatetime"):
            value = value.to_pydatetime(warn=False)
        return value if value.tzinfo is None else value.astimezone(UTC).replace(tzinfo=None)
    if isinstance(value, timedelta):
        return timedelta(days=value.days, seconds=value.seconds, microseconds=value.microseconds)
    for builtin in (bool, int, float, str):
        if isinstance(value, builtin):
            return builtin(value)
    return value


def _midnight(value: date | None) -> datetime | None:
    """Convert a date to a datetime at midnight."""
    if value is None or isinstance(value, datetime):
        return value
    return datetime(value.year, value.month, value.day)


def _text(value: Any) -> str:
    """Convert a value to the shortest exact text."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)
