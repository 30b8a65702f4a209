"""The learning curve of a trial as an SVG image."""

import math
from collections.abc import Iterator, Mapping
from html import escape

from hpo.config.trial import Direction

_WIDTH, _HEIGHT = 400, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 16, 50, 44
"""Margins around the axes, in pixels."""
_N_TICKS = 5
_LINE, _MARK, _GRID, _INK = "#1976d2", "#d81b60", "#e0e0e0", "#424242"


def curve_svg(curve: Mapping[int, float], metric: str, direction: Direction, title: str) -> str:
    """Draw a metric by epoch and mark the best epoch.

    Args:
        curve: values by epoch; those that are not finite are left out.
        metric: name of the metric.
        direction: which values are better.
        title: title of the image.
    """
    points = sorted((step, value) for step, value in curve.items() if math.isfinite(value))
    nothing = [_text(_WIDTH / 2, _HEIGHT / 2, "no finite value")]
    body = list(_drawing(points, metric, direction)) if points else nothing
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" '
        f'height="{_HEIGHT}" font-family="sans-serif" font-size="12" role="img">\n'
        f"<title>{escape(f'{title}: {metric} by epoch')}</title>\n"
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#ffffff"/>\n'
        + "\n".join([_text(_WIDTH / 2, 20, title), *body])
        + "\n</svg>\n"
    )


def _drawing(points: list[tuple[int, float]], metric: str, direction: Direction) -> Iterator[str]:
    across = _Axis([step for step, _ in points], _LEFT, _WIDTH - _RIGHT)
    up = _Axis([value for _, value in points], _HEIGHT - _BOTTOM, _TOP)
    for value in up.ticks():
        at = up(value)
        yield f'<path d="M{_LEFT} {at:.1f}H{_WIDTH - _RIGHT}" stroke="{_GRID}"/>'
        yield _text(_LEFT - 6, at + 4, f"{value:.6g}", "end")
    for step in across.ticks(whole=True):
        yield _text(across(step), _HEIGHT - _BOTTOM + 18, f"{step:.0f}")
    yield _text((_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 8, "epoch")
    placed = " ".join(f"{across(step):.1f},{up(value):.1f}" for step, value in points)
    yield f'<polyline points="{placed}" fill="none" stroke="{_LINE}" stroke-width="2"/>'
    step, value = min(points, key=lambda point: direction.sign * point[1])
    yield f'<circle cx="{across(step):.1f}" cy="{up(value):.1f}" r="4" fill="{_MARK}"/>'
    yield _text(
        _WIDTH - _RIGHT, _TOP - 10, f"best {metric} {value:.6g}, epoch {step}", "end", _MARK
    )


class _Axis:
    """Maps values to the pixels between two positions."""

    def __init__(self, values: list[int] | list[float], first: float, last: float) -> None:
        self._low, self._high = min(values), max(values)
        if self._low == self._high:
            margin = abs(self._low) * 0.1 or 1.0
            self._low, self._high = self._low - margin, self._high + margin
        self._first, self._length = first, last - first

    def __call__(self, value: float) -> float:
        share = (value - self._low) / (self._high - self._low)
        return self._first + share * self._length

    def ticks(self, *, whole: bool = False) -> Iterator[float]:
        """Yield about `_N_TICKS` round values."""
        rough = (self._high - self._low) / _N_TICKS
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(power * nice for nice in (1, 2, 5, 10) if power * nice >= rough)
        step = max(1.0, step) if whole else step
        for at in range(math.ceil(self._low / step), math.floor(self._high / step) + 1):
            yield at * step


def _text(x: float, y: float, text: str, anchor: str = "middle", fill: str = _INK) -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{fill}"'
    return f"<text {place}>{escape(text)}</text>"
