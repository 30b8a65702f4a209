"""Which rows train, validate and test.

Does not know: features, tensors beyond row indices.
"""

from dataclasses import dataclass

import polars as pl
import torch

from hpo.data.schema import class_labels, text_of
from hpo.errors import DataError
from hpo.trial import DataConfig, SplitConfig, Task

PARTS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}


@dataclass(frozen=True, kw_only=True)
class Split:
    """Row indices of the three parts, int64, ascending."""

    train: torch.Tensor
    val: torch.Tensor
    test: torch.Tensor


def split_rows(frame: pl.DataFrame, data: DataConfig, task: Task) -> Split:
    """Split by the study's column, or by seeded shares, stratified where there are classes.

    Raises:
        DataError: the column is missing or says something else; a part is empty; a class is absent
            from training.
    """
    if data.split.column is None:
        split = _by_shares(frame[data.target], data.split, task)
    else:
        split = _by_column(frame, data.split.column)
    for part in ("train", "val", "test"):
        if not len(getattr(split, part)):
            raise DataError(f"{data.source}: the {part} part of the split holds no rows")
    if task == "regression":
        if frame[data.target][split.train.numpy()].n_unique() == 1:
            raise DataError(f"target {data.target}: is constant in the training part")
    else:
        seen = set(class_labels(frame[data.target][split.train.numpy()]))
        for label in class_labels(frame[data.target]):
            if label not in seen:
                raise DataError(f"target {data.target}: class {label} is absent from training")
    return split


def _by_column(frame: pl.DataFrame, name: str) -> Split:
    if name not in frame.columns:
        raise DataError(f"data.split.column: the table has no column {name}")
    said = text_of(frame[name])
    known = said.is_in(list(PARTS))
    if not known.all():
        row = int((~known).arg_true()[0])
        raise DataError(
            f'column {name}: must say train, val or test, but row {row + 1} says "{said[row]}"'
        )
    part = said.replace_strict(PARTS)
    rows = {
        key: torch.from_numpy((part == key).arg_true().cast(pl.Int64).to_numpy().copy())
        for key in ("train", "val", "test")
    }
    return Split(**rows)


def _by_shares(target: pl.Series, config: SplitConfig, task: Task) -> Split:
    """Shuffle the rows, of each class apart where there are classes, and cut them by the shares."""
    generator = torch.Generator().manual_seed(config.seed)
    if task == "regression":
        groups = [torch.arange(len(target))]
    else:
        labels = text_of(target)
        groups = [
            torch.from_numpy((labels == label).arg_true().cast(pl.Int64).to_numpy().copy())
            for label in class_labels(target)
        ]
    parts: dict[str, list[torch.Tensor]] = {"train": [], "val": [], "test": []}
    for group in groups:
        n = len(group)
        n_test, n_val = int(config.test * n), int(config.val * n)
        shuffled = group[torch.randperm(n, generator=generator)]
        test, val, train = shuffled.split([n_test, n_val, n - n_test - n_val])
        for key, rows in (("train", train), ("val", val), ("test", test)):
            parts[key].append(rows)
    return Split(**{key: torch.cat(rows).sort().values for key, rows in parts.items()})
