"""A table as tensors, split into its parts.

Does not know: where the table came from, how it is scaled.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import polars as pl
import torch

from hpo.data.schema import TableSchema, resolve_task
from hpo.data.split import Split, split_rows
from hpo.trial import DataConfig


class Part(NamedTuple):
    """The encoded rows of a part, and their targets."""

    x_num: torch.Tensor
    x_cat: torch.Tensor
    y: torch.Tensor


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """Every row, encoded: shapes as `TableSchema.encode` and `encode_target` give them."""

    schema: TableSchema
    split: Split
    x_num: torch.Tensor
    x_cat: torch.Tensor
    y: torch.Tensor

    def part(self, name: Literal["train", "val", "test"]) -> Part:
        """The rows of one part."""
        rows: torch.Tensor = getattr(self.split, name)
        return Part(self.x_num[rows], self.x_cat[rows], self.y[rows])


def load_dataset(frame: pl.DataFrame, data: DataConfig) -> Dataset:
    """Check a typed table against what the study says of it, split and encode it.

    Raises:
        DataError: it cannot be trained on, and why.
    """
    task = resolve_task(frame, data)
    split = split_rows(frame, data, task)
    schema = TableSchema.infer(frame, data, split.train)
    encoded = schema.encode(frame)
    return Dataset(schema=schema, split=split, y=schema.encode_target(frame), **encoded._asdict())
