"""Cells of text to numbers and times, in every spelling."""

from datetime import datetime
from itertools import product

import polars as pl
import pytest

from hpo.data.cells import PLAIN, READINGS, NumberFormat, parse_numbers, parse_times


def numbers(written: NumberFormat, *cells: str | None) -> list[float | None]:
    return parse_numbers(pl.Series(cells, dtype=pl.String), written).to_list()


def times(order: str, *cells: str | None) -> list[str | None]:
    """As ISO text."""
    microseconds = parse_times(pl.Series(cells, dtype=pl.String), order)
    assert microseconds.dtype == pl.Int64
    return [
        None if at is None else at.isoformat(" ", "auto")
        for at in microseconds.cast(pl.Datetime("us")).to_list()
    ]


def test_plain_numbers() -> None:
    assert numbers(PLAIN, "1", "-2.5", "+3", ".5", "5.", "1e3", "2E-2", None) == [
        *(1, -2.5, 3, 0.5, 5, 1000, 0.02, None)
    ]
    assert numbers(PLAIN, "x", "", "1,5", "1 000", "5 kg", "0x10", "--5", "1.2.3") == [None] * 8
    assert numbers(PLAIN, "nan", "NaN") == [None, None]


def test_a_number_does_not_depend_on_the_cells_beside_it() -> None:
    assert numbers(PLAIN, "(5)") == numbers(PLAIN, "(5)", "x")[:1] == [-5]
    assert numbers(PLAIN, "0.1") == numbers(PLAIN, "0.1", "(5)")[:1] == [0.1]


@pytest.mark.parametrize(
    ("decimal", "thousands"),
    [pair for pair in product(".,", ["", ",", ".", " ", "'"]) if pair[0] != pair[1]],
)
def test_every_format_reads_what_it_writes(decimal: str, thousands: str) -> None:
    for percent, currency in ((False, ""), (True, ""), (False, "$"), (False, "EUR")):
        written = NumberFormat(
            decimal=decimal, thousands=thousands, percent=percent, currency=currency
        )
        factor = 0.01 if percent else 1
        assert numbers(written, written.example(), f"-{written.example()}") == pytest.approx(
            [1000.5 * factor, -1000.5 * factor]
        )
        other = "," if decimal == "." else "."
        if thousands != other:
            assert numbers(written, f"1{other}5") == [None]


def test_groups_of_digits_are_of_three() -> None:
    written = NumberFormat(thousands=",")
    assert numbers(written, "1,234", "12,345,678.5", "123") == [1234, 12345678.5, 123]
    assert numbers(written, "12,34", "1,2345", "1234,567", ",123", "1,,234", "0,123") == [None] * 6


@pytest.mark.parametrize("space", [" ", "\u00a0", "\u202f", "\u2009"])
def test_all_spaces_between_digits_are_one(space: str) -> None:
    written = NumberFormat(decimal=",", thousands=" ")
    assert numbers(written, f"1{space}234,5") == [1234.5]


def test_signs_and_quotes_of_typesetters() -> None:
    assert numbers(PLAIN, "\u22125") == [-5]
    assert numbers(NumberFormat(thousands="'"), "1\u2019234") == [1234]


def test_money() -> None:
    dollars = NumberFormat(currency="$")
    assert numbers(dollars, "$5", "$ 5", "5 $", "-$5", "$-5", "($5)", "5") == [
        *(5, 5, 5, -5, -5, -5, 5)
    ]
    assert numbers(dollars, "€5", "$5€", "-$-5", "($5", "5%") == [None] * 5
    kroner = NumberFormat(decimal=",", currency="kr")
    assert numbers(kroner, "12,50 kr", "kr 12,50") == [12.5, 12.5]


def test_percents_are_hundredths_to_the_last_digit() -> None:
    percent = NumberFormat(percent=True)
    assert numbers(percent, "12.3%", "12.3 %", "-5%", "100%") == [0.123, 0.123, -0.05, 1]
    assert numbers(percent, "5", "$5%") == [None, None]


