"""Columns of text that are plain: numbers and dates as programs write them, or words alone.

They are found together. `hpo.data.kinds` comes to the same readers column by column, which takes
long in a wide table.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import polars as pl

from hpo.data.blocks import Block, blocks
from hpo.data.cells import parse_times
from hpo.data.reader import EXACT, TRUTHS, Reader, present

CODE = r"^[+-]?0[0-9]"
"""Postcodes and the like: 01234 is no number."""

GROUP = r"^[+-]?[1-9][0-9]{0,2}\.[0-9]{3}$"
"""With thousands of its own a file's 1.234 might be 1234."""

DAY = r"^[0-9]{4}[-/][0-9]"
"""So begins no number, and no date in another order than year, month, day."""


def plain_readers(columns: Sequence[pl.Series], missing: Sequence[str]) -> dict[str, Reader]:
    """Readers of those columns that can be nothing else.

    Args:
        columns: of text.
        missing: words that are missing values.
    """
    found: dict[str, Reader] = {}
    dates: list[pl.Series] = []
    for block in blocks(columns, [None] * len(columns)):
        cells = present(block.cells, missing)
        numbers = cells.cast(pl.Float64, strict=False).fill_nan(None)
        of_block = [columns[place] for place in block.places]
        for i in np.flatnonzero(_are_numbers(block, cells, numbers)):
            found[of_block[i].name] = Reader()
        for i in np.flatnonzero(_are_words(block, cells, numbers)):
            found[of_block[i].name] = Reader(kind="category")
        may_be = _are_all(block, cells, cells.str.contains(DAY))
        dates += [of_block[i] for i in np.flatnonzero(may_be)]
    for block in blocks(dates, [None] * len(dates)):
        cells = present(block.cells, missing)
        are_dates = _are_all(block, cells, parse_times(cells, "ymd").is_not_null())
        for i in np.flatnonzero(are_dates):
            found[dates[block.places[i]].name] = Reader(kind="date", order="ymd")
    return found


def _are_all(block: Block, cells: pl.Series, chosen: pl.Series) -> npt.NDArray[np.bool_]:
    """For each column, whether it has cells, and all that are not missing are chosen."""
    return block.any(cells.is_not_null()) & ~block.any(cells.is_not_null() & ~chosen)


def _are_numbers(block: Block, cells: pl.Series, numbers: pl.Series) -> npt.NDArray[np.bool_]:
    is_odd = cells.str.contains(CODE) | (numbers.abs() > EXACT)
    is_group = cells.str.contains(GROUP)
    tells_point = cells.str.contains(".", literal=True) & ~is_group
    in_doubt = block.any(is_group) & ~block.any(tells_point)
    return _are_all(block, cells, numbers.is_not_null()) & ~block.any(is_odd) & ~in_doubt


def _are_words(block: Block, cells: pl.Series, numbers: pl.Series) -> npt.NDArray[np.bool_]:
    is_more = cells.str.contains("[0-9]") | numbers.is_not_null()  # the latter of infinity
    is_more |= cells.str.to_lowercase().is_in(list(TRUTHS))
    return block.any(cells.is_not_null()) & ~block.any(is_more)
