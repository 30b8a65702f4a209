"""What a schema learns from the training rows, and which columns it leaves out."""

from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from hpo.config.errors import DataError
from hpo.config.trial import DataConfig
from hpo.data.inference import infer_schema, is_double
from hpo.data.notes import Dropped
from hpo.data.reader import MISSING
from hpo.data.schema import Categories, DateColumn, TableSchema
from hpo.data.table import Table, read_table
from hpo.data.target import resolve_task
from tests.support.paths import ROOT
from tests.support.tables import csv, named, table

TABLE = {
    "n": [1.5, None, 3.0, 4.0],
    "k": [1, 2, 3, 4],
    "c": ["b", None, "a", "z"],
    "y": ["no", "yes", "no", "yes"],
}
N = 30


def learned(
    made: Table, data: DataConfig, n_train: int | None = None
) -> tuple[TableSchema, Dropped, list[str]]:
    """From the first rows, or from all."""
    train = torch.arange(n_train or made.frame.height)
    return infer_schema(made, data, resolve_task(made, data), train)


def infer(columns: dict[str, Any], n_train: int | None = 3, **changes: Any) -> TableSchema:
    return learned(table(columns, **changes), named(**changes), n_train)[0]


def dropped(columns: dict[str, Any], **changes: Any) -> dict[str, str]:
    """The columns that are left out, with their reasons."""
    columns = {**columns, "y": [0.5 * index for index in range(N)]}
    found = learned(table(columns, **changes), named(**changes))[1]
    return {name: why for (why, _), names in found.items() for name in names}


def test_a_schema_is_learned_from_the_training_rows() -> None:
    assert infer(TABLE) == TableSchema(
        target="y",
        task="binary",
        numeric=("n", "k"),
        numeric_missing=("n",),
        categorical=(Categories(name="c", values=("", "a", "b")),),
        classes=("no", "yes"),
        n_train=3,
        missing=MISSING,
    )


def test_names_may_look_like_patterns() -> None:
    columns = {"*": [1, 2, 3, 4], "^k": ["a", "b", "a", "b"], "": [1.5, 2.5, 2.5, 3.5]}
    schema = infer({**columns, "column_0": [4, 5, 6, 7], "y": TABLE["y"]})
    assert schema.columns == ("*", "", "column_0", "^k")


def test_the_study_says_which_columns_are_what() -> None:
    schema = infer(
        {**TABLE, "t": ["1", "2.5", None, "3"], "split": ["train"] * 4},
        drop=("n",),
        numeric=("t",),
        categorical=("k",),
        split=replace(named().split, column="split"),
    )
    assert schema.numeric == schema.numeric_missing == ("t",)
    assert schema.categorical == (
        Categories(name="k", values=("1", "2", "3")),
        Categories(name="c", values=("", "a", "b")),
    )


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"drop": ("m",)}, r't\.csv: has no column "m", which data\.drop names'),
        ({"numeric": ("kk",)}, r'"kk", which data\.numeric names \(did you mean "k"\?\)'),
        ({"categorical": ("q",)}, r'"q", which data\.categorical names'),
        ({"dates": ("q",)}, r'"q", which data\.dates names'),
        ({"drop": ("n", "k", "c")}, r"t\.csv: has no feature column besides the target"),
        (
            {"numeric": ("k",), "categorical": ("k",)},
            'column "k" is named in both data.numeric and data.categorical',
        ),
        (
            {"numeric": ("k",), "dates": ("k",)},
            'column "k" is named in both data.numeric and data.dates',
        ),
        (
            {"dates": ("k",), "categorical": ("k",)},
            'column "k" is named in both data.categorical and data.dates',
        ),
    ],
)
def test_columns_that_the_study_names_wrongly_are_refused(
    changes: dict[str, Any], complaint: str
) -> None:
    days = ["20240101", "20240102", "20240103", "20240104"]
    with pytest.raises(DataError, match=complaint):
        infer({**TABLE, "k": days}, **changes)


