"""A study's status as a panel that fits a terminal of any size.

Lines are clipped, not wrapped. If there are more workers than lines, the rest are counted.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from textwrap import wrap

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from hpo.cli.show import (
    params_text,
    ranges,
    sparkline,
    time_left,
    used_limits,
)
from hpo.config.errors import printable
from hpo.results.report.text import duration
from hpo.storage.progress import WorkerRow
from hpo.study.status import StudyStatus

MIN_BAR, MAX_BAR = 8, 30
MAX_NAME = 24
MAX_DEVICE = 20
PARAM_LINES = 2
MAX_FAILURES = 3
STYLES = {"paused": "yellow", "stopped": "yellow", "waiting": "yellow", "finished": "green"}


@dataclass(frozen=True)
class StatusPanel:
    """Draws a study's status at the current size of the terminal, with some lines left free."""

    status: StudyStatus
    title: str
    n_free_lines: int

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the lines of the panel."""
        width, height = options.max_width, max(console.height - self.n_free_lines, 6)
        head = [*_progress(self.status, self.title, width), *_best(self.status, width)]
        foot = list(_trouble(self.status))
        workers = _workers(self.status.worker_rows, height - len(head) - len(foot))
        yield from (_clipped(line, width) for line in head[: max(height - len(foot), 4)])
        yield from workers
        yield from (_clipped(line, width) for line in foot)


def _progress(status: StudyStatus, title: str, width: int) -> Iterable[Text]:
    """The used part of the budget."""
    state = (status.state, STYLES.get(status.state, "bold"))
    reason = f" ({status.reason})" if status.reason else ""
    yield Text.assemble((title, "bold"), ": ", state, reason)
    total, n_ended, left = status.budget.n_trials, status.n_ended, time_left(status)
    text = f" {n_ended}/{total} trials, {status.per_minute:.1f} a minute"
    text += "" if left is None else f", at most {duration(left)} left"
    room = max(MIN_BAR, min(MAX_BAR, width - len(text)))
    n_full = min(room, room * n_ended // total)
    yield Text.assemble(("━" * n_full, "green"), ("━" * (room - n_full), "dim"), text)
    n_pruned = status.counts.get("PRUNED", 0)
    share = f"; {n_pruned / n_ended:.0%} pruned" if n_ended else ""
    yield Text(status.counts_text + share)
    if limits := used_limits(status):
        yield Text(", ".join(f"{what} {used}" for what, used in limits.items()))


def _best(status: StudyStatus, width: int) -> Iterable[Text]:
    """The best trial, and the curve of the best value so far."""
    if status.best is None:
        return
    text = f"best {status.best.value:.5g} (trial {status.best.number}) "
    drawn = (
        sparkline(list(status.curve), max(1, min(40, width - len(text)))) if status.curve else ""
    )
    yield Text.assemble(text, (drawn, "green"))
    text = params_text(status.best.params)
    for line in wrap(text, max(10, width - 2), max_lines=PARAM_LINES, placeholder=" …"):
        yield Text(f"  {line}")


def _workers(rows: Sequence[WorkerRow], n_lines: int) -> Iterable[Table | Text]:
    """The workers that hold trials, as many as fit."""
    if not rows or n_lines < 2:
        return
    shown = rows if len(rows) <= n_lines - 1 else rows[: n_lines - 2]
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("worker", no_wrap=True, max_width=MAX_NAME)
    table.add_column("device", no_wrap=True, max_width=MAX_DEVICE)
    table.add_column("trials")
    table.add_column("seen", no_wrap=True)
    for row in shown:
        name, device = _name(row.worker.host, row.worker.pid), Text(printable(row.worker.device))
        held = Text(_held(row.trials), no_wrap=True, overflow="ellipsis")
        table.add_row(Text(printable(name)), device, held, f"{duration(row.silent_seconds)} ago")
    yield table
    if len(shown) < len(rows):
        yield Text(f"and {len(rows) - len(shown)} more workers", "dim")


def _trouble(status: StudyStatus) -> Iterable[Text]:
    """Failed trials, and trials whose workers are silent."""
    for failure in status.failures[:MAX_FAILURES]:
        yield Text.assemble((f"trial {failure.number} FAIL: ", "red"), printable(failure.reason))
    if status.silent:
        text = f"no heartbeat of trials {ranges(status.silent)}: "
        yield Text.assemble(
            (text, "red"), f"other workers take them over, or hpo reap {status.name}"
        )


def _name(host: str, pid: int) -> str:
    """Host and process id; a long host name is shortened."""
    room = MAX_NAME - len(f":{pid}")
    return f"{host if len(host) <= room else host[: room - 1] + '…'}:{pid}"


def _held(trials: Sequence[int]) -> str:
    return ranges(trials) if len(trials) < 4 else f"{len(trials)}: {ranges(trials)}"


def _clipped(line: Text, width: int) -> Text:
    line.no_wrap = True
    if cell_len(line.plain) > width or "\n" in line.plain:
        line = Text(" ").join(line.split("\n"))
        line.truncate(width, overflow="ellipsis")
    return line
