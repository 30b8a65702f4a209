"""Which rows train, validate and test."""

from collections import Counter
from datetime import date
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.model_selection import StratifiedGroupKFold, TimeSeriesSplit

from hpo.config.errors import DataError
from hpo.config.trial import SplitConfig, Task
from hpo.data.partition import group_parts
from hpo.data.split import Split, split_rows
from tests.support.tables import csv, named, table

GROUPED = {"split": SplitConfig(groups="who", val=0.3, test=0.3)}


def split(target: list[Any], task: Task, **config: Any) -> Split:
    """Split a table by seeded shares."""
    (only,) = split_rows(table({"y": target}), named(split=SplitConfig(**config)), task)
    return only


def by_column(parts: list[Any], target: list[Any], task: Task = "regression") -> Split:
    data = named(split=SplitConfig(column="part"))
    made = table({"part": parts, "y": target}, split=data.split)
    (only,) = split_rows(made, data, task)
    return only


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


def splits(columns: dict[str, Any], task: Task = "regression", **config: Any) -> tuple[Split, ...]:
    """Split a table by columns of its own."""
    data = named(split=SplitConfig(**config))
    return split_rows(table(columns, split=data.split), data, task)


def of(column: list[Any], rows: torch.Tensor) -> list[Any]:
    return [column[row] for row in rows.tolist()]


def check_folds(found: tuple[Split, ...], n_rows: int) -> None:
    """Each row outside the test part validates once, and all folds have the same test part."""
    assert all(split.test.equal(found[0].test) for split in found)
    held = torch.cat([found[0].test, *(split.val for split in found)])
    assert held.sort().values.tolist() == list(range(n_rows))
    for split in found:
        rows = torch.cat([split.train, split.val, split.test])
        assert rows.sort().values.tolist() == list(range(n_rows))


def test_folds_of_classes_differ_by_a_row_and_leave_the_test_part_as_it_is() -> None:
    target = ["a"] * 61 + ["b"] * 23 + ["c"] * 7
    found = splits({"y": target}, "multiclass", folds=4, test=0.2, seed=3)
    check_folds(found, len(target))
    assert found[0].test.equal(split(target, "multiclass", val=0.3, test=0.2, seed=3).test)
    counts = [Counter(of(target, each.val)) for each in found]
    for label in "abc":
        assert max(c[label] for c in counts) - min(c[label] for c in counts) <= 1
    sizes = [len(each.val) for each in found]
    assert max(sizes) - min(sizes) <= 1
    other = splits({"y": target}, "multiclass", folds=4, test=0.2, seed=4)
    assert not other[0].val.equal(found[0].val)


def test_a_column_may_choose_the_test_rows_of_folds() -> None:
    parts = ["train", "test", "train", "train", "test", "train", "train"]
    found = splits({"part": parts, "y": numbers(7)}, column="part", folds=2)
    check_folds(found, 7)
    assert found[0].test.tolist() == [1, 4]
    with pytest.raises(DataError, match='must say train or test with folds, but row 2 says "val"'):
        splits({"part": ["train", "val"], "y": numbers(2)}, column="part", folds=2)


@given(
    st.lists(st.tuples(st.integers(0, 12), st.integers(0, 2)), min_size=40, max_size=80),
    st.integers(0, 9),
)
def test_groups_stay_together(rows: list[tuple[int, int]], seed: int) -> None:
    """In shares and in folds; the counts are as near to their shares as scikit-learn's."""
    groups, classes = (torch.tensor(column) for column in zip(*rows, strict=True))
    n_groups = len(set(groups.tolist()))
    for shares in ([0.6, 0.2, 0.2], [0.25] * 4):
        if n_groups < len(shares):
            continue
        parts = group_parts(groups, classes, shares, seed)
        assert parts.equal(group_parts(groups, classes, shares, seed))
        assert set(parts.tolist()) == set(range(len(shares)))
        assert len({*zip(groups.tolist(), parts.tolist(), strict=True)}) == n_groups


