"""The style of the report's figures: colors, axes and labels."""

import html
from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from hpo.results.report.text import shortened

COMPLETE, PRUNED, FAILED = "#2f6db3", "#e0a030", "#c0392b"
BY_STATE = {
    "COMPLETE": ("complete", COMPLETE),
    "PRUNED": ("pruned", PRUNED),
    "FAIL": ("failed", FAILED),
}
"""Name and color of the states of finished trials."""
WINNER, DEFAULT, OTHER = "#12805c", "#7b4fb0", "#64748b"
INK, FAINT, GRID = "#1f2933", "#94a3b8", "#e5e9ef"
BY_KIND = {"winner": WINNER, "default": DEFAULT, "baseline": OTHER}
_FONT = {
    "family": "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif",
    "size": 12,
    "color": INK,
}
_AXIS = {
    "gridcolor": GRID,
    "linecolor": FAINT,
    "zeroline": False,
    "showline": True,
    "exponentformat": "none",
    "automargin": True,
}
_TEMPLATE = go.layout.Template(
    layout={
        "margin": {"l": 56, "r": 16, "t": 28, "b": 44},
        "font": _FONT,
        "hoverlabel": {"bgcolor": "white", "font": _FONT, "align": "left"},
        "hovermode": "closest",
        "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
        "xaxis": _AXIS,
        "yaxis": _AXIS,
    }
)


def styled(drawn: go.Figure, height: int, **layout: Any) -> go.Figure:
    """A figure in the report's style, `height` pixels high; captions stand in for titles."""
    drawn.update_layout(template=_TEMPLATE, height=height, title=None)
    return drawn.update_layout(**layout)


def label(text: object, longest: int = 40) -> str:
    """A text from the study, shortened and escaped: plotly reads some HTML tags in labels."""
    return html.escape(shortened(str(text), longest), quote=False)  # plotly shows &quot; as that


def thinned(items: Sequence[Any], n: int) -> list[Any]:
    """At most n of the items, evenly spaced, including the first and the last."""
    if len(items) <= n:
        return list(items)
    return [items[round(at)] for at in np.linspace(0, len(items) - 1, n)]


def typical_range(values: Sequence[float], best: float | None = None) -> tuple[float, float]:
    """The range of an axis without outliers, more than 2.5 interquartile ranges off.

    Args:
        values: those that are drawn; NaN and infinite ones are ignored.
        best: a value that is within the range in any case.
    """
    known = np.asarray(values, dtype=float)
    known = known[np.isfinite(known)]
    if not known.size:
        return 0.0, 1.0
    first, third = np.quantile(known, [0.25, 0.75])
    reach = 2.5 * (third - first)
    low, high = max(known.min(), first - reach), min(known.max(), third + reach)
    if best is not None:
        low, high = min(low, best), max(high, best)
    margin = 0.06 * (high - low) or abs(high) * 0.05 or 0.5
    return float(low - margin), float(high + margin)
