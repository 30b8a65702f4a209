"""Concatenate short columns and process them in one call, which costs as much as for one column."""

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

_MAX_CELLS = 2**18
"""Maximum size of a block of several columns; a longer column is a block of its own."""


@dataclass(frozen=True, kw_only=True)
class Block:
    """Columns of one type and length, concatenated.

    Attributes:
        places: the index of each column among all columns.
        cells: the cells, column after column.
        height: the number of cells in a column.
    """

    places: tuple[int, ...]
    cells: pl.Series
    height: int

    def by_column(self, values: pl.Series) -> np.ndarray:
        """Values computed from `cells`, without nulls, as (columns, height)."""
        return values.to_numpy().reshape(len(self.places), self.height)

    def any(self, chosen: pl.Series) -> npt.NDArray[np.bool_]:
        """Whether any cell is chosen, (columns,)."""
        found: npt.NDArray[np.bool_] = np.logical_or.reduce(
            self.by_column(chosen.fill_null(value=False)), axis=1
        )
        return found

    def parts(self, values: pl.Series) -> list[pl.Series]:
        """Values computed from `cells`, split into columns."""
        return [values.slice(i * self.height, self.height) for i in range(len(self.places))]


def blocks(columns: Sequence[pl.Series], keys: Sequence[Hashable]) -> Iterator[Block]:
    """Group columns of the same type and key into blocks.

    Args:
        columns: columns of one length.
        keys: one for each column, for example its reader.
    """
    if not columns:
        return
    height = len(columns[0])
    alike: dict[Hashable, list[int]] = {}
    for place, (column, key) in enumerate(zip(columns, keys, strict=True)):
        alike.setdefault((column.dtype, key), []).append(place)
    most = max(1, _MAX_CELLS // max(1, height))
    for places in alike.values():
        for start in range(0, len(places), most):
            some = [columns[place] for place in places[start : start + most]]
            cells = some[0] if len(some) == 1 else pl.concat(some, rechunk=True)
            yield Block(places=tuple(places[start : start + most]), cells=cells, height=height)
