"""How far the winner's probabilities can be trusted, and how its threshold was chosen."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import plotly.graph_objects as go
import torch
from numpy.typing import NDArray
from plotly.subplots import make_subplots

from hpo.config.metrics import MetricName
from hpo.config.trial import Calibration
from hpo.data.dataset import Part
from hpo.models.ensemble import TrialModel
from hpo.results.report.comparison import Models
from hpo.results.report.style import COMPLETE, FAINT, OTHER, WINNER, label, styled, thinned
from hpo.study.leaderboard import Row
from hpo.training.calibration import threshold_curve
from hpo.training.metrics import predictions

N_BINS = 10
"""Bins of equal width, of the predicted probability."""
_MAX_POINTS = 400
"""Points of a line that are drawn."""
TRAINED, CALIBRATED = "as trained", "calibrated"
_COLORS = {TRAINED: OTHER, CALIBRATED: WINNER}

Floats = NDArray[np.float64]
Curve = tuple[Floats, Floats]
"""Thresholds, ascending, and the metric with each."""


@dataclass(frozen=True, kw_only=True)
class Reliability:
    """Predicted probabilities beside the shares of rows in which they came true, by bin.

    Of two classes, the probability is that of the positive one; of several, that of the likeliest.

    Attributes:
        predicted: mean probability of the rows of each bin that has some.
        observed: share of these rows, counted by their weights, that are of the predicted class.
        counts: their number.
        error: expected calibration error (Guo et al. 2017): the mean difference of both, by row.
    """

    predicted: Floats
    observed: Floats
    counts: NDArray[np.int_]
    error: float

    @classmethod
    def of(
        cls, outputs: NDArray[Any], y: NDArray[Any], weights: NDArray[Any] | None = None
    ) -> "Reliability":
        """Compare predictions with the truth.

        Args:
            outputs: (rows, n_classes) probabilities.
            y: (rows,) classes.
            weights: (rows,); None if all rows count the same.
        """
        predicted = outputs[:, 1] if outputs.shape[1] == 2 else outputs.max(axis=1)
        is_true = y == (1 if outputs.shape[1] == 2 else outputs.argmax(axis=1))
        bins = np.minimum((predicted * N_BINS).astype(int), N_BINS - 1)
        by_row = np.ones(len(y)) if weights is None else weights
        total = np.bincount(bins, by_row, N_BINS)
        has_rows = total > 0
        means, shares = (
            np.bincount(bins, by_row * each, N_BINS)[has_rows] / total[has_rows]
            for each in (predicted, is_true)
        )
        return cls(
            predicted=means,
            observed=shares,
            counts=np.bincount(bins, minlength=N_BINS)[has_rows],
            error=float(np.average(np.abs(means - shares), weights=total[has_rows])),
        )


@dataclass(frozen=True, kw_only=True)
class WinnersCalibration:
    """The winner's calibration and what it does.

    Attributes:
        reliability: on the test part, by `TRAINED` and, with a temperature, `CALIBRATED`; empty
            without a test part.
        curves: the study's metric by threshold, on the validation and the test part; empty if the
            threshold was not tuned.
    """

    fitted: Calibration
    reliability: Mapping[str, Reliability]
    curves: Mapping[str, Curve]


def winners_calibration(models: Models, winner: Row) -> WinnersCalibration | None:
    """The calibration of a winner; None in a regression, or if its weights are gone."""
    experiment, objective = models.experiment, models.study.definition.objective
    dataset = experiment.dataset
    if not dataset.schema.classes or (model := models.load(winner)) is None:
        return None
    test = dataset.part("test")
    reliability, curves = {}, {}
    if len(test.y):
        reliability = _reliability(model, test)
    if objective.threshold is not None:
        validated = predictions("binary", experiment.validation_logits(model))
        curves["validation"] = _curve(objective.metric, validated, dataset.part("val"))
        if len(test.y):
            found = model.outputs(test.x_num, test.x_cat)
            curves["test"] = _curve(objective.metric, found, test)
    return WinnersCalibration(fitted=model.calibration, reliability=reliability, curves=curves)


def _reliability(model: TrialModel, part: Part) -> dict[str, Reliability]:
    fitted = model.calibration
    raw = replace(model, calibration=replace(fitted, temperature=1.0))
    kinds = {TRAINED: raw} if fitted.temperature == 1 else {TRAINED: raw, CALIBRATED: model}
    weights = None if part.weights is None else part.weights.numpy()
    return {
        name: Reliability.of(each.outputs(part.x_num, part.x_cat).numpy(), part.y.numpy(), weights)
        for name, each in kinds.items()
    }


def _curve(metric: MetricName, probabilities: torch.Tensor, part: Part) -> Curve:
    thresholds, values = threshold_curve(metric, probabilities[:, 1], part.y, part.weights)
    is_cut = values.isfinite()
    return thresholds[is_cut].flip(0).numpy(), values[is_cut].flip(0).numpy()


def reliability_figure(found: Mapping[str, Reliability], of: str) -> go.Figure:
    """Observed shares by predicted probability, and the number of rows in each bin below.

    Args:
        found: by name.
        of: what the probability is of.
    """
    drawn = make_subplots(
        rows=2, cols=1, shared_xaxes=True, row_heights=[0.72, 0.28], vertical_spacing=0.04
    )
    drawn.add_shape(
        type="line", x0=0, y0=0, x1=1, y1=1, line={"color": FAINT, "dash": "dash"}, row=1, col=1
    )
    for name, each in found.items():
        color = _COLORS[name]
        drawn.add_scatter(
            row=1,
            col=1,
            x=each.predicted,
            y=each.observed,
            name=name,
            mode="lines+markers",
            line={"color": color, "width": 2},
            marker={"size": 8},
            customdata=each.counts,
            hovertemplate=f"{name}: predicted %{{x:.3f}}, observed %{{y:.3f}}, "
            "%{customdata:,} rows<extra></extra>",
        )
        drawn.add_bar(
            row=2,
            col=1,
            x=each.predicted,
            y=each.counts,
            name=name,
            showlegend=False,
            marker={"color": color, "opacity": 0.75},
            width=0.4 / N_BINS,
            hovertemplate=f"{name}: %{{y:,}} rows, predicted %{{x:.3f}}<extra></extra>",
        )
    drawn.update_xaxes(range=[-0.01, 1.01])
    drawn.update_xaxes(title=f"predicted probability {label(of)}", row=2, col=1)
    drawn.update_yaxes(title="share of rows", range=[-0.02, 1.02], row=1, col=1)
    drawn.update_yaxes(title="test rows", row=2, col=1)
    return styled(drawn, 440, margin_t=30, barmode="overlay")


def threshold_figure(found: WinnersCalibration, metric: str) -> go.Figure:
    """The metric by the threshold, with the chosen one marked."""
    drawn = go.Figure()
    for (part, (thresholds, values)), color in zip(
        found.curves.items(), (COMPLETE, FAINT), strict=False
    ):
        kept = thinned(range(len(values)), _MAX_POINTS)
        drawn.add_scatter(
            x=thresholds[kept],
            y=values[kept],
            name=part,
            mode="lines",
            line={"color": color, "width": 2, "shape": "hvh"},
            hovertemplate=f"{part}: threshold %{{x:.4f}}, %{{y:.4f}}<extra></extra>",
        )
    thresholds, values = found.curves["validation"]
    assert found.fitted.threshold is not None
    chosen = int(np.abs(thresholds - found.fitted.threshold).argmin())
    drawn.add_scatter(
        x=[thresholds[chosen]],
        y=[values[chosen]],
        name=f"chosen: {found.fitted.threshold:.4g}",
        mode="markers",
        marker={"color": WINNER, "size": 11},
        hovertemplate="chosen: %{x:.4f}, %{y:.4f}<extra></extra>",
    )
    drawn.add_vline(found.fitted.threshold, line={"color": WINNER, "dash": "dot", "width": 1.5})
    drawn.update_xaxes(title="threshold")
    drawn.update_yaxes(title=label(metric))
    return styled(drawn, 320, margin_t=30)
