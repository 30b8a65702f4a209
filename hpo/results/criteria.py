"""Criteria of ensemble selection: many ensembles scored at once.

A criterion orders predictions as the metric of its name in `hpo.training.metrics` does. It is
written for speed, because selection scores thousands of ensembles that differ in one member.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy
import torch
from numpy.typing import NDArray

from hpo.config.metrics import find_metric, loss_metric, selection_metric
from hpo.config.trial import ObjectiveConfig, Task
from hpo.models.ensemble import FAINTEST, as_logits
from hpo.results.decisions import DECISIONS, Decision, ratio
from hpo.training.metrics import measure

Array = NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class Criterion(ABC):
    """Scores ensembles by the mean of their members' predictions.

    Attributes:
        values: (kinds, candidates, rows); what is averaged, such as the probabilities of a class.
        weights: (rows,) float64, how much each row counts; None if all are equal.
    """

    values: Array
    weights: Array | None = None

    @property
    def n_candidates(self) -> int:
        """Number of candidates."""
        return len(self.values[0])

    def among(self, candidates: Array) -> Self:
        """The criterion for some of the candidates, by their indices."""
        return replace(self, values=self.values[:, candidates])

    def means_of_first(self) -> Self:
        """The criterion for the mean of the first candidate, of the first two, and so on."""
        n = numpy.arange(1, self.n_candidates + 1, dtype=self.values.dtype)
        return replace(self, values=self.values.cumsum(axis=1) / n[:, None])

    def alone(self) -> Array:
        """Score each candidate without others, as `score` does."""
        return self.score(numpy.zeros_like(self.values[:, 0]), 1)

    def score(self, total: Array, n: int) -> Array:
        """Score each candidate as a further member of an ensemble.

        Args:
            total: (kinds, rows), sum of the values of the other members.
            n: number of members, including the candidate.

        Returns:
            (candidates,) float64. Greater is better. It is minus infinity without a value.
        """
        # One kind at a time: its arrays fit into the processor's cache.
        means = ((own + others) / n for own, others in zip(self.values, total, strict=True))
        scores = self._score(means)
        return numpy.where(numpy.isnan(scores), -numpy.inf, scores)

    @abstractmethod
    def _score(self, means: Iterator[Array]) -> Array:
        """Score the (candidates, rows) means of each kind; NaN where there is no value."""

    def _mean(self, by_row: Array) -> Array:
        """(candidates,) means over the rows."""
        means: Array
        if self.weights is None:
            means = by_row.mean(axis=1)
        else:
            means = by_row @ (self.weights / self.weights.sum())
        return means


class SquaredError(Criterion):
    """The order of rmse and r2; values are errors."""

    def _score(self, means: Iterator[Array]) -> Array:
        return self._mean(-numpy.square(next(means)))


class AbsoluteError(Criterion):
    """The order of mae; values are errors."""

    def _score(self, means: Iterator[Array]) -> Array:
        return self._mean(-numpy.abs(next(means)))


@dataclass(frozen=True, kw_only=True)
class Measured(Criterion):
    """Any metric, computed as for trials; values are predictions or probabilities of each class.

    Attributes:
        y: (rows,) targets or classes.
    """

    objective: ObjectiveConfig
    task: Task
    y: Array

    def _score(self, means: Iterator[Array]) -> Array:
        name = self.objective.metric
        n_classes, y = len(self.values) if self.task != "regression" else 0, torch.tensor(self.y)
        weights = None if self.weights is None else torch.tensor(self.weights)
        outputs = numpy.stack(list(means), axis=-1) if n_classes else next(means)
        found = [
            measure([name], self.objective, self.task, n_classes, logits, y, weights).item()
            for logits in (as_logits(self.task, torch.from_numpy(own)) for own in outputs)
        ]
        return -find_metric(name).direction.sign * numpy.array(found)


class LogLoss(Criterion):
    """Values are probabilities of the true classes."""

    def _score(self, means: Iterator[Array]) -> Array:
        return self._mean(numpy.log(numpy.maximum(next(means), FAINTEST)))


@dataclass(frozen=True, kw_only=True)
class _OfClasses(Criterion):
    """Values are probabilities of each class.

    Attributes:
        y: (rows,) true classes.
    """

    y: Array

    def _predicted(self, means: Iterator[Array]) -> Array:
        """The likeliest class of each row, the first one of equals."""
        highest = next(means)
        predicted = numpy.zeros(highest.shape, self.y.dtype)
        for index, probabilities in enumerate(means, start=1):
            numpy.copyto(predicted, index, where=probabilities > highest)
            numpy.maximum(highest, probabilities, out=highest)
        return predicted


@dataclass(frozen=True, kw_only=True)
class OfLikeliest(_OfClasses):
    """A score of the likeliest classes."""

    decision: Decision

    def _score(self, means: Iterator[Array]) -> Array:
        n, w = len(self.values), self.weights

        def counted(classes: Array, where: Array | None = None) -> Array:
            rows = slice(None) if where is None else where
            return numpy.bincount(classes[rows], None if w is None else w[rows], minlength=n)

        predicted = self._predicted(means)
        right = numpy.stack([counted(self.y, own == self.y) for own in predicted], axis=1)
        n_predicted = numpy.stack([counted(own) for own in predicted], axis=1)
        scores: Array = self.decision([*right], [*n_predicted], [*counted(self.y)])
        return scores


@dataclass(frozen=True, kw_only=True)
class AtBestThreshold(Criterion):
    """A score of the classes that the best threshold predicts.

    Values are probabilities of the positive class, as float32.

    Attributes:
        y: (rows,) true classes, 0 or 1.
    """

    y: Array
    decision: Decision

    def _score(self, means: Iterator[Array]) -> Array:
        """Score every cut between two rows in the order of their probabilities.

        Keys are sorted that hold the bits of a probability, and its row as the last bits: sorting
        them is faster by far than sorting probabilities together with their places.
        """
        n_rows = len(self.y)
        bits = next(means).view(numpy.int32).astype(numpy.int64)
        keys = numpy.sort(bits << 32 | numpy.arange(n_rows), axis=1)
        order = keys & 0xFFFFFFFF
        n_below = numpy.arange(1, n_rows + 1)[None]
        n_missed = self.y[order].cumsum(axis=1, dtype=numpy.int32)
        if self.weights is not None:
            n_below = self.weights[order].cumsum(axis=1)
            n_missed = (self.weights * self.y)[order].cumsum(axis=1)
        n_all, n_positive = n_below[:, -1:], n_missed[:, -1:]
        scores: Array = self.decision(
            (n_below - n_missed, n_positive - n_missed),
            (n_below, n_all - n_below),
            (n_all - n_positive, n_positive),
        )
        ordered = keys >> 32
        is_cut = numpy.ones(scores.shape, dtype=bool)  # ties are all on one side
        numpy.not_equal(ordered[:, 1:], ordered[:, :-1], out=is_cut[:, :-1])
        best = scores.max(axis=1, where=is_cut, initial=-numpy.inf)
        nothing = numpy.zeros_like(n_positive)
        everywhere = self.decision(
            (nothing, n_positive), (nothing, n_all), (n_all - n_positive, n_positive)
        )[:, 0]
        scores = numpy.maximum(best, numpy.where(ordered[:, 0] > 0, everywhere, -numpy.inf))
        return scores


class Accuracy(_OfClasses):
    """Share of the rows whose likeliest class is the true one."""

    def _score(self, means: Iterator[Array]) -> Array:
        return self._mean(self._predicted(means) == self.y)


class BrierScore(_OfClasses):
    """Squared errors of the probabilities: of the positive class, or summed over several."""

    def _score(self, means: Iterator[Array]) -> Array:
        squares = [numpy.square(each - (self.y == at)) for at, each in enumerate(means)]
        if len(squares) == 2:
            return -self._mean(squares[1])
        scores: Array = -numpy.sum([self._mean(each) for each in squares], axis=0)
        return scores


@dataclass(frozen=True, kw_only=True)
class TopKAccuracy(_OfClasses):
    """Share of the rows whose class is among the likeliest; of equal classes, the last ones are."""

    k: int

    def _score(self, means: Iterator[Array]) -> Array:
        by_class = list(means)
        own = numpy.stack(by_class)[self.y, :, numpy.arange(len(self.y))].T
        n_ahead = numpy.zeros(own.shape, numpy.int32)
        for at, each in enumerate(by_class):
            n_ahead += (each > own) | ((each == own) & (self.y < at))
        return self._mean(n_ahead < self.k)


class RocAuc(_OfClasses):
    """Area under the ROC curve of the positive class of two, otherwise the mean of the classes'."""

    def _score(self, means: Iterator[Array]) -> Array:
        areas = [self._area(each, self.y == index) for index, each in enumerate(means)]
        return areas[1] if len(areas) == 2 else numpy.mean(areas, axis=0)

    def _area(self, scores: Array, truth: Array) -> Array:
        """Area under the curve of one class; ties count half.

        Keys are sorted that hold the bits of a score and, as the last bit, whether the row is
        positive: the places of the positive rows are their ranks. Of equal scores, the positive
        ones are last. They are first if the last bit is inverted. The mean of both is the rank
        among ties. Sorting keys is faster by far than sorting scores together with their places,
        which weights need.
        """
        n_positive, n_rows = int(truth.sum()), len(truth)
        if not 0 < n_positive < n_rows:
            return numpy.full(len(scores), numpy.nan)
        bits = scores.view(numpy.int32) << 1  # in the order of scores from 0 to 1
        if self.weights is not None:
            return _weighted_area(bits, truth, self.weights)
        last = numpy.sort(bits | truth, axis=1) & 1
        first = 1 - (numpy.sort(bits | ~truth, axis=1) & 1)
        ranks = (last + first) @ numpy.arange(n_rows, dtype=numpy.float64) / 2
        wins = ranks - n_positive * (n_positive - 1) / 2
        area: Array = wins / (n_positive * (n_rows - n_positive))
        return area


