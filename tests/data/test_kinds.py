"""Which kind a column is of: decided from all of its cells, or refused with both readings."""

import datetime
import re
from typing import Any

import polars as pl
import pytest

from hpo.config.errors import DataError
from hpo.config.trial import SplitConfig
from hpo.data.cells import NumberFormat
from hpo.data.reader import Reader
from hpo.data.table import Table
from tests.support.tables import cells, csv, table


def column(made: Table, name: str = "x") -> list[Any]:
    return made.frame[name].to_list()


def kind(made: Table, name: str = "x") -> str:
    return made.readers[name].kind


@pytest.mark.parametrize(
    ("given", "values"),
    [
        (("1", " 2", "3 "), [1, 2, 3]),
        (("1", "2.0", "1e3", "N/A"), [1, 2, 1000, None]),
        (("0", "0.5", "-0.25"), [0, 0.5, -0.25]),
        (("", "NaN"), [None, None]),
        (("true", "FALSE", "", "True"), [1, 0, None, 1]),
        (("(5)", "7"), [-5, 7]),
        (("1.234", "2.345"), [1.234, 2.345]),
        (("1,5", "2,25"), [1.5, 2.25]),
        (("1,234.5", "7"), [1234.5, 7]),
        (("1.234,5", "7"), [1234.5, 7]),
        (("1,234,567", "7"), [1234567, 7]),
        (("1.234.567", "7"), [1234567, 7]),
        (("1 234", "7"), [1234, 7]),
        (("1\u202f234,5", "7"), [1234.5, 7]),
        (("1'234.50", "7"), [1234.5, 7]),
        (("12.3%", "4 %"), [0.123, 0.04]),
        (("12,3 %", "4 %"), [0.123, 0.04]),
        (("$12.30", "-$4"), [12.3, -4]),
        (("1.234,50 €", "7,25 €"), [1234.5, 7.25]),
    ],
)
def test_numbers(given: tuple[str, ...], values: list[float]) -> None:
    made = cells(*given)
    assert kind(made) == "number"
    assert column(made) == values
    for row in range(len(given)):  # a cell alone is what it is among the others
        alone = made.readers["x"].read(pl.Series([given[row]]), made.missing, "t.csv")
        assert alone.to_list() == [values[row]]


@pytest.mark.parametrize(
    "given",
    [
        ("1", "two"),
        ("01234", "53111"),
        ("007", "1.5"),
        ("1.10", "1.20", "2.5b"),
        ("12.3%", "4"),
        ("4 €", "$4"),
        ("5 kg", "7 kg"),
        ("true", "1"),
        ("yes", "no"),
        ("12345678901234567890", "7"),
        ("9007199254740993", "7"),
        ("2024-02-30", "2024-02-03"),
        ("10:30", "25:00"),
        ("A1", "A2"),
    ],
)
def test_categories_stay_as_they_stand(given: tuple[str, ...]) -> None:
    made = cells(*given)
    assert kind(made) == "category"
    assert column(made) == list(given)


@pytest.mark.parametrize(
    ("given", "order"),
    [
        (("2024-02-03", "2024-02-04 05:06"), "ymd"),
        (("2024-02", "2024-03"), "ymd"),
        (("3 Feb 2024", "4 Mar 2024"), "ymd"),
        (("03.02.2024", "04.02.2024"), "dmy"),
        (("13/02/2024", "01/02/2024"), "dmy"),
        (("02/13/2024", "01/02/2024"), "mdy"),
        (("02/13/24", "01/02/24"), "mdy"),
        (("03/03/2024", "04/04/2024"), "dmy"),
        (("10:30", "4:05 pm"), "time"),
    ],
)
def test_dates_and_times(given: tuple[str, ...], order: str) -> None:
    made = cells(*given)
    assert (kind(made), made.readers["x"].order) == ("date", order)
    assert made.frame["x"].null_count() == 0


