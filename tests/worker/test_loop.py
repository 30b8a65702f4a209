"""The worker with a real study, a real store and the real engine, in one process or in several."""

import os
import platform
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa
import torch

from hpo.config.errors import (
    ArtifactError,
    DamagedStudyError,
    DataError,
    HpoError,
    StorageUnavailableError,
)
from hpo.config.trial import DataConfig
from hpo.data.table import read_table
from hpo.files.store import ArtifactStore
from hpo.launch.workers import release_trials
from hpo.lifecycle.creation import create_from_file
from hpo.models.model import Model
from hpo.storage.engine import Storage
from hpo.storage.leases import Lease, WorkerId
from hpo.storage.schema import TRIAL_PARAMS
from hpo.study.steering import set_standing
from hpo.study.study import Study
from hpo.training.checkpoint import Checkpoint
from hpo.training.single import SingleTrainer
from hpo.training.trainer import Event, Failed, Run
from hpo.worker import loop
from hpo.worker.checkpoints import latest
from hpo.worker.loop import MAX_FAILURES, Worker
from hpo.worker.quota import Quota
from hpo.worker.supervisor import EXIT_RELEASED, Death
from hpo.worker.timing import Timing
from tests.support import workers
from tests.support.command_line import hpo
from tests.support.program import PROGRAM
from tests.support.waiting import wait_until
from tests.support.workers import STUDY


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(str(tmp_path / "artifacts"))


@pytest.fixture
def make_study(tmp_path: Path, store: ArtifactStore) -> Callable[..., Study]:
    def make(
        n_trials: int = 3, max_epochs: int = 2, high: float = 1e-2, name: str = "small"
    ) -> Study:
        rows = [f"{i % 13},{(i * 7) % 29},{i % 13 * 0.5 + i % 29}" for i in range(200)]
        (tmp_path / "table.csv").write_text("\n".join(["a,b,y", *rows]))
        path = tmp_path / "small.toml"
        text = STUDY.format(name=name, n_trials=n_trials, max_epochs=max_epochs, high=high)
        path.write_text(text)
        study = create_from_file(path, f"sqlite:///{tmp_path}/hpo.db", store.url).study
        return study

    return make


def make_worker(study: Study, store: ArtifactStore, **changes: object) -> Worker:
    return workers.make_worker(study, store, **{"trainer": SingleTrainer("cpu"), **changes})  # type: ignore[arg-type]


def test_a_worker_finishes_the_study(
    make_study: Callable[..., Study], store: ArtifactStore
) -> None:
    study = make_study(n_trials=3)
    assert make_worker(study, store).work(threading.Event())
    assert study.progress().counts == {"COMPLETE": 3}
    assert study.progress().is_finished


def test_a_worker_leaves_a_damaged_study_and_finishes_the_others(
    make_study: Callable[..., Study], store: ArtifactStore, caplog: pytest.LogCaptureFixture
) -> None:
    hurt, well = make_study(n_trials=3, name="hurt"), make_study(n_trials=2, name="well")

    class Spoilt(SingleTrainer):
        """Damages the study that it trains for, once its trial has started."""

        def advance(self, max_seconds: float) -> list[Event]:
            bad = sa.update(TRIAL_PARAMS).values(distribution_json="{")
            if not well.progress().counts.get("RUNNING"):
                hurt.storage.write(lambda connection: connection.execute(bad))
            return super().advance(max_seconds)

    worker = make_worker(hurt, store, trainer=Spoilt("cpu"), studies=lambda: [hurt, well])
    with pytest.raises(DamagedStudyError, match=r"study hurt in .* of trial 0, .* must be JSON"):
        worker.work(threading.Event())
    assert well.progress().counts == {"COMPLETE": 2}
    assert hurt.progress().counts == {"COMPLETE": 1}
    assert sum("study hurt in" in record.getMessage() for record in caplog.records) == 1


@pytest.mark.slow
def test_complete_trials_have_weights_that_give_the_recorded_metric(
    make_study: Callable[..., Study], store: ArtifactStore
) -> None:
    study = make_study(n_trials=2)
    worker = make_worker(study, store)
    worker.work(threading.Event())
    for trial in study.trials():
        attrs = trial.user_attrs
        model = Model.from_bytes(store.get(attrs["artifact"], attrs["sha256"]), "model")
        assert model.metrics["rmse"] == trial.value == min(trial.intermediate_values.values())
        assert attrs["attempt"] == 1
        assert attrs["torch"]


