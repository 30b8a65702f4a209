"""How studies and trials look in a terminal."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from itertools import groupby
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from hpo.config.errors import printable
from hpo.study.confirmation import Confirmation
from hpo.study.leaderboard import Row
from hpo.study.status import StudyStatus
from hpo.study.study import Study

ORDER = ("COMPLETE", "PRUNED", "FAIL", "RUNNING", "WAITING")


def print_studies(found: list[StudyStatus], priorities: Mapping[str, int]) -> None:
    """A line a study."""
    table = _table("study", "state", "priority", "trials", "best", "started, UTC")
    for status in found:
        best = "" if status.best is None else f"{status.best.value:.5g}"
        table.add_row(
            status.name,
            status.state,
            str(priorities.get(status.name, 0)),
            f"{status.n_ended}/{status.budget.n_trials}",
            best,
            _when(status.started),
        )
    _print(table)


def print_status(status: StudyStatus) -> None:
    """A study's budget, trials, best params and workers."""
    table = PlainTable(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_row("study", status.name)
    table.add_row("state", f"{status.state}: {status.reason}" if status.reason else status.state)
    table.add_row("trials", f"{count_text(status.counts)}, of {status.budget.n_trials}")
    budget = status.budget
    for what, used, limit in (
        ("time", status.busy_seconds, budget.timeout),
        ("device-time", status.device_seconds, budget.device_time),
    ):
        if limit is not None:
            table.add_row(what, f"{duration(used)} of {duration(limit)}")
    if budget.no_improvement is not None:
        table.add_row("since the best", f"{status.n_since_best} of {budget.no_improvement} trials")
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
        text = f"{ranges(status.silent)}: no sign of life; workers take them over"
        table.add_row("silent trials", f"{text}, or: hpo reap {status.name}")
    for note in status.notes:
        table.add_row("note", note)
    _print(table)


def print_leaderboard(study: Study, rows: list[Row]) -> None:
    """Trials by their objective, the default configuration marked."""
    if any(row.confirmed for row in rows):
        _print_confirmed(study, rows)
        return
    metric = study.definition.metric_label
    table = _table("", "trial", metric, "state", "epochs", "params")
    for rank, row in enumerate(rows, start=1):
        value = "" if row.value is None else f"{row.value:.5g}"
        epochs = str(row.user_attrs.get("n_epochs", ""))
        params = params_text(row.params)
        table.add_row(str(rank), _number(row.number), value, row.state.lower(), epochs, params)
    _print(table)
    _print_early(rows)


def _print_confirmed(study: Study, rows: list[Row]) -> None:
    """The leaderboard with means over seeds; states where they differ, to leave room for params."""
    states = {row.state for row in rows} != {"COMPLETE"}
    metric = study.definition.metric_label
    table = _table("", "trial", metric, "confirmed", *(["state"] if states else []), "params")
    for rank, row in enumerate(rows, start=1):
        value = "" if row.value is None else f"{row.value:.5g}"
        mean = "" if row.confirmed is None else row.confirmed.text()
        state = [row.state.lower()] if states else []
        params = params_text(row.params)
        table.add_row(str(rank), _number(row.number), value, mean, *state, params)
    table.caption = (
        "Confirmed: mean over seeds and its 95 % interval. The others were trained once; "
        f"after further search, run hpo confirm {study.name} again."
    )
    _print(table)
    _print_early(rows)


def _print_early(rows: list[Row]) -> None:
    """Which trials the study's time cut short."""
    for row in rows:
        if row.early:
            Console().print(f"Trial {row.number}: {row.early}.", highlight=False, markup=False)


def print_confirmation(found: Confirmation, metric: str) -> None:
    """Configurations by their means over seeds, each beside the default in pairs.

    Args:
        found: the confirmation.
        metric: what its metric is called.
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
    """One trial: params, metrics, learning curve, what the worker recorded."""
    table = PlainTable(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_row("trial", f"{row.number} of {study.name}")
    table.add_row("state", row.state)
    if row.value is not None:
        table.add_row(study.definition.metric_label, f"{row.value:.6g}")
    groups: list[dict[str, Any]] = [row.params, row.metrics, row.user_attrs]
    for group in groups:
        table.add_section()
        for key, value in group.items():
            table.add_row(key, f"{value:.6g}" if isinstance(value, float) else str(value))
    if curve:
        table.add_row("epochs", f"{len(curve)}  {sparkline(list(curve.values()))}")
    _print(table)


def params_text(params: dict[str, Any]) -> str:
    """Params in one line, by their last name; `x.on` switches show as x = 0 when off."""
    shown = []
    for name, value in params.items():
        short = "optimizer" if name == "optimizer.name" else name.removesuffix(".on").split(".")[-1]
        if not name.endswith(".on"):
            shown.append(f"{short}={value:.3g}" if isinstance(value, float) else f"{short}={value}")
        elif not value:
            shown.append(f"{short}=0")
    return " ".join(shown)


def status_json(status: StudyStatus) -> dict[str, Any]:
    """A study's status as scripts read it."""
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


def count_text(counts: dict[str, int]) -> str:
    """`12 complete, 3 pruned`: the states that occur, in the order of a trial's life."""
    present = [(state, counts[state]) for state in ORDER if counts.get(state)]
    return ", ".join(f"{n} {state.lower()}" for state, n in present) or "none yet"


def duration(seconds: float) -> str:
    """`45 s`, `3 min 20 s` or `2 h 5 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def ranges(numbers: Sequence[int]) -> str:
    """Numbers in their order, neighbours in a row as `4-7`."""
    rows = groupby(enumerate(numbers), key=lambda pair: pair[1] - pair[0])
    runs = [[number for _, number in run] for _, run in rows]
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)


def time_left(status: StudyStatus) -> float | None:
    """Seconds until trials or time are used up at the present pace; None while nothing tells."""
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
    """A curve in block characters, `width` at most, from its first value to its last."""
    n_shown = min(width, len(values))
    step = (len(values) - 1) / max(1, n_shown - 1)
    picked = [values[round(index * step)] for index in range(n_shown)]
    low, high = min(picked), max(picked)
    scale = (high - low) or 1.0
    return "".join("▁▂▃▄▅▆▇█"[round((value - low) / scale * 7)] for value in picked)


class PlainTable(Table):
    """Takes cells as they are: no brackets in them are markup, and nothing commands a terminal."""

    def add_row(self, *cells: str) -> None:  # type: ignore[override]
        """A row of texts."""
        super().add_row(*(Text(printable(cell)) for cell in cells))


def _table(*columns: str) -> Table:
    table = PlainTable(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(Text(column), no_wrap=column != "params")
    return table


def _number(number: int) -> str:
    return f"{number} (default)" if number == 0 else str(number)


def _when(moment: datetime | None) -> str:
    return "" if moment is None else f"{moment:%Y-%m-%d %H:%M}"


def _print(table: Table) -> None:
    Console().print(table)
