"""One fleet, many studies: who is served first, and who is at work."""

import threading
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from hpo.files.store import ArtifactStore
from hpo.lifecycle.creation import create_from_file
from hpo.storage.engine import Storage, open_storage
from hpo.storage.leases import WorkerId
from hpo.study.catalog import create_study, delete_study, find, list_workers
from hpo.study.fleet import Fleet, OpenStudy, share_out
from hpo.study.steering import prioritize
from hpo.study.study import Study
from hpo.worker.claims import first_study_first
from hpo.worker.loop import Worker
from hpo.worker.quota import Quota
from hpo.worker.timing import Timing
from tests.support.command_line import hpo
from tests.support.databases import every_database
from tests.support.definitions import definition
from tests.support.pack import Pack
from tests.support.workers import STUDY

ME = WorkerId(host="here", pid=1, device="cpu")


def make(storage: Storage, name: str, n_trials: int = 10, store: str = "store") -> Study:
    return create_study(storage, replace(definition(n_trials), name=name), store)


def names(shares: list[tuple[Study, int]]) -> dict[str, int]:
    return {study.name: n for study, n in shares}


@every_database
def test_higher_priority_comes_first_and_equals_have_equal_shares(storage: Storage) -> None:
    a, _, c = (make(storage, name) for name in "abc")
    make(storage, "elsewhere", store="another")
    prioritize(c, -1)
    assert find(storage, "c").priority == -1
    assert len(a.claim(ME, 60.0, 3)) == 3
    fleet = Fleet(storage, "store")
    studies = fleet.studies()
    assert [study.name for study in studies] == ["b", "a", "c"]
    assert names(fleet.shares(studies, 1)) == {"b": 1}
    assert names(fleet.shares(studies, 7)) == {"b": 5, "a": 2}
    assert names(fleet.shares(studies, 20)) == {"b": 10, "a": 7, "c": 3}


def test_a_fleet_takes_new_studies_and_leaves_finished_ones(storage: Storage) -> None:
    a, fleet = make(storage, "a", n_trials=1), Fleet(storage, "store")
    (first,) = fleet.studies()
    (trial,) = a.draw(a.claim(ME, 60.0))
    assert fleet.studies() == [first]
    a.finish(trial, "COMPLETE", 1.0, {})
    make(storage, "b")
    late = replace(definition(budget={"n_trials": 5, "timeout": 0.01}), name="late")
    late_study = create_study(storage, late, "store")
    assert {study.name for study in fleet.studies()} == {"b", "late"}
    late_study.claim(ME, 60.0)
    threading.Event().wait(0.05)
    assert [study.name for study in fleet.studies()] == ["b"]
    delete_study(storage, "b")
    assert fleet.studies() == []


def test_a_fleet_that_waits_says_so_once_each_time(
    storage: Storage, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "hpo")
    fleet = Fleet(storage, "store")
    assert fleet.studies() == fleet.studies() == []
    a = make(storage, "a", n_trials=1)
    assert len(fleet.studies()) == 1
    make(storage, "elsewhere", store="another")
    (trial,) = a.draw(a.claim(ME, 60.0))
    a.finish(trial, "COMPLETE", 1.0, {})
    assert fleet.studies() == fleet.studies() == []
    waits = "no open study has a trial to run, waiting for one"
    why = "; the artifacts of elsewhere are in another store"
    assert [record.getMessage() for record in caplog.records] == [waits, waits + why]


@every_database
def test_trials_of_dead_workers_count_as_left(storage: Storage) -> None:
    a = make(storage, "a", n_trials=2)
    assert len(a.claim(ME, 0.01, 2)) == 2
    threading.Event().wait(0.05)
    fleet = Fleet(storage, "store")
    assert names(fleet.shares(fleet.studies(), 5)) == {"a": 2}


def test_to_look_takes_two_statements_however_many_studies_there_are(tmp_path: Path) -> None:
    with closing(open_storage(f"sqlite:///{tmp_path}/hpo.db")) as storage:
        for name in "abcdef":
            make(storage, name)
        fleet, statements = Fleet(storage, "store"), list[str]()
        event = "before_cursor_execute"
        sa.event.listen(storage._reads, event, lambda *given: statements.append(given[2]))
        assert len(fleet.shares(fleet.studies(), 3)) == 3
    assert len([text for text in statements if text.startswith("SELECT")]) == 2


