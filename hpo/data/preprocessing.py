"""Scaling and one-hot encoding as a torch module, fitted on the training part alone.

All that it learned lies in buffers, so that it is saved and exported with the network. It sees
tensors only: missing numbers as NaN, categories as codes.

Does not know: strings, splits, files.
"""

import torch
from torch import nn

from hpo.data.schema import TableSchema
from hpo.trial import Numeric

MAX_QUANTILES = 1000
N_TAIL = 8
"""Knots by which each outermost step is refined."""

NOISE = 1e-5
"""Standard deviation, relative to the column's, of the noise that is added where quantiles are
fitted: it parts ties, as in the code of Gorishniy et al. (2024)."""

CLIP = 5.199337582605575  # the normal score of 1 - 1e-7, as in scikit-learn


class Preprocessor(nn.Module):
    """(rows, n_numeric) numbers and (rows, n_categorical) codes to (rows, n_features) float32.

    The features are the scaled numbers with missing values at 0, an indicator of being missing for
    each column that had gaps in training, and the categories one-hot, unseen ones all zeros.
    """

    knots: torch.Tensor
    scores: torch.Tensor
    center: torch.Tensor
    scale: torch.Tensor
    missing: torch.Tensor
    offsets: torch.Tensor
    sizes: torch.Tensor

    def __init__(self, schema: TableSchema, numeric: Numeric) -> None:
        """Make one that has learned nothing yet, with buffers of the right shapes."""
        super().__init__()
        self.numeric = numeric
        n_numeric = len(schema.numeric)
        n_knots = n_quantiles(schema.n_train) if numeric == "quantile" else 0
        self.register_buffer("knots", torch.zeros(n_numeric, n_knots))
        self.register_buffer("scores", _normal_scores(n_knots))
        self.register_buffer("center", torch.zeros(n_numeric))
        self.register_buffer("scale", torch.ones(n_numeric))
        gaps = [schema.numeric.index(name) for name in schema.numeric_missing]
        self.register_buffer("missing", torch.tensor(gaps, dtype=torch.int64))
        sizes = torch.tensor([len(column.values) for column in schema.categorical])
        sizes = sizes.to(torch.int64)
        self.register_buffer("sizes", sizes)
        self.register_buffer("offsets", sizes.cumsum(0) - sizes)
        self.n_categories = int(sizes.sum())
        self.n_features = n_numeric + len(gaps) + self.n_categories

    @classmethod
    def empty(cls, schema: TableSchema, numeric: Numeric) -> "Preprocessor":
        """One to load a saved state into."""
        return cls(schema, numeric)

    @classmethod
    def fit(
        cls, schema: TableSchema, x_num: torch.Tensor, x_cat: torch.Tensor, numeric: Numeric
    ) -> "Preprocessor":
        """Learn from the training part.

        Args:
            schema: the table's.
            x_num: (rows, n_numeric) float32.
            x_cat: (rows, n_categorical) int64.
            numeric: how numbers are scaled.
        """
        made = cls(schema, numeric)
        fits = {"quantile": made._fit_quantile, "standard": made._fit_standard}
        fits |= {"robust": made._fit_robust, "none": lambda column, index: None}
        for index in range(len(schema.numeric)):
            column = x_num[:, index].double()
            fits[numeric](column[~column.isnan()], index)
        return made

    def forward(self, x_num: torch.Tensor, x_cat: torch.Tensor) -> torch.Tensor:
        """Scale and encode rows."""
        gaps = x_num.isnan()
        filled = torch.where(gaps, self.center, x_num)
        if self.numeric == "quantile":
            scaled = self._quantile(filled)
        else:
            scaled = (filled - self.center) / self.scale
        scaled = torch.where(gaps, torch.zeros_like(scaled), scaled)
        indicators = gaps[:, self.missing].to(scaled.dtype)
        return torch.cat([scaled, indicators, self._one_hot(x_cat)], dim=1)

    def _quantile(self, x: torch.Tensor) -> torch.Tensor:
        """Piecewise linear between knots and normal scores; the segment by binary search.

        Ties among knots are met from both sides and averaged, as scikit-learn's does.
        """
        return 0.5 * (self._interpolate(x, from_left=True) + self._interpolate(x, from_left=False))

    def _interpolate(self, x: torch.Tensor, *, from_left: bool) -> torch.Tensor:
        index = self._search(x, from_left=from_left).clamp(1, self.knots.shape[1] - 1)
        low, high = self._knot(index - 1), self._knot(index)
        # Between equal knots any share would do: take the end that the search came from.
        level = torch.full_like(x, 0.0 if from_left else 1.0)
        share = torch.where(high > low, (x - low) / (high - low), level).clamp(0.0, 1.0)
        start, end = self.scores[index - 1], self.scores[index]
        return start + share * (end - start)

    def _search(self, x: torch.Tensor, *, from_left: bool) -> torch.Tensor:
        """How many knots lie below each value; those equal to it count unless `from_left`."""
        n_knots = self.knots.shape[1]
        found = torch.zeros_like(x, dtype=torch.int64)
        step = 1 << (n_knots.bit_length() - 1)
        while step:
            probe = found + step
            knot = self._knot((probe - 1).clamp(max=n_knots - 1))
            below = knot < x if from_left else knot <= x
            found = torch.where((probe <= n_knots) & below, probe, found)
            step //= 2
        return found

    def _knot(self, index: torch.Tensor) -> torch.Tensor:
        """knots[column, index[row, column]]."""
        return self.knots.t().gather(0, index)

    def _one_hot(self, x_cat: torch.Tensor) -> torch.Tensor:
        one_hot = torch.zeros(len(x_cat), self.n_categories + 1, device=x_cat.device)
        seen = x_cat < self.sizes
        # Unseen categories are written to a last column, which is cut off.
        columns = torch.where(seen, x_cat + self.offsets, self.n_categories)
        return one_hot.scatter_(1, columns, 1.0)[:, :-1]

    def _fit_quantile(self, column: torch.Tensor, index: int) -> None:
        generator = torch.Generator().manual_seed(index)
        noise = torch.randn(len(column), generator=generator, dtype=torch.float64)
        values = (column + noise * NOISE * column.std(correction=0)).sort().values
        positions = _probabilities(self.knots.shape[1]) * (len(values) - 1)
        low = positions.floor().long()
        high = (low + 1).clamp(max=len(values) - 1)
        self.knots[index] = torch.lerp(values[low], values[high], positions - low).float()
        self.center[index] = self.knots[index, self.knots.shape[1] // 2]

    def _fit_standard(self, column: torch.Tensor, index: int) -> None:
        self._set_scale(index, column.mean(), column.std(correction=0))

    def _fit_robust(self, column: torch.Tensor, index: int) -> None:
        ordered = column.sort().values
        at = torch.tensor([0.25, 0.5, 0.75], dtype=torch.float64) * (len(ordered) - 1)
        low = at.floor().long()
        high = (low + 1).clamp(max=len(ordered) - 1)
        first, median, third = torch.lerp(ordered[low], ordered[high], at - low)
        self._set_scale(index, median, third - first)

    def _set_scale(self, index: int, center: torch.Tensor, scale: torch.Tensor) -> None:
        """A column without spread keeps the scale of 1, as in scikit-learn."""
        self.center[index] = center
        self.scale[index] = scale if scale > 0 else 1.0


def n_quantiles(n_rows: int) -> int:
    """Knots for a column of so many training rows (Gorishniy et al. 2021)."""
    return max(min(n_rows // 30, MAX_QUANTILES), 10) + 2 * N_TAIL


def _probabilities(n_knots: int) -> torch.Tensor:
    """Cumulative probabilities of the knots: even steps, the outermost halved again and again.

    Scores are steep near 0 and 1; without the halving a straight line there would stretch the
    outermost values.
    """
    even = torch.linspace(0, 1, n_knots - 2 * N_TAIL, dtype=torch.float64)
    tail = even[1] * 0.5 ** torch.arange(N_TAIL, 0, -1, dtype=torch.float64)
    return torch.cat([even[:1], tail, even[1:-1], 1 - tail.flip(0), even[-1:]])


def _normal_scores(n_knots: int) -> torch.Tensor:
    """Standard normal quantiles of the knots' probabilities."""
    if not n_knots:
        return torch.zeros(0)
    return torch.special.ndtri(_probabilities(n_knots)).clamp(-CLIP, CLIP).float()
