"""Figures of the models: the leaders' intervals, the comparison, the winner on the test part."""

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from hpo.results.report.comparison import ComparedModel, Leader, OnTest
from hpo.results.report.style import (
    BY_KIND,
    COMPLETE,
    DEFAULT,
    FAINT,
    WINNER,
    figure,
    label,
    styled,
)

MAX_DOTS = 2000
"""Test rows that are drawn."""
MAX_CLASSES = 25
MAX_COUNTED = 12
"""Classes up to which each cell of a confusion matrix says its number."""


def leader_intervals(leaders: Sequence[Leader], metric: str) -> go.Figure | None:
    """The leaders' metric with its interval; the winner's shaded across."""
    known = [each for each in leaders if each.interval is not None and each.metric is not None]
    if not known:
        return None
    rows = list(reversed(known))
    drawn = figure(
        70 + 24 * len(rows),
        xaxis={"title": {"text": f"{label(metric)}, validation"}},
        yaxis={"type": "category"},
        margin={"l": 56, "r": 16, "t": 8, "b": 44},
        showlegend=False,
    )
    for each in rows:
        assert each.interval is not None
        assert each.metric is not None
        number = each.row.number
        colour = WINNER if each.rank == 1 else DEFAULT if number == 0 else COMPLETE
        drawn.add_scatter(
            x=[each.interval.low, each.interval.high],
            y=[_name(number)] * 2,
            mode="lines",
            line={"color": colour, "width": 3},
            hoverinfo="skip",
        )
        drawn.add_scatter(
            x=[each.metric],
            y=[_name(number)],
            mode="markers",
            marker={"color": colour, "size": 9},
            hovertemplate=(
                f"%{{y}}: %{{x:.5g}}, {each.interval.low:.5g} to {each.interval.high:.5g}"
                "<extra></extra>"
            ),
        )
    ends = [end for each in known if (own := each.interval) for end in (own.low, own.high)]
    margin = 0.04 * (max(ends) - min(ends))
    drawn.update_xaxes(range=[min(ends) - margin, max(ends) + margin])
    first = known[0].interval
    assert first is not None
    drawn.add_vrect(
        x0=first.low, x1=first.high, fillcolor=WINNER, opacity=0.07, line_width=0, layer="below"
    )
    return drawn


def contenders(rows: Sequence[ComparedModel], metric: str, said: str) -> go.Figure | None:
    """Validation and test metric of the winner, the default and the baselines, as far as known.

    Args:
        rows: all that are compared.
        metric: by which.
        said: what it is called.
    """
    known = [each for each in reversed(rows) if _values(each, metric)]
    if len(known) < 2:
        return None
    drawn = figure(
        84 + 30 * len(known),
        xaxis={"title": {"text": label(said)}},
        yaxis={"type": "category"},
        margin={"l": 56, "r": 16, "t": 30, "b": 44},
    )
    names = [_contender(each) for each in known]
    for each, name in zip(known, names, strict=True):
        ends = list(_values(each, metric).values())
        drawn.add_scatter(
            x=ends,
            y=[name] * len(ends),
            mode="lines",
            line={"color": FAINT, "width": 1.5},
            showlegend=False,
            hoverinfo="skip",
        )
    for part, symbol in (("validation", "circle-open"), ("test", "circle")):
        met = [(e, n) for e, n in zip(known, names, strict=True) if part in _values(e, metric)]
        drawn.add_scatter(
            x=[each.metrics[part][metric] for each, _ in met],
            y=[name for _, name in met],
            mode="markers",
            name=part,
            marker={
                "symbol": symbol,
                "size": 11,
                "color": [BY_KIND[each.kind] for each, _ in met],
                "line": {"width": 2, "color": [BY_KIND[each.kind] for each, _ in met]},
            },
            hovertemplate=f"%{{y}}, {part}: %{{x:.5g}}<extra></extra>",
        )
    drawn.update_yaxes(categoryorder="array", categoryarray=names)
    return drawn


