"""The view of a search: what it says, in a terminal of 80 columns and in a pipe."""

import io
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from hpo.catalog import create_study
from hpo.cli import live
from hpo.cli.live import PLAIN_SECONDS, Pace, watch
from hpo.definition import Budget
from hpo.status import Best, StudyStatus
from hpo.storage.engine import open_storage
from hpo.study import Study
from tests.study_process import definition

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


def status(n_complete: int, n_pruned: int, busy_seconds: float = 0.0) -> StudyStatus:
    """A study of 20 trials, so many of them ended."""
    is_over = n_complete + n_pruned == 20
    return StudyStatus(
        name="study",
        direction="minimize",
        budget=Budget(n_trials=20, timeout=600.0),
        counts={"COMPLETE": n_complete, "PRUNED": n_pruned} | ({} if is_over else {"RUNNING": 2}),
        best=Best(number=1, value=0.512345678, params=PARAMS),
        busy_seconds=busy_seconds,
        device_seconds=busy_seconds,
        n_since_best=0,
        workers=(),
        silent=(),
        started=None,
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
    shown = " ".join(file.getvalue().split())
    for words in (
        "study: rmse, minimize, 2 workers",
        "8/20 trials",
        "6 complete, 2 pruned, 2 running; 25% pruned",
        "best 0.51235 (trial 1)",
        "a worker's line",
        "at most 10 min 0 s left",
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
    assert "best rmse 0.51235 (trial 1) | 36.0 trials/min | at most" in file.getvalue()


def test_the_pace_is_of_this_view_and_time_runs_out_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    pace = Pace()
    assert pace.per_minute(status(8, 0)) == 0
    now = 30.0
    assert pace.per_minute(status(9, 1)) == 4
    assert pace.left(status(9, 1)) == 150
    assert pace.left(status(9, 1, busy_seconds=500)) == 100
