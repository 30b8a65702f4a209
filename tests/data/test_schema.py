"""How a schema encodes rows, whatever they come in, and how it is written as text."""

import datetime
import json
import math
from typing import Any

import numpy as np
import pandas
import polars as pl
import pytest
import torch

from hpo.config.errors import DataError, InputError
from hpo.data.inference import infer_schema
from hpo.data.reader import MISSING
from hpo.data.schema import Categories, DateColumn, TableSchema
from hpo.data.sources import as_frame
from hpo.data.target import resolve_task
from tests.support.tables import csv, named, table

TABLE = {
    "n": [1.5, None, 3.0, 4.0],
    "k": [1, 2, 3, 4],
    "c": ["b", None, "a", "z"],
    "y": ["no", "yes", "no", "yes"],
}
ROWS = torch.tensor([0, 1, 2])


def infer(columns: dict[str, Any], **changes: Any) -> TableSchema:
    """The schema of a table whose first three rows train."""
    made, data = table(columns, **changes), named(**changes)
    return infer_schema(made, data, resolve_task(made, data), ROWS)[0]


def test_text_that_is_no_number_is_refused_as_one() -> None:
    schema = infer({**TABLE, "c": ["1", "2", "3", "4"]}, numeric=("c",))
    with pytest.raises(DataError, match=r'column "c" must hold numbers, but row 1 holds "b"$'):
        schema.encode(as_frame(TABLE))
    with pytest.raises(DataError, match=r'but row 2 holds "two\\nlines"$'):
        schema.encode(as_frame({**TABLE, "c": ["1", "two\nlines", "2", "3"]}))


@pytest.mark.parametrize("value", [math.inf, -math.inf, 1e39, "inf"])
def test_a_number_beyond_float32_is_refused_with_its_row(value: object) -> None:
    columns = {**TABLE, "n": [1, 2, 3, value]}
    with pytest.raises(DataError, match=r'"n" must hold finite numbers up to 3\.4e38, but row 4'):
        infer(TABLE).encode(as_frame(columns))


def test_lists_are_refused_where_something_else_was_trained_on() -> None:
    lists = [[1], [2], [3], [4]]
    for name in ("n", "c"):
        with pytest.raises(DataError, match=f'column "{name}" must hold numbers, text or dates'):
            infer(TABLE).encode(as_frame({**TABLE, name: lists}))
    infer(TABLE).encode(as_frame({**TABLE, "other": lists}))


def test_rows_are_encoded() -> None:
    encoded = infer(TABLE).encode(as_frame(TABLE))
    assert encoded.x_num.dtype == torch.float64
    assert encoded.x_num[:, 1].tolist() == [1, 2, 3, 4]
    assert encoded.x_num[:, 0].nan_to_num(-1).tolist() == [1.5, -1, 3, 4]
    assert encoded.x_cat.dtype == torch.int64
    assert encoded.x_cat.tolist() == [[2], [0], [1], [3]]  # z is unseen


def test_a_missing_text_is_unseen_where_training_had_none() -> None:
    schema = infer({**TABLE, "c": ["b", "a", "b", None]})
    assert schema.categorical[0].values == ("a", "b")
    assert schema.encode(as_frame({"n": [1], "k": [1], "c": [None]})).x_cat.tolist() == [[2]]


def test_columns_come_in_any_order_and_others_are_ignored() -> None:
    schema, frame = infer(TABLE), as_frame(TABLE)
    encoded = schema.encode(frame)
    again = schema.encode(frame.select("c", pl.lit("!").alias("other"), "k", "n"))
    assert again.x_num.nan_to_num(-1).equal(encoded.x_num.nan_to_num(-1))
    assert again.x_cat.equal(encoded.x_cat)


def test_missing_columns_are_named() -> None:
    with pytest.raises(DataError, match=r"the table: lacks columns of the training table: n, c$"):
        infer(TABLE).encode(as_frame({"k": [1]}))