@pytest.mark.parametrize("word", ["None", "<0.5", "n/a", "-", "NAN", "ERR", "#N/A", "5 apples"])
def test_an_odd_cell_among_numbers_is_missing(word: str) -> None:
    made = cells(*["1.5"] * 30, word)
    assert column(made) == [1.5] * 30 + [None]
    (odd,) = made.readers["x"].odd
    assert (odd.word, odd.row, odd.count) == (word, 31, 1)


def test_nearly_all_cells_make_a_kind() -> None:
    assert kind(cells(*["1.5"] * 95, *["bad"] * 5)) == "number"
    assert kind(cells(*["1.5"] * 94, *["bad"] * 6)) == "category"
    assert kind(cells(*["2024-02-03"] * 95, *["bad"] * 5)) == "date"
    assert kind(cells(*["2024-02-03"] * 94, *["bad"] * 6)) == "category"


def test_words_that_say_missing_do_not_count_against_a_kind() -> None:
    assert kind(cells(*["1.5"] * 50, *["unknown"] * 25, *["<0.5"] * 25)) == "number"
    assert kind(cells(*["1.5"] * 49, *["unknown"] * 51)) == "category"


def test_what_a_sample_of_a_long_column_does_not_hold_is_found() -> None:
    rare = [f"{index}.5" for index in range(20)]
    long = cells(*["1,234.5", *rare * 200, "2,345.5"])
    assert long.readers["x"].written == NumberFormat(thousands=",")
    assert long.readers["x"].odd == ()
    often = cells(*rare * 200, *[f"odd {index}" for index in range(100)])  # few rows, many words
    assert kind(often) == "number"


def test_codes_are_no_numbers() -> None:
    codes = ["250.0", "401", "V45", "E90", "V12"]
    assert kind(cells(*codes * 2, *["250.0"] * 200)) == "category"
    assert kind(cells(*["250.0", "401"] * 100, "V45")) == "number"  # one such is odd
    assert kind(cells(*[str(index) for index in range(200)], "V45", "E90", "V12")) == "number"


def test_digits_that_float64_cannot_hold_stay_text() -> None:
    exact, near = 2**53 - 1, 2**53
    assert column(cells(str(exact), "1")) == [exact, 1]
    assert column(cells(str(near), str(near + 1))) == [str(near), str(near + 1)]
    assert column(cells(str(near), "1", numeric=("x",))) == [near, 1]
    assert kind(table({"x": [exact, 1]})) == "number"
    assert column(table({"x": [near, near + 1]})) == [str(near), str(near + 1)]
    assert kind(table({"x": [near, 1]}, numeric=("x",))) == "number"
    assert kind(table({"x": pl.Series([2**64 - 1], dtype=pl.UInt64)})) == "category"


def test_typed_values_have_their_kind() -> None:
    made = table(
        pl.DataFrame(
            {
                "i": pl.Series([1, 2], dtype=pl.Int8),
                "f": pl.Series([1.5, None], dtype=pl.Float32),
                "b": [True, None],
                "s": ["x", None],
                "e": pl.Series(["x", "y"], dtype=pl.Enum(["x", "y"])),
                "d": pl.Series([1, 2]).cast(pl.Date),
                "t": pl.Series([1, 2]).cast(pl.Time),
                "l": pl.Series([1, 2]).cast(pl.Duration("ms")),
                "n": [None, None],
            }
        )
    )
    assert {name: reader.kind for name, reader in made.readers.items()} == {
        **dict.fromkeys("ifbln", "number"),
        **dict.fromkeys("se", "category"),
        **dict.fromkeys("dt", "date"),
    }
    assert column(made, "l") == [0.001, 0.002]


def test_numbers_kept_as_text_in_parquet_are_numbers() -> None:
    made = table({"x": ["1.5", "2.5", None, "?"] * 10})
    assert column(made)[:4] == [1.5, 2.5, None, None]
    assert column(table({"x": ["NA", "DE"]})) == ["NA", "DE"]


# What is ambiguous.


