"""Scores of the classes that many ensembles predict, from counts of rows.

They are those of `hpo.training.scores`, for arrays and single numbers at once.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy
from numpy.typing import NDArray

Counts = Sequence[Any]
"""A number of rows for each class: (candidates,) or (candidates, rows), or one for all of them."""
Decision = Callable[[Counts, Counts, Counts], Any]
"""A score of the predicted classes, from the rows that are predicted right, predicted, and true."""


def _accuracy(right: Counts, predicted: Counts, true: Counts) -> Any:
    return sum(right) / sum(true)


def _balanced_accuracy(right: Counts, predicted: Counts, true: Counts) -> Any:
    """Mean recall of the classes that occur."""
    recall = [ratio(own, n) for own, n in zip(right, true, strict=True)]
    return sum(recall) / sum(n > 0 for n in true)


def _f1(right: Counts, predicted: Counts, true: Counts) -> Any:
    """F1 of the positive class of two, otherwise the mean of the classes'."""
    n_either = [own + n for own, n in zip(predicted, true, strict=True)]
    by_class = [ratio(2 * own, n) for own, n in zip(right, n_either, strict=True)]
    return by_class[1] if len(by_class) == 2 else sum(by_class) / sum(n > 0 for n in n_either)


_ROUNDING = 1e-12
"""Relative spread of the classes below which they are constant."""


def _matthews_correlation(right: Counts, predicted: Counts, true: Counts) -> Any:
    """Correlation of the predicted and the true classes; 0 if either is constant."""
    n_rows = sum(true)
    covariance = sum(right) * n_rows - sum(p * t for p, t in zip(predicted, true, strict=True))
    of_predicted = n_rows**2 - sum(numpy.square(n) for n in predicted)
    of_true = n_rows**2 - sum(numpy.square(n) for n in true)
    # Weights round off: a constant has no exact 0.
    is_varied = numpy.minimum(of_predicted, of_true) > _ROUNDING * n_rows**2
    product = numpy.where(is_varied, of_predicted * of_true, 1)
    return numpy.where(is_varied, covariance / numpy.sqrt(product), 0.0)


def ratio(part: NDArray[Any], whole: NDArray[Any]) -> NDArray[Any]:
    """The quotient, 0 where the whole is 0."""
    quotient: NDArray[Any] = part / numpy.where(whole > 0, whole, 1)
    return quotient


DECISIONS: dict[str, Decision] = {
    "accuracy": _accuracy,
    "balanced_accuracy": _balanced_accuracy,
    "f1": _f1,
    "matthews_correlation": _matthews_correlation,
}
