"""Live views of a study: a panel in a terminal, plain lines elsewhere."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from rich.console import Console
from rich.live import Live

from hpo.cli.panel import StatusPanel
from hpo.cli.show import status_json, time_left
from hpo.config.errors import StorageUnavailableError
from hpo.results.report.text import duration
from hpo.storage.best import OptimizationHistory
from hpo.study.status import StudyStatus
from hpo.study.study import Study

POLL_SECONDS = 1.0
PLAIN_SECONDS = 10.0
"""Time between two status lines of a plain view."""
LOG_LINES = 8
"""Lines of the terminal that are left for the logs of workers."""


class ProgressView(Protocol):
    """A view of a running search."""

    def update(self, status: StudyStatus) -> None:
        """Show the current status."""

    def log(self, line: str) -> None:
        """Show a line that a worker logged."""


@contextmanager
def watch(
    study: Study, n_workers: int | None = None, where: str = "here"
) -> Iterator[ProgressView]:
    """Open the view that suits the output: a terminal or not.

    Args:
        study: the study to watch.
        n_workers: number of workers of the command's own search, shown on standard error beside
            their logs; None to only watch, on standard output.
        where: where the workers run.
    """
    console = Console(stderr=n_workers is not None)
    if not console.is_terminal:
        yield PlainView(console, study, prints_failures=n_workers is None)
        return
    title = f"{study.name}, {study.definition.metric_label} {study.definition.direction}d"
    if n_workers is not None:
        title += f", {n_workers} worker{'s' if n_workers > 1 else ''} {where}"
    with Live(console=console, auto_refresh=False) as live:
        yield Panel(live, title, n_free_lines=1 if n_workers is None else LOG_LINES)


def follow(study: Study, view: ProgressView) -> None:
    """Show a study's progress until it is finished and its workers have ended.

    Raises:
        StudyNotFoundError: the study was deleted.
    """
    trend, is_away = OptimizationHistory(), False
    while True:
        try:
            status = study.progress(trend)
        except StorageUnavailableError as error:
            if not is_away:
                view.log(f"{error}; retrying until it is back")
            is_away = True
        else:
            is_away = False
            view.update(status)
            if status.is_finished and not status.worker_rows:
                return
        time.sleep(POLL_SECONDS)


@dataclass(frozen=True)
class Panel:
    """A panel at the bottom of the terminal; the logs of workers scroll above it."""

    live: Live
    title: str
    n_free_lines: int

    def update(self, status: StudyStatus) -> None:
        """Redraw the panel."""
        self.live.update(StatusPanel(status, self.title, self.n_free_lines), refresh=True)

    def log(self, line: str) -> None:
        """Print a line above the panel."""
        self.live.console.print(line, style="dim", highlight=False, markup=False)


class PlainView:
    """Lines for logs and pipes: the workers' logs, and the study's status from time to time."""

    def __init__(self, console: Console, study: Study, *, prints_failures: bool) -> None:
        """Print to `console`; failures only if no workers log there."""
        self._console = console
        self._metric = study.definition.metric_label
        self._prints_failures = prints_failures
        self._reported: set[int] = set()
        self._next = 0.0
        self._state = ""

    def update(self, status: StudyStatus) -> None:
        """Print a status line every `PLAIN_SECONDS`, and when the study's state changes."""
        is_new = status.state != self._state and status.state not in ("running", "waiting")
        if self._prints_failures:
            self._print_failures(status)
        if time.monotonic() < self._next and not is_new:
            return
        self._state = status.state
        self._next = time.monotonic() + PLAIN_SECONDS
        parts = [f"{status.n_ended}/{status.budget.n_trials} trials", status.counts_text]
        if status.best is not None:
            parts.append(
                f"best {self._metric} {status.best.value:.5g} (trial {status.best.number})"
            )
        parts.append(f"{status.per_minute:.1f} trials/min")
        if status.state in ("paused", "stopped"):
            parts.append(status.state)
        elif status.reason:
            parts.append(f"finished: {status.reason}")
        elif (left := time_left(status)) is not None:
            parts.append(f"at most {duration(left)} left")
        self.log(" | ".join(parts))

    def log(self, line: str) -> None:
        """Print a line."""
        self._console.print(line, soft_wrap=True, highlight=False, markup=False)

    def _print_failures(self, status: StudyStatus) -> None:
        for failure in reversed(status.failures):
            if failure.number not in self._reported:
                self._reported.add(failure.number)
                self.log(f"trial {failure.number} FAIL: {failure.reason}")


class JsonView:
    """One JSON document a line, for scripts."""

    def update(self, status: StudyStatus) -> None:
        """Print the status as one line."""
        print(json.dumps(status_json(status), ensure_ascii=False, default=str), flush=True)

    def log(self, line: str) -> None:
        """Print nothing."""
