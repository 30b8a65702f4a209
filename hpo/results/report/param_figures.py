"""Figures of the params: parallel coordinates, slices, importances.

Lines are drawn as such, not by WebGL: they print, and a param that a trial does not have is shown
as unused instead of leaving the trial out.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import optuna
import plotly.graph_objects as go
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState
from plotly.subplots import make_subplots

from hpo.config.ranges import Categorical, Leaf
from hpo.config.space import SearchSpace
from hpo.config.trial import Direction
from hpo.results.report.search_figures import complete_trials, is_measured, value_of
from hpo.results.report.style import (
    COMPLETE,
    FAINT,
    INK,
    PRUNED,
    WINNER,
    figure,
    label,
    spread,
    styled,
    typical_range,
)
from hpo.results.report.text import format_param, plain_params, short_names

MIN_TRIALS = 20
"""COMPLETE trials below which importances are noise."""
ENOUGH_TRIALS = 50
MAX_LINES, MAX_DOTS = 150, 400
"""Trials of a band of the parallel coordinates, and of a slice."""
UNUSED = -0.12
"""Where a param's axis shows trials that do not have it."""
N_BESIDE = 3
BANDS = (
    ("the rest", "#b9cde4", 1.0),
    ("better half", "#6f9fd0", 0.5),
    ("best tenth", COMPLETE, 0.1),
)


def parallel_coordinates(
    trials: Sequence[FrozenTrial],
    space: SearchSpace,
    metric: str,
    direction: Direction,
    winner: int | None,
) -> go.Figure | None:
    """A line a trial through its params to its value, the best above the others."""
    leaves = space.tunables
    complete = complete_trials(trials)
    if len(complete) < 2:
        return None
    names = short_names([*leaves])
    values = [value_of(t) for t in complete]
    low, high = typical_range(values, direction.best(values))
    height = _Objective(low=low, high=high, direction=direction)
    drawn = figure(430, margin={"l": 40, "r": 70, "t": 84, "b": 24})
    pruned = spread([t for t in trials if t.state == TrialState.PRUNED], MAX_LINES)
    groups = [("pruned", PRUNED, [t for t in pruned if is_measured(t)])]
    groups += _banded(complete, direction)
    groups += [("the winner", WINNER, [t for t in complete if t.number == winner])]
    for name, colour, group in groups:
        if not group:
            continue
        x, y, text = _paths(group, leaves, height)
        drawn.add_scatter(
            x=x,
            y=y,
            text=text,
            name=name,
            mode="lines",
            line={"color": colour, "width": 3 if name == "the winner" else 1.2},
            opacity=0.35 if name == "pruned" else 0.8,
            visible="legendonly" if name == "pruned" else True,
            hovertemplate="%{text}<extra></extra>",
        )
    last = len(leaves)
    ends = {at: _ends(leaf) for at, leaf in enumerate(leaves.values())}
    drawn.update_xaxes(visible=False, range=[-0.25, last + 0.25])
    drawn.update_yaxes(visible=False, range=[UNUSED - 0.1, 1.06])
    for at in range(last + 1):
        drawn.add_shape(
            type="line", x0=at, x1=at, y0=UNUSED, y1=1, line={"color": FAINT, "width": 1}
        )
    for at, name in enumerate([*names.values(), metric]):
        _note(drawn, at, 1.0, f"<b>{label(name, 18)}</b>", yshift=16 + 14 * (at % 2))
    for at, ticks in ends.items():
        for place, said in ticks:
            _note(drawn, at, place, label(said, 14), beside=True)
    for place, value in ((0.0, height.value(0.0)), (1.0, height.value(1.0))):
        _note(drawn, last, place, f"{value:.4g}", beside=True)
    if any(name not in plain_params(t.params) for t in complete for name in leaves):
        _note(drawn, -0.02, UNUSED, "unused", beside=True)
    drawn.update_layout(legend={"y": 1.18})
    return drawn