def test_a_group_of_three_after_a_comma_is_refused_with_both_readings() -> None:
    with pytest.raises(DataError) as raised:
        cells("15", "1,234", "2,345")
    assert str(raised.value) == (
        't.csv: column "x": row 2 holds "1,234", which is 1234 with data.decimal = ".", '
        'and 1.234 with ",": say which'
    )
    assert column(cells("15", "1,234", decimal=".")) == [15, 1234]
    assert column(cells("15", "1,234", decimal=",")) == [15, 1.234]
    assert column(cells("15", "1,234", thousands=",")) == [15, 1234]
    assert column(cells("15", "1,234", thousands="")) == [15, 1.234]


@pytest.mark.parametrize(
    ("other", "value"),
    [
        (("1.5", "2.5"), 1234),
        (("1,000.5", "2"), 1234),
        (("1,234,567", "2"), 1234),
        (("1,5", "2,5"), 1.234),
        (("1.000,5", "2"), 1.234),
        (("1.234.567", "2"), 1.234),
        (("1 234,5", "2"), 1.234),
        (("1.5%", "2%"), 1234),
        (("$1.50", "$2"), 1234),
    ],
)
def test_another_column_decides(other: tuple[str, str], value: float) -> None:
    made = csv(f"x|w\n1,234|{other[0]}\n7|{other[1]}\n")
    assert column(made) == [value, 7]


@pytest.mark.parametrize("other", [("1", "2"), ("a", "b"), ("0.125", "1,5"), ("1.234", "2")])
def test_another_column_that_shows_nothing_or_both_decides_nothing(other: tuple[str, str]) -> None:
    text = f"x|w|v\n1,234|{other[0]}|{other[1]}\n7|2|2\n"
    with pytest.raises(DataError, match=r'column "x": row 1 holds "1,234"'):
        csv(text)


def test_a_group_of_three_after_a_point_is_a_fraction_unless_commas_are_decimal() -> None:
    assert column(csv("x|w\n1.234|5\n7|6\n")) == [1.234, 7]
    text = "x|w\n1.234|1,5\n7|2,5\n"
    with pytest.raises(DataError) as raised:
        csv(text)
    assert str(raised.value) == (
        't.csv: column "x": row 1 holds "1.234", which is 1.234 with data.thousands = "", '
        'and 1234 with ".": say which'
    )
    assert column(csv(text, thousands="")) == [1.234, 7]
    assert column(csv(text, thousands=".")) == [1234, 7]
    assert column(csv(text, decimal=",")) == [1234, 7]
    assert column(csv("x|w\n1.2345|1,5\n7|2,5\n")) == [1.2345, 7]


def later(made: Table, name: str, cell: str) -> list[Any]:
    return made.readers[name].read(pl.Series(name, [cell]), made.missing, "t.csv").to_list()


def test_whole_numbers_beside_decimal_commas_are_read_as_those_are() -> None:
    made = table({"price": ["1.234,5", "7,25"], "n": ["12", "950"], "fee": ["5 €", "7 €"]})
    assert column(made, "n") == [12, 950]
    assert later(made, "n", "1.200") == later(made, "fee", "1.200 €") == [1200]
    assert later(made, "n", "12,5") == [12.5]
    of_target = table({"y": ["1.234,5", "7,25"], "n": ["12", "950"]})
    assert later(of_target, "n", "1.200") == [1200]
    counted = table({"price": ["1.234,5", "7,25"], "y": ["12", "950"]})
    assert counted.readers["y"] == Reader()
    spaced = table({"price": ["1,5", "7,25"], "n": ["1 234", "950"], "is": ["true", "false"]})
    assert later(spaced, "n", "2 345,5") == [2345.5]
    assert spaced.readers["is"] == Reader(boolean=True)
    million = table({"price": ["1,5", "7,25"], "n": ["1,234,567", "950"]})
    with pytest.raises(DataError, match=r'but row 1 holds "1,5"$'):
        later(million, "n", "1,5")
    few = table({"price": ["1,5", "7,25"], "n": ["12", "950"]})
    with pytest.raises(DataError, match=r'column "n" must hold numbers such as 1000,5, but row 1'):
        later(few, "n", "1.200")