def confusion(on_test: OnTest, classes: Sequence[str]) -> go.Figure:
    """Test rows by true and predicted class; colours are shares of the true class.

    Of more than `MAX_CLASSES`, those with the most wrong rows are shown.
    """
    n = len(classes)
    truth, predicted = on_test.y.astype(int), on_test.outputs.argmax(axis=1)
    counts = np.bincount(truth * n + predicted, minlength=n * n).reshape(n, n)
    kept = np.arange(n)
    if n > MAX_CLASSES:
        wrong = counts.sum(axis=0) + counts.sum(axis=1) - 2 * counts.diagonal()
        kept = np.sort(np.argsort(-wrong, kind="stable")[:MAX_CLASSES])
    shares = counts / counts.sum(axis=1, keepdims=True).clip(1)
    names = [label(classes[at], 24) for at in kept.tolist()]
    shown = counts[np.ix_(kept, kept)]
    side = 150 + 34 * min(len(kept), 14)
    return figure(
        side,
        go.Heatmap(
            z=shares[np.ix_(kept, kept)],
            x=names,
            y=names,
            colorscale=[[0, "#ffffff"], [0.02, "#eaf1f9"], [1, COMPLETE]],
            zmin=0,
            zmax=1,
            xgap=1,
            ygap=1,
            text=[[f"{n:,}" for n in row] for row in shown],
            texttemplate="%{text}" if len(kept) <= MAX_COUNTED else None,
            colorbar={"title": {"text": "of true class"}, "tickformat": ".0%", "thickness": 12},
            hovertemplate=("true %{y}, predicted %{x}: %{text} rows, %{z:.1%}<extra></extra>"),
        ),
        xaxis={"title": {"text": "predicted"}, "type": "category"},
        yaxis={"title": {"text": "true"}, "type": "category", "autorange": "reversed"},
        margin={"l": 56, "r": 16, "t": 12, "b": 44},
    )


def residuals(on_test: OnTest, target: str) -> go.Figure:
    """Predicted against true, and how the errors lie."""
    y, outputs = on_test.y.astype(float), on_test.outputs.astype(float)
    errors = outputs - y
    dots = np.arange(len(y))
    if len(y) > MAX_DOTS:
        dots = np.random.default_rng(0).choice(len(y), MAX_DOTS, replace=False)
    drawn = make_subplots(rows=1, cols=2, column_widths=[0.58, 0.42], horizontal_spacing=0.1)
    drawn.add_scatter(
        row=1,
        col=1,
        x=y[dots],
        y=outputs[dots],
        mode="markers",
        marker={"color": COMPLETE, "size": 4, "opacity": 0.35},
        hovertemplate="true %{x:.4g}, predicted %{y:.4g}<extra></extra>",
    )
    ends = [float(min(y.min(), outputs.min())), float(max(y.max(), outputs.max()))]
    drawn.add_scatter(
        row=1,
        col=1,
        x=ends,
        y=ends,
        mode="lines",
        line={"color": WINNER, "width": 1.5, "dash": "dash"},
        hoverinfo="skip",
    )
    low, high = np.quantile(errors, [0.005, 0.995])
    counts, edges = np.histogram(errors, bins=50, range=(low, high if high > low else low + 1))
    drawn.add_bar(
        row=1,
        col=2,
        x=(edges[1:] + edges[:-1]) / 2,
        y=counts,
        width=np.diff(edges),
        marker={"color": COMPLETE, "opacity": 0.8},
        hovertemplate="%{x:.4g}: %{y:,} rows<extra></extra>",
    )
    styled(drawn, 380, showlegend=False, bargap=0, margin={"t": 12})
    drawn.update_xaxes(title={"text": f"true {label(target, 24)}"}, row=1, col=1)
    drawn.update_yaxes(title={"text": f"predicted {label(target, 24)}"}, row=1, col=1)
    drawn.update_xaxes(title={"text": "predicted less true"}, row=1, col=2)
    drawn.update_yaxes(title={"text": "test rows"}, row=1, col=2)
    return drawn


def _name(number: int) -> str:
    return f"trial {number}" + (" (default)" if number == 0 else "")


def _values(each: ComparedModel, metric: str) -> dict[str, float]:
    """A metric by part, where it has a value."""
    return {part: found[metric] for part, found in each.metrics.items() if metric in found}


def _contender(each: ComparedModel) -> str:
    said = {"winner": "winner, ", "default": "default, "}.get(each.kind, "")
    return label(said + each.name)