def slices(
    trials: Sequence[FrozenTrial], space: SearchSpace, metric: str, direction: Direction
) -> go.Figure | None:
    """A panel a param: COMPLETE trials' values against it."""
    leaves = space.tunables
    complete = complete_trials(trials)
    if not complete:
        return None
    names = short_names([*leaves])
    n_rows = math.ceil(len(leaves) / N_BESIDE)
    drawn = make_subplots(
        rows=n_rows,
        cols=N_BESIDE,
        shared_yaxes=True,
        horizontal_spacing=0.035,
        vertical_spacing=0.30 / n_rows,
    )
    values = [value_of(t) for t in complete]
    best = direction.best(values)
    dots = spread(complete, MAX_DOTS)
    for at, (name, leaf) in enumerate(leaves.items()):
        row, column = divmod(at, N_BESIDE)
        places = [_place(leaf, plain_params(t.params).get(name), t.number) for t in dots]
        kept = [(t, place) for t, place in zip(dots, places, strict=True) if place is not None]
        drawn.add_scatter(
            row=row + 1,
            col=column + 1,
            x=[place for _, place in kept],
            y=[t.value for t, _ in kept],
            mode="markers",
            marker={
                "size": 6,
                "color": [t.number for t, _ in kept],
                "colorscale": [[0, "#cfe0f1"], [1, "#174a83"]],
                "line": {"width": 0.5, "color": "white"},
            },
            text=[
                f"trial {t.number}: {label(format_param(plain_params(t.params)[name]))}"
                for t, _ in kept
            ],
            hovertemplate="%{text}: %{y:.5g}<extra></extra>",
        )
        ticks = _ticks(leaf, any(place == UNUSED for _, place in kept))
        drawn.update_xaxes(
            row=row + 1,
            col=column + 1,
            title={"text": label(names[name]), "standoff": 4},
            tickvals=[place for place, _ in ticks],
            tickangle=None if isinstance(leaf, Categorical) else 0,
            ticktext=[label(said, 12) for _, said in ticks],
            range=[-0.2 if ticks and ticks[0][0] == UNUSED else -0.06, 1.06],
        )
        if column == 0:
            drawn.update_yaxes(row=row + 1, col=1, title={"text": label(metric), "standoff": 10})
    drawn.update_yaxes(range=typical_range(values, best))
    return styled(drawn, 60 + 205 * n_rows, showlegend=False, margin={"t": 12, "l": 72})


def importances(trials: Sequence[FrozenTrial], direction: Direction) -> dict[str, float] | None:
    """Each param's share in reaching the best trials, by PED-ANOVA (Watanabe et al. 2023).

    The best tenth is looked at, and five trials at least.

    Args:
        trials: of any state.
        direction: of the objective.

    Returns:
        None where fewer than `MIN_TRIALS` are COMPLETE, or no worse one sets the best apart.
    """
    complete = complete_trials(trials)
    quantile = max(0.1, 5 / max(5, len(complete)))
    values = direction.best_first(value_of(t) for t in complete)
    n_best = math.ceil(quantile * len(complete))
    if len(complete) < MIN_TRIALS or values[n_best - 1] == values[-1]:
        return None
    study = optuna.create_study(direction=StudyDirection[direction.name])
    study.add_trials([_bare(trial) for trial in complete])
    evaluator = PedAnovaImportanceEvaluator(target_quantile=quantile)
    return get_param_importances(study, evaluator=evaluator)


def importance_bars(shares: Mapping[str, float]) -> go.Figure:
    """Importances as bars, the greatest first."""
    names = short_names([*shares])
    rows = [*shares.items()][::-1]
    return figure(
        70 + 26 * len(rows),
        go.Bar(
            x=[value for _, value in rows],
            y=[label(names[name]) for name, _ in rows],
            orientation="h",
            marker={"color": COMPLETE},
            text=[f"{value:.0%}" for _, value in rows],
            textposition="outside",
            cliponaxis=False,
            hovertemplate="%{y}: %{x:.1%}<extra></extra>",
        ),
        xaxis={"tickformat": ".0%", "rangemode": "tozero"},
        yaxis={"type": "category"},
        margin={"l": 56, "r": 48, "t": 10, "b": 36},
        bargap=0.35,
    )


class _Objective:
    """The objective's axis: the best value at its top."""

    def __init__(self, *, low: float, high: float, direction: Direction) -> None:
        self._best, self._worst = direction.best_first((low, high))

    def place(self, value: float) -> float:
        return min(1.0, max(0.0, (value - self._worst) / (self._best - self._worst)))

    def value(self, place: float) -> float:
        return self._worst + place * (self._best - self._worst)


