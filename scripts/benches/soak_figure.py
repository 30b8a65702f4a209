"""The figure of a soak: times of calls and memory of processes against the number of trials."""

import math
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from benches.records import Record
from plotly.subplots import make_subplots

from hpo.results.report.style import styled
from tests.support.browser import chromium

PANELS: tuple[tuple[str, Mapping[str, str]], ...] = (
    (
        "CPU ms per call",
        {
            "draw params": "#7b4fb0",
            "claim": "#2f6db3",
            "tell": "#12805c",
            "report": "#e0a030",
            "refresh the snapshot": "#c0392b",
            "read the status": "#64748b",
        },
    ),
    ("MiB", {"worker": "#2f6db3", "hpo run": "#64748b", "dashboard": "#c0392b"}),
)
"""Title of each panel, and the color of each line."""
DASHES = ("solid", "dot", "dash")
N_POINTS = 16
FIRST = 100
WIDTH, HEIGHT = 1000, 460


def draw(soaks: Mapping[str, Sequence[Record]], n_trials: int, path: Path) -> None:
    """Draw the records of each storage, and write a picture."""
    storages = list(zip(soaks, DASHES, strict=False))
    shown = ", ".join(f"{storage} {dash}" for storage, dash in storages)
    titles = [f"{title} ({shown})" for title, _ in PANELS]
    figure = make_subplots(cols=len(PANELS), subplot_titles=titles, horizontal_spacing=0.08)
    for storage, dash in storages:
        for column, (_, colors) in enumerate(PANELS, 1):
            for what, color in colors.items():
                points = _points([r for r in soaks[storage] if r.what == what], n_trials)
                figure.add_scatter(
                    x=[n for n, _ in points],
                    y=[y for _, y in points],
                    name=what,
                    showlegend=dash == DASHES[0],
                    mode="lines+markers",
                    line={"color": color, "dash": dash},
                    marker={"size": 4},
                    row=1,
                    col=column,
                )
    styled(figure, HEIGHT, width=WIDTH)
    figure.update_layout(
        legend={"y": -0.18, "yanchor": "top", "entrywidth": 220}, margin={"b": 130}
    )
    figure.update_xaxes(type="log", title="trials of the study", dtick=1)
    figure.update_yaxes(rangemode="tozero")
    figure.update_yaxes(type="log", rangemode="normal", dtick="D2", col=1)
    with tempfile.TemporaryDirectory() as folder, chromium() as browser:
        page = Path(folder, "figure.html")
        figure.write_html(page, include_plotlyjs=True)
        tab = browser.new_page(viewport={"width": WIDTH + 20, "height": HEIGHT + 20})
        tab.goto(page.as_uri())
        tab.locator(".plot-container").screenshot(path=path)


def _points(records: Sequence[Record], n_trials: int) -> list[tuple[float, float]]:
    """The number of trials and the mean of the records in intervals of equal ratio."""
    first = min(FIRST, n_trials)
    ratio = math.log(n_trials / first) / N_POINTS or 1.0
    groups: dict[int, list[Record]] = {}
    for record in records:
        if record.n_trials >= first:
            index = min(int(math.log(record.n_trials / first) / ratio), N_POINTS - 1)
            groups.setdefault(index, []).append(record)
    return [
        (
            statistics.fmean(r.n_trials for r in group),
            statistics.fmean(r.cpu or r.value for r in group),
        )
        for _, group in sorted(groups.items())
    ]
