"""The cells of a text column, and how often each distinct cell occurs."""

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import polars as pl

from hpo.data.ambiguity import Example
from hpo.data.reader import CENSORED, MISSING_LIKE, Kind, non_missing_text

_NEARLY_ALL = 0.95
"""Minimum share of numbers or dates in a column of that kind; its other cells count as missing."""

N_SAMPLE = 1000
"""Rows in the sample of a column."""


class TextColumn:
    """Text cells of a column, or numbers that the study declares to be dates.

    Attributes:
        cells: trimmed text, null where missing.
        known: the cells that are not missing.
        kind: the kind that the study declares, if any.
        is_typed: whether the cells were numbers.
    """

    def __init__(self, column: pl.Series, missing: Sequence[str], kind: Kind | None) -> None:
        self.name = column.name
        self.kind = kind
        self.is_typed = column.dtype.is_numeric()
        self.cells = non_missing_text(column, missing)
        self.known = self.cells.drop_nulls()

    @cached_property
    def sample(self) -> pl.Series:
        """Some of the known cells."""
        if len(self.known) <= N_SAMPLE:
            return self.known
        return self.known.sample(N_SAMPLE, seed=0)

    @cached_property
    def _counts(self) -> pl.DataFrame:
        """Distinct cells in the order of their first rows: `cell`, `row` from 0, and `n` rows."""
        rows = pl.DataFrame({"cell": self.cells, "row": np.arange(len(self.cells))}).drop_nulls()
        by_cell = rows.group_by("cell", maintain_order=True)
        return by_cell.agg(pl.col("row").first(), pl.len().alias("n"))

    @property
    def distinct(self) -> pl.Series:
        """The distinct cells."""
        return self._counts["cell"]

    def first(self, chosen: pl.Series) -> Example:
        """The first of some distinct cells, given as a mask."""
        place = int(chosen.arg_true()[0])
        return Example(cell=self.distinct[place], row=self._counts["row"][place] + 1)

    def count(self, chosen: pl.Series) -> int:
        """The number of rows that hold one of some distinct cells, given as a mask."""
        return int(self._counts["n"].filter(chosen).sum())

    def is_nearly_all(self, n_read: int) -> bool:
        """Whether this many readable cells make a column of their kind."""
        is_missing = self.distinct.str.to_lowercase().is_in(list(MISSING_LIKE))
        n_told = len(self.known) - self.count(is_missing | self.distinct.str.contains(CENSORED))
        return n_read >= _NEARLY_ALL * n_told and 2 * n_read >= len(self.known)
