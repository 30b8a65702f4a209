"""Studies, trials and workers as tables in a terminal."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import groupby
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from hpo.cli.output import say
from hpo.config.errors import printable
from hpo.config.space import plain_params
from hpo.results.report.text import duration, format_param, short_names
from hpo.storage.leases import WorkerId
from hpo.storage.progress import WorkerRow
from hpo.storage.waiting import WaitingWorker
from hpo.study.confirmation import Confirmation
from hpo.study.leaderboard import Row
from hpo.study.status import StudyStatus
from hpo.study.study import Study

if TYPE_CHECKING:
    from hpo.results.export import Exported


def print_studies(found: list[StudyStatus], priorities: Mapping[str, int]) -> None:
    """Print one line for each study."""
    table = _table("study", "state", "priority", "trials", "best", "started, UTC")
    for status in found:
        best = "" if status.best is None else f"{status.best.value:.5g}"
        table.add_row(
            status.name,
            status.state,
            str(priorities.get(status.name, 0)),
            f"{status.n_ended}/{status.budget.n_trials}",
            best,
            "" if status.started is None else f"{status.started:%Y-%m-%d %H:%M}",
        )
    _print(table)


def print_status(status: StudyStatus) -> None:
    """Print a study's budget, trials, best params and workers."""
    table = PlainTable(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_row("study", status.name)
    table.add_row("state", f"{status.state}: {status.reason}" if status.reason else status.state)
    table.add_row("trials", f"{status.counts_text}, of {status.budget.n_trials}")
    for what, used in used_limits(status).items():
        table.add_row(what, used)
    if status.best is not None:
        drawn = sparkline(list(status.curve)) if status.curve else ""
        text = f"{status.metric_label} {status.best.value:.5g} (trial {status.best.number})"
        table.add_row("best", f"{text}  {drawn}")
        table.add_row("", params_text(status.best.params))
    if status.worker_rows:
        table.add_row("throughput", f"{status.per_minute:.1f} trials a minute")
    for row in status.worker_rows:
        worker, seen = row.worker, duration(row.silent_seconds)
        table.add_row("worker", f"{worker.host}, process {worker.pid}, {worker.device}")
        table.add_row("", f"trials {ranges(row.trials)}, seen {seen} ago")
    for failure in status.failures:
        table.add_row("failed", f"trial {failure.number}: {failure.reason}")
    if status.silent:
        text = f"{ranges(status.silent)}: no heartbeat; other workers take them over"
        table.add_row("silent trials", f"{text}, or hpo reap {status.name}")
    for note in status.notes:
        table.add_row("note", note)
    _print(table)


def print_leaderboard(study: Study, rows: list[Row]) -> None:
    """Print trials, best first, with the means over seeds of confirmed trials."""
    is_confirmed = any(row.confirmed for row in rows)
    columns = {
        "": [str(rank) for rank in range(1, len(rows) + 1)],
        "trial": [_number(row.number) for row in rows],
        study.definition.metric_label: [
            "" if row.value is None else f"{row.value:.5g}" for row in rows
        ],
    }
    if is_confirmed:
        columns["confirmed"] = [
            "" if row.confirmed is None else row.confirmed.text() for row in rows
        ]
    if not is_confirmed or {row.state for row in rows} != {"COMPLETE"}:
        columns["state"] = [row.state.lower() for row in rows]
    if not is_confirmed:  # else left out to make room for the params
        columns["epochs"] = [str(row.user_attrs.get("n_epochs", "")) for row in rows]
    columns["params"] = [params_text(row.params) for row in rows]
    table = _table(*columns)
    for cells in zip(*columns.values(), strict=True):
        table.add_row(*cells)
    if is_confirmed:
        table.caption = (
            "Confirmed: mean over seeds and its 95 % interval. The others were trained once; "
            f"after further search, run hpo confirm {study.name} again."
        )
    _print(table)
    for row in rows:
        if row.early:
            Console().print(f"Trial {row.number}: {row.early}.", highlight=False, markup=False)


def print_exported(exported: "Exported") -> None:
    """Print the exported folders, and on standard error what an ensemble gains."""
    for folder in exported.folders:
        print(folder)
    if exported.comparison is not None:
        say(exported.comparison.text)


def print_confirmation(found: Confirmation, metric: str) -> None:
    """Print configurations by their means over seeds, with paired differences to the default.

    Args:
        found: the confirmation.
        metric: label of its metric.
    """
    n_seeds = len(found.seeds)
    table = _table("", "trial", f"{metric}, {n_seeds} seeds", "sd", "to default", "better")
    for rank, each in enumerate(found.configs, start=1):
        own, paired = each.estimate, each.difference
        part = f"{len(each.values)} of {n_seeds} seeds finished"
        table.add_row(
            str(rank) if each.is_whole else "",
            _number(each.number),
            part if own is None or not each.is_whole else own.text(),
            "" if own is None or own.sd is None else f"{own.sd:.2g}",
            "" if paired is None else paired.text(sign="+"),
            "" if paired is None else f"{each.n_better} of {paired.n_seeds}",
        )
    _print(table)


def print_trial(study: Study, row: Row, curve: dict[int, float]) -> None:
    """Print a trial's params, metrics, learning curve and other recorded values."""
    table = PlainTable(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_row("trial", f"{row.number} of {study.name}")
    table.add_row("state", row.state)
    if row.value is not None:
        table.add_row(study.definition.metric_label, f"{row.value:.6g}")
    by_fold = {f"{name} by fold": _listed(values) for name, values in row.fold_metrics.items()}
    groups: list[dict[str, Any]] = [row.params, row.metrics, by_fold, row.user_attrs]
    for group in groups:
        table.add_section()
        for key, value in group.items():
            table.add_row(key, f"{value:.6g}" if isinstance(value, float) else str(value))
    if curve:
        table.add_row("epochs", f"{len(curve)}  {sparkline(list(curve.values()))}")
    _print(table)


def _listed(values: Sequence[float | None]) -> str:
    """Values in one line; a dash where there is none."""
    return "  ".join("-" if value is None else f"{value:.5g}" for value in values)


def worker_json(row: WorkerRow) -> dict[str, Any]:
    """The JSON document of a worker."""
    tree = asdict(row)
    del tree["worker"]
    return {**_machine(row.worker), **tree, "waiting_seconds": None, "waits_for": None}


def waiting_json(row: WaitingWorker) -> dict[str, Any]:
    """The JSON document of a worker that waits."""
    holds: dict[str, Any] = {
        "study": None,
        "trials": [],
        "silent_seconds": None,
        "is_silent": False,
    }
    waits = {"waiting_seconds": row.seconds, "waits_for": row.reason}
    return {**_machine(row.worker), **holds, **waits}


def _machine(worker: WorkerId) -> dict[str, Any]:
    tree = asdict(worker)
    del tree["nonce"]
    return tree


def print_waiting(found: Sequence[WaitingWorker]) -> None:
    """Print one line for each worker that waits."""
    table = _table("host", "process", "device", "waits since", "for")
    for row in found:
        worker, since = row.worker, f"{duration(row.seconds)} ago"
        table.add_row(worker.host, str(worker.pid), _device(worker), since, row.reason)
    _print(table)


def _device(worker: WorkerId) -> str:
    return worker.device if worker.share == 1 else f"{worker.share:.3g} of {worker.device}"


def print_workers(found: Sequence[WorkerRow]) -> None:
    """Print one line for each worker."""
    table = _table("host", "process", "device", "study", "trials", "seen")
    for row in found:
        worker, seen = row.worker, f"{duration(row.silent_seconds)} ago"
        table.add_row(
            worker.host,
            str(worker.pid),
            _device(worker),
            row.study,
            ", ".join(map(str, row.trials)),
            f"{seen}, silent" if row.is_silent else seen,
        )
    _print(table)


def params_text(params: Mapping[str, Any]) -> str:
    """Params in one line by their short names; a param that is switched off is 0."""
    plain = plain_params(params)
    names = short_names([*plain])
    return " ".join(f"{names[name]}={format_param(value)}" for name, value in plain.items())


def status_json(status: StudyStatus) -> dict[str, Any]:
    """A study's status as a JSON document."""
    return {
        "name": status.name,
        "state": status.state,
        "direction": status.direction,
        "budget": status.budget.model_dump(),
        "trials": status.counts,
        "best": None if status.best is None else asdict(status.best),
        "workers": [
            {
                **asdict(row.worker),
                "trials": list(row.trials),
                "silent_seconds": row.silent_seconds,
            }
            for row in status.worker_rows
        ],
        "used": {"busy_seconds": status.busy_seconds, "device_seconds": status.device_seconds},
        "silent": list(status.silent),
        "per_minute": status.per_minute,
        "failures": [asdict(failure) for failure in status.failures],
        "notes": list(status.notes),
        "objective": {"metric": status.metric, "positive": status.positive},
        "reason": status.reason,
    }


def ranges(numbers: Sequence[int]) -> str:
    """Ascending numbers; consecutive ones as `4-7`."""
    rows = groupby(enumerate(numbers), key=lambda pair: pair[1] - pair[0])
    runs = [[number for _, number in run] for _, run in rows]
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)


def used_limits(status: StudyStatus) -> dict[str, str]:
    """What is used of the limits in the budget, besides the number of trials."""
    budget, used = status.budget, {}
    if budget.timeout is not None:
        used["time"] = f"{duration(status.busy_seconds)} of {duration(budget.timeout)}"
    if budget.device_time is not None:
        used["device-time"] = f"{duration(status.device_seconds)} of {duration(budget.device_time)}"
    if budget.no_improvement is not None:
        used["since the best"] = f"{status.n_since_best} of {budget.no_improvement} trials"
    return used


def time_left(status: StudyStatus) -> float | None:
    """Seconds until the budget is used up at the current rate; None if that is unknown."""
    budget, share = status.budget, sum(worker.share for worker in status.workers)
    bounds = []
    if status.is_finished or not share:
        return None
    if status.per_minute:
        bounds.append(60 * (budget.n_trials - status.n_ended) / status.per_minute)
    if budget.timeout is not None:
        bounds.append(max(0.0, budget.timeout - status.busy_seconds))
    if budget.device_time is not None:
        bounds.append(max(0.0, (budget.device_time - status.device_seconds) / share))
    return min(bounds, default=None)


def sparkline(values: list[float], width: int = 40) -> str:
    """A curve in at most `width` block characters, from its first value to its last."""
    n_shown = min(width, len(values))
    step = (len(values) - 1) / max(1, n_shown - 1)
    picked = [values[round(index * step)] for index in range(n_shown)]
    low, high = min(picked), max(picked)
    scale = (high - low) or 1.0
    return "".join("▁▂▃▄▅▆▇█"[round((value - low) / scale * 7)] for value in picked)


class PlainTable(Table):
    """A table that shows cells verbatim, without markup and control characters."""

    def add_row(self, *cells: str) -> None:  # type: ignore[override]
        """Add a row of texts."""
        super().add_row(*(Text(printable(cell)) for cell in cells))


def _table(*columns: str) -> Table:
    table = PlainTable(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(
            Text(column), no_wrap=column not in ("device", "study", "trials", "params", "for")
        )
    return table


def _number(number: int) -> str:
    return f"{number} (default)" if number == 0 else str(number)


def _print(table: Table) -> None:
    Console().print(table)
