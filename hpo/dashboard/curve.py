"""The learning curve of a trial as an SVG image."""

import math
from collections.abc import Iterator, Mapping
from html import escape

from hpo.config.metrics import Direction

_WIDTH, _HEIGHT = 400, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 384, 50, 256
"""Pixels of the axes."""
_N_TICKS = 5
_LINE, _MARK, _GRID, _INK = "#1976d2", "#d81b60", "#e0e0e0", "#424242"


def curve_svg(curve: Mapping[int, float], metric: str, direction: Direction, title: str) -> str:
    """Draw a metric by epoch and mark the best epoch; values that are not finite are left out."""
    points = sorted((step, value) for step, value in curve.items() if math.isfinite(value))
    empty = [_text(_WIDTH / 2, _HEIGHT / 2, "no finite value")]
    body = _drawing(points, metric, direction) if points else empty
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{_HEIGHT}" '
        f'viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif" font-size="12" role="img">\n'
        f"<title>{escape(f'{title}: {metric} by epoch')}</title>\n"
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#ffffff"/>\n'
        + "\n".join([_text(_WIDTH / 2, 20, title), *body])
        + "\n</svg>\n"
    )


def _drawing(points: list[tuple[int, float]], metric: str, direction: Direction) -> Iterator[str]:
    x = _Axis([step for step, _ in points], _LEFT, _RIGHT)
    y = _Axis([value for _, value in points], _BOTTOM, _TOP)
    for value in y.ticks():
        yield f'<path d="M{_LEFT} {y(value):.1f}H{_RIGHT}" stroke="{_GRID}"/>'
        yield _text(_LEFT - 6, y(value) + 4, f"{value:.6g}", "end")
    for step in x.ticks(min_step=1.0):
        yield _text(x(step), _BOTTOM + 18, f"{step:.0f}")
    yield _text((_LEFT + _RIGHT) / 2, _HEIGHT - 8, "epoch")
    line = " ".join(f"{x(step):.1f},{y(value):.1f}" for step, value in points)
    yield f'<polyline points="{line}" fill="none" stroke="{_LINE}" stroke-width="2"/>'
    step, value = min(points, key=lambda point: direction.sign * point[1])
    yield f'<circle cx="{x(step):.1f}" cy="{y(value):.1f}" r="4" fill="{_MARK}"/>'
    yield _text(_RIGHT, _TOP - 10, f"best {metric} {value:.6g}, epoch {step}", "end", _MARK)


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

    def ticks(self, min_step: float = 0.0) -> Iterator[float]:
        """Yield about `_N_TICKS` round values."""
        rough = (self._high - self._low) / _N_TICKS
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(power * nice for nice in (1, 2, 5, 10) if power * nice >= rough)
        step = max(min_step, step)
        for multiple in range(math.ceil(self._low / step), math.floor(self._high / step) + 1):
            yield multiple * step


def _text(x: float, y: float, text: str, anchor: str = "middle", fill: str = _INK) -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{fill}"'
    return f"<text {place}>{escape(text)}</text>"