@pytest.mark.parametrize(
    "others", [{"x": ["1.5", "2.5"]}, {"x": ["1.50", "2.5"], "price": ["1,5", "7,25"]}, {}]
)
def test_whole_numbers_elsewhere_are_read_as_programs_write_them(others: dict[str, Any]) -> None:
    made = table({**others, "n": ["12", "950"]})
    assert made.readers["n"] == Reader()


def test_the_order_of_days_is_refused_with_both_readings() -> None:
    with pytest.raises(DataError) as raised:
        cells("05/05/2024", "03/02/2024")
    assert str(raised.value) == (
        't.csv: column "x": row 2 holds "03/02/2024", which is 2024-02-03 with '
        'data.date_order = "dmy", and 2024-03-02 with "mdy": say which'
    )
    for order, day in (("dmy", "2024-02-03"), ("mdy", "2024-03-02")):
        made = cells("05/05/2024", "03/02/2024", date_order=order)
        assert str(column(made)[1].date()) == day


@pytest.mark.parametrize(("other", "day"), [("13/01/2024", "02-03"), ("01/13/2024", "03-02")])
def test_the_dates_of_another_column_decide(other: str, day: str) -> None:
    made = csv(f"x|w\n03/02/2024|{other}\n01/01/2024|01/01/2024\n")
    assert str(column(made)[0].date()) == f"2024-{day}"


def test_dates_of_both_orders_decide_nothing() -> None:
    with pytest.raises(DataError, match=r'column "x": row 1 holds "03/02/2024"'):
        csv("x|v|w\n03/02/2024|13/01/2024|01/13/2024\n")


def test_an_order_that_the_study_gives_leaves_other_dates_alone() -> None:
    made = csv("x|w|v\n2024-02-03|03.02.2024|13/02/2024\n", date_order="mdy")
    assert made.readers["x"].order == "ymd"
    assert str(column(made, "w")[0].date()) == "2024-03-02"
    assert kind(made, "v") == "category"  # there is no month 13


@pytest.mark.parametrize("given", [("1,234", "7"), ("03/02/2024", "01/02/2024")])
def test_a_column_that_is_dropped_is_never_refused(given: tuple[str, ...]) -> None:
    assert set(cells(*given, drop=("x",)).readers) == {"x", "z"}


# What the study says.


def test_numeric_columns_are_numbers_whatever_they_look_like() -> None:
    assert column(cells("01", "02", numeric=("x",))) == [1, 2]
    assert column(cells("1.5", "b", "c", numeric=("x",))) == [1.5, None, None]
    assert column(cells("true", "false", numeric=("x",))) == [1, 0]
    assert column(cells("V45", "E90", "1", numeric=("x",))) == [None, None, 1]
    with pytest.raises(DataError) as raised:
        cells("", "a", "b", numeric=("x",))
    assert str(raised.value) == (
        't.csv: column "x" must hold numbers, as data.numeric says, but row 2 holds "a" and no '
        "other reads as one"
    )
    given = {"numeric": ("x",), "decimal": ".", "thousands": ""}
    with pytest.raises(
        DataError, match=r'as one with data\.decimal = "\." and data\.thousands = ""$'
    ):
        cells("839,18", "7,5", **given)
    with pytest.raises(DataError, match=r'"x" must hold numbers, as data\.task says, but row 1'):
        cells("a", "b", target="x", task="regression")
    with pytest.raises(DataError, match=r'"x" must hold numbers, as data\.numeric says, but holds'):
        table({"x": pl.Series([1]).cast(pl.Date)}, numeric=("x",))


def test_dates_are_dates_whatever_they_look_like() -> None:
    compact = cells("20240203", "20240204", dates=("x",))
    assert str(column(compact)[0].date()) == "2024-02-03"
    assert column(table({"x": [20240203, 20240204]}, dates=("x",))) == column(compact)
    assert column(table({"x": [20240203.0, 20240204.0]}, dates=("x",))) == column(compact)
    few = cells("a", "b", "2024-02-03", "c", dates=("x",))
    assert few.frame["x"].null_count() == 3
    for given in ([1_700_000_000, 1_700_000_001], ["a", "b"]):
        with pytest.raises(
            DataError, match=r"must hold dates, as data.dates says, but row 1 holds"
        ):
            table({"x": given}, dates=("x",))


