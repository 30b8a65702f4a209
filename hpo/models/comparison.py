"""Comparison of models on the validation part."""

import math
from dataclasses import dataclass

from hpo.config.metrics import find_metric, loss_metric, metric_label, tie_break
from hpo.config.trial import ObjectiveConfig
from hpo.models.ensemble import Ensemble, TrialModel
from hpo.models.model import Predictor


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A study's best single model and its ensemble.

    Attributes:
        name: of the single model, such as `trial 17`.
    """

    single: TrialModel
    name: str
    ensemble: Ensemble

    @property
    def best(self) -> Predictor:
        """The better one on validation."""
        return best_of(self.single, self.ensemble)

    @property
    def text(self) -> str:
        """What the ensemble gains, in one line."""
        metric, loss, more = objective(self.single).metric, _loss(self.single), ""
        if self.single.metrics[metric] == self.ensemble.metrics[metric]:
            more = f", at equal {_label(self.single, metric)}"
            metric = loss
        single, together = self.single.metrics[metric], self.ensemble.metrics[metric]
        gain = find_metric(metric).direction.sign * (single - together)
        gained = f"{gain:.3g}" if gain > 0 else "nothing"
        if gain <= 0 and self.best is self.ensemble:
            losses = self.ensemble.metrics[loss], self.single.metrics[loss]
            more = f", but {loss} {losses[0]:.5g} instead of {losses[1]:.5g}"
        return (
            f"the {self.ensemble.text} gains {gained} over {self.name} "
            f"on validation: {_label(self.single, metric)} {together:.5g} instead of {single:.5g}"
            f"{more}"
        )


def best_of(*models: Predictor) -> Predictor:
    """The best one on validation, by the study's metric, then by the loss; the first of equals.

    An ensemble needs the lower loss only. The metric of the winner of many trials is partly luck,
    above all if it counts rows, as accuracy does.
    """
    best = min(models, key=_rank)
    ensembles = [model for model in models if isinstance(model, Ensemble)]
    if ensembles and not isinstance(best, Ensemble):
        together = min(ensembles, key=_rank)
        loss = _loss(best)
        if together.metrics.get(loss, math.inf) < best.metrics.get(loss, math.inf):
            return together
    return best


def objective(model: Predictor) -> ObjectiveConfig:
    """The objective of the study that trained a model."""
    return model.parts[0][1].config.objective


def objective_text(model: Predictor) -> str:
    """The metric of a model's study with its value on validation."""
    metric = objective(model).metric
    return f"validation {_label(model, metric)} {model.metrics[metric]:.5g}"


def _rank(model: Predictor) -> tuple[float, float]:
    metric = objective(model).metric
    return find_metric(metric).direction.sign * model.metrics[metric], tie_break(model.metrics)


def _loss(model: Predictor) -> str:
    """The metric that stands for the loss."""
    return loss_metric(model.schema.task, objective(model).metric)


def _label(model: Predictor, metric: str) -> str:
    return metric_label(metric, model.schema.positive)