def test_a_table_without_rows_encodes_to_none() -> None:
    encoded = infer(TABLE).encode(as_frame(TABLE).head(0))
    assert encoded.x_num.shape == (0, 2)
    assert encoded.x_cat.shape == (0, 1)


@pytest.mark.parametrize(
    "values", [[1, 2, 10], [1.0, 2.0, 10.0], ["1", "2", "10"], ["1.0", "2.00", "10"]]
)
def test_a_category_is_the_same_as_whole_number_float_and_text(values: list[Any]) -> None:
    columns = {"c": [1, 2, 2], "y": [0, 1, 1]}
    schema = infer(columns, categorical=("c",))
    assert schema.encode(as_frame({"c": values})).x_cat.tolist() == [[0], [1], [2]]


def test_a_category_does_not_depend_on_the_other_rows() -> None:
    schema = infer({"c": [1.0, 2.5, 2.5], "y": [0, 1, 1]}, categorical=("c",))
    assert schema.categorical[0].values == ("1", "2.5")
    assert schema.encode(as_frame({"c": [1.0]})).x_cat.tolist() == [[0]]
    assert schema.encode(as_frame({"c": [1.0, 2.5]})).x_cat.tolist() == [[0], [1]]


def test_booleans_are_numbers_in_any_spelling() -> None:
    schema = infer({"c": [True, False, True], "y": [0, 1, 1]})
    for values in ([False, True], ["false", "true"], ["False", "TRUE"], [0, 1], [0.0, 1.0]):
        assert schema.encode(as_frame({"c": values})).x_num.tolist() == [[0], [1]]


@pytest.mark.parametrize("learned", [[True, False, True], ["True", "False", "True"]])
def test_booleans_that_are_categories_are_the_same_from_frames_and_files(learned: Any) -> None:
    schema = infer({"c": learned, "y": [0, 1, 1]}, categorical=("c",))
    for values in ([False, True], [str(word) for word in sorted(schema.categorical[0].values)]):
        assert schema.encode(as_frame({"c": values})).x_cat.tolist() == [[0], [1]]


def test_numbers_may_come_as_text() -> None:
    encoded = infer(TABLE).encode(as_frame({"n": ["3.5", " 4 "], "k": ["1", "?"], "c": ["a", "b"]}))
    assert encoded.x_num.nan_to_num(-1).tolist() == [[3.5, 1], [4, -1]]


def test_a_typed_number_is_the_category_of_its_value() -> None:
    made, data = csv("c,y\n1.10,a\n1.20,b\n2.5b,a\n007,b\n"), named()
    schema = infer_schema(made, data, "binary", torch.arange(4))[0]
    assert schema.categorical[0].values == ("007", "1.10", "1.20", "2.5b")

    def codes(values: Any) -> Any:
        return schema.encode(as_frame({"c": values})).x_cat[:, 0].tolist()

    assert codes(["1.10", " 1.20 ", "1.1", "2.5b"]) == [1, 2, 4, 3]
    assert codes([1.1, 1.2, 7.0, 2.5]) == [1, 2, 0, 4]
    assert codes(pl.Series([7], dtype=pl.Int8)) == [0]
    assert codes([True]) == [4]


def test_a_typed_number_that_fits_two_categories_is_unseen() -> None:
    made, data = csv("c,y\n1.1,a\n1.10,b\nx,a\n"), named()
    schema = infer_schema(made, data, "binary", torch.arange(3))[0]
    codes = schema.encode(as_frame({"c": [1.1, 1.10, 2.0]})).x_cat[:, 0].tolist()
    assert codes == [0, 0, 3]  # in its shortest spelling it is one of them
    assert schema.encode(as_frame({"c": ["1.10"]})).x_cat.tolist() == [[1]]