class AveragePrecision(_OfClasses):
    """Average precision of the positive class of two, otherwise the mean of the classes'."""

    def _score(self, means: Iterator[Array]) -> Array:
        found = [self._precision(each, self.y == at) for at, each in enumerate(means)]
        return found[1] if len(found) == 2 else numpy.mean(found, axis=0)

    def _precision(self, scores: Array, truth: Array) -> Array:
        """Average precision of one class, from sorted keys as in `RocAuc`."""
        keys = scores.view(numpy.int32) << 1 | truth
        if self.weights is None:
            keys = numpy.sort(keys, axis=1)[:, ::-1]
            return numpy.array([_average_precision(own >> 1, own & 1) for own in keys])
        orders = numpy.argsort(keys, axis=1)[:, ::-1]
        return numpy.array(
            [
                _average_precision(own[order] >> 1, truth[order], self.weights[order])
                for own, order in zip(keys, orders, strict=True)
            ]
        )


def _average_precision(scores: Array, truth: Array, weights: Array | None = None) -> float:
    """Average precision from decreasing scores; NaN without a positive row."""
    ends = numpy.append(numpy.flatnonzero(scores[1:] != scores[:-1]), len(scores) - 1)
    if weights is None:
        n_selected, n_right = ends + 1, numpy.cumsum(truth)[ends]
    else:
        n_selected, n_right = numpy.cumsum(weights)[ends], numpy.cumsum(weights * truth)[ends]
    if n_right[-1] <= 0:
        return numpy.nan
    found: float = numpy.diff(n_right, prepend=0) @ ratio(n_right, n_selected) / n_right[-1]
    return found


