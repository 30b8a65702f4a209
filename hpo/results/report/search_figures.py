"""Figures of the search: its history, learning curves, trials at once.

What is drawn is thinned, so that a study of ten thousand trials makes a page that a browser can
show; the line of the best value so far is of all trials.
"""

import math
from collections.abc import Iterable, Sequence

import numpy as np
import plotly.graph_objects as go
from optuna.trial import FrozenTrial, TrialState

from hpo.config.trial import Direction
from hpo.results.report.effort import Occupancy, mean_running
from hpo.results.report.style import (
    BY_STATE,
    COMPLETE,
    DEFAULT,
    FAINT,
    INK,
    WINNER,
    figure,
    label,
    spread,
    typical_range,
)

MAX_POINTS = 1500
"""Trials of each state in the history."""
MAX_CURVES, MAX_CURVE_POINTS = 40, 80
"""Learning curves of each fate, and points of a curve."""
MAX_STEPS = 800
"""Changes of the number of running trials that are drawn as they were."""
FATES = {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed"}


def history(trials: Sequence[FrozenTrial], metric: str, direction: Direction) -> go.Figure | None:
    """Values by trial and state, and the best so far; None before anything was measured."""
    by_state = {name: [t for t in trials if t.state.name == name] for name in FATES}
    valued = [t for name in FATES for t in by_state[name] if is_measured(t)]
    if not valued:
        return None
    best = best_so_far(by_state["COMPLETE"], direction)
    scaled = [t for t in valued if t.state == TrialState.COMPLETE] or valued
    low, high = typical_range([value_of(t) for t in scaled], best[-1][1] if best else None)
    inner = (low + 0.015 * (high - low), high - 0.015 * (high - low))
    *_, bottom = direction.best_first((low, high))
    drawn = figure(
        360,
        xaxis={"title": {"text": "trial"}, "rangemode": "tozero"},
        yaxis={"title": {"text": label(metric)}, "range": [low, high]},
    )
    for name, fate in FATES.items():
        shown = spread(by_state[name], MAX_POINTS)
        measured = [t for t in shown if is_measured(t)]
        drawn.add_scatter(
            x=[t.number for t in measured],
            y=[min(max(value_of(t), inner[0]), inner[1]) for t in measured],
            mode="markers",
            name=fate,
            marker={
                "color": BY_STATE[name],
                "size": 7,
                "opacity": 0.75,
                "symbol": [_symbol(value_of(t), low, high) for t in measured],
            },
            text=[f"{t.value:.5g}" for t in measured],
            hovertemplate=f"trial %{{x}}: %{{text}}<extra>{fate}</extra>",
            showlegend=bool(measured),
        )
    lost = [t for t in spread(by_state["FAIL"], MAX_POINTS) if not is_measured(t)]
    if lost:
        drawn.add_scatter(
            x=[t.number for t in lost],
            y=[bottom] * len(lost),
            mode="markers",
            name="failed, without a value",
            cliponaxis=False,
            marker={"color": BY_STATE["FAIL"], "size": 8, "symbol": "x-thin-open"},
            hovertemplate="trial %{x}<extra>failed</extra>",
        )
    if best:
        drawn.add_scatter(
            x=[number for number, _ in best] + [trials[-1].number],
            y=[value for _, value in best] + [best[-1][1]],
            mode="lines",
            name="best so far",
            line={"color": INK, "width": 2, "shape": "hv"},
            hovertemplate="best from trial %{x} on: %{y:.5g}<extra></extra>",
        )
    return drawn


def best_so_far(complete: Iterable[FrozenTrial], direction: Direction) -> list[tuple[int, float]]:
    """The trials that were better than all COMPLETE ones before them, by number."""
    steps: list[tuple[int, float]] = []
    for trial in complete:
        value = trial.value
        if value is not None and (not steps or direction.is_better(value, steps[-1][1])):
            steps.append((trial.number, value))
    return steps


def _symbol(value: float, low: float, high: float) -> str:
    """A dot, or where a value is beyond the axis an arrow that says on which side."""
    if low <= value <= high:
        return "circle"
    return "triangle-down" if value < low else "triangle-up"


def is_measured(trial: FrozenTrial) -> bool:
    """Whether a trial has a finite value."""
    return trial.values is not None and trial.value is not None and math.isfinite(trial.value)


def value_of(trial: FrozenTrial) -> float:
    """The value of a measured trial."""
    assert trial.value is not None
    return trial.value


def learning_curves(
    trials: Sequence[FrozenTrial], metric: str, winner: int | None
) -> go.Figure | None:
    """What trials measured epoch by epoch, coloured by what became of them."""
    reported = [t for t in trials if t.intermediate_values and t.state.is_finished()]
    if not reported:
        return None
    apart = {number for number in (winner, 0) if number is not None}
    titles = {"text": "epoch"}, {"text": label(metric)}
    drawn = figure(380, xaxis={"title": titles[0]}, yaxis={"title": titles[1]})
    values: list[float] = []
    for name, fate in FATES.items():
        of_fate = [t for t in reported if t.state.name == name]
        others = [t for t in of_fate if t.number not in apart]
        if not others:
            continue
        shown = spread(others, MAX_CURVES)
        x, y, text = _lines(shown)
        values += [value for value in y if value is not None]
        drawn.add_scatter(
            x=x,
            y=y,
            text=text,
            mode="lines",
            name=f"{fate} ({len(of_fate):,})",
            line={"color": BY_STATE[name], "width": 1},
            opacity=0.55,
            hovertemplate="%{text}, epoch %{x}: %{y:.5g}<extra></extra>",
        )
    for number, name, colour in ((0, "the default", DEFAULT), (winner, "the winner", WINNER)):
        own = [t for t in reported if t.number == number]
        if not own or (number == 0 and winner == 0 and colour == DEFAULT):
            continue
        x, y, text = _lines(own)
        values += [value for value in y if value is not None]
        drawn.add_scatter(
            x=x,
            y=y,
            text=text,
            mode="lines",
            name=f"{name}, trial {number}",
            line={"color": colour, "width": 3},
            hovertemplate="%{text}, epoch %{x}: %{y:.5g}<extra></extra>",
        )
    drawn.update_yaxes(range=typical_range(values))
    return drawn


def _lines(
    trials: Iterable[FrozenTrial],
) -> tuple[list[int | None], list[float | None], list[str]]:
    """Thinned curves in one trace, gaps between them."""
    x: list[int | None] = []
    y: list[float | None] = []
    text: list[str] = []
    for trial in trials:
        points = spread(sorted(trial.intermediate_values.items()), MAX_CURVE_POINTS)
        x += [step for step, _ in points] + [None]
        y += [value if math.isfinite(value) else None for _, value in points] + [None]
        text += [f"trial {trial.number}"] * (len(points) + 1)
    return x, y, text


def trials_at_once(occupancy: Occupancy) -> go.Figure | None:
    """How many trials ran at each moment since the first one began."""
    if len(occupancy.changes) > MAX_STEPS:
        seconds, running = mean_running(occupancy, MAX_STEPS // 2)
        running = np.append(running, running[-1])
    else:
        seconds, running = occupancy.changes, occupancy.running
    unit, scale = _unit(float(seconds[-1]))
    if not scale:
        return None
    return figure(
        240,
        go.Scatter(
            x=np.round(seconds / scale, 5),
            y=np.round(running, 3),
            mode="lines",
            line={"color": COMPLETE, "width": 1.2, "shape": "hv"},
            fill="tozeroy",
            fillcolor="rgba(47, 109, 179, 0.18)",
            hovertemplate=f"after %{{x:.4g}} {unit}: %{{y:.3g}}<extra></extra>",
        ),
        xaxis={"title": {"text": f"{unit} since the first trial began"}, "rangemode": "tozero"},
        yaxis={
            "title": {"text": "trials at once"},
            "rangemode": "tozero",
            "dtick": 1 if occupancy.all.peak <= 8 else None,
        },
        shapes=[
            {
                "type": "line",
                "xref": "paper",
                "x0": 0,
                "x1": 1,
                "y0": occupancy.all.at_once,
                "y1": occupancy.all.at_once,
                "line": {"color": FAINT, "dash": "dash", "width": 1},
            }
        ],
        showlegend=False,
        margin={"l": 56, "r": 16, "t": 10, "b": 44},
    )


def _unit(seconds: float) -> tuple[str, float]:
    """The unit in which a span is best said, and its seconds; 0 of an empty span."""
    if seconds <= 0:
        return "seconds", 0.0
    if seconds < 300:
        return "seconds", 1.0
    return ("minutes", 60.0) if seconds < 3 * 3600 else ("hours", 3600.0)


def complete_trials(trials: Iterable[FrozenTrial]) -> list[FrozenTrial]:
    """The COMPLETE trials with a finite value."""
    return [t for t in trials if t.state == TrialState.COMPLETE and is_measured(t)]