def test_group_folds_are_as_balanced_as_those_of_scikit_learn() -> None:
    generator = np.random.default_rng(0)
    groups = np.repeat(np.arange(60), generator.integers(1, 30, 60))
    classes = (generator.random(len(groups)) < 0.1 + 0.4 * (groups % 3 == 0)).astype(int)

    def unbalance(folds: Any) -> float:
        counts = np.array([[np.sum(classes[fold] == label) for label in (0, 1)] for fold in folds])
        return float((counts / counts.mean(axis=0)).std(axis=0).mean())

    theirs = StratifiedGroupKFold(5).split(groups, classes, groups)
    parts = group_parts(torch.tensor(groups), torch.tensor(classes), [0.2] * 5, 0).numpy()
    ours = [np.flatnonzero(parts == fold) for fold in range(5)]
    assert unbalance(ours) <= unbalance([val for _, val in theirs]) + 0.005
    assert unbalance(ours) < 0.05


def test_each_part_gets_a_group_and_its_share_of_a_rare_class() -> None:
    groups = torch.tensor([0] * 50 + [1] * 40 + [2] * 30)
    parts = group_parts(groups, torch.zeros(120, dtype=torch.int64), [0.9, 0.05, 0.05], 0)
    assert set(parts.tolist()) == {0, 1, 2}
    groups = torch.arange(24).repeat_interleave(torch.arange(20, 44))
    classes = torch.zeros_like(groups)
    for group in range(8):
        classes[(groups == 3 * group).nonzero()[0]] = 1  # one row of a large group
    folds = group_parts(groups, classes, [0.25] * 4, 0)
    assert [int(classes[folds == fold].sum()) for fold in range(4)] == [2] * 4


def test_groups_are_told_apart_as_text() -> None:
    codes = ["1,234", "2,345", "1,234", "3,456"]  # ambiguous as numbers
    text = csv("who;y\n" + "".join(f"{code};{y}\n" for y, code in enumerate(codes)), **GROUPED)
    (found,) = split_rows(text, named(**GROUPED), "regression")
    assert sorted(len(rows) for rows in (found.train, found.val, found.test)) == [1, 1, 2]


def test_groups_are_divided_by_share() -> None:
    people = [f"p{row % 50}" for row in range(500)]
    labels = [("a", "b")[row % 50 < 15] for row in range(500)]
    columns = {"person": people, "y": labels}
    (found,) = splits(columns, "binary", groups="person", val=0.2, test=0.2)
    parts = [set(of(people, rows)) for rows in (found.train, found.val, found.test)]
    assert [len(part) for part in parts] == [30, 10, 10]
    assert len(set.union(*parts)) == 50
    assert Counter(of(labels, found.val)) == Counter(of(labels, found.test)) == {"a": 70, "b": 30}
    folds = splits(columns, "binary", groups="person", folds=5, test=0.2)
    check_folds(folds, 500)
    for each in folds:
        assert not set(of(people, each.train)) & set(of(people, each.val))


def test_later_rows_validate_and_the_latest_test() -> None:
    days = [date(2024, 1, 1 + row * 7 % 20) for row in range(20)]
    (found,) = splits({"day": days, "y": numbers(20)}, time="day", val=0.25, test=0.1)
    assert [len(rows) for rows in (found.train, found.val, found.test)] == [13, 5, 2]
    last = [max(of(days, rows)) for rows in (found.train, found.val)]
    assert last[0] < min(of(days, found.val))
    assert last[1] < min(of(days, found.test))


def test_rows_of_equal_time_are_in_one_part() -> None:
    hours = [1] * 9 + [2] * 4 + [3] * 4 + [4] * 3
    (found,) = splits({"hour": hours, "y": numbers(20)}, time="hour", val=0.25, test=0.1)
    assert found.val.tolist() == list(range(13, 17))
    folds = splits({"hour": hours, "y": numbers(20)}, time="hour", folds=3, test=0)
    assert [sorted(set(of(hours, each.val))) for each in folds] == [[2], [3], [4]]
    crowded = [1, 1, 2, 3, 4] + [5] * 16  # each cut keeps a place for the next
    folds = splits({"hour": crowded, "y": numbers(21)}, time="hour", folds=4, test=0)
    assert [each.val[0].item() for each in folds] == [2, 3, 4, 5]