def _banded(
    complete: Sequence[FrozenTrial], direction: Direction
) -> list[tuple[str, str, list[FrozenTrial]]]:
    """COMPLETE trials in bands, the best last, so that it is drawn above the others."""
    best_first = sorted(complete, key=lambda t: direction.sign * value_of(t))
    cuts = [math.ceil(part * len(best_first)) for _, _, part in BANDS] + [0]
    return [
        (name, colour, spread(best_first[inner:outer], MAX_LINES))
        for (name, colour, _), outer, inner in zip(BANDS, cuts, cuts[1:], strict=False)
    ]


def _paths(
    trials: Sequence[FrozenTrial], leaves: Mapping[str, Leaf], objective: _Objective
) -> tuple[list[float | None], list[float | None], list[str]]:
    x: list[float | None] = []
    y: list[float | None] = []
    text: list[str] = []
    for trial in trials:
        params = plain_params(trial.params)
        for at, (name, leaf) in enumerate(leaves.items()):
            place = _place(leaf, params.get(name), trial.number)
            x.append(at)
            y.append(round(UNUSED if place is None else place, 4))
            text.append(f"trial {trial.number}: {label(format_param(params.get(name)))}")
        x += [len(leaves), None]
        y += [round(objective.place(value_of(trial)), 4), None]
        text += [f"trial {trial.number}: {trial.value:.5g}", ""]
    return x, y, text


def _place(leaf: Leaf, value: Any, number: int) -> float | None:
    """Where a value is on its param's axis, from 0 to 1; None where there is none.

    Choices are a little apart, trial by trial, so that their dots and lines do not fall into one.
    """
    if value is None:
        return None
    if not leaf.admits(value):
        return UNUSED if value == 0 and leaf.or_zero else None
    if isinstance(leaf, Categorical):
        n = len(leaf.choices)
        apart = ((number * 0.618034) % 1.0 - 0.5) * min(0.1, 0.5 / n)
        return (leaf.choices.index(value) / (n - 1) if n > 1 else 0.5) + apart
    if leaf.low == leaf.high:
        return 0.5
    if leaf.log:
        return math.log(value / leaf.low) / math.log(leaf.high / leaf.low)
    return float((value - leaf.low) / (leaf.high - leaf.low))


def _ends(leaf: Leaf) -> list[tuple[float, str]]:
    """Labels of a parallel axis: both ends of a range, each of some choices."""
    if isinstance(leaf, Categorical):
        n = len(leaf.choices)
        places = [at / (n - 1) if n > 1 else 0.5 for at in range(n)]
        return [(p, format_param(c)) for p, c in zip(places, leaf.choices, strict=True)][:12]
    return [(0.0, format_param(leaf.low)), (1.0, format_param(leaf.high))]


def _ticks(leaf: Leaf, has_zero: bool) -> list[tuple[float, str]]:
    """Labels of a slice's axis."""
    if isinstance(leaf, Categorical):
        return _ends(leaf)
    if leaf.log:
        first, last = math.ceil(math.log10(leaf.low)), math.floor(math.log10(leaf.high))
        every = 1 if last - first < 4 else 2
        values: list[float] = [10.0**power for power in range(first, last + 1, every)]
    else:
        values = spread(leaf.grid() or np.linspace(leaf.low, leaf.high, 5).tolist(), 5)
    if leaf.type == "int":
        values = [round(value) for value in values]
    places = [(_place(leaf, value, 0), f"{value:.3g}") for value in values if value or not leaf.log]
    known = [(place, said) for place, said in places if place is not None and place != UNUSED]
    if len(known) < 2:
        known = _ends(leaf)
    return [(UNUSED, "0"), *known] if has_zero else known


def _note(
    drawn: go.Figure, x: float, y: float, text: str, *, yshift: int = 0, beside: bool = False
) -> None:
    drawn.add_annotation(
        x=x,
        y=y,
        text=text,
        showarrow=False,
        yshift=yshift,
        xshift=5 if beside else 0,
        xanchor="left" if beside else "center",
        font={"size": 10 if beside else 11, "color": INK},
        bgcolor="rgba(255,255,255,0.75)" if beside else None,
    )


def _bare(trial: FrozenTrial) -> FrozenTrial:
    """A trial without what importances do not look at."""
    return optuna.trial.create_trial(
        state=trial.state,
        value=trial.value,
        params=trial.params,
        distributions=trial.distributions,
    )
