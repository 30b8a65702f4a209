"""Values of Python, numpy and pandas keep every digit on their way into a column."""

import datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from hpo.config.errors import DataError
from hpo.data.values import column_of

DAY = datetime.date(2024, 2, 3)
NOON = datetime.datetime(2024, 2, 3, 12)
EAST = datetime.timezone(datetime.timedelta(hours=5))


@pytest.mark.parametrize(
    ("values", "kind", "held"),
    [
        ([np.int64(1), 2.5], pl.Float64, [1.0, 2.5]),
        ([True, 2.5, None], pl.Float64, [1.0, 2.5, None]),
        ([True, None], pl.Boolean, [True, None]),
        ([2**63, -1], pl.Int128, [2**63, -1]),
        ([10**39, 1], pl.String, ["1" + "0" * 39, "1"]),
        ([Decimal("1.10"), 1, Decimal("NaN")], pl.Float64, [1.1, 1.0, None]),
        (["a", float("nan"), None, pd.NA, pd.NaT], pl.String, ["a", None, None, None, None]),
        (["a", 2.0, True, np.bool_(False), DAY], pl.String, ["a", "2", "true", "false", str(DAY)]),
        ([DAY, None], pl.Date, [DAY, None]),
        ([DAY, NOON], pl.Datetime("us"), [datetime.datetime(2024, 2, 3), NOON]),
        ([NOON, NOON.replace(tzinfo=EAST)], pl.Datetime("us"), [NOON, NOON.replace(hour=7)]),
        ([pd.Timestamp("2024-02-03 12:00:00.000000999")], pl.Datetime("us"), [NOON]),
        ([np.datetime64("2024-02-03T12"), np.datetime64("NaT")], pl.Datetime("us"), [NOON, None]),
        (pd.Series([NOON]).dt.tz_localize("Asia/Kathmandu"), pl.Datetime("us"), None),
        (np.array([1.5], dtype=np.longdouble), pl.Float64, [1.5]),
        (pl.Series(["a"], dtype=pl.Categorical), pl.Categorical, ["a"]),
        ([], pl.Null, []),
    ],
)
def test_every_value_is_held_as_it_is(values: Any, kind: Any, held: list[Any] | None) -> None:
    column = column_of("x", values, "it")
    assert column.dtype == kind
    assert held is None or column.to_list() == held


def test_a_zone_is_taken_into_account() -> None:
    times = pd.Series([NOON]).dt.tz_localize("Asia/Kathmandu")
    assert column_of("x", times, "it").to_list() == [NOON.replace(hour=6, minute=15)]


@pytest.mark.parametrize("values", [[1, DAY], [b"a", "b"], [object(), 1], [[1], 2], [1j], [{1}, 2]])
def test_what_is_no_value_stays_an_object_that_a_reader_refuses(values: list[Any]) -> None:
    assert column_of("x", values, "it").dtype == pl.Object


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ("abc", 'must be a list of values, but got "abc"'),
        (np.array(1), 'must be a list of values, but got "1"'),
        (["\ud800"], "cannot be read: .*surrogates not allowed"),
        ([datetime.datetime.min.replace(tzinfo=EAST)], "cannot be read: date value out of range"),
    ],
)
def test_what_cannot_be_held_is_refused_in_a_sentence(values: Any, why: str) -> None:
    with pytest.raises(DataError, match=f'^it: column "x" {why}$'):
        column_of("x", values, "it")
