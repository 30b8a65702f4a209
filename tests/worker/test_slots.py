"""A worker with several trials in training at once."""

import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from hpo.files.store import ArtifactStore
from hpo.lifecycle.creation import create_from_file
from hpo.models.experiment import Experiment
from hpo.storage.engine import open_storage
from hpo.storage.leases import Lease, WorkerId
from hpo.study.catalog import bury, open_study
from hpo.study.claim import Claim
from hpo.study.study import Study
from hpo.training.packs.trainer import PackedTrainer
from hpo.training.trainer import Event
from hpo.worker import outbox
from hpo.worker.loop import Worker
from hpo.worker.quota import Quota
from hpo.worker.slots import Slots
from tests.support import workers
from tests.support.pack import Pack
from tests.support.program import PROGRAM
from tests.support.workers import STUDY

ME = WorkerId(host="here", pid=1, device="cpu")

Make = Callable[..., Study]


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(str(tmp_path / "artifacts"))


@pytest.fixture
def make_study(tmp_path: Path, store: ArtifactStore) -> Make:
    def make(n_trials: int, max_epochs: int = 2, url: str = "") -> Study:
        rows = [f"{i % 13},{(i * 7) % 29},{i % 13 * 0.5 + i % 29}" for i in range(200)]
        (tmp_path / "table.csv").write_text("\n".join(["a,b,y", *rows]))
        text = STUDY.format(name="small", n_trials=n_trials, max_epochs=max_epochs, high=1e-2)
        (tmp_path / "small.toml").write_text(f'{text}[pruner]\nname = "none"\n')
        url = url or f"sqlite:///{tmp_path}/hpo.db"
        study = create_from_file(tmp_path / "small.toml", url, store.url).study
        return study

    return make


def make_worker(study: Study, store: ArtifactStore, pack: Pack, **changes: object) -> Worker:
    return workers.make_worker(study, store, pack, **{"slots": 4, "identity": ME, **changes})


class Described(PackedTrainer):
    """Keeps the descriptions of its packs."""

    def __init__(self, slots: int) -> None:
        super().__init__("cpu", slots)
        self.descriptions: list[list[str]] = []

    def advance(self, max_seconds: float) -> list[Event]:
        events = super().advance(max_seconds)
        self.descriptions.append(self.describe())
        return events


def test_tpe_tunes_the_batch_size_of_trials_in_packs(
    tmp_path: Path, make_study: Make, store: ArtifactStore
) -> None:
    make_study(n_trials=1)
    text = (tmp_path / "small.toml").read_text().replace("n_trials = 1", "n_trials = 16")
    sizes = '[search_space.training]\nbatch_size = {type = "categorical", choices = [32, 64]}\n'
    sampler = '[sampler]\nname = "tpe"\nn_startup_trials = 6\n'
    text = text.replace("small", "sizes").replace("[data]", f"{sizes}{sampler}[data]")
    (tmp_path / "sizes.toml").write_text(text)
    url = f"sqlite:///{tmp_path}/hpo.db"
    study = create_from_file(tmp_path / "sizes.toml", url, store.url).study
    trainer = Described(4)
    assert workers.make_worker(study, store, trainer, slots=4).work(threading.Event())
    assert study.progress().counts == {"COMPLETE": 16}
    drawn = [trial.params["training.batch_size"] for trial in study.trials()]
    assert {32, 64} == set(drawn) == set(drawn[6:])
    for packs in trainer.descriptions:
        found = [line.split("batches of ")[1].split(":")[0] for line in packs]
        assert sorted(found) == sorted(set(found))  # a pack for each batch size
    assert max(map(len, trainer.descriptions)) == 2


