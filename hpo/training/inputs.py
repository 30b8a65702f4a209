"""What the columns of a network's input hold, and the quantiles of the numbers among them."""

from dataclasses import dataclass, field

import torch

TINY = 1e-6
"""Knots that are nearer than this share of the column's range count as equal."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Inputs:
    """The columns of a network's input: numbers, then other features, then category codes.

    Attributes:
        n_numbers: scaled numbers and dates.
        flagged: the other features begin with missing flags, one for each of these numbers.
        n_others: features that enter as they are: missing flags, cycles of dates, one-hot columns.
        sizes: categories of each column of codes; the code of an unseen category is the size.
        x_train: the training part, (rows, n_columns); None where the network's weights are loaded,
            since these include the knots.
    """

    n_numbers: int
    flagged: tuple[int, ...] = ()
    n_others: int = 0
    sizes: tuple[int, ...] = ()
    x_train: torch.Tensor | None = None
    _knots: dict[int, torch.Tensor] = field(default_factory=dict, init=False, repr=False)

    @property
    def n_columns(self) -> int:
        """Columns of the input."""
        return self.n_numbers + self.n_others + len(self.sizes)

    def knots(self, n_bins: int) -> torch.Tensor:
        """Quantiles of each number on the training part, from the lowest to the highest value.

        Missing values are left out, and a value that fills more than two bins counts as one bin.
        Equal quantiles are merged, so that a column has at most one knot for each of its distinct
        values: more bins than rows are no error.

        Args:
            n_bins: the largest number of bins of a column.

        Returns:
            (n_numbers, n_bins + 1) float32; a column with fewer knots repeats the last one. All
            are 0 for a column without values, and where `x_train` is None.
        """
        if n_bins not in self._knots:
            found = torch.zeros(self.n_numbers, n_bins + 1)
            if self.x_train is not None:
                for index, row in enumerate(found):
                    values = self._present(self.x_train, index).sort().values
                    if len(values):
                        _fill(row, values)
            self._knots[n_bins] = found
        return self._knots[n_bins]

    def _present(self, x: torch.Tensor, index: int) -> torch.Tensor:
        """The values of a number where it is not missing."""
        values = x[:, index]
        if index not in self.flagged:
            return values
        return values[x[:, self.n_numbers + self.flagged.index(index)] == 0]


def _fill(row: torch.Tensor, ordered: torch.Tensor) -> None:
    """Write the distinct quantiles of sorted values to a row of knots.

    A frequent value, such as the zero of a column that is mostly zero, would take several knots
    and leave few to the other values. Its count is therefore capped at the share of one bin.
    """
    values, counts = torch.unique_consecutive(ordered, return_counts=True)
    n_bins = len(row) - 1
    while counts.max() > 2 * (share := max(int(counts.sum()) // n_bins, 1)):
        counts = counts.clamp(max=share)
    ends = counts.cumsum(0)
    positions = torch.linspace(0, int(ends[-1]) - 1, len(row), dtype=torch.float64).round().long()
    first, *inner, last = values[torch.searchsorted(ends, positions, right=True)].tolist()
    least = (last - first) * TINY
    knots = [first]
    for quantile in inner:
        if quantile - knots[-1] > least and last - quantile > least:
            knots.append(quantile)
    row.fill_(last)
    row[: len(knots)] = torch.tensor(knots)