def test_every_digit_of_a_long_number_tells_categories_apart() -> None:
    ids = [str(12345678901234567890 + index) for index in range(3)]
    schema = infer({"c": [*ids, ids[0]], "y": TABLE["y"]})
    assert schema.encode(as_frame({"c": ids})).x_cat.tolist() == [[0], [1], [2]]
    near = pl.Series([2**63, 2**63 + 1, 2**63 + 2, 2**63], dtype=pl.UInt64)
    schema = infer({"c": near, "y": TABLE["y"]})
    assert schema.encode(as_frame({"c": near})).x_cat[:, 0].tolist() == [0, 1, 2, 0]
    assert schema.encode(as_frame({"c": near.cast(pl.String)})).x_cat[:, 0].tolist() == [0, 1, 2, 0]


def test_a_date_is_the_same_whatever_it_comes_in() -> None:
    day = datetime.datetime(2024, 2, 3, 4, 5)
    schema = infer({"at": [day, day, day, day], "y": TABLE["y"]})
    assert schema.dates == (DateColumn(name="at"),)
    seconds = np.array(["2024-02-03T04:05:00"], dtype="datetime64[s]")
    tokyo = datetime.timezone(datetime.timedelta(hours=9))
    spellings = [
        [day],
        [day.replace(hour=13, tzinfo=tokyo)],
        seconds,
        seconds.astype("datetime64[ns]"),
        pandas.Series(seconds),
        pandas.Series(seconds).dt.tz_localize("UTC"),
        pl.Series([day], dtype=pl.Datetime("ms")),
        ["2024-02-03 04:05"],
        ["2024-02-03T04:05:00.000Z"],
        ["2024-02-03T13:05:00+09:00"],
        ["3 Feb 2024 4:05 am"],
    ]
    microseconds = day.replace(tzinfo=datetime.UTC).timestamp() * 1e6
    for values in spellings:
        assert schema.encode(as_frame({"at": values})).x_num.tolist() == [[microseconds]], values


def test_numbers_are_no_dates_and_dates_no_numbers() -> None:
    day = datetime.date(2024, 2, 3)
    schema = infer({"at": [day] * 4, "n": [1.5] * 4, "y": TABLE["y"]})
    with pytest.raises(DataError, match=r'"at" must hold dates, but row 1 holds 5$'):
        schema.encode(as_frame({"at": [5], "n": [1]}))
    with pytest.raises(DataError, match=r'"n" must hold numbers, but row 1 holds 2024-02-03$'):
        schema.encode(as_frame({"at": [day], "n": [day]}))


def test_no_digit_is_lost_on_the_way_to_a_tensor() -> None:
    exact = [1_700_000_000.123456, 1_700_000_001.0, 1_700_000_002.9]
    schema = infer({**TABLE, "n": [*exact, 0.0]})
    assert schema.double == ("n",)
    assert schema.encode(as_frame({**TABLE, "n": [*exact, 0.0]})).x_num[:3, 0].tolist() == exact


def test_missing_words_of_a_file_are_missing_unless_they_are_categories() -> None:
    made, data = csv("c,y\nDE,a\nNA,b\n,a\nFR,b\n"), named()
    schema = infer_schema(made, data, "binary", torch.arange(4))[0]
    assert schema.categorical[0].values == ("", "DE", "FR")
    assert schema.encode(as_frame({"c": ["NA", None, "", "?", "DE"]})).x_cat[:, 0].tolist() == [
        *(0, 0, 0, 0, 1)
    ]
    of_parquet = infer({"c": ["DE", "NA", None, "FR"], "y": TABLE["y"]})
    assert of_parquet.categorical[0].values == ("", "DE", "NA")
    assert of_parquet.encode(as_frame({"c": ["NA", "N/A", None]})).x_cat[:, 0].tolist() == [2, 0, 0]