def test_shares_are_dealt_out_one_by_one() -> None:
    a, b = (object() for _ in "ab")

    def open_study(study: object, **about: int) -> OpenStudy:
        return OpenStudy(study=study, **{"priority": 0, "n_running": 0, "n_left": 9, **about})  # type: ignore[arg-type]

    assert share_out([open_study(a), open_study(b)], 3) == [(a, 2), (b, 1)]
    assert share_out([open_study(a), open_study(b, priority=1, n_left=2)], 3) == [(b, 2), (a, 1)]
    assert share_out([open_study(a, n_running=4), open_study(b)], 4) == [(b, 4)]
    assert share_out([open_study(a, n_left=0)], 4) == []


@pytest.mark.slow
@pytest.mark.parametrize("is_named", [False, True])
def test_a_worker_with_many_slots_spreads_and_all_studies_are_finished(
    tmp_path: Path, is_named: bool
) -> None:
    store = ArtifactStore(str(tmp_path / "artifacts"))
    rows = [f"{i % 13},{(i * 7) % 29},{i % 13 * 0.5 + i % 29}" for i in range(200)]
    (tmp_path / "table.csv").write_text("\n".join(["a,b,y", *rows]))
    url = f"sqlite:///{tmp_path}/hpo.db"
    studies = []
    for name, n_trials in (("a", 2), ("b", 6)):
        text = STUDY.format(name=name, n_trials=n_trials, max_epochs=2, high=1e-2)
        (tmp_path / f"{name}.toml").write_text(text)
        studies.append(create_from_file(tmp_path / f"{name}.toml", url, store.url).study)
    with closing(open_storage(url)) as storage:
        fleet, quota = Fleet(storage, store.id), Quota.limited(8)
        firsts = names(fleet.shares(fleet.studies(), 4))
        assert firsts == {"a": 2, "b": 2}
        worker = Worker(
            studies=(lambda: studies) if is_named else fleet.studies,
            shares=first_study_first if is_named else fleet.shares,
            storage=storage,
            store=store,
            trainer=Pack(4),
            slots=4,
            identity=ME,
            quota=quota,
            timing=Timing(),
            until_finished=is_named,
        )
        assert worker.work(threading.Event())
        assert fleet.studies() == []
    for study in studies:
        assert study.progress().is_finished
        study.storage.close()


@every_database
def test_workers_are_listed_with_what_they_hold(storage: Storage) -> None:
    a, b = make(storage, "a"), make(storage, "b")
    other = WorkerId(host="there", pid=7, device="GPU", share=0.5)
    a.claim(ME, 60.0, 2)
    b.claim(ME, 60.0)
    b.claim(other, 0.01)
    threading.Event().wait(0.05)
    found = list_workers(storage)
    assert [(w.worker.host, w.study, w.trials, w.is_silent) for w in found] == [
        ("here", "a", (0, 1), False),
        ("here", "b", (0,), False),
        ("there", "b", (1,), True),
    ]
    assert all(w.silent_seconds < 10 for w in found)


@pytest.mark.slow
def test_the_commands_that_show_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rows = [f"{i % 13},{(i * 7) % 29},{i % 13 * 0.5 + i % 29}" for i in range(200)]
    Path("table.csv").write_text("\n".join(["a,b,y", *rows]))
    Path("a.toml").write_text(STUDY.format(name="a", n_trials=2, max_epochs=2, high=1e-2))
    assert hpo("create", "a.toml", "--priority", 7).code == 0
    assert hpo("create", "a.toml").code == 0
    (study,) = hpo("studies", "--json").document
    assert study["priority"] == 7
    assert "7" in hpo("studies").out
    with closing(open_storage("sqlite:///hpo.db")) as storage:
        Fleet(storage, ArtifactStore("hpo-artifacts").id).studies()[0].claim(ME, 60.0)
    (worker,) = hpo("workers", "--json").document
    assert (worker["host"], worker["study"], worker["trials"]) == ("here", "a", [0])
    assert "here" in hpo("workers").out