def _weighted_area(bits: Array, truth: Array, weights: Array) -> Array:
    """Area under the curve from the bits of scores, by the weights of the rows below."""
    of_positive, of_negative = weights * truth, weights * ~truth
    n_pairs = of_positive.sum() * of_negative.sum()
    wins = numpy.zeros(len(bits))
    for last_bit in (truth, ~truth):
        order = numpy.argsort(bits | last_bit, axis=1)
        below = of_negative[order].cumsum(axis=1)
        wins += (of_positive[order] * below).sum(axis=1) / 2
    area: Array = wins / n_pairs if n_pairs else numpy.full(len(bits), numpy.nan)
    return area


_ERRORS: dict[str, type[Criterion]] = {
    "rmse": SquaredError,
    "r2": SquaredError,
    "mae": AbsoluteError,
}
_OF_CLASSES: dict[str, type[_OfClasses]] = {
    "accuracy": Accuracy,
    "roc_auc": RocAuc,
    "average_precision": AveragePrecision,
    "brier_score": BrierScore,
}


def criteria(
    task: Task,
    objective: ObjectiveConfig,
    outputs: Sequence[Array],
    y: Array,
    weights: Array | None = None,
) -> list[Criterion]:
    """The criteria that rank ensembles: the metric, then the loss, which breaks ties.

    The loss comes first if it is the `selection_metric`.

    Args:
        task: of the candidates.
        objective: the study's; a tuned threshold is tuned for each ensemble.
        outputs: float64 predictions of each candidate: (rows,) values or (rows, classes)
            probabilities.
        y: (rows,) targets or classes.
        weights: (rows,) float64, how much each row counts; None if all are equal.
    """
    metric, loss_name = objective.metric, loss_metric(task, objective.metric)
    if task == "regression":
        predicted = numpy.stack(outputs)[None]
        return [
            _ERRORS[name](values=predicted - y, weights=weights)
            if name in _ERRORS
            else Measured(values=predicted, weights=weights, y=y, task=task, objective=objective)
            for name in dict.fromkeys((metric, loss_name))
        ]
    y = y.astype(numpy.int32)
    of_truth = numpy.stack([own[numpy.arange(len(y)), y] for own in outputs])
    loss = LogLoss(values=of_truth[None], weights=weights)
    if metric == loss_name:
        return [loss]
    exact = numpy.stack([own.T for own in outputs], axis=1)
    by_class = exact.astype(numpy.float32)
    own: Criterion
    if objective.threshold is not None:
        decision, positive = DECISIONS[metric], by_class[1:]
        own = AtBestThreshold(values=positive, weights=weights, y=y, decision=decision)
    elif metric in _OF_CLASSES:
        own = _OF_CLASSES[metric](values=by_class, weights=weights, y=y)
    elif metric in DECISIONS:
        own = OfLikeliest(values=by_class, weights=weights, y=y, decision=DECISIONS[metric])
    elif objective.k is not None:
        own = TopKAccuracy(values=exact, weights=weights, y=y, k=objective.k)
    else:
        own = Measured(values=exact, weights=weights, y=y, task=task, objective=objective)
    return [loss, own] if selection_metric(task, metric) == loss_name else [own, loss]
