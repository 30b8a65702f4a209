"""Split the rows of a table into training, validation and test parts."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import polars as pl
import torch

from hpo.config.errors import DataError
from hpo.config.parsing import format_value
from hpo.config.trial import DataConfig, Task
from hpo.data.partition import by_shares, class_folds, group_parts, time_blocks
from hpo.data.reader import check_usable
from hpo.data.table import Table
from hpo.data.target import class_labels, no_column, text_of

PARTS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}


@dataclass(frozen=True, kw_only=True)
class Split:
    """Row indices of the parts, int64, ascending; the test part may be empty."""

    train: torch.Tensor
    val: torch.Tensor
    test: torch.Tensor


def known_rows(splits: Sequence[Split]) -> torch.Tensor:
    """The training and validation rows of all folds, ascending: every row but those for test."""
    rows = torch.cat([rows for split in splits for rows in (split.train, split.val)])
    found: torch.Tensor = torch.unique_consecutive(rows.sort().values)
    return found


def for_refit(splits: Sequence[Split]) -> Split:
    """One split whose training part is all rows but those for test; nothing validates."""
    return replace(splits[0], train=known_rows(splits), val=splits[0].val[:0])


def split_rows(table: Table, data: DataConfig, task: Task) -> tuple[Split, ...]:
    """Split the rows as the study's `[data]` says.

    Returns:
        One split, or one for each fold, which have the same test part.

    Raises:
        DataError: a column that the split names is missing, or does not suit its purpose; a part
            is empty; a training part lacks a class; or there are too few rows, groups or times for
            the folds.
    """
    return _Splitter(table, data, task).splits()


class _Splitter:
    """Splits the rows of one table by the codes of their classes, groups or times, (rows,) int64.

    All rows of a regression are of one class.
    """

    def __init__(self, table: Table, data: DataConfig, task: Task) -> None:
        self._data, self._task, self._table = data, task, table
        self._frame, self._config = table.frame, data.split
        self._target = table.frame[data.target]
        n = table.frame.height
        self._classes = torch.zeros(n, dtype=torch.int64)
        if task != "regression":
            self._classes = _codes(text_of(self._target), class_labels(self._target))
        if data.split.groups is not None:
            self._groups = self._group_codes(data.split.groups)
        if data.split.time is not None:
            self._times = self._time_codes(data.split.time)

    def splits(self) -> tuple[Split, ...]:
        config = self._config
        whole = self._whole()
        self._check_parts(whole)
        if config.folds is None:
            splits: tuple[Split, ...] = (whole,)
        else:
            splits = self._folds(whole, config.folds)
        for number, split in enumerate(splits, 1):
            of = "" if config.folds is None else f" of fold {number}"
            self._check_training(split.train, of)
        return splits

    def _whole(self) -> Split:
        """The split of all rows; with folds, its validation part is empty."""
        config = self._config
        val = 0.0 if config.folds else config.val
        if config.column is not None:
            split = self._by_column(config.column)
            if config.groups is not None:
                self._check_groups(split, config.column, config.groups)
            if config.time is not None:
                self._check_times(split, config.time)
            return split
        if config.time is not None:
            return self._by_time(config.time, val, config.test)
        if config.groups is not None:
            return self._by_groups(config.groups, val, config.test)
        train_val_test = by_shares(self._classes, val=val, test=config.test, seed=config.seed)
        return _split(*train_val_test)

    def _by_column(self, name: str) -> Split:
        said = text_of(self._column("column", name))
        words = [word for word, part in PARTS.items() if not (self._config.folds and part == "val")]
        known = said.is_in(words)
        if not known.all():
            row = int((~known).arg_true()[0])
            says = format_value(said[row])
            allowed = "train or test with folds" if self._config.folds else "train, val or test"
            raise DataError(
                f'{self._data.source}: column "{name}" must say {allowed}, '
                f"but row {row + 1:,} says {says}"
            )
        part = said.replace_strict(PARTS)
        return _split(*(_where(part, each) for each in ("train", "val", "test")))

    def _by_time(self, name: str, val: float, test: float) -> Split:
        """The last rows test, those before them validate."""
        n = len(self._times)
        sizes = [int(n * share + 0.5) for share in (val, test) if share]
        dues = [n - sum(sizes[place:]) for place in range(len(sizes))]
        if (n_times := _n_distinct(self._times)) <= len(dues):
            raise DataError(
                f"{self._data.source}: data.split.time: column {format_value(name)} must have at "
                f"least {len(dues) + 1} different values, one for each part, but has {n_times}"
            )
        blocks = iter(time_blocks(self._times, dues))
        none = torch.empty(0, dtype=torch.int64)
        return _split(next(blocks), *(next(blocks) if share else none for share in (val, test)))

    def _by_groups(self, name: str, val: float, test: float) -> Split:
        shares = {"train": 1 - val - test, "val": val, "test": test}
        used = {part: share for part, share in shares.items() if share}
        if (n_groups := _n_distinct(self._groups)) < len(used):
            raise DataError(
                f"{self._data.source}: data.split.groups: column {format_value(name)} must have at "
                f"least {len(used)} different values, one for each part, but has {n_groups}"
            )
        parts = group_parts(self._groups, self._classes, list(used.values()), self._config.seed)
        places = {part: place for place, part in enumerate(used)}
        found = (parts == places.get(part, -1) for part in shares)
        return _split(*(each.nonzero().squeeze(1) for each in found))

    def _folds(self, whole: Split, n: int) -> tuple[Split, ...]:
        """Divide the training part of a split into folds."""
        rows = whole.train
        if self._config.time is not None:
            blocks = self._time_blocks(rows, n, self._config.time)
            pairs = [(torch.cat(blocks[:at]).sort().values, blocks[at]) for at in range(1, n + 1)]
        else:
            folds = self._fold_of_each(rows, n)
            pairs = [(rows[folds != fold], rows[folds == fold]) for fold in range(n)]
        return tuple(Split(train=train, val=val, test=whole.test) for train, val in pairs)

    def _time_blocks(self, rows: torch.Tensor, n: int, name: str) -> list[torch.Tensor]:
        """One block more than folds, sized as by scikit-learn's `TimeSeriesSplit`."""
        times = self._times[rows]
        self._check_folds(n + 1, times, name)
        size = len(rows) // (n + 1)
        dues = [len(rows) - size * (n - fold) for fold in range(n)]
        return [rows[block] for block in time_blocks(times, dues)]

    def _fold_of_each(self, rows: torch.Tensor, n: int) -> torch.Tensor:
        classes, seed = self._classes[rows], self._config.seed
        if self._config.groups is None:
            self._check_class_sizes(classes, n)
            return class_folds(classes, n, seed)
        groups = self._groups[rows]
        self._check_folds(n, groups, self._config.groups)
        return group_parts(groups, classes, [1 / n] * n, seed)

    def _check_folds(self, n_needed: int, codes: torch.Tensor, name: str) -> None:
        if (n := _n_distinct(codes)) < n_needed:
            raise DataError(
                f"{self._data.source}: data.split.folds: {self._config.folds} folds need at least "
                f"{n_needed} different values of column {format_value(name)} outside the test "
                f"part, but there are {n}"
            )

    def _check_class_sizes(self, classes: torch.Tensor, n: int) -> None:
        counts = classes.bincount()
        rarest = int(counts.argmin())
        if (n_rows := int(counts[rarest])) < n:
            of = ""
            if self._task != "regression":
                of = f" of the class {format_value(class_labels(self._target)[rarest])}"
            raise DataError(
                f"{self._data.source}: data.split.folds: {n} folds need at least {n} rows{of} "
                f"outside the test part, but there are {n_rows}"
            )

    def _check_parts(self, split: Split) -> None:
        """Make sure that no part is empty."""
        config = self._config
        parts = ["train"] if config.folds else ["train", "val"]
        if config.column is not None or config.test > 0:
            parts.append("test")
        for part in parts:
            if not len(getattr(split, part)):
                among = f"{self._frame.height:,} in all"
                raise DataError(
                    f"{self._data.source}: data.split leaves the {part} part no rows of {among}"
                )

    def _check_training(self, rows: torch.Tensor, of: str) -> None:
        """Make sure that a training part has every class, or different numbers."""
        where = f"{self._data.source}: target {format_value(self._data.target)}"
        if self._task == "regression":
            train = self._target[rows.numpy()]
            if train.n_unique() == 1:
                raise DataError(f"{where} is always {train[0]} in the training part{of}")
            return
        labels = class_labels(self._target)
        counts = self._classes[rows].bincount(minlength=len(labels))
        if absent := sorted(labels[int(code)] for code in (counts == 0).nonzero()):
            said = format_value(absent[0])
            raise DataError(f"{where}: the training part{of} has no row of {said}")

    def _check_groups(self, split: Split, column: str, name: str) -> None:
        """Make sure that a given split keeps groups together."""
        part = torch.empty_like(self._groups)
        for place, rows in enumerate((split.train, split.val, split.test)):
            part[rows] = place
        order = self._groups.sort(stable=True).indices
        apart = (self._groups[order].diff() == 0) & (part[order].diff() != 0)
        if apart.any():
            at = int(apart.nonzero()[0])
            row, other = order[at : at + 2].tolist()
            said, value = text_of(self._frame[column]), text_of(self._frame[name])[row]
            raise DataError(
                f"{self._data.source}: data.split.groups: column {format_value(name)} must have no "
                f"value in two parts, but {format_value(value)} is in {said[row]} in row "
                f"{row + 1:,} and in {said[other]} in row {other + 1:,}"
            )

    def _check_times(self, split: Split, name: str) -> None:
        """Make sure that the parts of a given split follow each other."""
        parts = {"train": split.train, "val": split.val, "test": split.test}
        values = text_of(self._frame[name])
        for part, later in pairwise([part for part, rows in parts.items() if len(rows)]):
            last = int(parts[part][self._times[parts[part]].argmax()])
            first = int(parts[later][self._times[parts[later]].argmin()])
            if self._times[last] >= self._times[first]:
                raise DataError(
                    f"{self._data.source}: data.split.time: column {format_value(name)} must be "
                    f"lower in the {part} part than in the {later} part, but is {values[last]} in "
                    f"row {last + 1:,} and {values[first]} in row {first + 1:,}"
                )

    def _column(self, key: str, name: str) -> pl.Series:
        if name not in self._frame.columns:
            raise DataError(no_column(self._table, self._data, f"split.{key}", name))
        column = self._frame[name]
        check_usable(column, self._data.source)
        return column

    def _full_column(self, key: str, name: str) -> pl.Series:
        """A column without missing values."""
        column = self._column(key, name)
        if n_missing := column.null_count():
            raise DataError(
                f"{self._data.source}: data.split.{key}: column {format_value(name)} must have no "
                f"missing values, but {n_missing:,} of {len(column):,} are missing, first in row "
                f"{int(column.is_null().arg_true()[0]) + 1:,}"
            )
        return column

    def _group_codes(self, name: str) -> torch.Tensor:
        text = text_of(self._full_column("groups", name))
        return _codes(text, text.unique(maintain_order=True).to_list())

    def _time_codes(self, name: str) -> torch.Tensor:
        column = self._full_column("time", name)
        if not (column.dtype.is_numeric() or column.dtype == pl.Datetime):
            raise DataError(
                f"{self._data.source}: data.split.time: column {format_value(name)} must hold "
                f"dates or numbers, but row 1 holds {format_value(text_of(column)[0])}"
            )
        return torch.from_numpy(column.rank("dense").cast(pl.Int64).to_numpy().copy())


def _split(train: torch.Tensor, val: torch.Tensor, test: torch.Tensor) -> Split:
    return Split(train=train, val=val, test=test)


def _codes(text: pl.Series, labels: list[str] | tuple[str, ...]) -> torch.Tensor:
    """The places of texts among labels."""
    codes = text.replace_strict(list(labels), range(len(labels)), return_dtype=pl.Int64)
    return torch.from_numpy(codes.to_numpy().copy())


def _where(labels: pl.Series, label: str) -> torch.Tensor:
    return torch.from_numpy((labels == label).to_numpy()).nonzero().squeeze(1)


def _n_distinct(codes: torch.Tensor) -> int:
    return len(set(codes.tolist()))
