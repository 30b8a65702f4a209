"""How reports and the command line write numbers, durations and params."""

from collections.abc import Sequence
from typing import Any

_NONE = "\u2013"


def number(value: float | None, digits: int = 4) -> str:
    """A number to some significant digits; None is a dash."""
    if value is None:
        return _NONE
    if isinstance(value, int) or value == 0:
        return f"{value or 0:,.0f}"  # -0.0 is 0
    return f"{value:#.{digits}g}".removesuffix(".").replace("-", "\u2212")


def percent(part: float, whole: float) -> str:
    """`12 %` or `0.4 %`."""
    value = 100 * part / whole if whole else 0.0
    digits = 0 if value >= 10 or value == 0 else 1
    return f"{value:.{digits}f}\u00a0%"


def duration(seconds: float) -> str:
    """`4.2 s`, `45 s`, `3 min 20 s` or `2 h 5 min`."""
    if seconds < 10:
        return f"{round(seconds, 1):g} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600:,} h {whole % 3600 // 60} min"


def pluralize(n: int, one: str, many: str | None = None) -> str:
    """`1 trial`, `3 trials`."""
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def shortened(text: str, longest: int = 60) -> str:
    """The text, cut to a number of characters."""
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def short_names(names: Sequence[str]) -> dict[str, str]:
    """Each param's short name: its last part, unless another param ends in the same."""
    last = {name: name.removesuffix(".on").split(".")[-1] for name in names}
    last |= {name: f"{end} on" for name, end in last.items() if name.endswith(".on")}
    if "optimizer.name" in last:
        last["optimizer.name"] = "optimizer"
    ends = list(last.values())
    return {name: end if ends.count(end) == 1 else name for name, end in last.items()}


def format_param(value: Any) -> str:
    """A param's value; None is a dash."""
    if value is None:
        return _NONE
    if isinstance(value, float):
        return f"{value:.3g}"
    return shortened(str(value))
