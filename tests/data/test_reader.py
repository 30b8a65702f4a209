"""Readers: the same value from whatever it comes in, and cells of another kind refused."""

import datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pandas
import polars as pl
import pytest

from hpo.config.errors import DataError
from hpo.data.cells import NumberFormat
from hpo.data.reader import MAX_ODD, MISSING, Odd, Reader
from hpo.data.sources import as_frame

DAY = datetime.datetime(2024, 2, 3, 4, 5)
NUMBER = Reader()
CATEGORY = Reader(kind="category")
DATE = Reader(kind="date", order="ymd")


def read(reader: Reader, values: Any, missing: tuple[str, ...] = MISSING) -> list[Any]:
    """The values that a reader gives of a column, alone and among others."""
    column = as_frame({"x": values})["x"]
    found = reader.read(column, missing, "t.csv")
    assert len(found) == len(column)
    for row in range(len(column)):
        alone = reader.read(column[row : row + 1], missing, "t.csv")
        assert alone.to_list() == found[row : row + 1].to_list()
    return found.to_list()


@pytest.mark.parametrize(
    "values",
    [
        [1, 2, None],
        [1.0, 2.0, float("nan")],
        ["1", " 2.0 ", None],
        ["1", "2", "NA"],
        [Decimal("1"), Decimal("2.0"), None],
        pl.Series([1, 2, None], dtype=pl.UInt8),
        pl.Series([1, 2, None], dtype=pl.Float32),
        pl.Series(["1", "2", ""], dtype=pl.Categorical),
        pandas.Series([1, 2, None]),
        pandas.array([1, 2, None], dtype="Int64"),
        np.array([1, 2, np.nan]),
    ],
)
def test_numbers(values: Any) -> None:
    assert read(NUMBER, values) == [1, 2, None]


def test_booleans_are_0_and_1() -> None:
    assert read(NUMBER, [True, False, None]) == [1, 0, None]
    written = Reader(boolean=True)
    for values in ([True, False, None], ["True", "FALSE", ""], ["1", "0", "?"], [1, 0, None]):
        assert read(written, values) == [1, 0, None]
    with pytest.raises(DataError, match=r'must hold numbers, but row 1 holds "true"$'):
        read(NUMBER, ["true"])


def test_numbers_as_a_file_writes_them_and_as_frames_hold_them() -> None:
    euros = Reader(written=NumberFormat(decimal=",", thousands=".", currency="€"))
    assert read(euros, ["1.234,50 €", "7", ""]) == [1234.5, 7, None]
    assert read(euros, [1234.5, 7.0, None]) == [1234.5, 7, None]
    with pytest.raises(DataError) as raised:
        read(euros, ["7", "5.5"])
    assert str(raised.value) == (
        't.csv: column "x" must hold numbers such as €1.000,5, but row 2 holds "5.5"'
    )


@pytest.mark.parametrize(
    ("values", "held"),
    [
        (["1", "two"], '"two"'),
        (["1", "1,5"], '"1,5"'),
        (["1", "two\nlines"], r'"two\\nlines"'),
        ([None, DAY], "2024-02-03 04:05:00"),
    ],
)
def test_what_is_no_number_is_refused_with_its_row(values: list[Any], held: str) -> None:
    with pytest.raises(DataError, match=f'column "x" must hold numbers, but row 2 holds {held}$'):
        read(NUMBER, values)


@pytest.mark.parametrize("cell", ["inf", "-inf", "1e39", float("inf"), -1e39])
def test_infinite_numbers_are_refused(cell: object) -> None:
    with pytest.raises(DataError, match=r"finite numbers up to 3\.4e38, but row 2 holds"):
        read(NUMBER, [None, cell])


@pytest.mark.parametrize("word", ["None", "n/a", "-", "#N/A", "<0.5", ">= 1,000", "unknown"])
def test_words_that_say_missing_are_missing_among_numbers_and_dates(word: str) -> None:
    assert read(NUMBER, ["1.5", word]) == [1.5, None]
    assert read(DATE, [word]) == [None]
    with pytest.raises(DataError, match="must hold numbers"):
        read(NUMBER, [f"{word} x"])


def test_words_that_were_seen_are_missing() -> None:
    seen = Reader(odd=(Odd(word="broken", row=3, count=1),))
    assert read(seen, ["1.5", "broken"]) == [1.5, None]
    with pytest.raises(DataError, match=r'row 2 holds "lost"$'):
        read(seen, ["1.5", "lost"])


