"""Worker commands that are told to go, stopped, or killed in part."""

import signal
import time
from pathlib import Path

import pytest
import torch
from optuna.trial import FrozenTrial

from hpo.models.model import Model
from hpo.worker.supervisor import EXIT_RELEASED, GRACE_SECONDS
from tests.support.faults.audit import audit, checkpoints
from tests.support.faults.processes import (
    WorkerCommand,
    WorkerGroup,
    send,
    worker_options,
)
from tests.support.faults.setting import Setting, make_setting
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

LONG = 1000
"""Epochs: a trial of some seconds, which can be met in its middle."""


def make(folder: Path, **settings: object) -> Setting:
    """A study with a SQLite storage in a folder of its own."""
    folder.mkdir(exist_ok=True)
    return make_setting(folder, f"sqlite:///{folder}/hpo.db", **settings)  # type: ignore[arg-type]


def start_workers(setting: Setting, size: int = 1, **options: str) -> WorkerGroup:
    """Workers of a study; not started again unless the test tends them."""
    folder = Path(setting.store.url).parent / "logs"
    return WorkerGroup(setting=setting, folder=folder, size=size, options=worker_options(**options))


def trial(setting: Setting, number: int = 0) -> FrozenTrial:
    """A trial as it is now."""
    return setting.study.trials()[number]


def wait_for_epochs(setting: Setting, n_epochs: int, number: int = 0) -> None:
    """Return when a trial has reported so many epochs."""

    def has_them() -> bool:
        trials = setting.study.trials()
        return len(trials) > number and len(trials[number].intermediate_values) >= n_epochs

    wait_until(has_them, f"at {n_epochs} epochs of trial {number}")


def exit_code(worker: WorkerCommand, seconds: float = 120) -> int:
    """Wait for a command to end."""
    return worker.process.wait(timeout=seconds)


def is_by(trial: FrozenTrial, pid: int) -> bool:
    """Whether a trial's last attempt is that process's."""
    return str(pid) in trial.user_attrs["worker"].split(":")


def is_gone(pid: int) -> bool:
    """Whether a process has ended, whoever has yet to hear of it."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return True
    return text.rpartition(")")[2].split()[0] == "Z"


def weights(setting: Setting, number: int = 0) -> dict[str, torch.Tensor]:
    """The network's weights of a COMPLETE trial."""
    attrs = trial(setting, number).user_attrs
    content = setting.store.get(attrs["artifact"], attrs["sha256"])
    return Model.from_bytes(content, attrs["artifact"]).network.state_dict()


def test_a_trial_released_at_sigterm_ends_as_if_it_had_never_stopped(tmp_path: Path) -> None:
    setting = make(tmp_path / "stopped", n_trials=1, max_epochs=LONG)
    with start_workers(setting) as workers:
        wait_for_epochs(setting, 50)
        workers.commands[0].signal(signal.SIGTERM)
        assert exit_code(workers.commands[0]) == EXIT_RELEASED
    released = trial(setting)
    assert released.state.name == "WAITING"
    assert 0 < len(released.intermediate_values) < LONG
    assert checkpoints(setting)[0] == 1
    with start_workers(setting) as workers:
        assert exit_code(workers.commands[0]) == 0
    assert audit(setting).faults == []
    assert trial(setting).user_attrs["attempt"] == 2
    assert checkpoints(setting)[0] == 0

    undisturbed = make(tmp_path / "undisturbed", n_trials=1, max_epochs=LONG)
    with start_workers(undisturbed) as workers:
        assert exit_code(workers.commands[0]) == 0
    assert trial(setting).params == trial(undisturbed).params
    assert trial(setting).intermediate_values == trial(undisturbed).intermediate_values
    for name, expected in weights(undisturbed).items():
        assert torch.equal(weights(setting)[name], expected), name


def test_a_second_sigterm_ends_at_once(tmp_path: Path) -> None:
    setting = make(tmp_path, n_trials=1, max_epochs=LONG)
    with start_workers(setting) as workers:
        wait_for_epochs(setting, 1)
        (worker,) = workers.commands
        child = worker.child()
        assert child is not None
        send(child, signal.SIGSTOP)  # it will not hear the first
        worker.signal(signal.SIGTERM)
        time.sleep(1)
        assert worker.process.poll() is None
        worker.signal(signal.SIGTERM)
        assert exit_code(worker, GRACE_SECONDS / 2) == EXIT_RELEASED
        wait_until(lambda: is_gone(child), "rid of the child")


@pytest.mark.usefixtures("new_interpreters")
def test_sigterm_while_a_worker_starts_ends_it_as_released(tmp_path: Path) -> None:
    setting = make(tmp_path, n_trials=1)
    with start_workers(setting) as workers:
        (worker,) = workers.commands
        wait_until(worker.child, "starting a child")
        worker.signal(signal.SIGTERM)
        assert exit_code(worker) == EXIT_RELEASED


def test_a_worker_stopped_beyond_its_lease_carries_on_with_other_trials(tmp_path: Path) -> None:
    setting = make(tmp_path, n_trials=14, max_epochs=LONG // 2)
    with start_workers(setting, size=2) as workers:
        wait_for_epochs(setting, 1, number=1)  # both are at work
        stopped, other = workers.commands
        child = stopped.child()
        assert child is not None
        for pid in (stopped.process.pid, child):
            send(pid, signal.SIGSTOP)
        (number,) = [
            trial.number
            for trial in setting.study.trials()
            if trial.state.name == "RUNNING" and is_by(trial, child)
        ]
        wait_until(
            lambda: trial(setting, number).user_attrs["attempt"] == 2, "taken from the sleeper"
        )
        wait_until(lambda: trial(setting, number).state.is_finished(), "finished by the other")
        for pid in (child, stopped.process.pid):
            send(pid, signal.SIGCONT)
        assert exit_code(stopped) == 0
        assert exit_code(other) == 0
        assert stopped.child() is None
    assert audit(setting).faults == []
    assert not is_by(trial(setting, number), child)
    assert any(is_by(trial, child) for trial in setting.study.trials())


def test_a_killed_childs_trial_is_taken_up_at_once(tmp_path: Path) -> None:
    setting = make(tmp_path, n_trials=1, max_epochs=LONG)
    with start_workers(setting, lease="10m") as workers:
        (worker,) = workers.commands
        wait_for_epochs(setting, 50)
        assert send(worker.child(), signal.SIGKILL)
        assert exit_code(worker, 90) == 0  # long before the lease runs out
    assert audit(setting).faults == []
    assert trial(setting).user_attrs["attempt"] == 2