def test_a_stop_gives_the_trial_back_under_its_number(
    make_study: Callable[..., Study], store: ArtifactStore
) -> None:
    study = make_study(n_trials=2, max_epochs=100_000)
    stop = threading.Event()
    assert not make_worker(study, store, trainer=Interrupted(stop)).work(stop)
    assert study.progress().counts == {"WAITING": 1}
    assert study.trials()[0].params["model.depth"] == 1


@pytest.mark.slow
def test_an_idle_worker_asks_less_often_where_asking_takes_long(
    make_study: Callable[..., Study], store: ArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    study, asked = make_study(), list[float]()

    def slow(*given: object) -> list[Lease]:
        asked.append(time.monotonic())
        time.sleep(0.1)
        if len(asked) == 2:
            stop.set()
        return []

    monkeypatch.setattr(study, "claim", slow)
    monkeypatch.setattr(loop, "POLL_SECONDS", 0.01)
    stop = threading.Event()
    make_worker(study, store).work(stop)
    assert asked[1] - asked[0] > 1.5


class Interrupted(SingleTrainer):
    """An engine whose worker is told to stop after one short slice."""

    def __init__(self, stop: threading.Event) -> None:
        super().__init__("cpu")
        self._stop = stop

    def advance(self, max_seconds: float) -> list[Event]:
        events = super().advance(0.2)
        self._stop.set()
        return events


@pytest.mark.slow
def test_a_trial_goes_on_from_its_checkpoint_as_if_it_had_never_stopped(
    make_study: Callable[..., Study], store: ArtifactStore
) -> None:
    study = make_study(n_trials=1, max_epochs=1500)
    while not study.progress().is_finished:
        stop = threading.Event()
        make_worker(study, store, trainer=Interrupted(stop)).work(stop)
    (trial,) = study.trials()
    assert trial.user_attrs["attempt"] > 1
    assert list(trial.intermediate_values) == list(range(1, 1501))
    alone = make_study(n_trials=1, max_epochs=1500, name="alone")
    make_worker(alone, store).work(threading.Event())
    (other,) = alone.trials()
    assert other.user_attrs["attempt"] == 1
    assert trial.intermediate_values == other.intermediate_values
    assert trial.value == other.value
    weights = [
        Model.from_bytes(store.get(t.user_attrs["artifact"], t.user_attrs["sha256"]), "model")
        for t in (trial, other)
    ]
    first, second = (model.network.state_dict() for model in weights)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not store.list(f"studies/{study.uuid}/trial-00000/checkpoints")


@pytest.mark.slow
def test_checkpoints_are_kept_at_an_interval_and_one_a_trial(
    make_study: Callable[..., Study], store: ArtifactStore
) -> None:
    study = make_study(n_trials=1, max_epochs=100_000)
    stop, seen = threading.Event(), set[str]()

    def look() -> None:
        while not stop.wait(0.02) and len(seen) < 3:
            found = store.list(f"studies/{study.uuid}/trial-00000/checkpoints")
            assert len(found) <= 2
            seen.update(found)
        stop.set()

    looker = threading.Thread(target=look)
    looker.start()
    make_worker(study, store, timing=Timing(checkpoint=0.5)).work(stop)
    looker.join()
    assert len(seen) >= 3
    assert len(store.list(f"studies/{study.uuid}/trial-00000/checkpoints")) == 1


HANGING = """
import os, sys, threading, time
from hpo.files.store import ArtifactStore
from hpo.study.catalog import open_study
from hpo.storage.engine import open_storage
from hpo.storage.leases import WorkerId
from hpo.training.single import SingleTrainer
from hpo.worker.loop import Worker
from hpo.worker.timing import Timing
from hpo.worker.quota import Quota

class Hanging(SingleTrainer):
    def advance(self, max_seconds):
        time.sleep(600)

study = open_study(open_storage(sys.argv[1]), "small")
Worker(
    studies=lambda: [study],
    storage=study.storage,
    store=ArtifactStore(sys.argv[2]),
    trainer=Hanging("cpu"),
    identity=WorkerId(host="here", pid=os.getpid(), device="cpu"),
    quota=Quota(),
    timing=Timing(lease=0.6, hang=1.0),
).work(threading.Event())
"""


@pytest.mark.slow
def test_a_worker_that_hangs_is_killed_by_its_own_heartbeat(
    make_study: Callable[..., Study], store: ArtifactStore
) -> None:
    study = make_study(n_trials=1)
    command = [*PROGRAM, HANGING, study.storage.url, store.url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert done.returncode == -signal.SIGKILL
    assert "no progress for" in done.stderr
    assert "trials in progress: 0" in done.stderr
    assert study.progress().counts == {"RUNNING": 1}


COMPILING = """
import sys, time
from hpo.training.single import SingleTrainer
from hpo.worker import __main__ as worker, loop

def advance(self, max_seconds):
    print("compiling", flush=True)
    time.sleep(600)

SingleTrainer.advance = advance
worker.LEAVE_SECONDS, loop.STUCK_SECONDS = 0.1, 0.0
sys.exit(worker.main())
"""


@pytest.mark.slow
def test_a_worker_told_to_go_while_it_compiles_gives_its_trial_back(
    make_study: Callable[..., Study], store: ArtifactStore
) -> None:
    study = make_study(n_trials=1)
    places = {"HPO_STORAGE": study.storage.url, "HPO_ARTIFACTS": store.url}
    process = subprocess.Popen(
        [*PROGRAM, COMPILING, study.name],
        env={**os.environ, **places},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "compiling\n"
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == EXIT_RELEASED, log
    assert "stopping in the middle of a slice" in log
    (trial,) = study.trials()
    assert trial.state.name == "WAITING"
    assert [each["ended"] for each in trial.user_attrs["earlier_attempts"]] == ["released"]


def test_a_worker_killed_at_a_stop_costs_its_trial_no_attempt(
    make_study: Callable[..., Study], store: ArtifactStore
) -> None:
    study = make_study(n_trials=1)
    me = WorkerId(host=platform.node(), pid=1, device="cpu", nonce="n")
    for was_stopped in (True, False):
        assert study.ask(me, 60.0) is not None
        death = Death(pid=1, nonce="n", how="killed", lines=("x",), was_stopped=was_stopped)
        release_trials(study.storage, store, death)
    earlier = study.trials()[0].user_attrs["earlier_attempts"]
    assert [each["ended"] for each in earlier] == ["released", "killed; last log line: x"]


def test_a_worker_that_waits_says_so(
    make_study: Callable[..., Study], store: ArtifactStore
) -> None:
    study, stop = make_study(n_trials=2), threading.Event()
    set_standing(study, "paused")
    worker = threading.Thread(target=make_worker(study, store).work, args=(stop,))
    worker.start()
    url = ("--storage", study.storage.url)
    wait_until(lambda: "small is paused" in hpo("workers", *url).out, "that it waits")
    (row,) = hpo("workers", "--json", *url).document
    assert (row["waits_for"], row["trials"], row["study"]) == ("small is paused", [], None)
    assert 0 <= row["waiting_seconds"] < 60
    set_standing(study, "open")
    worker.join()
    assert study.progress().counts == {"COMPLETE": 2}
    assert hpo("workers", *url).err == "No worker is at work or waits.\n"


class Crashing(SingleTrainer):
    """An engine that meets what nobody expected."""

    def advance(self, max_seconds: float) -> list[Event]:
        raise RuntimeError("an illegal memory access was encountered")


def test_a_crash_gives_the_trial_back_as_one_that_cost_a_worker(
    make_study: Callable[..., Study], store: ArtifactStore
) -> None:
    study = make_study(n_trials=1)
    for _ in range(5):
        with pytest.raises(RuntimeError, match="illegal memory"):
            make_worker(study, store, trainer=Crashing("cpu")).work(threading.Event())
    (trial,) = study.trials()
    assert trial.state.name == "FAIL"
    assert trial.user_attrs["reason"].startswith("cost 5 workers, the last one crashed: Runtime")
    log = store.get(f"studies/{study.uuid}/trial-00000/attempt-5/log.txt", digest=None).decode()
    assert "an illegal memory access was encountered" in log


@pytest.mark.slow
def test_a_storage_that_is_away_is_ridden_out(
    make_study: Callable[..., Study], store: ArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = make_study(n_trials=3, max_epochs=600)
    write, calls = study.storage.write, list[float]()

    def away(self: Storage, work: Callable[..., object]) -> object:
        calls.append(time.monotonic())
        if len(calls) > 2 and time.monotonic() < calls[2] + 5.0:  # the trial is claimed, and runs
            raise StorageUnavailableError("storage: connection refused")
        return write(work)

    monkeypatch.setattr(Storage, "write", away)
    assert make_worker(study, store, timing=Timing(lease=3.0)).work(threading.Event())
    for trial in study.trials():
        assert trial.state.name == "COMPLETE"
        assert trial.user_attrs["attempt"] == 1
        assert list(trial.intermediate_values) == list(range(1, 601))


@pytest.mark.slow
def test_patience_with_a_storage_ends_and_the_trial_is_kept(
    make_study: Callable[..., Study], store: ArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = make_study(n_trials=1, max_epochs=100_000)
    write, calls = study.storage.write, list[None]()

    def gone(self: Storage, work: Callable[..., object]) -> object:
        calls.append(None)
        if len(calls) > 3:  # the trial is claimed, and has reported
            raise StorageUnavailableError("storage: connection refused")
        return write(work)

    monkeypatch.setattr(Storage, "write", gone)
    with pytest.raises(StorageUnavailableError, match=r"refused; given up after \d+ s"):
        make_worker(study, store, timing=Timing(outage=1.5)).work(threading.Event())
    assert len(store.list(f"studies/{study.uuid}/trial-00000/checkpoints")) == 1


@pytest.mark.slow
def test_patience_with_a_storage_ends_for_an_idle_worker_too(
    make_study: Callable[..., Study], store: ArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = make_study(n_trials=1)
    assert study.claim(WorkerId(host="there", pid=1, device="cpu"), 60.0)

    def gone(self: Storage, work: Callable[..., object]) -> object:
        raise StorageUnavailableError("storage: connection refused")

    monkeypatch.setattr(Storage, "write", gone)
    with pytest.raises(StorageUnavailableError, match=r"refused; given up after \d+ s"):
        make_worker(study, store, timing=Timing(outage=1.5)).work(threading.Event())


@pytest.mark.slow
def test_a_pause_leaves_no_epoch_unreported(
    make_study: Callable[..., Study], store: ArtifactStore
) -> None:
    study, stop = make_study(n_trials=1, max_epochs=100_000), threading.Event()

    def pause() -> None:
        while not study.trials()[0].intermediate_values:
            time.sleep(0.1)
        set_standing(study, "paused")
        while "RUNNING" in study.progress().counts:
            time.sleep(0.1)
        stop.set()

    threading.Thread(target=pause).start()
    make_worker(study, store).work(stop)
    (trial,) = study.trials()
    kept = latest(store, study.uuid, 0)
    assert kept is not None
    assert len(trial.intermediate_values) == len(kept.measurements) > 0


def test_diverged_trials_are_pruned_with_their_reason(
    make_study: Callable[..., Study], store: ArtifactStore
) -> None:
    study = make_study(n_trials=2, max_epochs=20, high=50.0)
    study.enqueue({"model.depth": 2, "optimizer.learning_rate": 50.0})
    make_worker(study, store).work(threading.Event())
    trial = study.trials()[1]
    assert trial.state.name == "PRUNED"
    assert "not finite" in trial.user_attrs["reason"]


class OutOfMemory(SingleTrainer):
    """An engine that never has the memory for a trial."""

    def admit(self, run: Run, checkpoint: Checkpoint | None = None) -> bool:
        self.key = run.key
        return True

    def advance(self, max_seconds: float) -> list[Event]:
        return [Failed(key=self.key, reason="out of memory")]


def test_a_worker_gives_up_after_failures_in_a_row(
    make_study: Callable[..., Study], store: ArtifactStore
) -> None:
    study = make_study(n_trials=10)
    with pytest.raises(
        HpoError, match="5 trials in a row failed, the last one with: out of memory"
    ):
        make_worker(study, store, trainer=OutOfMemory("cpu")).work(threading.Event())
    assert study.progress().counts == {"FAIL": MAX_FAILURES}


@pytest.mark.slow
def test_a_trial_is_not_complete_without_its_weights(
    make_study: Callable[..., Study], store: ArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = make_study(n_trials=1)
    worker = make_worker(study, store, timing=Timing(outage=1.0))

    def full(path: str, data: bytes) -> str:
        raise ArtifactError("no space left on device")

    monkeypatch.setattr(store, "put", full)
    with pytest.raises(ArtifactError, match=r"no space left on device; given up after \d+ s"):
        worker.work(threading.Event())
    assert study.progress().counts == {"WAITING": 1}


@pytest.mark.slow
def test_weights_are_saved_and_told_when_the_disk_has_room_again(
    make_study: Callable[..., Study], store: ArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = make_study(n_trials=1)
    put, refused = store.put, list[str]()

    def full_for_a_while(path: str, data: bytes) -> str:
        if len(refused) < 3:
            refused.append(path)
            raise ArtifactError("no space left on device")
        return put(path, data)

    monkeypatch.setattr(store, "put", full_for_a_while)
    assert make_worker(study, store).work(threading.Event())
    (trial,) = study.trials()
    assert (trial.state.name, trial.user_attrs["attempt"]) == ("COMPLETE", 1)
    store.get(trial.user_attrs["artifact"], trial.user_attrs["sha256"])


def test_a_worker_refuses_other_data(
    make_study: Callable[..., Study], store: ArtifactStore, tmp_path: Path
) -> None:
    study = make_study(n_trials=1)
    (table,) = (tmp_path / "artifacts" / "tables").iterdir()
    other = table.with_name("other")
    (tmp_path / "table.csv").write_text("a,b,y\n1,2,3\n2,3,4\n")
    read_table(DataConfig(source="table.csv", target="y"), tmp_path).write(other)
    other.replace(table)
    with pytest.raises(DataError, match="content has changed since the study was created"):
        make_worker(study, store).work(threading.Event())
    assert study.progress().counts == {"WAITING": 1}


def test_a_quota_limits_the_claims(make_study: Callable[..., Study], store: ArtifactStore) -> None:
    study = make_study(n_trials=5)
    make_worker(study, store, quota=Quota.limited(2)).work(threading.Event())
    assert study.progress().counts == {"COMPLETE": 2}


@pytest.mark.slow
def test_a_trial_taken_from_a_sleeping_worker_is_told_by_the_next_alone(
    make_study: Callable[..., Study], store: ArtifactStore
) -> None:
    study = make_study(n_trials=1)
    sleeper = WorkerId(host="sleeper", pid=1, device="cpu")
    claim = study.ask(sleeper, lease=0.3)
    assert claim is not None
    other = make_worker(study, store)
    assert other.work(threading.Event())
    study.release(claim)  # too late: nothing happens
    (trial,) = study.trials()
    assert trial.state.name == "COMPLETE"
    assert trial.user_attrs["attempt"] == 2
    assert trial.params == claim.params


@pytest.mark.slow
def test_processes_share_a_study_and_survive_each_other(
    make_study: Callable[..., Study], store: ArtifactStore, tmp_path: Path
) -> None:
    study = make_study(n_trials=12, max_epochs=300)
    environment = {
        **os.environ,
        "HPO_STORAGE": f"sqlite:///{tmp_path}/hpo.db",
        "HPO_ARTIFACTS": store.url,
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-m", "hpo.worker", "small", "--lease", "1"]
    first, second = (subprocess.Popen(command, env=environment) for _ in range(2))
    wait_until(lambda: study.progress().counts.get("COMPLETE", 0) >= 2)
    first.send_signal(signal.SIGKILL)
    assert first.wait() == -signal.SIGKILL
    assert second.wait(timeout=120) == 0
    trials = study.trials()
    assert [trial.number for trial in trials] == list(range(12))
    assert {trial.state.name for trial in trials} <= {"COMPLETE", "PRUNED"}
    for trial in trials:
        if trial.state.name == "COMPLETE":
            store.get(trial.user_attrs["artifact"], trial.user_attrs["sha256"])