def test_of_more_odd_words_than_are_remembered_any_is_missing() -> None:
    odd = tuple(Odd(word=f"odd {index}", row=1, count=1) for index in range(MAX_ODD))
    assert read(Reader(odd=odd), ["1.5", "lost"]) == [1.5, None]


@pytest.mark.parametrize(
    "values",
    [
        [DAY, None],
        ["2024-02-03 04:05", None],
        ["2024-02-03T04:05Z", "NA"],
        ["3 Feb 2024 4:05 AM", ""],
        np.array(["2024-02-03T04:05", "NaT"], dtype="datetime64[m]"),
        pandas.to_datetime(["2024-02-03 04:05", None]),
        pandas.to_datetime(["2024-02-03 09:05+05:00", None]),
        pl.Series([DAY, None], dtype=pl.Datetime("ns")),
        pl.Series([DAY, None], dtype=pl.Datetime("ms", "UTC")),
    ],
)
def test_instants(values: Any) -> None:
    assert read(DATE, values) == [1_706_933_100_000_000, None]


def test_days_begin_at_midnight() -> None:
    at = 1_706_918_400_000_000
    for values in (["2024-02-03"], [datetime.date(2024, 2, 3)], [datetime.datetime(2024, 2, 3)]):
        assert read(DATE, values) == [at]
    compact = Reader(kind="date", order="compact")
    for values in (["20240203"], [20240203], [20240203.0], [datetime.date(2024, 2, 3)]):
        assert read(compact, values) == [at]


def test_times_of_day() -> None:
    of_day = Reader(kind="date", order="time")
    for values in (["4:05"], ["4:05 am"], [datetime.time(4, 5)], [DAY]):
        assert read(of_day, values) == [14_700_000_000]


@pytest.mark.parametrize(
    ("values", "held"), [(["2024-02-30"], '"2024-02-30"'), ([20240203], "20240203"), ([True], "")]
)
def test_what_is_no_date_is_refused_with_its_row(values: list[Any], held: str) -> None:
    with pytest.raises(DataError, match=f'column "x" must hold dates, but row 1 holds {held}'):
        read(DATE, values)


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        (["1.10", " a ", "", None, "NA"], ["1.10", "a", None, None, "NA"]),
        ([7, 8, None], ["7", "8", None]),
        ([7.0, 2.5, float("nan")], ["7", "2.5", None]),
        (pl.Series([0.1], dtype=pl.Float32), ["0.1"]),
        ([1e300, 2.0**62], ["1e+300", "4.611686018427388e+18"]),
        ([True, None], ["true", None]),
        ([10**20, 10**20 + 1], ["100000000000000000000", "100000000000000000001"]),
        ([DAY, None], ["2024-02-03 04:05:00", None]),
        ([datetime.date(2024, 2, 3)], ["2024-02-03"]),
        ([datetime.datetime(2024, 2, 3)], ["2024-02-03"]),
    ],
)
def test_categories_are_the_shortest_exact_text(values: Any, texts: list[str | None]) -> None:
    assert read(CATEGORY, values) == texts


def test_whole_categories_agree() -> None:
    whole = Reader(kind="category", whole=True)
    for values in (["1", "20"], ["1.0", "20.00"], [1, 20], [1.0, 20.0], ["+1.0", " 20 "]):
        assert read(whole, values) == ["1", "20"]
    assert read(whole, ["1.5", "a.0", "-2.0"]) == ["1.5", "a.0", "-2"]


def test_days_as_categories_agree() -> None:
    days = Reader(kind="category", order="ymd")
    for values in (["2024-02-03"], ["2024/2/3"], [datetime.date(2024, 2, 3)], ["3 Feb 2024"]):
        assert read(days, values) == ["2024-02-03"]
    assert read(days, ["other"]) == ["other"]


def test_an_empty_column_of_any_type_is_missing() -> None:
    for reader in (NUMBER, CATEGORY, DATE):
        for values in ([None, None], pl.Series([None], dtype=pl.Date), [float("nan")], []):
            assert read(reader, values) == [None] * len(values)


def test_lists_are_refused() -> None:
    for reader in (NUMBER, CATEGORY, DATE):
        with pytest.raises(DataError, match=r'"x" must hold numbers, text or dates, .* List\('):
            reader.read(pl.Series("x", [[1]]), (), "t.csv")


def test_format_1_reads_as_it_did() -> None:
    legacy = Reader(kind="category", legacy=True)
    assert read(legacy, ["1.0", "2.50", "TRUE", "False", " x "]) == [
        *("1", "2.50", "true", "false", "x")
    ]
