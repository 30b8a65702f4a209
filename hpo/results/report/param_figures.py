"""Figures of the params: importances, parallel coordinates and slices, by Optuna."""

import math
from collections.abc import Iterable, Mapping, Sequence

import optuna
import plotly.graph_objects as go
from optuna.distributions import CategoricalDistribution
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.trial import FrozenTrial, TrialState, create_trial
from optuna.visualization import plot_parallel_coordinate, plot_slice

from hpo.config.metrics import Direction
from hpo.results.report.search_figures import complete_trials, value_of
from hpo.results.report.style import (
    COMPLETE,
    INK,
    WINNER,
    label,
    styled,
    thinned,
    typical_range,
)
from hpo.results.report.text import short_names

MIN_TRIALS = 20
"""COMPLETE trials below which importances are noise."""
ENOUGH_TRIALS = 50
MAX_LINES, MAX_DOTS = 300, 400
"""Trials in the parallel coordinates, and in each slice."""
_N_COLUMNS = 3


def importances(trials: Sequence[FrozenTrial], direction: Direction) -> go.Figure | None:
    """Each param's importance for reaching the best trials, by PED-ANOVA (Watanabe et al. 2023).

    The best trials are the best tenth, and at least five.

    Args:
        trials: of any state.
        direction: of the objective.

    Returns:
        None if fewer than `MIN_TRIALS` are COMPLETE, or the worst are as good as the best.
    """
    complete = complete_trials(trials)
    quantile = max(0.1, 5 / max(5, len(complete)))
    values = direction.best_first(value_of(t) for t in complete)
    n_best = math.ceil(quantile * len(complete))
    if len(complete) < MIN_TRIALS or values[n_best - 1] == values[-1]:
        return None
    evaluator = PedAnovaImportanceEvaluator(target_quantile=quantile)
    study = _in_memory(complete, direction, _names(complete))
    shares = get_param_importances(study, evaluator=evaluator)  # the greatest first
    bars = go.Bar(
        x=[*shares.values()],
        y=[*shares],
        orientation="h",
        marker_color=COMPLETE,
        texttemplate="%{x:.0%}",
        textposition="outside",
        cliponaxis=False,
        hovertemplate="%{y}: %{x:.1%}<extra></extra>",
    )
    drawn = go.Figure(bars)  # `plot_param_importances` copies all trials once for each param
    drawn.update_xaxes(tickformat=".0%", rangemode="tozero")
    drawn.update_yaxes(type="category", autorange="reversed")
    margin = {"r": 48, "t": 32, "b": 36}
    return styled(drawn, 92 + 26 * len(shares), margin=margin, bargap=0.35)


def parallel_coordinates(
    trials: Sequence[FrozenTrial], metric: str, direction: Direction, winner: int | None
) -> go.Figure | None:
    """A line for each COMPLETE trial through its value and its params, better ones darker.

    Args:
        trials: of any state.
        metric: what the value is called.
        direction: of the objective.
        winner: number of the trial that is drawn above the others.
    """
    complete = complete_trials(trials)
    names = _names(complete)
    params = [short for name, short in names.items() if not name.endswith(".on")]
    if len(complete) < 2 or not params:
        return None
    worst_first = sorted(complete, key=lambda t: -direction.sign * value_of(t))
    shown = [t for t in thinned(worst_first, MAX_LINES) if t.number != winner]
    shown += [t for t in complete if t.number == winner]
    in_order = _by_numeric_choices(shown, names)
    values = [value_of(t) for t in complete]
    limits = typical_range(values, direction.best(values))
    study = _in_memory(in_order, direction, names, limits)
    drawn = plot_parallel_coordinate(study, params, target_name=label(metric))
    *lines, colorbar = drawn.data
    by_number = {t.number: line for t, line in zip(in_order, lines, strict=True)}
    for trial in shown:
        about = f"<extra>trial {trial.number}, {trial.value:.5g}</extra>"
        by_number[trial.number].update(hovertemplate="%{customdata[0]}: %{customdata[1]}" + about)
    if winner in by_number:
        by_number[winner].update(opacity=1, line={"color": WINNER, "width": 3})
    drawn.data = [*(by_number[trial.number] for trial in shown), colorbar]
    drawn.update_annotations(font_color=INK, bgcolor="rgba(255, 255, 255, 0.6)")
    drawn.update_xaxes(side="top", ticks="", showline=False, tickangle=-20)
    return styled(drawn, 430, margin={"l": 40, "r": 40, "t": 72, "b": 24})


