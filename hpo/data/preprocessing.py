"""Scaling and one-hot encoding as a torch module, fitted on the training part.

The fitted values are buffers, so they are saved and exported with the network. Inputs are tensors:
missing numbers are NaN, categories are codes. Numbers are centered and scaled in float64 before the
cast to float32, so that rows stay distinct. The module uses only gathers, comparisons and
arithmetic; `hpo.models.onnx` implements the same in ONNX.
"""

import math
from collections.abc import Mapping
from functools import cache

import torch
from torch import nn

from hpo.config.trial import PreprocessingConfig
from hpo.data.schema import PERIODS, TableSchema

MAX_QUANTILES = 1000
N_TAIL = 8
"""Number of extra knots in the first and in the last step between quantiles."""

NOISE = 1e-5
"""Standard deviation, relative to the column's, of the noise added before quantiles are fitted. It
separates equal values, so that a frequent value gets the middle of its scores."""

TINY = 1e-30  # minimum distance between knots

CLIP = 5.199337582605575  # normal score of 1 - 1e-7, where scikit-learn clips


class Preprocessor(nn.Module):
    """Converts numbers and category codes to the input features of the network.

    The features are, in this order: the scaled numbers and dates, 0 where missing; a missing
    indicator for each column of `TableSchema.numeric_missing`; sine and cosine of the cycles of
    dates; one-hot categories, all zeros for an unseen one; the code of each column with more than
    `max_one_hot` categories, which is their number for an unseen one. Dates are always scaled by
    mean and standard deviation, so that they extrapolate linearly.
    """

    knots: torch.Tensor
    scores: torch.Tensor
    center: torch.Tensor
    scale: torch.Tensor
    missing: torch.Tensor
    offsets: torch.Tensor
    sizes: torch.Tensor
    cycling: torch.Tensor
    periods: torch.Tensor

    def __init__(self, schema: TableSchema, config: PreprocessingConfig) -> None:
        """Create an unfitted module, whose buffers have their final shapes."""
        numeric = config.numeric
        super().__init__()
        self.numeric = numeric
        self.n_numeric, n_numbers = len(schema.numeric), len(schema.numbers)
        positions = torch.empty(0, dtype=torch.float64)
        if numeric == "quantile":
            positions = _positions(n_quantiles(schema.n_train))
        self.register_buffer("knots", torch.zeros(self.n_numeric, len(positions)))
        self.register_buffer("scores", _normal_scores(positions))
        self.register_buffer("center", torch.zeros(n_numbers, dtype=torch.float64))
        self.register_buffer("scale", torch.ones(n_numbers, dtype=torch.float64))
        places = {name: place for place, name in enumerate(schema.numbers)}
        gaps = [places[name] for name in schema.numeric_missing]
        sizes = [len(column.values) for column in schema.categorical]
        self.register_buffer("missing", torch.tensor(gaps, dtype=torch.int64))
        self.register_buffer("sizes", torch.tensor(sizes, dtype=torch.int64))
        coded = [size > config.max_one_hot for size in sizes]
        n_values = torch.where(torch.tensor(coded, dtype=torch.bool), 0, self.sizes)
        self.register_buffer("offsets", n_values.cumsum(0) - n_values)
        cycles = [(places[date.name], PERIODS[c]) for date in schema.dates for c in date.cycles]
        cycling = torch.tensor([place for place, _ in cycles], dtype=torch.int64)
        periods = torch.tensor([period for _, period in cycles], dtype=torch.float64)
        self.register_buffer("cycling", cycling, persistent=False)
        self.register_buffer("periods", periods, persistent=False)
        self.one_hot = [place for place, is_code in enumerate(coded) if not is_code]
        self.coded = [place for place, is_code in enumerate(coded) if is_code]
        self.n_numbers = n_numbers
        self.n_categories = int(n_values.sum())
        self.n_others = len(gaps) + 2 * len(cycles) + self.n_categories
        self.n_features = n_numbers + self.n_others + len(self.coded)

    def restore(self, state: Mapping[str, torch.Tensor]) -> None:
        """Load the state of a fitted module of the same schema.

        Raises:
            RuntimeError: the state belongs to another schema.
        """
        own = {name: getattr(self, name).clone() for name in ("missing", "sizes", "offsets")}
        self.load_state_dict(state)
        if not all(torch.equal(getattr(self, name), known) for name, known in own.items()):
            raise RuntimeError("the state contradicts the schema")

    @classmethod
    def fit(
        cls,
        schema: TableSchema,
        x_num: torch.Tensor,
        x_cat: torch.Tensor,
        config: PreprocessingConfig,
    ) -> "Preprocessor":
        """Fit to the training part.

        Args:
            schema: the schema of the table.
            x_num: (rows, n_numbers) float64, missing is NaN.
            x_cat: (rows, n_categorical) int64 codes.
            config: the scaling of numbers: `quantile` to normal scores, `standard` by mean and
                standard deviation, `robust` by median and interquartile range (half the range
                where the quartiles are equal), or `none`; and the largest number of one-hot
                categories.
        """
        made, numeric = cls(schema, config), config.numeric
        fits = {
            "quantile": made._fit_quantile,
            "standard": made._fit_standard,
            "robust": made._fit_robust,
        }
        for index in range(len(schema.numbers)):
            is_date = index >= made.n_numeric
            if numeric == "none" and not is_date:
                continue
            column = x_num[:, index]
            present = column[~column.isnan()]
            if len(present):
                fit = made._fit_standard if is_date else fits[numeric]
                fit(index, present.sort().values)
        return made

    def forward(self, x_num: torch.Tensor, x_cat: torch.Tensor) -> torch.Tensor:
        """Scale and encode.

        Args:
            x_num: (rows, n_numbers) float64, missing is NaN.
            x_cat: (rows, n_categorical) int64 codes.

        Returns:
            (rows, n_features) float32.
        """
        gaps = x_num.isnan()
        centered = torch.where(gaps, 0.0, x_num - self.center)
        scaled = (centered / self.scale).to(self.scores.dtype)
        if self.numeric == "quantile":
            numbers = self._quantile(centered[:, : self.n_numeric].to(self.scores.dtype))
            scaled = torch.cat([numbers, scaled[:, self.n_numeric :]], dim=1)
        scaled = torch.where(gaps, 0.0, scaled)
        missing = gaps[:, self.missing].to(scaled.dtype)
        features = [scaled, missing, *self._cycles(x_num), self._one_hot(x_cat).to(scaled.dtype)]
        if self.coded:
            features.append(x_cat[:, self.coded].to(scaled.dtype))
        return torch.cat(features, dim=1)

    def _cycles(self, x_num: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Sine and cosine, (rows, n_cycles) each; 0 where the date is missing."""
        turns = x_num[:, self.cycling] / self.periods
        angle = ((turns - turns.floor()) * (2 * math.pi)).to(self.scores.dtype)
        gaps = turns.isnan()
        return torch.where(gaps, 0.0, angle.sin()), torch.where(gaps, 0.0, angle.cos())

    def _quantile(self, x: torch.Tensor) -> torch.Tensor:
        """Normal scores of (rows, n_numeric): linear between knots, constant beyond."""
        index = self._search(x).clamp(1, self.knots.shape[1] - 1)
        low, high = self._knot(index - 1), self._knot(index)
        share = ((x - low) / (high - low).clamp(min=TINY)).clamp(0.0, 1.0)
        start, end = self.scores[index - 1], self.scores[index]
        return start + share * (end - start)

    def _search(self, x: torch.Tensor) -> torch.Tensor:
        """The number of the column's knots below each value, by binary search.

        Beyond the last knot, the result may exceed the number of knots.
        """
        n_knots = self.knots.shape[1]
        found = torch.zeros_like(x, dtype=torch.int64)
        step = 1 << (n_knots.bit_length() - 1)
        while step:
            probe = found + step
            below = self._knot((probe - 1).clamp(max=n_knots - 1)) < x
            found = torch.where(below, probe, found)
            step //= 2
        return found

    def _knot(self, index: torch.Tensor) -> torch.Tensor:
        """knots[column, index[row, column]]."""
        return self.knots.t().gather(0, index)

    def _one_hot(self, x_cat: torch.Tensor) -> torch.Tensor:
        """One-hot categories, (rows, n_categories); a last column of unseen ones is cut off."""
        one_hot = torch.zeros(x_cat.shape[0], self.n_categories + 1, device=x_cat.device)
        columns = torch.where(x_cat < self.sizes, x_cat + self.offsets, self.n_categories)
        if self.coded:
            columns = columns[:, self.one_hot]
        return one_hot.scatter(1, columns, 1.0)[:, :-1]

    def _fit_quantile(self, index: int, ordered: torch.Tensor) -> None:
        generator = torch.Generator().manual_seed(index)
        noise = torch.randn(len(ordered), generator=generator, dtype=torch.float64)
        spread = ordered.std(correction=0) if ordered[0] < ordered[-1] else 1.0
        # Centered, because float32 years are too coarse for the noise.
        median = ordered[len(ordered) // 2]
        noisy = (ordered - median + noise * NOISE * spread).sort().values
        n_even = self.knots.shape[1] - 2 * N_TAIL
        self.knots[index] = _quantiles(_quantiles(noisy, _even(n_even)), _positions(n_even))
        self.center[index] = median

    def _fit_standard(self, index: int, ordered: torch.Tensor) -> None:
        self.center[index] = ordered.mean()
        # Rounding may give a constant column a tiny deviation, so its ends are compared.
        self.scale[index] = ordered.std(correction=0) if ordered[0] < ordered[-1] else 1.0

    def _fit_robust(self, index: int, ordered: torch.Tensor) -> None:
        quartiles = torch.tensor([0.25, 0.5, 0.75], dtype=torch.float64)
        first, median, third = _quantiles(ordered, quartiles)
        self.center[index] = median
        if third > first:
            self.scale[index] = third - first
        elif ordered[0] < ordered[-1]:  # as Holzmüller et al. 2024 (arXiv:2407.04491)
            self.scale[index] = ordered[-1] / 2 - ordered[0] / 2


def n_quantiles(n_rows: int) -> int:
    """The number of quantiles for a number of training rows (Gorishniy et al. 2021)."""
    return max(min(n_rows // 30, MAX_QUANTILES), 10)


def _quantiles(ordered: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
    """Quantiles by linear interpolation; `torch.quantile` is limited to 2**24 values."""
    at = positions * (len(ordered) - 1)
    low = at.floor().long()
    high = (low + 1).clamp(max=len(ordered) - 1)
    return torch.lerp(ordered[low], ordered[high], at - low)


@cache
def _even(n_quantiles: int) -> torch.Tensor:
    return torch.linspace(0, 1, n_quantiles, dtype=torch.float64)


@cache
def _positions(n_quantiles: int) -> torch.Tensor:
    """Cumulative probabilities of the knots: evenly spaced, the outermost steps halved repeatedly.

    scikit-learn interpolates probabilities and then takes the normal score. This module
    interpolates normal scores, which are strongly curved at the ends and need more knots there.
    """
    even = _even(n_quantiles)
    tail = even[1] * 0.5 ** torch.arange(N_TAIL, 0, -1, dtype=torch.float64)
    return torch.cat([even[:1], tail, even[1:-1], 1 - tail.flip(0), even[-1:]])


def _normal_scores(positions: torch.Tensor) -> torch.Tensor:
    """Standard normal quantiles, float32."""
    scores: torch.Tensor = torch.special.ndtri(positions)
    return scores.clamp(-CLIP, CLIP).float()
