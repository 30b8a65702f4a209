"""What a schema learns from a table, what it refuses, and how it encodes rows."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch

from hpo.data.schema import Categories, TableSchema, class_labels, resolve_task
from hpo.data.sources import as_frame, read_table
from hpo.errors import DataError, InputError
from hpo.trial import DataConfig

DATA = DataConfig(source="t.csv", target="y")
TABLE = {
    "n": [1.5, None, 3.0, 4.0],
    "k": [1, 2, 3, 4],
    "c": ["b", None, "a", "z"],
    "y": ["no", "yes", "no", "yes"],
}
ROWS = torch.tensor([0, 1, 2])


def infer(columns: dict[str, Any], **changes: Any) -> TableSchema:
    """The schema of a table whose first three rows train."""
    return TableSchema.infer(as_frame(columns), replace(DATA, **changes), ROWS)


def task_of(values: list[Any], task: Any = "auto") -> str:
    return resolve_task(as_frame({"y": values}), replace(DATA, task=task))


def test_a_schema_is_learned_from_the_training_rows() -> None:
    assert infer(TABLE) == TableSchema(
        target="y",
        task="binary",
        numeric=("n", "k"),
        numeric_missing=("n",),
        categorical=(Categories(name="c", values=("", "a", "b")),),
        classes=("no", "yes"),
        n_train=3,
    )


def test_the_study_says_which_columns_are_what() -> None:
    columns = {**TABLE, "t": ["1", "2.5", None, "x"], "split": ["train"] * 4}
    schema = TableSchema.infer(
        as_frame({**columns, "t": ["1", "2.5", None, "3"]}),
        replace(
            DATA,
            drop=("n",),
            numeric=("t",),
            categorical=("k",),
            split=replace(DATA.split, column="split"),
        ),
        ROWS,
    )
    assert schema.numeric == schema.numeric_missing == ("t",)
    assert schema.categorical == (
        Categories(name="k", values=("1", "2", "3")),
        Categories(name="c", values=("", "a", "b")),
    )


@pytest.mark.parametrize(
    ("values", "task"),
    [
        (["a", "b", "a"], "binary"),
        (["a", "b", "c"], "multiclass"),
        ([True, False], "binary"),
        ([0, 1, 1], "binary"),
        ([1.0, 2.0, 3.0], "multiclass"),
        (list(range(20)), "multiclass"),
        (list(range(21)), "regression"),
        ([0.5, 1.0], "regression"),
        (["1", "1.0", "2"], "binary"),
    ],
)
def test_the_task_follows_from_the_target(values: list[Any], task: str) -> None:
    assert task_of(values) == task


def test_the_study_decides_the_task() -> None:
    assert task_of([0, 1], "regression") == "regression"
    assert task_of([0, 1], "multiclass") == "multiclass"
    assert task_of(list(range(50)), "multiclass") == "multiclass"


@pytest.mark.parametrize(
    ("values", "task", "complaint"),
    [
        (
            ["a", None, "b", None],
            "auto",
            'target "y" is missing in 2 of 4 rows, first in row 2: .*',
        ),
        ([[1], [2]], "auto", r'column "y" must hold numbers or text, but holds List\(Int64\)'),
        (["a", "a"], "auto", 'target "y" has only the class a: nothing to learn'),
        ([3, 3], "auto", 'target "y" has only the class 3: nothing to learn'),
        ([0.5, 0.5], "auto", r'target "y" is always 0\.5: nothing to learn'),
        ([3, 3], "regression", 'target "y" is always 3: nothing to learn'),
        (["a", "b"], "regression", 'target "y" must hold numbers for a regression, not text'),
        (["a", "b", "c"], "binary", 'target "y" must have 2 classes, but has 3'),
        ([1, 2, math.inf], "auto", 'column "y" must hold finite numbers .*, but row 3 holds inf'),
        ([0.5, math.inf], "auto", 'column "y" must hold finite numbers .*, but row 2 holds inf'),
    ],
)
def test_a_target_that_cannot_be_learned_is_refused(
    values: list[Any], task: Any, complaint: str
) -> None:
    with pytest.raises(DataError, match=f"^{complaint}$"):
        task_of(values, task)


def test_a_missing_target_column_is_refused_with_the_nearest_name() -> None:
    frame = as_frame({"Price": [1.5, 2.5], "size": [1, 2]})
    with pytest.raises(
        DataError,
        match=r't\.csv: has no column "price", which data\.target names '
        r'\(did you mean "Price"\?\); its columns are Price, size$',
    ):
        resolve_task(frame, replace(DATA, target="price"))
    wide = as_frame({f"c{index}": [1] for index in range(30)})
    with pytest.raises(DataError, match=r"c18, c19 and 10 more$"):
        resolve_task(wide, DATA)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"drop": ("m",)}, r't\.csv: has no column "m", which data\.drop names'),
        ({"numeric": ("kk",)}, r'"kk", which data\.numeric names \(did you mean "k"\?\)'),
        ({"categorical": ("q",)}, r'"q", which data\.categorical names'),
        ({"drop": ("n", "k", "c")}, r"t\.csv: has no feature column besides the target"),
        (
            {"numeric": ("c",), "categorical": ("c",)},
            'column "c" is named in both data.numeric and data.categorical',
        ),
    ],
)
def test_columns_that_the_study_names_wrongly_are_refused(
    changes: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(DataError, match=complaint):
        infer(TABLE, **changes)


def test_text_that_is_no_number_is_refused_as_one() -> None:
    schema = infer(TABLE, numeric=("c",))
    with pytest.raises(DataError, match=r'column "c" must hold numbers, but row 1 holds "b"$'):
        schema.encode(as_frame(TABLE))
    with pytest.raises(DataError, match=r'but row 2 holds "two\\nlines"$'):
        schema.encode(as_frame({**TABLE, "c": ["1", "two\nlines", "2", "3"]}))


@pytest.mark.parametrize("value", [math.inf, -math.inf, 1e39, "inf"])
def test_a_number_beyond_float32_is_refused_with_its_row(value: object) -> None:
    table = {**TABLE, "n": [1, 2, 3, value]}
    with pytest.raises(DataError, match=r'"n" must hold finite numbers up to 3\.4e38, but row 4'):
        infer(TABLE).encode(as_frame(table))


def test_lists_may_be_where_nothing_needs_them() -> None:
    lists = {**TABLE, "l": [[1], [2], [3], [4]]}
    with pytest.raises(DataError, match=r'"l" must hold .* holds List\(Int64\); .*data\.drop'):
        infer(lists)
    encode = infer(lists, drop=("l",)).encode
    encode(as_frame(lists))
    with pytest.raises(DataError, match=r'column "n" must hold numbers or text, but holds List'):
        encode(as_frame({**TABLE, "n": lists["l"]}))


def test_rows_are_encoded() -> None:
    encoded = infer(TABLE).encode(as_frame(TABLE))
    assert encoded.x_num.dtype == torch.float32
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
    with pytest.raises(DataError, match=r"the table lacks what was trained on: n, c$"):
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


def test_booleans_and_their_words_are_the_same_category() -> None:
    schema = infer({"c": [True, False, True], "y": [0, 1, 1]})
    for values in ([False, True], ["false", "true"], ["False", "TRUE"]):
        assert schema.encode(as_frame({"c": values})).x_cat.tolist() == [[0], [1]]


def test_numbers_may_come_as_text() -> None:
    encoded = infer(TABLE).encode(as_frame({"n": ["3.5", " 4 "], "k": ["1", "?"], "c": ["a", "b"]}))
    assert encoded.x_num.nan_to_num(-1).tolist() == [[3.5, 1], [4, -1]]


def test_the_most_frequent_categories_are_told_apart() -> None:
    values = [f"v{index % 300:03}" for index in range(600)] + ["v299"]
    frame = as_frame({"c": values, "y": [0.5 * index for index in range(601)]})
    schema = TableSchema.infer(frame, DATA, torch.arange(601))
    kept = schema.categorical[0].values
    assert kept == (*(f"v{index:03}" for index in range(255)), "v299")
    assert schema.encode(frame).x_cat[[254, 255, 298, 299], 0].tolist() == [254, 256, 256, 255]


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        ([10, 9, 2], ("2", "9", "10")),
        ([1.0, -1.0], ("-1", "1")),
        (["10", "9", "b"], ("10", "9", "b")),
        ([True, False], ("false", "true")),
        (["1", "1.0", "2"], ("1", "2")),
    ],
)
def test_classes_are_ordered_by_value_or_alphabet(values: list[Any], labels: Any) -> None:
    assert class_labels(as_frame({"y": values})["y"]) == labels


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
    for schema in (infer(TABLE), infer({**TABLE, "y": [0.5, 1, 2, 3], "c": ["ä", '"', "\n", "b"]})):
        assert TableSchema.from_json(schema.to_json()) == schema


def test_a_schema_of_another_format_is_refused() -> None:
    tree = json.loads(infer(TABLE).to_json())
    with pytest.raises(InputError, match="the schema must be of format 1, but got 2"):
        TableSchema.from_json(json.dumps({**tree, "format": 2}))


def test_a_schema_of_format_1_is_read() -> None:
    text = (
        '{"format": 1, "target": "y", "task": "binary", "numeric": ["n"], '
        '"numeric_missing": [], "categorical": [{"name": "c", "values": ["", "a"]}], '
        '"classes": ["no", "yes"], "n_train": 3}'
    )
    schema = TableSchema.from_json(text)
    assert schema.categorical == (Categories(name="c", values=("", "a")),)
    assert schema.to_json() == text


def test_adult_has_six_numbers_and_eight_texts_with_gaps() -> None:
    frame = read_table("adult.parquet", Path(__file__).parent / "../studies/data")
    schema = TableSchema.infer(
        frame, replace(DATA, target="income", drop=("split",)), torch.arange(len(frame))
    )
    assert (len(schema.numeric), len(schema.categorical)) == (6, 8)
    assert schema.classes == ("<=50K", ">50K")
    with_gaps = [column.name for column in schema.categorical if "" in column.values]
    assert with_gaps == ["workclass", "occupation", "native_country"]
