"""A study at one moment, in a few lines that fit a terminal of any size.

No line is wrapped, and there are no more of them than the terminal has room for: what does not fit
is clipped, and the workers that are left out are counted.
"""

from collections.abc import Iterable, Sequence
from textwrap import wrap

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from hpo.cli.show import count_text, duration, params_text, ranges, sparkline, time_left
from hpo.config.errors import printable
from hpo.storage.progress import WorkerRow
from hpo.study.status import StudyStatus

MIN_BAR, MAX_BAR = 8, 30
GAP = "  "
MAX_NAME = 24
MAX_DEVICE = 20
PARAM_LINES = 2
MAX_FAILURES = 3
STYLES = {"paused": "yellow", "stopped": "yellow", "waiting": "yellow", "finished": "green"}


class StatusPanel:
    """Draws a status, at the size that the terminal has then."""

    def __init__(self, status: StudyStatus, title: str, spare: int) -> None:
        """Draw `status` under a title, and leave `spare` lines of the terminal to others."""
        self._status = status
        self._title = title
        self._spare = spare

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The lines."""
        width, height = options.max_width, max(console.height - self._spare, 6)
        head = [*_progress(self._status, self._title, width), *_best(self._status, width)]
        foot = list(_trouble(self._status))
        workers = _workers(self._status.worker_rows, width, height - len(head) - len(foot))
        for line in [*head[: max(height - len(foot), 4)], *workers, *foot]:
            yield _clipped(line, width)


def _progress(status: StudyStatus, title: str, width: int) -> Iterable[Text]:
    """What is done of the budget."""
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
    yield Text(count_text(status.counts) + share)
    limits = [
        f"{what} {duration(used)} of {duration(limit)}"
        for what, used, limit in (
            ("time", status.busy_seconds, status.budget.timeout),
            ("device-time", status.device_seconds, status.budget.device_time),
        )
        if limit is not None
    ]
    if (patience := status.budget.no_improvement) is not None:
        limits.append(f"{status.n_since_best} of {patience} trials since the best one")
    if limits:
        yield Text(", ".join(limits))


def _best(status: StudyStatus, width: int) -> Iterable[Text]:
    """The best trial, and how the best value came down, or up, to it."""
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


def _workers(rows: Sequence[WorkerRow], width: int, n_lines: int) -> Iterable[Text]:
    """The workers that hold trials, as many as there is room for."""
    if not rows or n_lines < 2:
        return
    shown = rows if len(rows) <= n_lines - 1 else rows[: n_lines - 2]
    names = [_name(row.worker.host, row.worker.pid) for row in shown]
    devices = [row.worker.device for row in shown]
    held = [_held(row.trials) for row in shown]
    seen = [f"{duration(row.silent_seconds)} ago" for row in shown]
    columns = [["worker", *names], ["device", *devices], ["trials", *held], ["seen", *seen]]
    widths = [max(map(cell_len, column)) for column in columns]
    widths[:2] = min(widths[0], MAX_NAME), min(widths[1], MAX_DEVICE)
    widths[2] = max(0, width - sum(widths[:2]) - widths[3] - 3 * len(GAP))
    for index, line in enumerate(zip(*columns, strict=True)):
        cells = [_cell(text, room) for text, room in zip(line, widths, strict=True)]
        yield Text(GAP.join(cells), "" if index else "dim")
    if len(shown) < len(rows):
        yield Text(f"and {len(rows) - len(shown)} more workers", "dim")


def _trouble(status: StudyStatus) -> Iterable[Text]:
    """Trials that failed, and those whose workers are silent."""
    for failure in status.failures[:MAX_FAILURES]:
        yield Text.assemble((f"trial {failure.number} FAIL: ", "red"), printable(failure.reason))
    if status.silent:
        text = f"no sign of life of trials {ranges(status.silent)}: "
        yield Text.assemble((text, "red"), f"workers take them over, or hpo reap {status.name}")


def _name(host: str, pid: int) -> str:
    """A worker's name; its process id stays in sight."""
    room = MAX_NAME - len(f":{pid}")
    return f"{host if len(host) <= room else host[: room - 1] + '…'}:{pid}"


def _held(trials: Sequence[int]) -> str:
    return ranges(trials) if len(trials) < 4 else f"{len(trials)}: {ranges(trials)}"


def _cell(text: str, width: int) -> str:
    cell = Text(printable(text))
    cell.truncate(width, overflow="ellipsis", pad=True)
    return cell.plain


def _clipped(line: Text, width: int) -> Text:
    line.no_wrap = True
    if cell_len(line.plain) > width or "\n" in line.plain:
        line = Text(" ").join(line.split("\n"))
        line.truncate(width, overflow="ellipsis")
    return line
