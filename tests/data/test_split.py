"""Which rows train, validate and test."""

from typing import Any

import pytest
import torch

from hpo.config.errors import DataError
from hpo.config.trial import SplitConfig, Task
from hpo.data.split import Split, split_rows
from tests.support.tables import named, table


def split(target: list[Any], task: Task, **config: Any) -> Split:
    """Split a table by seeded shares."""
    return split_rows(table({"y": target}), named(split=SplitConfig(**config)), task)


def by_column(parts: list[Any], target: list[Any], task: Task = "regression") -> Split:
    data = named(split=SplitConfig(column="part"))
    made = table({"part": parts, "y": target}, split=data.split)
    return split_rows(made, data, task)


def numbers(n_rows: int) -> list[float]:
    return [index + 0.5 for index in range(n_rows)]


def test_a_column_says_which_rows_are_which() -> None:
    parts = by_column(["test", "train", "valid", "validation", "val", "train"], numbers(6))
    assert parts.train.tolist() == [1, 5]
    assert parts.val.tolist() == [2, 3, 4]
    assert parts.test.tolist() == [0]
    assert parts.train.dtype == torch.int64


@pytest.mark.parametrize(
    ("parts", "complaint"),
    [
        (["train", "Test"], 'column "part" must say train, val or test, but row 2 says "Test"'),
        (["train", None], 'column "part" must say train, val or test, but row 2 says ""'),
        ([0, 1], 'column "part" must say train, val or test, but row 1 says "0"'),
        (["train", "val"], r"t\.csv: data\.split leaves the test part no rows"),
        (["test", "val"], r"t\.csv: data\.split leaves the train part no rows"),
    ],
)
def test_a_column_that_does_not_split_is_refused(parts: list[Any], complaint: str) -> None:
    with pytest.raises(DataError, match=complaint):
        by_column(parts, numbers(2))


def test_a_missing_split_column_is_refused() -> None:
    data = named(split=SplitConfig(column="splits"))
    with pytest.raises(DataError, match=r'no column "splits", .*\(did you mean "split"\?\)'):
        split_rows(table({"split": ["train"], "y": [1.0]}), data, "regression")


def test_what_training_cannot_show_is_refused() -> None:
    parts = ["train", "train", "val", "test"]
    with pytest.raises(DataError, match='target "y": the training part has no row of "c"'):
        by_column(parts, ["a", "b", "b", "c"], "multiclass")
    with pytest.raises(DataError, match=r'target "y" is always 1\.5 in the training part'):
        by_column(parts, [1.5, 1.5, 2.5, 3.5])
    close = by_column(parts, [1e9 + 0.5, 1e9 + 1.5, 2.5, 3.5])  # float32 takes them for one
    assert close.train.tolist() == [0, 1]


def test_shares_are_kept_and_every_row_is_used_once() -> None:
    parts = split(numbers(1001), "regression", val=0.2, test=0.1)
    assert (len(parts.val), len(parts.test)) == (200, 100)
    rows = torch.cat([parts.train, parts.val, parts.test])
    assert rows.sort().values.tolist() == list(range(1001))


def test_each_class_is_split_by_the_shares() -> None:
    target = (["a"] * 101 + ["b"] * 51 + ["c"] * 11) * 2
    parts = split(target, "multiclass", val=0.2, test=0.2)
    for rows in (parts.val, parts.test):
        counts = [sum(target[row] == label for row in rows.tolist()) for label in "abc"]
        assert all(
            abs(count - due) <= 1 for count, due in zip(counts, (40, 20, 4.4), strict=True)
        ), counts


def test_rare_classes_train() -> None:
    target = ["common"] * 40 + [f"rare {index}" for index in range(20)]
    for seed in range(20):
        parts = split(target, "multiclass", val=0.3, test=0.3, seed=seed)
        assert {target[row] for row in parts.train.tolist()} == set(target)


def test_small_tables_have_every_part() -> None:
    parts = split(["a", "b"] * 4, "binary", val=0.15, test=0.15)
    assert (len(parts.train), len(parts.val), len(parts.test)) == (6, 1, 1)
    with pytest.raises(DataError, match=r"t\.csv: data\.split leaves the val part no rows"):
        split(["a", "b"], "binary")


def test_without_a_test_share_there_is_no_test_part() -> None:
    parts = split(["a", "b"] * 10, "binary", val=0.2, test=0)
    assert (len(parts.train), len(parts.val), len(parts.test)) == (16, 4, 0)


def test_the_seed_decides_and_nothing_else() -> None:
    first = split(numbers(30), "regression", seed=3)
    torch.rand(7)
    again = split([-value for value in numbers(30)], "regression", seed=3)
    other = split(numbers(30), "regression", seed=4)
    assert first.test.equal(again.test)
    assert first.val.equal(again.val)
    assert not first.test.equal(other.test)


def test_a_seed_means_the_same_rows_for_ever() -> None:
    parts = split(["a", "b", "a"] * 7, "binary", val=0.2, test=0.2, seed=0)
    assert (parts.val.tolist(), parts.test.tolist()) == ([11, 12, 13, 15], [0, 2, 4, 9])