def slices(trials: Sequence[FrozenTrial], metric: str, direction: Direction) -> go.Figure | None:
    """A panel for each param: COMPLETE trials' values against it, later ones darker."""
    complete = complete_trials(trials)
    if not any(t.params for t in complete):
        return None
    dots = {t.number for t in thinned(complete, MAX_DOTS)}
    kept = [t if t.number in dots else None for t in trials]  # so that trials keep their numbers
    study = _in_memory(kept, direction, _names(complete))
    drawn = plot_slice(study, target_name=label(metric))
    n_rows = math.ceil(len(drawn.data) / _N_COLUMNS)
    drawn.update_traces(
        marker={"size": 6, "line_color": "white", "showscale": False},
        marker_colorscale=[[0, "#cfe0f1"], [1, "#174a83"]],
        hovertemplate="trial %{marker.color}: %{x}, %{y:.5g}<extra></extra>",
    )
    drawn.update_xaxes(domain=None, title_standoff=4)
    drawn.update_xaxes(selector={"type": "log"}, tickformat="~g", nticks=5)
    for axis in drawn.select_xaxes({"type": "category"}):  # Optuna writes choices as 'text'
        choices = [label(choice.strip("'"), 12) for choice in axis.categoryarray]
        axis.update(tickvals=axis.categoryarray, ticktext=choices)
    values = [value_of(t) for t in complete]
    drawn.update_yaxes(domain=None, range=typical_range(values, direction.best(values)))
    for axis in [*drawn.select_yaxes()][::_N_COLUMNS]:
        axis.update(showticklabels=True, title={"text": label(metric), "standoff": 10})
    cells = {"rows": n_rows, "columns": _N_COLUMNS, "pattern": "independent"}
    cells |= {"xgap": 0.1, "ygap": 0.36}
    return styled(drawn, 60 + 205 * n_rows, width=None, grid=cells, margin={"t": 32, "l": 72})


def _in_memory(
    trials: Iterable[FrozenTrial | None],
    direction: Direction,
    names: Mapping[str, str],
    limits: tuple[float, float] = (-math.inf, math.inf),
) -> optuna.Study:
    """A study in memory for `optuna.visualization`.

    Args:
        trials: COMPLETE ones, in order; None stands for a trial that is not drawn.
        direction: of the objective.
        names: the label of each param.
        limits: range to which the values are clipped.
    """
    study = optuna.create_study(direction=direction.value)
    for trial in trials:
        copy = create_trial(state=TrialState.FAIL)
        if trial is not None:
            copy = create_trial(
                value=min(max(value_of(trial), limits[0]), limits[1]),
                params={names[name]: value for name, value in trial.params.items()},
                distributions={names[name]: each for name, each in trial.distributions.items()},
            )
        study.add_trial(copy)
    return study


def _names(trials: Iterable[FrozenTrial]) -> dict[str, str]:
    """Short labels of all params of some trials."""
    names = short_names([*{name: None for t in trials for name in t.params}])
    return {name: label(short) for name, short in names.items()}


def _by_numeric_choices(
    trials: Iterable[FrozenTrial], names: Mapping[str, str]
) -> list[FrozenTrial]:
    """Trials in the order in which `plot_parallel_coordinate` draws their lines.

    It sorts them by the params that are a choice of numbers, in the order of the params' labels.
    """
    numeric = {
        names[name]: name
        for trial in trials
        for name, each in trial.distributions.items()
        if isinstance(each, CategoricalDistribution)
        and not any(isinstance(choice, bool | str) for choice in each.choices)
    }
    keys = [numeric[name] for name in sorted(numeric)]
    return sorted(trials, key=lambda t: [t.params.get(key, -math.inf) for key in keys])