@pytest.mark.parametrize(
    ("cell", "at"),
    [
        ("2024-02-03", "2024-02-03 00:00:00"),
        ("2024/2/3", "2024-02-03 00:00:00"),
        ("2024.02.03", "2024-02-03 00:00:00"),
        ("2024-02", "2024-02-01 00:00:00"),
        ("2024-02-03T04:05", "2024-02-03 04:05:00"),
        ("2024-02-03 04:05:06", "2024-02-03 04:05:06"),
        ("2024-02-03 4:05:06.7", "2024-02-03 04:05:06.700000"),
        ("2024-02-03 04:05:06,123456789", "2024-02-03 04:05:06.123456"),
        ("2024-02-03T04:05:06Z", "2024-02-03 04:05:06"),
        ("2024-02-03T04:05:06 UTC", "2024-02-03 04:05:06"),
        ("2024-02-03T04:05+09:00", "2024-02-02 19:05:00"),
        ("2024-02-03T04:05-0330", "2024-02-03 07:35:00"),
        ("2024-02-03T04:05+01", "2024-02-03 03:05:00"),
        ("2024-02-03 4:05 PM", "2024-02-03 16:05:00"),
        ("2024-02-03 12:05 a.m.", "2024-02-03 00:05:00"),
        ("2024-02-03 12:05pm", "2024-02-03 12:05:00"),
        ("3 Feb 2024", "2024-02-03 00:00:00"),
        ("3. February 2024", "2024-02-03 00:00:00"),
        ("3-FEB-2024 04:05", "2024-02-03 04:05:00"),
        ("Feb 3, 2024", "2024-02-03 00:00:00"),
        ("february 3 2024, 4:05 PM", "2024-02-03 16:05:00"),
        ("Sept. 3, 2024", "2024-09-03 00:00:00"),
        ("03.02.2024", "2024-02-03 00:00:00"),
        ("2000-02-29", "2000-02-29 00:00:00"),
        ("0001-01-01", "0001-01-01 00:00:00"),
        ("1969-12-31 23:59:59.999999", "1969-12-31 23:59:59.999999"),
        ("9999-12-31", "9999-12-31 00:00:00"),
    ],
)
def test_spellings_that_read_in_one_way(cell: str, at: str) -> None:
    assert times("ymd", cell) == [at]


@pytest.mark.parametrize(
    "cell",
    [
        *("2024-02-30", "2023-02-29", "1900-02-29", "2024-13-01", "2024-00-01", "2024-01-00"),
        *("2024-01-02 24:00", "2024-01-02 10:60", "2024-01-02 10:00:60", "2024-01-02 13:00 PM"),
        *("2024-01-02 0:30 am", "3 Fab 2024", "3 Maybe 2024", "31 Apr 2024", "2024", "20240203"),
        *("3/2/2024", "24-02-03", "x", "", "2024-02-03x", "10:30"),
    ],
)
def test_no_such_time(cell: str) -> None:
    assert times("ymd", cell) == [None]


def test_the_day_or_the_month_comes_first() -> None:
    for cell in ("03/02/2024", "3-2-2024", "3.2.2024", "03/02/24"):
        assert times("dmy", cell) == ["2024-02-03 00:00:00"]
        assert times("mdy", cell) == ["2024-03-02 00:00:00"]
    assert times("dmy", "13/02/2024 4:05 PM", "02/13/2024") == ["2024-02-13 16:05:00", None]
    assert times("mdy", "13/02/2024", "02/13/2024, 04:05") == [None, "2024-02-13 04:05:00"]
    assert times("dmy", "2024-02-03", "3 Feb 2024") == ["2024-02-03 00:00:00"] * 2


def test_two_digits_are_a_year_only_between_slashes() -> None:
    assert times("dmy", "03/02/68", "03/02/69", "3-2-24", "3.2.24") == [
        *("2068-02-03 00:00:00", "1969-02-03 00:00:00", None, None)
    ]


def test_digits_alone_are_days_only_where_the_order_says_so() -> None:
    assert times("compact", "20240203", "20240230", "2024-02-03", "2024020") == [
        *("2024-02-03 00:00:00", None, "2024-02-03 00:00:00", None)
    ]
    assert times("compact", "20240203T04:05") == ["2024-02-03 04:05:00"]


def test_times_of_day_count_from_midnight() -> None:
    assert times("time", "4:05", "23:59:59.5", "4:05 pm", "25:00", "2024-02-03") == [
        *("1970-01-01 04:05:00", "1970-01-01 23:59:59.500000", "1970-01-01 16:05:00", None, None)
    ]


def test_each_day_of_four_centuries_is_pythons() -> None:
    days = pl.date_range(datetime(1799, 1, 1), datetime(2201, 1, 1), "1d", eager=True)
    expected = days.cast(pl.Datetime("us")).cast(pl.Int64)
    assert parse_times(days.dt.to_string("%Y-%m-%d"), "ymd").equals(expected)
    assert parse_times(days.dt.to_string("%d/%m/%Y"), "dmy").equals(expected)


@pytest.mark.parametrize("order", READINGS)
def test_columns_without_times(order: str) -> None:
    assert times(order) == []
    assert times(order, None, "x", None) == [None] * 3
    assert parse_times(pl.Series("at", ["x"]), order).name == "at"
