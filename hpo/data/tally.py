"""The different cells of a column of text, counted."""

import numpy as np
import polars as pl

from hpo.data.ambiguity import Example
from hpo.data.reader import CENSORED, MISSING_LIKE

NEARLY_ALL = 0.95
"""Share of a column's cells that make it numbers or dates; the others count as missing."""

N_SAMPLE = 1000
"""Rows of a column that are tried before all are."""


class Tally:
    """The different cells of a column in the order of their rows, and how often each is there."""

    def __init__(self, cells: pl.Series) -> None:
        known = cells.drop_nulls()
        self.sample = known if len(known) <= N_SAMPLE else known.sample(N_SAMPLE, seed=0)
        rows = pl.DataFrame({"cell": cells, "row": np.arange(len(cells))}).drop_nulls()
        by_cell = rows.group_by("cell", maintain_order=True)
        counted = by_cell.agg(pl.col("row").first(), pl.len().alias("n"))
        self.values, self._rows, self._counts = counted.get_columns()
        self.n = len(rows)
        is_missing = self.values.str.to_lowercase().is_in(list(MISSING_LIKE))
        self._n_told = self.n - self.count(is_missing | self.values.str.contains(CENSORED))

    def first(self, chosen: pl.Series) -> Example:
        """The first of the chosen cells."""
        place = int(chosen.arg_true()[0])
        return Example(cell=self.values[place], row=self._rows[place] + 1)

    def count(self, chosen: pl.Series) -> int:
        """Rows whose cell is among the chosen."""
        return int(self._counts.filter(chosen).sum())

    def is_nearly_all(self, n_read: int) -> bool:
        """Whether so many cells, of those that say anything, make the column's kind."""
        return n_read >= NEARLY_ALL * self._n_told and 2 * n_read >= self.n
