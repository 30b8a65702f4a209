"""The view of a search: what it says, in a terminal of 80 columns and in a pipe."""

import dataclasses
import io
import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console

from hpo.cli import live
from hpo.cli.live import PLAIN_SECONDS, watch
from hpo.cli.panel import StatusPanel
from hpo.cli.show import print_status, time_left
from hpo.config.definition import Budget
from hpo.config.metrics import Direction
from hpo.storage.best import Best
from hpo.storage.engine import open_storage
from hpo.storage.leases import WorkerId
from hpo.storage.progress import Failure, WorkerRow
from hpo.study.catalog import create_study
from hpo.study.status import StudyStatus
from hpo.study.study import Study
from tests.support.command_line import hpo
from tests.support.definitions import definition

PARAMS = {
    "model.depth": 3,
    "model.activation": "relu",
    "model.dropout.on": True,
    "model.dropout": 0.125,
    "optimizer.name": "rmsprop",
    "optimizer.learning_rate": 0.00123456,
    "optimizer.weight_decay.on": False,
    "training.gradient_clip": 1.5,
}


def worker_row(pid: int, *trials: int, host: str = "here", device: str = "cpu") -> WorkerRow:
    """A worker that holds some trials."""
    worker = WorkerId(host=host, pid=pid, device=device)
    return WorkerRow(
        worker=worker,
        study="study",
        trials=trials or (pid,),
        silent_seconds=2.0,
        is_silent=False,
    )


def status(
    n_complete: int, n_pruned: int, busy_seconds: float = 0.0, **changes: Any
) -> StudyStatus:
    """A study of 20 trials, so many of them ended."""
    is_over = n_complete + n_pruned == 20
    return StudyStatus(
        name="study",
        metric="rmse",
        positive=None,
        direction=Direction.MINIMIZE,
        budget=Budget(n_trials=20, timeout=600.0),
        counts={"COMPLETE": n_complete, "PRUNED": n_pruned} | ({} if is_over else {"RUNNING": 2}),
        best=Best(number=1, value=0.512345678, params=PARAMS),
        busy_seconds=busy_seconds,
        device_seconds=busy_seconds,
        n_since_best=0,
        worker_rows=() if is_over else (worker_row(7),),
        silent=(),
        started=None,
        per_minute=4.0,
        **changes,
    )


@pytest.fixture
def study(tmp_path: Path) -> Study:
    storage = open_storage(f"sqlite:///{tmp_path}/hpo.db")
    made = create_study(storage, definition(), "store")
    storage.close()
    return made


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], io.StringIO]:
    """Let the view write into a text, as if it were a terminal or not."""

    def replace(is_terminal: bool) -> io.StringIO:
        file = io.StringIO()
        console = Console(file=file, force_terminal=is_terminal, width=80, height=24)
        monkeypatch.setattr(live, "Console", lambda stderr: console)
        return file

    return replace


def test_a_terminal_sees_where_the_search_is(
    study: Study, seen: Callable[[bool], io.StringIO]
) -> None:
    file = seen(True)
    with watch(study, 2) as view:
        view.log("a worker's line")
        view.update(status(6, 2))
    shown = " ".join(re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", file.getvalue()).split())
    for words in (
        "study, rmse minimized, 2 workers here: running",
        "8/20 trials",
        "6 complete, 2 pruned, 2 running; 25% pruned",
        "best 0.51235 (trial 1)",
        "a worker's line",
        "4.0 a minute, at most 3 min 0 s left",
        "here:7 cpu 7 2 s ago",
    ):
        assert words in shown
    for name in ("depth=3", "dropout=0.125", "weight_decay=0", "gradient_clip=1.5"):
        assert name in shown


def test_a_pipe_gets_a_line_now_and_then_and_one_at_the_end(
    study: Study, seen: Callable[[bool], io.StringIO], monkeypatch: pytest.MonkeyPatch
) -> None:
    file, now = seen(False), 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    with watch(study, 2) as view:
        view.update(status(0, 0))
        view.update(status(1, 0))
        now += PLAIN_SECONDS
        view.update(status(5, 1))
        view.update(status(15, 5))
    assert [line.split(" | ")[0] for line in file.getvalue().splitlines()] == [
        "0/20 trials",
        "6/20 trials",
        "20/20 trials",
    ]
    assert "best rmse 0.51235 (trial 1) | 4.0 trials/min | at most" in file.getvalue()


def test_time_or_trials_run_out_first_and_nothing_tells_without_workers() -> None:
    assert time_left(status(9, 1)) == 150
    assert time_left(status(9, 1, busy_seconds=500)) == 100
    assert time_left(dataclasses.replace(status(9, 1), worker_rows=())) is None


def test_a_terminal_is_not_overfull_whatever_there_is_to_show() -> None:
    host, device = "a-host-with-a-very-long-name.example.org", "NVIDIA H100 80GB HBM3 with more"
    rows = [
        worker_row(100_000 + n, *range(2 * n, 300, 2), host=host, device=device) for n in range(40)
    ]
    crowded = dataclasses.replace(
        status(9, 2),
        worker_rows=tuple(rows),
        silent=tuple(range(1, 99, 2)),
        failures=tuple(Failure(number=n, reason="no\nmemory " * 20) for n in range(5)),
        curve=tuple(1 / (1 + n) for n in range(500)),
    )
    console = Console(file=io.StringIO(), width=80, height=24)
    console.print(StatusPanel(crowded, "study, " * 20, n_free_lines=1))
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert len(lines) == 23
    assert max(cell_len(line) for line in lines) == 80
    assert lines[3] == "time 0 s of 10 min 0 s"
    assert lines[4].endswith("█" + "▁" * 39)
    name, device = "a-host-with-a-ve…:100000", "NVIDIA H100 80GB HB…"
    assert lines[8] == f"{name}  {device}  150: 0, 2, 4, 6, 8, 10…  2 s ago"
    assert lines[18] == "and 30 more workers"
    assert lines[19].startswith("trial 0 FAIL: no memory no memory")


def test_what_failed_trials_say_is_shown_as_it_is_and_commands_no_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    reasons = ("at [/data/x]", "[enforce fail] \x1b[2J", "\x9b31m")
    failures = tuple(Failure(number=n, reason=reason) for n, reason in enumerate(reasons))
    failed = status(9, 2, failures=failures)
    print_status(failed)
    console = Console(file=io.StringIO(), width=80, height=24)
    console.print(StatusPanel(failed, "study", n_free_lines=1))
    for shown in (capsys.readouterr().out, console.file.getvalue()):  # type: ignore[attr-defined]
        for text in ("at [/data/x]", r"[enforce fail] \x1b[2J", r"\x9b31m"):
            assert text in shown


@pytest.mark.slow
def test_whoever_watches_sees_it_end_and_may_leave_before(study: Study, tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path}/hpo.db"
    command = [sys.executable, "-m", "hpo", "status", "study", "--watch", "--json"]
    command += ["--storage", storage]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as watcher:
        assert watcher.stdout is not None
        assert json.loads(watcher.stdout.readline())["state"] == "waiting"
        watcher.send_signal(signal.SIGINT)
    assert watcher.returncode == 0
    assert hpo("stop", "study", "--storage", storage).code == 0
    seen = hpo("status", "study", "--watch", "--storage", storage)
    assert (seen.code, seen.out.strip()) == (
        0,
        "0/10 trials | 1 waiting | 0.0 trials/min | stopped",
    )