def test_lists_are_refused_unless_they_are_dropped() -> None:
    lists = {**TABLE, "l": pl.Series([[1], [2], [3], [4]])}
    with pytest.raises(DataError, match=r'"l" must hold .* holds List\(Int64\); .*data\.drop'):
        infer(lists)
    assert infer(lists, drop=("l",)) == infer(TABLE)


def test_the_most_frequent_categories_are_told_apart() -> None:
    values = [f"v{index % 300:03}" for index in range(600)] + ["v299"]
    columns = {"c": values, "y": [0.5 * index for index in range(601)]}
    schema, _, (note,) = learned(table(columns), named())
    assert schema.categorical[0].values == (*(f"v{index:03}" for index in range(255)), "v299")
    assert 'column "c": of 300 categories, the 256 most frequent are encoded, 85% of' in note
    codes = schema.encode(table(columns).frame).x_cat
    assert codes[[254, 255, 298, 299], 0].tolist() == [254, 256, 256, 255]


def test_the_study_says_how_many_categories_are_told_apart() -> None:
    schema = infer({**TABLE, "c": ["a", "b", "b", "c"]}, n_train=4, max_categories=2)
    assert schema.categorical[0].values == ("a", "b")  # of equally frequent ones by alphabet
    schema = infer({**TABLE, "c": ["a", "b", "b", "c"]}, n_train=4, max_categories=3)
    assert schema.categorical[0].values == ("a", "b", "c")


def test_identifiers_are_left_out() -> None:
    ids = [f"order {index}" for index in range(N)]
    x = [float(index % 3) for index in range(N)]
    why = "has a different text in every row, like an identifier"
    assert dropped({"id": ids, "x": x}) == {"id": why}
    assert dropped({"id": ids, "x": x}, categorical=("id",)) == {}
    assert dropped({"id": ids, "x": x}, drop=("id",)) == {}
    assert dropped({"id": [*ids[:-1], ids[0]], "x": x}) == {}
    assert dropped({"id": [*ids[:-1], None], "x": x}) == {}
    assert dropped({"id": [str(10**19 + index) for index in range(N)], "x": x}) == {"id": why}


def test_few_different_texts_are_no_identifiers() -> None:
    assert infer(TABLE, n_train=4).categorical[0].values == ("", "a", "b", "z")


@pytest.mark.parametrize("name", ["", "Unnamed: 0", "__index_level_0__"])
@pytest.mark.parametrize("start", [0, 1])
def test_a_nameless_first_column_that_numbers_the_rows_is_left_out(name: str, start: int) -> None:
    shuffled = [start + index * 7 % N for index in range(N)]
    why = "has no name and holds row numbers"
    x = [float(index % 3) for index in range(N)]
    assert dropped({name: shuffled, "x": x}) == {name: why}
    assert dropped({name: shuffled, "x": x}, numeric=(name,)) == {}
    assert dropped({"x": x, name: shuffled}) == {}  # not the first
    assert dropped({name: [*shuffled[:-1], 99], "x": x}) == {}


