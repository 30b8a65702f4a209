"""The target: its task, its classes and their order, the type of its labels."""

from typing import Any

import polars as pl
import pytest

from hpo.config.errors import DataError
from hpo.data.target import class_labels, label_type, labels_in, ordered_classes, resolve_task
from tests.support.tables import cells, csv, named, table


def task_of(values: Any, task: Any = "auto") -> str:
    return resolve_task(table({"y": values}, task=task), named(task=task))


def classes(values: list[Any], task: Any = "binary", **changes: Any) -> tuple[str, ...]:
    """In the order of the network's outputs."""
    column = table({"y": values}, task=task, **changes).frame["y"]
    return ordered_classes(column, task, named(**changes))


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
            r't\.csv: target "y" is missing in 2 of 4 rows, first in row 2: .*',
        ),
        (
            pl.Series([[1], [2]]),
            "auto",
            r't\.csv: column "y" must hold numbers, .* but holds List\(Int64\)',
        ),
        (["a", "a"], "auto", r't\.csv: target "y" has only the class "a": nothing to learn'),
        ([3, 3], "auto", r't\.csv: target "y" has only the class 3: nothing to learn'),
        ([0.5, 0.5], "auto", r't\.csv: target "y" is always 0\.5: nothing to learn'),
        ([3, 3], "regression", r't\.csv: target "y" is always 3: nothing to learn'),
        (
            ["a", "b", "c"],
            "binary",
            r't\.csv: target "y" must have 2 classes, as data\.task says, but has 3',
        ),
        (
            [f"{index} kg" for index in range(40)],
            "auto",
            r't\.csv: target "y" holds 40 different texts in 40 rows, such as "0 kg": they are '
            "neither classes nor numbers",
        ),
    ],
)
def test_a_target_that_cannot_be_learned_is_refused(values: Any, task: Any, complaint: str) -> None:
    with pytest.raises(DataError, match=f"^{complaint}$"):
        task_of(values, task)


def test_a_target_that_is_no_number_is_refused_for_a_regression() -> None:
    with pytest.raises(DataError, match=r'column "y" must hold numbers, .* row 1 holds "a"'):
        task_of(["a", "b"], "regression")
    with pytest.raises(DataError, match=r'column "y" must hold finite numbers .* row 3 holds inf'):
        task_of([1, 2, float("inf")])


def test_dates_are_no_target_unless_they_are_classes() -> None:
    days = "y\n2024-01-01\n2024-01-02\n2024-01-01\n"
    with pytest.raises(DataError, match=r'target "y" holds dates: .* data\.task = "multiclass"$'):
        resolve_task(csv(days), named())
    assert resolve_task(csv(days, task="multiclass"), named(task="multiclass")) == "multiclass"


def test_a_missing_target_is_refused_with_its_word_and_the_words_that_count() -> None:
    made = csv("x,y\n1,DE\n2,NA\n3,FR\n")
    with pytest.raises(DataError) as raised:
        resolve_task(made, named())
    assert str(raised.value) == (
        't.csv: target "y" is missing in 1 of 3 rows, first in row 2, which holds "NA": '
        "remove such rows, or list in data.missing the words that mean a missing value; "
        'now "NA", "N/A", "NaN", "nan", "null", "NULL", "?"'
    )


def test_missing_words_may_be_other_words() -> None:
    text = "x,y\n1,DE\n2,NA\n-,FR\n"
    made = csv(text, missing=("-",))
    assert made.frame.to_dict(as_series=False) == {"x": [1, 2, None], "y": ["DE", "NA", "FR"]}
    assert resolve_task(made, named()) == "multiclass"
    made = csv("x,y\n1,DE\n2,\n", missing=())
    with pytest.raises(DataError, match=r"row 2: .*; now only an empty cell does$"):
        resolve_task(made, named())


def test_a_missing_target_column_is_refused_with_the_nearest_name() -> None:
    made = table({"Price": [1.5, 2.5], "size": [1, 2]})
    with pytest.raises(
        DataError,
        match=r't\.csv: has no column "price", which data\.target names '
        r'\(did you mean "Price"\?\); its columns are Price, size$',
    ):
        resolve_task(made, named(target="price"))
    wide = table({f"c{index}": [1] for index in range(30)})
    with pytest.raises(DataError, match=r"c18, c19 and 10 more$"):
        resolve_task(wide, named())


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
    assert class_labels(table({"y": values}).frame["y"]) == labels


def test_the_rarer_class_is_the_positive_one() -> None:
    assert classes(["stayed"] * 5 + ["churned"]) == ("stayed", "churned")
    assert classes(["stayed"] + ["churned"] * 5) == ("churned", "stayed")
    assert classes([0] + [1] * 3) == ("1", "0")
    assert classes([0, 1]) == ("0", "1")  # as frequent: the greater


@pytest.mark.parametrize(
    ("values", "positive"),
    [
        ([0, 1, 1], 1),
        ([0, 1, 1], "1"),
        ([0, 1, 1], 1.0),
        ([0.0, 1.0, 1.0], 1),
        ([True, False, True], True),
        ([True, False, True], "true"),
        (["False", "True", "True"], True),
        (["no", "yes", "yes"], "yes"),
    ],
)
def test_the_study_names_the_positive_class(values: list[Any], positive: Any) -> None:
    _, second = classes(values, positive=positive)
    assert second.lower() in ("1", "true", "yes")


def test_a_positive_class_that_is_none_is_refused() -> None:
    with pytest.raises(DataError) as raised:
        classes(["stayed", "churned"], positive="churn")
    assert str(raised.value) == (
        't.csv: data.positive: must be "churned" or "stayed", the classes of the target "y", '
        'but got "churn" (did you mean "churned"?)'
    )
    for values, task in (["a", "b", "c"], "multiclass"), ([0.5, 1.5], "regression"):
        with pytest.raises(DataError, match=rf"is for a binary task, but this is {task}$"):
            resolve_task(table({"y": values}), named(positive="a"))


@pytest.mark.parametrize(
    ("column", "kind", "labels"),
    [
        (["10", "20", "300"], "integer", [10, 20, 300]),
        (["0.5", "1.5"], "number", [0.5, 1.5]),
        (["a", "b"], "text", ["a", "b"]),
        (["True", "False"], "text", ["False", "True"]),
        (["01", "02"], "text", ["01", "02"]),
        (["1.5", "1.50"], "text", ["1.5", "1.50"]),
        (["1", "2.5b"], "text", ["1", "2.5b"]),
        (["12345678901234567890", "2"], "text", ["12345678901234567890", "2"]),
    ],
)
def test_labels_keep_the_type_that_they_have_in_a_file(
    column: list[str], kind: str, labels: list[Any]
) -> None:
    found = cells(*column, target="x", task="multiclass").frame["x"]
    assert label_type(found) == kind
    assert labels_in(class_labels(found), label_type(found)).to_list() == labels


@pytest.mark.parametrize(
    ("values", "kind", "dtype"),
    [
        (pl.Series([10, 20], dtype=pl.Int16), "integer", pl.Int64),
        ([0.0, 1.0], "number", pl.Float64),
        ([True, False], "boolean", pl.Boolean),
        (pl.Series(["a", "b"], dtype=pl.Categorical), "text", pl.String),
    ],
)
def test_labels_keep_the_type_that_they_have_in_a_frame(values: Any, kind: str, dtype: Any) -> None:
    column = table({"y": values}).frame["y"]
    assert label_type(column) == kind
    given_back = labels_in(class_labels(column), label_type(column))
    assert given_back.dtype == dtype
    assert given_back.to_list() == sorted(column.to_list())