@given(st.integers(8, 60), st.integers(2, 6))
def test_time_folds_are_those_of_scikit_learn(n_rows: int, n_folds: int) -> None:
    order = np.random.default_rng(n_rows).permutation(n_rows)
    columns = {"at": order.tolist(), "y": numbers(n_rows)}
    found = splits(columns, time="at", folds=n_folds, test=0)
    theirs = TimeSeriesSplit(n_folds).split(order)
    for ours, (train, val) in zip(found, theirs, strict=True):
        assert set(order[ours.train.numpy()]) == set(train)
        assert set(order[ours.val.numpy()]) == set(val)


@pytest.mark.parametrize(
    ("columns", "config", "complaint"),
    [
        ({}, {"groups": "who"}, r'has no column "who", which data\.split\.groups names'),
        ({}, {"time": "who"}, r'has no column "who", which data\.split\.time names'),
        (
            {"who": ["a", "b", None, "c"]},
            {"groups": "who"},
            r'groups: column "who" must have no missing values, but 1 of 4 are .* first in row 3$',
        ),
        (
            {"at": [1.5, 2.5, 3.5, None]},
            {"time": "at"},
            r'time: column "at" must have no missing values, but 1 of 4 are .* first in row 4$',
        ),
        (
            {"at": ["early", "late", "late", "later"]},
            {"time": "at"},
            r'time: column "at" must hold dates or numbers, but row 1 holds "early"$',
        ),
        (
            {"who": ["a", "b", "a", "b"]},
            {"groups": "who"},
            r'groups: column "who" must have at least 3 different values, .* but has 2$',
        ),
        (
            {"at": [1, 2, 1, 2]},
            {"time": "at"},
            r'time: column "at" must have at least 3 different values, .* but has 2$',
        ),
        (
            {"who": ["a", "b", "a", "b"]},
            {"groups": "who", "folds": 3, "test": 0},
            r'folds: 3 folds need at least 3 different values of column "who" .* there are 2$',
        ),
        (
            {"at": [1, 2, 1, 2]},
            {"time": "at", "folds": 2, "test": 0},
            r'folds: 2 folds need at least 3 different values of column "at" .* there are 2$',
        ),
        (
            {},
            {"folds": 5, "test": 0},
            r"folds: 5 folds need at least 5 rows outside the test part, but there are 4$",
        ),
        (
            {"y": ["a", "b", "a", "a"]},
            {"folds": 2, "test": 0},
            r'folds: 2 folds need at least 2 rows of the class "b" outside .* there are 1$',
        ),
        (
            {"who": [1, 1, 2, 3], "part": ["train", "test", "val", "val"]},
            {"column": "part", "groups": "who"},
            r'groups: column "who" must have no value in two parts, but "1" is in train in row 1 '
            r"and in test in row 2$",
        ),
        (
            {"at": [1, 5, 2, 5], "part": ["train", "test", "val", "val"]},
            {"column": "part", "time": "at"},
            r'time: column "at" must be lower in the val part than in the test part, but is 5 in '
            r"row 4 and 5 in row 2$",
        ),
        (
            {"at": [1, 2, 3, 4, 5, 6], "y": ["a", "a", "a", "b", "b", "a"]},
            {"time": "at", "folds": 2, "test": 0},
            r'target "y": the training part of fold 1 has no row of "b"$',
        ),
    ],
)
def test_a_split_that_the_table_does_not_allow(
    columns: dict[str, Any], config: dict[str, Any], complaint: str
) -> None:
    task: Task = "binary" if "y" in columns else "regression"
    with pytest.raises(DataError, match=rf"^t\.csv: (data\.split\.)?{complaint}"):
        splits({"y": numbers(4), **columns}, task, **config)
