"""Short columns laid end to end and read as one: a call costs as much for 200 cells as for one."""

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

MAX_CELLS = 2**18
"""Of a block of several columns; a longer column stands alone."""


@dataclass(frozen=True, kw_only=True)
class Block:
    """Columns of one type and length, end to end.

    Attributes:
        places: where each stands among all columns.
        cells: theirs, column after column.
        height: cells of a column.
    """

    places: tuple[int, ...]
    cells: pl.Series
    height: int

    def by_column(self, values: pl.Series) -> np.ndarray:
        """What was made of `cells`, (columns, height); without nulls."""
        return values.to_numpy().reshape(len(self.places), self.height)

    def any(self, chosen: pl.Series) -> npt.NDArray[np.bool_]:
        """For each column, whether one of its cells is chosen."""
        found: npt.NDArray[np.bool_] = np.logical_or.reduce(
            self.by_column(chosen.fill_null(value=False)), axis=1
        )
        return found

    def parts(self, values: pl.Series) -> list[pl.Series]:
        """What was made of `cells`, cut up into columns."""
        return [values.slice(i * self.height, self.height) for i in range(len(self.places))]


def blocks(columns: Sequence[pl.Series], kinds: Sequence[Hashable]) -> Iterator[Block]:
    """Put columns of the same type and kind together.

    Args:
        columns: of one length.
        kinds: one a column, such as how it is read.
    """
    if not columns:
        return
    height = len(columns[0])
    alike: dict[Hashable, list[int]] = {}
    for place, (column, kind) in enumerate(zip(columns, kinds, strict=True)):
        alike.setdefault((column.dtype, kind), []).append(place)
    most = max(1, MAX_CELLS // max(1, height))
    for places in alike.values():
        for start in range(0, len(places), most):
            some = tuple(places[start : start + most])
            yield Block(places=some, cells=_joined([columns[p] for p in some]), height=height)


def _joined(columns: Sequence[pl.Series]) -> pl.Series:
    return columns[0] if len(columns) == 1 else pl.concat(columns, rechunk=True)
