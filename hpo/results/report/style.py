"""How the report's figures look: colours, axes, and labels that stay text.

Plotly reads a few HTML tags in its labels; what comes from a study goes through `label`.
"""

import html
from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from hpo.results.report.text import shortened

COMPLETE, PRUNED, FAILED = "#2f6db3", "#e0a030", "#c0392b"
WINNER, DEFAULT, OTHER = "#12805c", "#7b4fb0", "#64748b"
INK, FAINT, GRID = "#1f2933", "#94a3b8", "#e5e9ef"
BY_STATE = {"COMPLETE": COMPLETE, "PRUNED": PRUNED, "FAIL": FAILED}
BY_KIND = {"winner": WINNER, "default": DEFAULT, "baseline": OTHER}
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
AXIS: dict[str, Any] = {
    "gridcolor": GRID,
    "linecolor": FAINT,
    "zeroline": False,
    "showline": True,
    "ticks": "outside",
    "tickcolor": FAINT,
    "ticklen": 4,
    "automargin": True,
}


LAYOUT: dict[str, Any] = {
    "template": None,
    "margin": {"l": 56, "r": 16, "t": 28, "b": 44},
    "font": {"family": FONT, "size": 12, "color": INK},
    "paper_bgcolor": "white",
    "plot_bgcolor": "white",
    "hoverlabel": {"bgcolor": "white", "font": {"family": FONT, "size": 12}, "align": "left"},
    "hovermode": "closest",
    "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
}


def figure(height: int, *traces: Any, **layout: Any) -> go.Figure:
    """A figure of one panel."""
    return styled(go.Figure(list(traces)), height, **layout)


def styled(drawn: go.Figure, height: int, **layout: Any) -> go.Figure:
    """A figure in the report's style; every axis of it looks alike."""
    drawn.update_layout({**LAYOUT, "height": height})
    drawn.update_layout(layout)
    drawn.update_xaxes(**AXIS)
    drawn.update_yaxes(**AXIS)
    return drawn


def label(text: object, longest: int = 40) -> str:
    """A text of the study's as a label that shows it as it is."""
    return html.escape(shortened(str(text), longest), quote=False)  # plotly shows &quot; as that


def spread(items: Sequence[Any], n: int) -> list[Any]:
    """At most n of some items, evenly spaced, the first and the last among them."""
    if len(items) <= n:
        return list(items)
    return [items[round(at)] for at in np.linspace(0, len(items) - 1, n)]


def typical_range(values: Sequence[float], best: float | None = None) -> tuple[float, float]:
    """The range of an axis that a few far values do not stretch.

    Args:
        values: what is drawn; what is not finite is passed over.
        best: shown in any case.
    """
    known: NDArray[np.float64] = np.asarray(values, dtype=float)
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
