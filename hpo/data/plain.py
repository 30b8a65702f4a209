"""Choose the readers of plain text columns: words, or numbers and dates as programs write them.

Plain columns are processed together. `hpo.data.kinds` chooses the same readers column by column,
which is slow for a wide table.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import polars as pl

from hpo.data.blocks import Block, blocks
from hpo.data.cells import parse_times
from hpo.data.reader import EXACT, TRUTHS, Reader, non_missing_text

CODE = r"^[+-]?0[0-9]"
"""Codes such as postcodes: 01234 is not a number."""

GROUP = r"^[+-]?[1-9][0-9]{0,2}\.[0-9]{3}$"
"""Numbers such as 1.234, which may mean 1234 in a file with thousands separators."""

_DAY = r"^[0-9]{4}[-/][0-9]"
"""The start of a date in the order year, month, day, and of nothing else."""


def plain_readers(columns: Sequence[pl.Series], missing: Sequence[str]) -> dict[str, Reader]:
    """Readers of the plain columns, by name.

    Args:
        columns: text columns.
        missing: words that mean a missing value.
    """
    found: dict[str, Reader] = {}
    dates: list[pl.Series] = []
    for block in blocks(columns, [None] * len(columns)):
        cells = non_missing_text(block.cells, missing)
        numbers = cells.cast(pl.Float64, strict=False).fill_nan(None)
        of_block = [columns[place] for place in block.places]
        for i in np.flatnonzero(_are_numbers(block, cells, numbers)):
            found[of_block[i].name] = Reader()
        for i in np.flatnonzero(_are_words(block, cells, numbers)):
            found[of_block[i].name] = Reader(kind="category")
        may_be = _are_all(block, cells, cells.str.contains(_DAY))
        dates += [of_block[i] for i in np.flatnonzero(may_be)]
    for block in blocks(dates, [None] * len(dates)):
        cells = non_missing_text(block.cells, missing)
        are_dates = _are_all(block, cells, parse_times(cells, "ymd").is_not_null())
        for i in np.flatnonzero(are_dates):
            found[dates[block.places[i]].name] = Reader(kind="date", order="ymd")
    return found


def _are_all(block: Block, cells: pl.Series, chosen: pl.Series) -> npt.NDArray[np.bool_]:
    """Whether a column has cells, and all of them are missing or chosen; (columns,)."""
    return block.any(cells.is_not_null()) & ~block.any(cells.is_not_null() & ~chosen)


def _are_numbers(block: Block, cells: pl.Series, numbers: pl.Series) -> npt.NDArray[np.bool_]:
    is_odd = cells.str.contains(CODE) | (numbers.abs() > EXACT)
    is_group = cells.str.contains(GROUP)
    tells_point = cells.str.contains(".", literal=True) & ~is_group
    in_doubt = block.any(is_group) & ~block.any(tells_point)
    return _are_all(block, cells, numbers.is_not_null()) & ~block.any(is_odd) & ~in_doubt


def _are_words(block: Block, cells: pl.Series, numbers: pl.Series) -> npt.NDArray[np.bool_]:
    is_more = cells.str.contains("[0-9]") | numbers.is_not_null()  # "inf" is a number
    is_more |= cells.str.to_lowercase().is_in(list(TRUTHS))
    return block.any(cells.is_not_null()) & ~block.any(is_more)
