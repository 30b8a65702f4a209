"""Figures of the search: its history, learning curves, concurrent trials.

Long searches are thinned, so that a browser can show a study of ten thousand trials. The line of
the best value so far uses all trials.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from optuna.trial import FrozenTrial, TrialState

from hpo.config.metrics import Direction
from hpo.results.report.effort import Concurrency
from hpo.results.report.style import (
    BY_STATE,
    COMPLETE,
    DEFAULT,
    FAINT,
    INK,
    WINNER,
    label,
    styled,
    thinned,
    typical_range,
)

MAX_POINTS = 1500
"""Trials of each state in the history."""
MAX_CURVES, _MAX_CURVE_POINTS = 40, 80
"""Learning curves of each state, and points of a curve."""


def history(trials: Sequence[FrozenTrial], metric: str, direction: Direction) -> go.Figure | None:
    """Values by trial and state, and the best so far; None before anything was measured.

    `optuna.visualization` would leave out pruned and failed trials.
    """
    measured = [t for t in trials if is_measured(t)]
    if not measured:
        return None
    best = best_so_far(complete_trials(trials), direction)
    scale = [value_of(t) for t in complete_trials(trials) or measured]
    low, high = typical_range(scale, best[-1][1] if best else None)
    edge = 0.015 * (high - low)
    drawn = go.Figure()
    worst = direction.best_first((low, high))[-1]  # for trials that failed without a value
    for state, (name, color) in BY_STATE.items():
        own = [t for t in trials if t.state.name == state and (is_measured(t) or state == "FAIL")]
        own = thinned(own, MAX_POINTS)
        values = [value_of(t) if is_measured(t) else worst for t in own]
        drawn.add_scatter(
            x=[t.number for t in own],
            y=np.clip(values, low + edge, high - edge),
            mode="markers",
            name=name,
            marker={"color": color, "size": 7, "opacity": 0.75},
            marker_symbol="x" if state == "FAIL" else "circle",
            text=[f"{t.value:.5g}" if is_measured(t) else "no value" for t in own],
            hovertemplate="trial %{x}: %{text}",
            showlegend=bool(own),
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
    drawn.update_xaxes(title="trial", rangemode="tozero")
    drawn.update_yaxes(title=label(metric), range=[low, high])
    return styled(drawn, 360)


def best_so_far(complete: Iterable[FrozenTrial], direction: Direction) -> list[tuple[int, float]]:
    """Number and value of each trial that was better than all COMPLETE ones before it."""
    steps: list[tuple[int, float]] = []
    for trial in complete:
        if not steps or direction.is_better(value_of(trial), steps[-1][1]):
            steps.append((trial.number, value_of(trial)))
    return steps


def learning_curves(
    trials: Sequence[FrozenTrial], metric: str, winner: int | None
) -> go.Figure | None:
    """Intermediate values by epoch, colored by the trial's state."""
    reported = [t for t in trials if t.intermediate_values and t.state.is_finished()]
    if not reported:
        return None
    drawn = go.Figure()
    special = {0: ("default", DEFAULT), winner: ("winner", WINNER)}
    for state, (name, color) in BY_STATE.items():
        own = [t for t in reported if t.state.name == state]
        others = [t for t in own if t.number not in special]
        if others:
            about = f"{name} ({len(own):,})"
            drawn.add_scatter(**_curves(thinned(others, MAX_CURVES), about, color, 1))
    for number, (name, color) in special.items():
        for trial in reported:
            if trial.number == number:
                drawn.add_scatter(**_curves([trial], f"{name}, trial {number}", color, 3))
    values = [value for curves in drawn.data for value in curves.y if value is not None]
    drawn.update_xaxes(title="epoch")
    drawn.update_yaxes(title=label(metric), range=typical_range(values))
    return styled(drawn, 380)


def _curves(trials: Iterable[FrozenTrial], name: str, color: str, width: int) -> dict[str, Any]:
    """The scatter trace of some trials' curves, with gaps between them."""
    points: list[tuple[int | None, float | None, str]] = []
    for trial in trials:
        for step, value in thinned(sorted(trial.intermediate_values.items()), _MAX_CURVE_POINTS):
            points.append((step, value if math.isfinite(value) else None, f"trial {trial.number}"))
        points.append((None, None, ""))
    x, y, text = zip(*points, strict=True)
    return {
        "x": x,
        "y": y,
        "text": text,
        "name": name,
        "mode": "lines",
        "line": {"color": color, "width": width},
        "opacity": 0.55 if width == 1 else 1,
        "hovertemplate": "%{text}, epoch %{x}: %{y:.5g}<extra></extra>",
    }


def concurrent_trials(concurrency: Concurrency) -> go.Figure:
    """The mean number of running trials in equal spans of time since the first one started."""
    seconds = concurrency.edges[-1]
    unit, scale = ("hours", 3600) if seconds >= 3 * 3600 else ("minutes", 60)
    if seconds < 300:
        unit, scale = "seconds", 1
    drawn = go.Figure()
    drawn.add_scatter(
        x=np.round(concurrency.edges / scale, 5),
        y=np.round(np.append(concurrency.running, concurrency.running[-1]), 3),
        mode="lines",
        line={"color": COMPLETE, "width": 1.2, "shape": "hv"},
        fill="tozeroy",
        fillcolor="rgba(47, 109, 179, 0.18)",
        hovertemplate=f"after %{{x:.4g}} {unit}: %{{y:.3g}}<extra></extra>",
    )
    drawn.add_hline(concurrency.all.mean_running, line={"color": FAINT, "dash": "dash", "width": 1})
    drawn.update_xaxes(title=f"{unit} since the first trial started", rangemode="tozero")
    drawn.update_yaxes(title="concurrent trials", rangemode="tozero")
    if concurrency.all.peak <= 8:
        drawn.update_yaxes(dtick=1)
    return styled(drawn, 240, showlegend=False, margin_t=10)


def is_measured(trial: FrozenTrial) -> bool:
    """Whether a trial has a finite value."""
    return trial.values is not None and trial.value is not None and math.isfinite(trial.value)


def value_of(trial: FrozenTrial) -> float:
    """The value of a measured trial."""
    assert trial.value is not None
    return trial.value


def complete_trials(trials: Iterable[FrozenTrial]) -> list[FrozenTrial]:
    """The COMPLETE trials with a finite value."""
    return [t for t in trials if t.state == TrialState.COMPLETE and is_measured(t)]