def test_targets_are_encoded() -> None:
    binary = infer(TABLE).encode_target(as_frame(TABLE))
    assert binary.dtype == torch.float32
    assert binary.tolist() == [0, 1, 0, 1]
    table = {**TABLE, "y": [10, 9, 2, 9]}
    classes = infer(table).encode_target(as_frame(table))
    assert classes.dtype == torch.int64
    assert classes.tolist() == [2, 1, 0, 1]
    numbers = infer(table, task="regression").encode_target(as_frame(table))
    assert numbers.dtype == torch.float64
    assert numbers.tolist() == [10, 9, 2, 9]
    table = {**TABLE, "y": [1.7e9 + 0.1, 1.7e9, 2, 2**53 - 1]}
    assert infer(table, task="regression").encode_target(as_frame(table)).tolist() == table["y"]


def test_a_schema_survives_as_text() -> None:
    made = csv(
        'at,n,p,c,y\n01/13/2024,1.5,12%,ä,no\n01/14/2024,<0.5,13%,"""",yes\n'
        + "01/15/2024,2.5,14%,ö,no\n" * 20
    )
    rich = infer_schema(made, named(), "binary", torch.arange(22))[0]
    assert set(rich.readers) == {"at", "n", "p"}
    assert rich.readers["n"].odd[0].word == "<0.5"
    regression = infer({**TABLE, "y": [0.5, 1, 2, 3], "c": ["ä", '"', "\n", "b"]})
    for schema in (infer(TABLE), rich, regression):
        assert TableSchema.from_json(schema.to_json()) == schema


def test_a_schema_of_another_format_is_refused() -> None:
    tree = json.loads(infer(TABLE).to_json())
    with pytest.raises(InputError, match="the schema must be of format 1 or 2, but got 3"):
        TableSchema.from_json(json.dumps({**tree, "format": 3}))


def test_a_schema_of_format_1_is_read() -> None:
    text = (
        '{"format": 1, "target": "y", "task": "binary", "numeric": ["n"], '
        '"numeric_missing": [], "categorical": [{"name": "c", "values": ["", "a"]}], '
        '"classes": ["no", "yes"], "n_train": 3}'
    )
    schema = TableSchema.from_json(text)
    assert schema.categorical == (Categories(name="c", values=("", "a")),)
    assert schema.to_json() == text


def test_a_schema_of_format_1_encodes_as_it_did() -> None:
    schema = TableSchema(
        target="y",
        task="binary",
        numeric=("n",),
        numeric_missing=(),
        categorical=(Categories(name="c", values=("", "1", "true", "x")),),
        classes=("no", "yes"),
        n_train=3,
        missing=MISSING,
        format=1,
    )
    rows = {"n": ["0.1", "?", "3"], "c": [" 1.0", "TRUE", "NA"]}
    encoded = schema.encode(as_frame(rows))
    assert encoded.x_num[[0, 2], 0].tolist() == [float(np.float32(0.1)), 3]
    assert encoded.x_num.isnan().flatten().tolist() == [False, True, False]
    assert encoded.x_cat.tolist() == [[1], [2], [0]]
    typed = {"n": [1, 2], "c": [True, None]}
    assert schema.encode(as_frame(typed)).x_cat.tolist() == [[2], [0]]


@pytest.mark.parametrize(
    "change",
    [
        {"classes": ["no"]},
        {"classes": ["no", "no"]},
        {"classes": ["no", "yes"], "labels": "integer"},
        {"classes": ["1.0", "1"], "labels": "number"},
        {"numeric_missing": ["c"]},
        {"numeric": ["n", "c"]},
        {"readers": {"q": {"kind": "number"}}},
        {"categorical": [{"name": "c", "values": ["a", "a"]}]},
    ],
)
def test_a_schema_that_contradicts_itself_is_refused(change: dict[str, Any]) -> None:
    tree = json.loads(infer(TABLE).to_json())
    with pytest.raises(InputError, match="its columns or classes contradict each other"):
        TableSchema.from_json(json.dumps({**tree, **change}))