def test_slots_are_full_until_the_budget_is_used_up(
    make_study: Make, store: ArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    study, pack = make_study(n_trials=10, max_epochs=100), Pack(4)
    claim, looks = Study.claim, list[tuple[int, int, int]]()

    def noted(study: Study, worker: WorkerId, lease: float, n: int) -> list[Lease]:
        granted = claim(study, worker, lease, n)
        looks.append((len(pack.sizes), n, len(granted)))
        return granted

    monkeypatch.setattr(Study, "claim", noted)
    start = time.monotonic()
    assert make_worker(study, store, pack).work(threading.Event())
    assert study.progress().counts == {"COMPLETE": 10}
    assert all(trial.user_attrs["attempt"] == 1 for trial in study.trials())
    assert looks[0] == (0, 4, 4)
    assert pack.sizes[0] == 4
    last = max(n_slices for n_slices, _, n_granted in looks if n_granted)
    # Who follows a trial is claimed beside the next slice, and begins with the one after that.
    n_missed = sum(n_wanted for _, n_wanted, n_granted in looks[1:] if n_granted)
    assert sum(4 - size for size in pack.sizes[:last]) <= n_missed
    # Each trial that ended freed a slot, and looks in vain are a second apart.
    assert len(looks) <= 10 + 2 + (time.monotonic() - start) / 1.0


@pytest.mark.slow
def test_params_are_drawn_while_others_train(
    make_study: Make, store: ArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    study, quota = make_study(n_trials=4, max_epochs=100_000), Quota.limited(2)
    drawing, noticed, stop, draw = (
        threading.Event(),
        threading.Event(),
        threading.Event(),
        Study.draw,
    )

    def on_slice() -> None:
        if len(pack.sizes) == 3:
            quota.give_back(2)
        if drawing.wait(0.2 if len(pack.sizes) <= 3 else 2):
            noticed.set()
            stop.set()

    def watched(study: Study, granted: Sequence[Lease]) -> list[Claim]:
        if granted and len(pack.sizes) >= 3:  # the first ones have nobody beside them
            drawing.set()
            assert noticed.wait(60)
        return draw(study, granted)

    monkeypatch.setattr(Study, "draw", watched)
    pack = Pack(4, on_slice=on_slice)
    assert not make_worker(study, store, pack, quota=quota).work(stop)
    assert noticed.is_set()
    assert study.progress().counts == {"WAITING": 4}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def test_two_workers_keep_the_budget_exactly(
    make_study: Make,
    store: ArtifactStore,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    kind: str,
) -> None:
    if kind == "sqlite":
        url = f"sqlite:///{tmp_path}/two.db"
    else:
        url = request.getfixturevalue("postgresql_url")
    study = make_study(n_trials=11, max_epochs=20, url=url)

    def work(pid: int) -> None:
        with closing(open_storage(url)) as storage:
            own = open_study(storage, "small")
            identity = WorkerId(host="here", pid=pid, device="cpu")
            make_worker(own, store, Pack(4), identity=identity).work(threading.Event())

    workers = [threading.Thread(target=work, args=(pid,)) for pid in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    trials = study.trials()
    assert [trial.number for trial in trials] == list(range(11))
    assert {(trial.state.name, trial.user_attrs["attempt"]) for trial in trials} == {
        ("COMPLETE", 1)
    }
    study.storage.close()


KILLED = """
import os, sys, threading, time
from hpo.files.store import ArtifactStore
from hpo.study.catalog import open_study
from hpo.storage.engine import open_storage
from hpo.storage.leases import WorkerId
from hpo.worker.loop import Worker
from hpo.worker.timing import Timing
from hpo.worker.slots import Slots
from hpo.worker.quota import Quota
from tests.support.pack import Pack

study = open_study(open_storage(sys.argv[1]), "small")
store = ArtifactStore(sys.argv[2])

def die_when_all_are_kept():
    folder = f"studies/{study.uuid}"
    if sum("/checkpoints/" in path for path in store.list(folder)) >= 4:
        os.kill(os.getpid(), 9)

Worker(
    studies=lambda: [study],
    storage=study.storage,
    store=store,
    trainer=Pack(4, on_slice=die_when_all_are_kept),
    slots=4,
    identity=WorkerId(host="dead", pid=1, device="cpu"),
    quota=Quota(),
    timing=Timing(checkpoint=0.1),
).work(threading.Event())
"""


@pytest.mark.slow
def test_all_trials_of_a_killed_worker_go_on_from_their_checkpoints(
    make_study: Make, store: ArtifactStore
) -> None:
    study = make_study(n_trials=4, max_epochs=400)
    command = [*PROGRAM, KILLED, study.storage.url, store.url]
    done = subprocess.run(command, timeout=240)
    assert done.returncode == -signal.SIGKILL
    assert study.progress().counts == {"RUNNING": 4}
    bury(study.storage, "dead:1", "killed by SIGKILL")
    logged = [store.list(f"studies/{study.uuid}/trial-{n:05d}/checkpoints") for n in range(4)]
    assert all(logged)
    resumed = list[int]()
    pack = Pack(4, on_slice=lambda: resumed.append(len(study.trials()[3].intermediate_values)))
    assert make_worker(study, store, pack).work(threading.Event())
    assert resumed[0] > 0
    for trial in study.trials():
        assert (trial.state.name, trial.user_attrs["attempt"]) == ("COMPLETE", 2)
        assert list(trial.intermediate_values) == list(range(1, 401))


def test_trials_without_a_place_go_back_and_the_worker_makes_do(
    make_study: Make, store: ArtifactStore
) -> None:
    study, pack = make_study(n_trials=6, max_epochs=200), Pack(4, room=2)
    worker = make_worker(study, store, pack)
    assert worker.work(threading.Event())
    assert max(pack.sizes) == 2
    trials = study.trials()
    assert {trial.state.name for trial in trials} == {"COMPLETE"}
    assert [trial.user_attrs["attempt"] for trial in trials] == [1, 1, 2, 2, 1, 1]
    for trial in trials[2:4]:
        (earlier,) = trial.user_attrs["earlier_attempts"]
        assert earlier["ended"] == "released"


def test_a_trial_that_is_not_admitted_goes_back(make_study: Make, store: ArtifactStore) -> None:
    study, pack = make_study(n_trials=3, max_epochs=200), Pack(2)
    assert make_worker(study, store, pack).work(threading.Event())
    assert study.progress().counts == {"COMPLETE": 3}
    attempts = study.trials()[2].user_attrs["earlier_attempts"]
    assert {attempt["ended"] for attempt in attempts} == {"released"}


def test_a_quota_limits_what_is_claimed_at_once(make_study: Make, store: ArtifactStore) -> None:
    study, pack, quota = make_study(n_trials=10), Pack(4), Quota.limited(6)
    make_worker(study, store, pack, quota=quota).work(threading.Event())
    assert study.progress().counts == {"COMPLETE": 6}
    other = make_study(n_trials=10)
    quota = Quota.limited(50)
    make_worker(other, store, Pack(4), quota=quota).work(threading.Event())
    assert quota.take(100) == 46


@pytest.mark.slow
def test_a_lost_lease_leaves_the_others_alone(make_study: Make, store: ArtifactStore) -> None:
    study = make_study(n_trials=4, max_epochs=300)
    taken = list[dict[int, int]]()

    def take_one() -> None:
        if len(pack.sizes) == 2:  # as if it had been silent
            (first, *_) = [trial for trial in study.trials() if trial.state.name == "RUNNING"]
            sql = f"UPDATE hpo_leases SET worker_id = 'x' WHERE trial_id = {first._trial_id}"
            study.storage.write(lambda connection: connection.exec_driver_sql(sql))
            taken.append(study.reaper.bury("x", "lost"))

    pack = Pack(4, on_slice=take_one)
    assert make_worker(study, store, pack).work(threading.Event())
    assert taken == [{0: 1}]
    trials = study.trials()
    assert {trial.state.name for trial in trials} == {"COMPLETE"}
    assert [trial.user_attrs["attempt"] for trial in trials] == [2, 1, 1, 1]


def test_a_stop_gives_all_of_them_back(make_study: Make, store: ArtifactStore) -> None:
    study, stop = make_study(n_trials=9, max_epochs=100_000), threading.Event()
    pack = Pack(4, on_slice=lambda: stop.set() if len(pack.sizes) == 3 else None)
    assert not make_worker(study, store, pack).work(stop)
    assert study.progress().counts == {"WAITING": 4}
    for number in range(4):
        assert store.list(f"studies/{study.uuid}/trial-{number:05d}/checkpoints")


@pytest.fixture
def three_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers claim three trials more than they have slots."""
    monkeypatch.setattr(Slots, "n_wanted", lambda own, jobs: max(0, own.n + 3 - len(jobs)))


@pytest.mark.usefixtures("three_ahead")
def test_a_stop_gives_back_what_was_claimed_ahead(make_study: Make, store: ArtifactStore) -> None:
    study, stop, quota = make_study(9, max_epochs=100_000), threading.Event(), Quota.limited(8)
    pack = Pack(4, on_slice=lambda: stop.set() if len(pack.sizes) == 3 else None)
    assert not make_worker(study, store, pack, quota=quota).work(stop)
    assert study.progress().counts == {"WAITING": 7}
    assert quota.take(9) == 4  # of eight, four were begun


@pytest.mark.usefixtures("three_ahead")
def test_a_crash_costs_those_nothing_that_were_claimed_ahead(
    make_study: Make, store: ArtifactStore
) -> None:
    study = make_study(9, max_epochs=100_000)

    def crash() -> None:
        if len(pack.sizes) == 3:
            raise RuntimeError("an illegal memory access was encountered")

    pack = Pack(4, on_slice=crash)
    with pytest.raises(RuntimeError, match="illegal memory"):
        make_worker(study, store, pack).work(threading.Event())
    ended = [trial.user_attrs["earlier_attempts"][-1]["ended"] for trial in study.trials()]
    assert [how.partition(":")[0] for how in ended] == ["crashed"] * 4 + ["released"] * 3


@pytest.mark.parametrize("slots", [1, 4])
def test_a_model_that_cannot_be_made_gives_its_trial_back(
    make_study: Make, store: ArtifactStore, monkeypatch: pytest.MonkeyPatch, slots: int
) -> None:
    def fail(*_: object) -> None:
        raise MemoryError("no room")

    monkeypatch.setattr(Experiment, "model", fail)
    study = make_study(n_trials=slots)
    with pytest.raises(MemoryError, match="no room"):
        make_worker(study, store, Pack(slots), slots=slots).work(threading.Event())
    assert study.progress().counts == {"WAITING": slots}
    assert study.trials()[0].user_attrs["earlier_attempts"][0]["ended"] == (
        "crashed: MemoryError: no room"
    )


class TestThrottle:
    def test_the_pause_after_a_send_grows_with_its_duration(self) -> None:
        assert [outbox.pause_after(seconds) for seconds in (0.01, 1.0)] == [0.2, 5.0]

    @pytest.mark.slow
    def test_slow_reports_are_few_and_lose_nothing(
        self, make_study: Make, store: ArtifactStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        study, stop = make_study(n_trials=4, max_epochs=100_000), threading.Event()
        pack = Pack(4, on_slice=lambda: stop.set() if len(pack.sizes) == 30 else None)
        report, sent = Study.report, list[int]()

        def slow(study: Study, batch: object) -> object:
            time.sleep(0.05)
            sent.append(len(batch))  # type: ignore[arg-type]
            return report(study, batch)  # type: ignore[arg-type]

        monkeypatch.setattr(Study, "report", slow)
        start = time.monotonic()
        make_worker(study, store, pack).work(stop)
        assert len(sent) <= 2 + (time.monotonic() - start) / (20 * 0.05)
        for trial in study.trials():
            steps = list(trial.intermediate_values)
            assert steps == list(range(1, len(steps) + 1))
            assert len(steps) > 30


@pytest.mark.slow
def test_neighbours_of_a_trial_that_kills_its_workers_do_not_fail_with_it(
    make_study: Make, store: ArtifactStore
) -> None:
    study = make_study(n_trials=6)
    poison = 2  # the id of trial 1

    def crash() -> None:
        if poison in pack._engines:
            raise RuntimeError("an illegal memory access was encountered")

    for _ in range(5):
        pack = Pack(4, on_slice=crash)
        with pytest.raises(RuntimeError, match="illegal memory"):
            make_worker(study, store, pack).work(threading.Event())
    assert make_worker(study, store, Pack(4)).work(threading.Event())
    states = [trial.state.name for trial in study.trials()]
    assert states == ["COMPLETE", "FAIL", *["COMPLETE"] * 4]
