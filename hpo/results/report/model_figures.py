"""Figures of the models: the leaders' intervals, the comparison, the winner on the test part."""

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots
from sklearn.metrics import confusion_matrix

from hpo.results.report.comparison import ComparedModel, Leader, TestPredictions
from hpo.results.report.style import BY_KIND, COMPLETE, DEFAULT, FAINT, WINNER, label, styled

MAX_DOTS = 2000
"""Test rows that are drawn."""
MAX_CLASSES = 25
_MAX_COUNTED = 12
"""Classes up to which each cell of a confusion matrix shows its number of rows."""


def leader_intervals(leaders: Sequence[Leader], metric: str) -> go.Figure | None:
    """The leaders' metric with its interval; the winner's interval is shaded across."""
    drawn = go.Figure()
    for each in reversed(leaders):
        if each.interval is None or each.metric is None:
            continue
        low, high, number = each.interval.low, each.interval.high, each.row.number
        color = WINNER if each.rank == 1 else DEFAULT if number == 0 else COMPLETE
        drawn.add_scatter(
            x=[low, each.metric, high],
            y=[f"trial {number}" + (" (default)" if number == 0 else "")] * 3,
            line={"color": color, "width": 3},
            mode="lines+markers",
            marker={"size": [0, 9, 0], "opacity": 1},
            hovertemplate=f"%{{y}}: {each.metric:.5g}, {low:.5g} to {high:.5g}<extra></extra>",
        )
        if each.rank == 1:
            drawn.add_vrect(low, high, fillcolor=WINNER, opacity=0.07, line_width=0, layer="below")
    if not drawn.data:
        return None
    drawn.update_xaxes(title=f"{label(metric)}, validation")
    drawn.update_yaxes(type="category")
    return styled(drawn, 70 + 24 * len(drawn.data), margin_t=8, showlegend=False)


def compared(rows: Sequence[ComparedModel], metric: str, name: str) -> go.Figure | None:
    """Validation and test metric of the winner, the default and the baselines, where known.

    Args:
        rows: the compared models.
        metric: the metric to compare them by.
        name: what the metric is called.
    """
    values = {
        label(each.title): {part: m[metric] for part, m in each.metrics.items() if metric in m}
        for each in reversed(rows)
    }
    colors = {label(each.title): BY_KIND[each.kind] for each in rows}
    values = {title: by_part for title, by_part in values.items() if by_part}
    if len(values) < 2:
        return None
    drawn = go.Figure()
    for title, by_part in values.items():
        ends = {"x0": min(by_part.values()), "x1": max(by_part.values()), "y0": title, "y1": title}
        drawn.add_shape(type="line", **ends, line={"color": FAINT, "width": 1.5}, layer="below")
    for part, symbol in (("validation", "circle-open"), ("test", "circle")):
        known = {title: by_part[part] for title, by_part in values.items() if part in by_part}
        color = [colors[title] for title in known]
        drawn.add_scatter(
            x=[*known.values()],
            y=[*known],
            mode="markers",
            name=part,
            marker={
                "symbol": symbol,
                "size": 11,
                "color": color,
                "line": {"color": color, "width": 2},
            },
            hovertemplate=f"%{{y}}, {part}: %{{x:.5g}}<extra></extra>",
        )
    drawn.update_xaxes(title=label(name))
    drawn.update_yaxes(type="category", categoryorder="array", categoryarray=[*values])
    return styled(drawn, 84 + 30 * len(values), margin_t=30)


def confusion(on_test: TestPredictions, classes: Sequence[str]) -> go.Figure:
    """Test rows by true and predicted class, colored by the share of the true class.

    If there are more than `MAX_CLASSES`, those with the most wrong rows are shown.
    """
    n = len(classes)
    counts = confusion_matrix(on_test.y, on_test.outputs, labels=np.arange(n))
    wrong = counts.sum(axis=0) + counts.sum(axis=1) - 2 * counts.diagonal()
    kept = np.sort(np.argsort(-wrong, kind="stable")[:MAX_CLASSES])
    cells = np.ix_(kept, kept)
    names = [label(classes[at], 24) for at in kept]
    drawn = go.Figure(
        go.Heatmap(
            z=(counts / counts.sum(axis=1, keepdims=True).clip(1))[cells],
            x=names,
            y=names,
            colorscale=[[0, "#ffffff"], [0.02, "#eaf1f9"], [1, COMPLETE]],
            zmin=0,
            zmax=1,
            xgap=1,
            ygap=1,
            text=counts[cells],
            texttemplate="%{text:,}" if len(kept) <= _MAX_COUNTED else None,
            colorbar={"title": {"text": "of true class"}, "tickformat": ".0%", "thickness": 12},
            hovertemplate="true %{y}, predicted %{x}: %{text:,} rows, %{z:.1%}<extra></extra>",
        )
    )
    drawn.update_xaxes(title="predicted", type="category")
    drawn.update_yaxes(title="true", type="category", autorange="reversed")
    return styled(drawn, 150 + 34 * min(len(kept), 14), margin_t=12)


def residuals(on_test: TestPredictions, target: str) -> go.Figure:
    """Predicted against true values, and the histogram of the errors."""
    y, outputs = on_test.y.astype(float), on_test.outputs.astype(float)
    dots = np.random.default_rng(0).permutation(len(y))[:MAX_DOTS]
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
    ends = {"x0": y.min(), "y0": y.min(), "x1": y.max(), "y1": y.max()}
    drawn.add_shape(type="line", **ends, line={"color": WINNER, "dash": "dash"}, row=1, col=1)
    errors = outputs - y
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
    drawn.update_xaxes(title=f"true {label(target, 24)}", row=1, col=1)
    drawn.update_yaxes(title=f"predicted {label(target, 24)}", row=1, col=1)
    drawn.update_xaxes(title="predicted minus true", row=1, col=2)
    drawn.update_yaxes(title="test rows", row=1, col=2)
    return styled(drawn, 380, showlegend=False, bargap=0, margin_t=12)
