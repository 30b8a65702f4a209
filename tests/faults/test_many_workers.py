"""Sixty-four worker processes at one study, some of which are killed."""

import os
import signal
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

from hpo.training.single import SingleTrainer
from hpo.training.trainer import Event
from hpo.worker import outbox
from hpo.worker.timing import Timing
from tests.support.faults.audit import audit, orphans
from tests.support.faults.setting import make_setting
from tests.support.gate import Gate, gather
from tests.support.waiting import wait_until
from tests.support.workers import make_worker

N_WORKERS = 64
N_TRIALS = 112
N_KILLED = 5


class Unhurried(SingleTrainer):
    """Trains short trials, and has each in hand for a while."""

    def advance(self, max_seconds: float) -> list[Event]:
        time.sleep(1.0)
        return super().advance(max_seconds)


def work(gate: Gate, *address: str) -> None:
    from tests.support.crowd import opened  # imported by the fork server, not at collection

    outbox.MAX_PAUSE_SECONDS = 1.0  # so that it soon sees that all is done
    with opened(*address) as (study, store):
        worker = make_worker(study, store, Unhurried("cpu"), timing=Timing(lease=2.5))
        gate.wait()
        worker.work(threading.Event())


@pytest.mark.slow
def test_64_workers_finish_each_trial_of_a_budget_once_though_some_are_killed(
    postgresql_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(make_setting(tmp_path, postgresql_url, n_trials=N_TRIALS, max_epochs=3)) as made:
        address = postgresql_url, made.store.url, made.study.name
        processes, gate = gather(N_WORKERS, work, *address)
        gate.open(processes)
        wait_until(lambda: len(made.study.progress().workers) >= N_KILLED, "at work")
        for worker in made.study.progress().workers[:N_KILLED]:
            os.kill(worker.pid, signal.SIGKILL)
        for process in processes:
            process.join(60)
        found = audit(made)
        assert found.faults == []
        assert found.counts == {"COMPLETE": N_TRIALS}
        assert found.n_attempts > N_TRIALS
        assert orphans(made) == []
    killed = [process for process in processes if process.exitcode == -signal.SIGKILL]
    assert len(killed) == N_KILLED
    assert [process.exitcode for process in processes if process not in killed] == [0] * 59
