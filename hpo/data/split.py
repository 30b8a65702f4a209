"""Split the rows of a table into training, validation and test parts."""

from dataclasses import dataclass, replace

import polars as pl
import torch

from hpo.config.errors import DataError, nearest
from hpo.config.parsing import format_value
from hpo.config.trial import DataConfig, SplitConfig, Task
from hpo.data.reader import check_usable
from hpo.data.table import Table
from hpo.data.target import class_labels, text_of

PARTS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}


@dataclass(frozen=True, kw_only=True)
class Split:
    """Row indices of the parts, int64, ascending; the test part may be empty."""

    train: torch.Tensor
    val: torch.Tensor
    test: torch.Tensor

    def for_refit(self) -> "Split":
        """The split with the validation rows in the training part; the validation part is empty."""
        train = torch.cat([self.train, self.val]).sort().values
        return replace(self, train=train, val=self.val[:0])


def split_rows(table: Table, data: DataConfig, task: Task) -> Split:
    """Split by the study's split column, or by seeded shares, stratified by class.

    Raises:
        DataError: the split column is missing or holds another word; a part is empty; a class has
            no training row.
    """
    frame = table.frame
    if data.split.column is None:
        split = _by_shares(frame[data.target], data.split, task)
    else:
        split = _by_column(frame, data.split.column, data.source)
    is_tested = data.split.column is not None or data.split.test > 0
    for part in ("train", "val", "test") if is_tested else ("train", "val"):
        if not len(getattr(split, part)):
            among = f"{frame.height:,} in all"
            raise DataError(f"{data.source}: data.split leaves the {part} part no rows of {among}")
    where = f"{data.source}: target {format_value(data.target)}"
    _check_training(frame[data.target], split.train, task, where)
    return split


def _check_training(target: pl.Series, rows: torch.Tensor, task: Task, where: str) -> None:
    train = target[rows.numpy()]
    if task == "regression":
        if train.n_unique() == 1:
            raise DataError(f"{where} is always {train[0]} in the training part")
        return
    if absent := sorted(set(class_labels(target)) - set(class_labels(train))):
        raise DataError(f"{where}: the training part has no row of {format_value(absent[0])}")


def _by_column(frame: pl.DataFrame, name: str, source: str) -> Split:
    if name not in frame.columns:
        hint = nearest(name, frame.columns)
        raise DataError(f'{source}: has no column "{name}", which data.split.column names{hint}')
    check_usable(frame[name], source)
    said = text_of(frame[name])
    known = said.is_in(list(PARTS))
    if not known.all():
        row = int((~known).arg_true()[0])
        says = format_value(said[row])
        raise DataError(
            f'{source}: column "{name}" must say train, val or test, '
            f"but row {row + 1:,} says {says}"
        )
    part = said.replace_strict(PARTS)
    return Split(train=_where(part, "train"), val=_where(part, "val"), test=_where(part, "test"))


def _by_shares(target: pl.Series, config: SplitConfig, task: Task) -> Split:
    """Shuffle the rows of each class and divide them by share; the first of each class trains."""
    generator = torch.Generator().manual_seed(config.seed)
    if task == "regression":
        groups = [torch.arange(len(target))]
    else:
        labels = text_of(target)
        groups = [_where(labels, label) for label in class_labels(target)]
    shuffled = [group[torch.randperm(len(group), generator=generator)] for group in groups]
    test, rest = _deal(torch.cat([group[1:] for group in shuffled]), config.test)
    val, rest = _deal(rest, config.val / (1 - config.test))
    train = torch.cat([*(group[:1] for group in shuffled), rest])
    return Split(train=train.sort().values, val=val.sort().values, test=test.sort().values)


def _deal(rows: torch.Tensor, share: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Take a share of the rows, evenly spaced, and return them and the others."""
    due = (torch.arange(len(rows) + 1, dtype=torch.float64) * share + 0.5).floor()
    taken = due[1:] > due[:-1]
    return rows[taken], rows[~taken]


def _where(labels: pl.Series, label: str) -> torch.Tensor:
    return torch.from_numpy((labels == label).to_numpy()).nonzero().squeeze(1)