def test_a_column_with_a_name_may_number_the_rows() -> None:
    assert dropped({"time": list(range(N)), "x": [1.5, 2.5, 3.5] * (N // 3)}) == {}


def test_a_nameless_column_of_a_file_is_left_out() -> None:
    rows = "".join(f"{index},{index % 3}.5,{index % 5}.25\n" for index in range(N))
    schema, left_out, _ = learned(csv(f",x,y\n{rows}"), named())
    assert schema.columns == ("x",)
    assert list(left_out.values()) == [[""]]


def test_a_table_of_identifiers_alone_is_refused() -> None:
    with pytest.raises(
        DataError, match=r'no feature column to learn from: "id" has a different text'
    ):
        dropped({"id": [f"a{index}" for index in range(N)]})


@pytest.mark.parametrize(
    ("values", "double"),
    [
        ([0.1, 0.2, 0.3], False),
        ([1e6, 1e6 + 0.5, 2e6], False),
        ([1.7e9, 1.7e9 + 1, 1.7e9 + 2], True),
        ([1e9 + 1, 5, -1e9], False),
        ([2**53, 2**53 - 1], True),
        ([16777217.0] * 3, True),
        ([5.0] * 3, False),
        ([0.1] * 3, True),
        ([], False),
        ([None, 1.5], False),
    ],
)
def test_columns_whose_digits_float32_would_lose_are_double(
    values: list[float], double: bool
) -> None:
    assert is_double(pl.Series(values, dtype=pl.Float64)) == double


def test_features_and_a_target_that_need_it_are_named_as_double() -> None:
    seconds = [1_700_000_000 + index for index in range(N)]
    columns = {"x": [0.5 * index for index in range(N)], "at": seconds, "y": seconds}
    assert infer(columns, n_train=None, task="regression").double == ("at", "y")
    assert infer(columns, n_train=None, task="multiclass").double == ("at",)
    assert infer({**columns, "y": [0.5, 1.5] * 15}, n_train=None).double == ("at",)


HOUR, DAY = np.timedelta64(1, "h"), np.timedelta64(1, "D")
START = np.datetime64("2024-01-01", "us")


@pytest.mark.parametrize(
    ("step", "n", "cycles"),
    [
        (DAY, 14, ()),
        (DAY, 15, ("week",)),
        (DAY, 732, ("week", "year")),
        (HOUR, 48, ()),
        (HOUR, 49, ("day",)),
        (HOUR, 337, ("day", "week")),
        (366 * DAY, 3, ("week", "year")),
    ],
)
def test_dates_have_the_cycles_that_training_saw_twice(
    step: np.timedelta64, n: int, cycles: tuple[str, ...]
) -> None:
    times = START + step * np.arange(n)
    columns = {"at": times, "y": [0.5 * index for index in range(n)]}
    assert infer(columns, n_train=None).dates == (DateColumn(name="at", cycles=cycles),)


def test_times_of_day_have_the_cycle_of_the_day() -> None:
    rows = "".join(f"{index % 24}:30,{index}.5\n" for index in range(N))
    schema = learned(csv(f"at,y\n{rows}"), named())[0]
    assert schema.dates == (DateColumn(name="at", cycles=("day",)),)
    assert schema.readers["at"].order == "time"


def test_dates_with_gaps_are_indicated() -> None:
    days = [*(START + DAY * np.arange(3)).tolist(), None]
    columns = {"at": days, "y": [0.5, 1.5, 2.5, 3.5]}
    assert infer(columns, n_train=4).numeric_missing == ("at",)
    assert infer(columns, n_train=3).numeric_missing == ()


def test_readers_that_say_more_than_a_kind_are_kept() -> None:
    made = csv("a,b,c,d,y\n1,true,12%,01/13/2024,0.5\n2,false,13%,01/14/2024,1.5\n")
    schema = learned(made, named())[0]
    assert set(schema.readers) == {"b", "c", "d"}
    assert schema.readers["c"].written.percent
    assert schema.readers["d"].order == "mdy"


def test_format_1_is_learned_as_it_was() -> None:
    frame = pl.DataFrame(
        {
            "": list(range(N)),
            "id": [f"a{index}" for index in range(N)],
            "at": [1_700_000_000 + index for index in range(N)],
            "y": ["b"] * (N - 1) + ["a"],
        }
    )
    made = Table.of_format_1(frame)
    schema, left_out, _ = learned(made, named())
    assert left_out == {}
    assert schema.columns == ("", "at", "id")
    assert (schema.double, schema.readers, schema.labels) == ((), {}, "text")
    assert schema.classes == ("a", "b")  # by the alphabet, whichever is rarer
    assert schema.format == 1


def test_adult_has_six_numbers_and_eight_texts_with_gaps() -> None:
    data = named(source="adult.parquet", target="income", drop=("split",))
    made = read_table(data, ROOT / "studies/data")
    schema = learned(made, data)[0]
    assert (len(schema.numeric), len(schema.categorical)) == (6, 8)
    assert schema.classes == ("<=50K", ">50K")
    with_gaps = [column.name for column in schema.categorical if "" in column.values]
    assert with_gaps == ["workclass", "occupation", "native_country"]