def test_categorical_columns_are_text_whatever_they_look_like() -> None:
    whole = Reader(kind="category", whole=True)
    assert cells("1", "2.0", categorical=("x",)).readers["x"] == whole
    assert table({"x": [1, 2]}, categorical=("x",)).readers["x"] == whole
    assert table({"x": [1.0, float("nan")]}, categorical=("x",)).readers["x"] == whole
    assert column(cells("1", "2.0", categorical=("x",))) == ["1", "2"]
    assert column(cells("1.10", "1.5", categorical=("x",))) == ["1.10", "1.5"]
    assert column(cells("01", "1", categorical=("x",))) == ["01", "1"]
    assert column(cells("2024/2/3", "2024-2-4", categorical=("x",))) == ["2024-02-03", "2024-02-04"]
    assert column(table({"x": [True, False]}, categorical=("x",))) == ["true", "false"]


def test_the_column_that_splits_is_text() -> None:
    made = cells("1", "2", split=SplitConfig(column="x"))
    assert column(made) == ["1", "2"]


def test_a_decimal_mark_that_parts_thousands_is_refused() -> None:
    with pytest.raises(DataError, match=r'data\.decimal and data\.thousands must differ, .* ","'):
        cells("1", decimal=",", thousands=",")


def test_missing_words_are_those_of_the_study() -> None:
    made = cells("a", "-9", "NA", missing=("-9",))
    assert column(made) == ["a", None, "NA"]
    assert column(cells("1", "-9", "", missing=("-9",))) == [1, None, None]


DAY = datetime.date(2024, 2, 3)
COUNTS = ("950", "1.200", "12.500", "3.100", "7.250", "12")


def test_counts_with_points_as_people_write_them_are_refused_with_both_readings() -> None:
    with pytest.raises(DataError) as raised:
        cells(*COUNTS)
    assert str(raised.value) == (
        't.csv: column "x": row 2 holds "1.200", which is 1.2 with data.thousands = "", '
        'and 1200 with ".": say which'
    )
    assert column(cells(*COUNTS, thousands="."))[:2] == [950, 1200]
    assert column(cells(*COUNTS, decimal="."))[:2] == [950, 1.2]
    for other in ("0.950", "950.5", "1950"):  # beside it they are fractions
        assert column(cells(other, *COUNTS))[2] == 1.2


def test_no_thousands_follow_a_zero() -> None:
    assert column(cells("0,123", "1,234")) == [0.123, 1.234]


@pytest.mark.parametrize(
    "given", ["3 Marble 2024", "2024-02-03T12:30+99:00", "2024-02-03T12:30+05:75", "0000-01-01"]
)
def test_what_looks_like_a_date_and_is_none(given: str) -> None:
    assert kind(cells(given, given)) == "category"


def test_a_version_that_the_study_calls_a_category_stays_as_it_stands() -> None:
    assert column(cells("2024.1", "2024.10", categorical=("x",))) == ["2024.1", "2024.10"]


@pytest.mark.parametrize(
    ("keys", "held", "said"),
    [
        ({"dates": ("x",)}, [True, False], "dates, as data.dates says, but holds Boolean"),
        ({"numeric": ("x",)}, [DAY, DAY], "numbers, as data.numeric says, but holds Date"),
        ({"dates": ("x",)}, [1.5, 2.5], 'dates, as data.dates says, but row 1 holds "1.5" and no'),
    ],
)
def test_typed_values_of_another_kind_than_the_study_says(
    keys: dict[str, Any], held: list[Any], said: str
) -> None:
    with pytest.raises(DataError, match=rf'^t\.csv: column "x" must hold {re.escape(said)}'):
        table({"x": held, "y": [1, 2]}, **keys)


def test_a_target_that_is_to_be_dropped_is_refused() -> None:
    with pytest.raises(DataError, match=r'^t\.csv: data\.drop names the target "x"$'):
        cells("1", target="x", drop=("x",))
