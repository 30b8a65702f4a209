"""The live view of `hpo run`: a panel in a terminal, plain lines elsewhere."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from hpo.cli.show import count_text, duration, params_text
from hpo.status import StudyStatus
from hpo.study import Study

PLAIN_SECONDS = 10.0
"""How often a plain view says where the study is."""


class View(Protocol):
    """What a search shows itself in."""

    def update(self, status: StudyStatus) -> None:
        """Show a newer status."""

    def log(self, line: str) -> None:
        """Show a line that a worker wrote."""


class Pace:
    """How fast trials end, and when the budget will be used up at that pace."""

    def __init__(self) -> None:
        """Start counting at the first status."""
        self._first: tuple[float, int] | None = None

    def per_minute(self, status: StudyStatus) -> float:
        """Trials that ended a minute, since the first one looked at."""
        now, n_ended = time.monotonic(), ended(status)
        if self._first is None:
            self._first = (now, n_ended)
        start, before = self._first
        return 60 * (n_ended - before) / max(now - start, 1e-9) if n_ended > before else 0.0

    def left(self, status: StudyStatus) -> float | None:
        """Seconds until trials or time are used up; None while nothing tells."""
        rate = self.per_minute(status)
        bounds = [60 * (status.budget.n_trials - ended(status)) / rate] if rate else []
        budget, share = status.budget, sum(worker.share for worker in status.workers)
        if budget.timeout is not None:
            bounds.append(max(0.0, budget.timeout - status.busy_seconds))
        if budget.device_time is not None and share:
            bounds.append(max(0.0, (budget.device_time - status.device_seconds) / share))
        return min(bounds, default=None)


@contextmanager
def watch(study: Study, n_workers: int) -> Iterator[View]:
    """A view on standard error, of the kind that suits it."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield PlainView(console, study)
        return
    title = f"{study.name}: {study.definition.objective.metric}, {study.definition.direction}"
    with Live(console=console, refresh_per_second=4, transient=False) as live:
        yield Panel(live, f"{title}, {n_workers} workers")


class Panel:
    """A few lines that stay at the bottom while the workers' lines scroll by above."""

    def __init__(self, live: Live, title: str) -> None:
        """Draw into `live`, under a title."""
        self._live = live
        self._title = title
        self._pace = Pace()

    def update(self, status: StudyStatus) -> None:
        """Redraw."""
        self._live.update(self._render(status))

    def log(self, line: str) -> None:
        """Print above the panel."""
        self._live.console.print(line, style="dim", highlight=False, markup=False)

    def _render(self, status: StudyStatus) -> RenderableType:
        bar = ProgressBar(total=status.budget.n_trials, completed=ended(status), width=40)
        head = Table.grid(padding=(0, 1))
        head.add_row(bar, f"{ended(status)}/{status.budget.n_trials} trials")
        return Group(Text(self._title, style="bold"), head, *self._lines(status))

    def _lines(self, status: StudyStatus) -> list[RenderableType]:
        pace, left = self._pace.per_minute(status), self._pace.left(status)
        lines: list[RenderableType] = [
            Text(f"{count_text(status.counts)}; {pruned_share(status):.0%} pruned")
        ]
        if status.best is not None:
            lines.append(Text(f"best {status.best.value:.5g} (trial {status.best.number})"))
            lines.append(Padding(Text(params_text(status.best.params)), (0, 0, 0, 2)))
        time_left = "" if left is None else f", at most {duration(left)} left"
        lines.append(Text(f"{pace:.1f} trials a minute{time_left}"))
        return lines


class PlainView:
    """Lines for logs and pipes: the workers' own, and now and then where the study is."""

    def __init__(self, console: Console, study: Study) -> None:
        """Print to `console`."""
        self._console = console
        self._metric = study.definition.objective.metric
        self._pace = Pace()
        self._next = 0.0
        self._is_over = False

    def update(self, status: StudyStatus) -> None:
        """Print a line when the last is some seconds old or the study is finished."""
        self._pace.per_minute(status)
        if time.monotonic() < self._next and (self._is_over or not status.is_finished):
            return
        self._is_over = status.is_finished
        self._next = time.monotonic() + PLAIN_SECONDS
        parts = [f"{ended(status)}/{status.budget.n_trials} trials", count_text(status.counts)]
        if status.best is not None:
            parts.append(
                f"best {self._metric} {status.best.value:.5g} (trial {status.best.number})"
            )
        parts.append(f"{self._pace.per_minute(status):.1f} trials/min")
        if (left := self._pace.left(status)) is not None and not status.is_finished:
            parts.append(f"at most {duration(left)} left")
        self.log(" | ".join(parts))

    def log(self, line: str) -> None:
        """Print a line."""
        self._console.print(line, soft_wrap=True, highlight=False, markup=False)


def ended(status: StudyStatus) -> int:
    """Trials that reached a final state."""
    return sum(status.counts.get(state, 0) for state in ("COMPLETE", "PRUNED", "FAIL"))


def pruned_share(status: StudyStatus) -> float:
    """Share of the ended trials that were pruned."""
    return status.counts.get("PRUNED", 0) / max(1, ended(status))
