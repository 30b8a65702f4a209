"""Studies that move, or are copied, to another storage."""

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import optuna
import pytest
import sqlalchemy as sa
from optuna.trial import TrialState
from sqlalchemy.engine import Connection

from hpo.config.errors import (
    ArtifactError,
    InputError,
    LeaseLostError,
    StorageError,
    StudyBusyError,
)
from hpo.config.trial import Measurement
from hpo.files.store import ArtifactStore, study_path, table_path, trial_path
from hpo.lifecycle import relocation
from hpo.lifecycle.housekeeping import collect, delete
from hpo.lifecycle.relocation import Stores, copy_studies
from hpo.storage import copying
from hpo.storage.engine import Storage, open_storage
from hpo.storage.schema import CLOCKS, TRIALS
from hpo.study import catalog
from hpo.study.catalog import create_study, list_studies, open_study
from hpo.study.retraining import find_confirming, open_confirming, queue_missing
from hpo.study.study import Study
from tests.support.definitions import definition
from tests.support.every_state import ME, claim, files, grow_old, study_in_every_state, unnamed

Patch = pytest.MonkeyPatch


across_databases = pytest.mark.parametrize(
    "databases",
    [("sqlite", "postgresql"), ("postgresql", "sqlite"), ("mariadb", "sqlite")],
    indirect=True,
)


@pytest.fixture
def databases(request: pytest.FixtureRequest, tmp_path: Path) -> list[str]:
    """URLs of the source and of the target."""
    return [
        f"sqlite:///{tmp_path}/{place}.db"
        if kind == "sqlite"
        else request.getfixturevalue(f"{kind}_url")
        for place, kind in enumerate(getattr(request, "param", ("sqlite", "sqlite")))
    ]


@pytest.fixture
def source(databases: list[str]) -> Iterator[Storage]:
    with closing(open_storage(databases[0])) as opened:
        yield opened


@pytest.fixture
def target(databases: list[str]) -> Iterator[Storage]:
    """A storage with studies already, so that ids differ."""
    with closing(open_storage(databases[1])) as opened:
        for name in ("first", "second"):
            create_study(opened, definition(name=name), "store").ask(ME, 60)
        yield opened


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(str(tmp_path / "artifacts"))


@pytest.fixture
def stores(store: ArtifactStore, tmp_path: Path) -> Stores:
    return Stores(source=store, target=ArtifactStore(str(tmp_path / "copies")))


def as_optuna_sees(storage: Storage, name: str) -> list[dict[str, object]]:
    study = optuna.load_study(study_name=name, storage=storage.reader)
    storage.reader.invalidate(study._study_id)
    return [
        {key: value for key, value in vars(trial).items() if key != "_trial_id"}
        for trial in study.trials
    ]


def released(trials: list[dict[str, object]]) -> list[dict[str, object]]:
    waits = {"state": TrialState.WAITING, "_datetime_start": None}
    return [{**t, **waits} if t["state"] == TrialState.RUNNING else t for t in trials]


class TestMove:
    @pytest.mark.slow
    @across_databases
    def test_takes_everything_but_leases(
        self,
        source: Storage,
        target: Storage,
        store: ArtifactStore,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(copying, "_N_TRIALS", 2)
        monkeypatch.setattr(copying, "_N_ROWS", 3)
        study = study_in_every_state(source, store, lease=0.01)
        source.reader.set_study_user_attr(study.id, "note", "of a dashboard")
        source.reader.set_trial_user_attr(study.trials()[3]._trial_id, "odd", float("inf"))
        before = as_optuna_sees(source, "study")
        (moved,) = copy_studies(source, target)
        assert (moved.name, moved.n_trials, moved.n_files) == ("study", 5, 0)
        after = open_study(target, "study")
        assert as_optuna_sees(target, "study") == released(before)
        assert (after.uuid, after.artifact_store_id) == (study.uuid, store.id)
        assert after.definition.digest() == study.definition.digest()
        assert after.id != study.id
        shown = optuna.load_study(study_name="study", storage=target.reader)
        assert shown.user_attrs == {"note": "of a dashboard"}
        assert shown.direction == optuna.study.StudyDirection.MINIMIZE
        numbers = [claim(after).number for _ in range(3)]
        assert numbers == [3, 4, 5]

    @pytest.mark.slow
    @across_databases
    def test_keeps_the_clock(self, source: Storage, target: Storage, store: ArtifactStore) -> None:
        study_in_every_state(source, store, lease=0.01)
        ahead = time.time() + 3600  # as the clock of another machine may be
        values = {"busy_ms": 7_000_000, "seen_ms": round(1000 * ahead)}
        source.write(lambda c: c.execute(sa.update(CLOCKS).values(values)))
        copy_studies(source, target)
        moved = open_study(target, "study")
        assert moved.progress().busy_seconds == 7000
        claim(moved)
        time.sleep(0.2)
        assert 7000.2 <= moved.progress().busy_seconds < 7060

    def test_leaves_no_work_in_the_source(
        self, source: Storage, target: Storage, store: ArtifactStore
    ) -> None:
        study = create_study(source, definition(), store.id)
        asleep = claim(study, 0.01)
        time.sleep(0.02)
        copy_studies(source, target)
        assert study.ask(ME, 60.0) is None
        assert study.report({asleep: [Measurement(step=1, value=1.0)]}).lost == {asleep}
        with pytest.raises(LeaseLostError):
            study.finish(asleep, "COMPLETE", 1.0, {})
        with pytest.raises(InputError, match=r"has moved from .* to .*: name that storage"):
            open_study(source, "study")
        with pytest.raises(InputError, match="has moved from"):
            create_study(source, definition(), store.id)
        assert list_studies(source) == []

    def test_leaves_the_artifacts_to_the_target(
        self, source: Storage, target: Storage, store: ArtifactStore
    ) -> None:
        study = study_in_every_state(source, store, lease=0.01)
        copy_studies(source, target)
        store.put(table_path("unused"), b"table")
        grow_old(store)
        swept = collect(source, store, unknown=True)
        assert [file.path for file in swept.files] == [table_path("unused")]
        before = store.list("")
        delete(source, store, "study")
        assert collect(source, store).files == ()
        assert store.list("") == before
        assert list_studies(source) == []
        collect(target, store)
        assert unnamed(study) & files(store, study) == set()

    def test_of_several_at_once(
        self, source: Storage, target: Storage, store: ArtifactStore
    ) -> None:
        study_in_every_state(source, store, "one", lease=0.01)
        study_in_every_state(source, store, "two", lease=0.01)
        optuna.create_study(study_name="plain", storage=source.reader)
        trials = {name: released(as_optuna_sees(source, name)) for name in ("one", "two")}
        assert [done.name for done in copy_studies(source, target)] == ["one", "two"]
        assert {name: as_optuna_sees(target, name) for name in trials} == trials
        with pytest.raises(InputError, match="was not made by hpo"):
            copy_studies(source, target, ["plain"])

    def test_takes_the_confirmation_along(
        self, source: Storage, target: Storage, store: ArtifactStore
    ) -> None:
        for name in ("study", "other", "half"):
            study = create_study(source, definition(name=name), store.id)
            queue_missing(open_confirming(study), name, [{"training.seed": 1}])
        names = ["study@confirm", "study"]
        assert [done.name for done in copy_studies(source, target, ["study"])] == names
        assert find_confirming(target, "study") is not None
        copy_studies(source, target, ["half@confirm"])  # as far as one got that broke off
        assert [done.name for done in copy_studies(source, target, ["half"])] == ["half"]

    def test_that_breaks_off_changes_nothing(
        self,
        source: Storage,
        target: Storage,
        store: ArtifactStore,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        study_in_every_state(source, store, lease=0.01)
        before = as_optuna_sees(source, "study")

        def fail(*_: object) -> None:
            raise StorageError("away")

        with monkeypatch.context() as patched:
            patched.setattr(copying, "_write", fail)
            with pytest.raises(StorageError, match="away"):
                copy_studies(source, target)
        assert open_study(source, "study").progress().counts["WAITING"] == 2
        assert as_optuna_sees(source, "study") == released(before)
        copy_studies(source, target)
        assert as_optuna_sees(target, "study") == released(before)

    @pytest.mark.slow
    def test_that_was_killed_is_made_good_by_the_next(
        self,
        source: Storage,
        target: Storage,
        store: ArtifactStore,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        study_in_every_state(source, store, lease=0.01)
        before = as_optuna_sees(source, "study")
        row = catalog.find(source, "study")
        source.write(lambda c: relocation._mark_moved(c, row, target))
        (moved,) = copy_studies(source, target)
        assert moved.n_trials == 5
        assert as_optuna_sees(target, "study") == released(before)
        assert copy_studies(source, target) == []
        with pytest.raises(InputError, match="has moved"):
            copy_studies(source, target, ["study"])

    @pytest.mark.slow
    def test_back_to_where_it_was_deleted_is_refused(
        self, source: Storage, target: Storage, store: ArtifactStore
    ) -> None:
        study_in_every_state(source, store, lease=0.01)
        row = catalog.find(source, "study")
        source.write(lambda c: relocation._mark_moved(c, row, target))
        copy_studies(source, target)
        delete(target, store, "study")
        with pytest.raises(InputError, match=r"was deleted from .*and its artifacts with it"):
            copy_studies(source, target, ["study"])


class TestRefusal:
    def test_while_a_worker_lives(
        self, source: Storage, target: Storage, store: ArtifactStore, stores: Stores
    ) -> None:
        study_in_every_state(source, store)
        for given in (None, stores):
            with pytest.raises(StudyBusyError, match="worked on by process 1 on here"):
                copy_studies(source, target, ["study"], given)
        assert open_study(source, "study").progress().counts["RUNNING"] == 1
        assert "study" not in [status.name for status in list_studies(target)]
        assert stores.target.list("") == ["store-id"]

    def test_where_the_name_is_taken(
        self, source: Storage, target: Storage, store: ArtifactStore
    ) -> None:
        for name in ("free", "taken"):
            create_study(source, definition(name=name), store.id)
        create_study(target, definition(name="taken"), store.id)
        with pytest.raises(InputError, match="has a study taken already"):
            copy_studies(source, target)
        assert [status.name for status in list_studies(source)] == ["free", "taken"]
        with pytest.raises(InputError, match="has a study free already"):
            copy_studies(source, source, ["free"])

    def test_of_the_wrong_artifact_store(
        self, source: Storage, target: Storage, store: ArtifactStore, stores: Stores
    ) -> None:
        study_in_every_state(source, store, lease=0.01)
        with pytest.raises(InputError, match="in another store: name"):
            copy_studies(source, target, (), Stores(source=stores.target, target=store))
        with pytest.raises(InputError, match="must be another store than --artifacts"):
            copy_studies(source, target, (), Stores(source=store, target=store))


class TestCopy:
    def test_takes_the_confirmation_along(
        self, source: Storage, target: Storage, store: ArtifactStore, stores: Stores
    ) -> None:
        study = study_in_every_state(source, store, lease=0.01)
        queue_missing(open_confirming(study), "study", [{"training.seed": 1}])
        copied = copy_studies(source, target, ["study"], stores)
        assert [done.name for done in copied] == ["study", "study@confirm"]

    def test_is_a_study_of_its_own(
        self, source: Storage, target: Storage, store: ArtifactStore, stores: Stores
    ) -> None:
        study = study_in_every_state(source, store, lease=0.01)
        before = as_optuna_sees(source, "study")
        (copied,) = copy_studies(source, target, ["study"], stores)
        copy = open_study(target, "study")
        assert copied.n_files == len(files(store, study))
        assert copy.uuid != study.uuid
        assert copy.artifact_store_id == stores.target.id
        expected = {path.replace(study.uuid, copy.uuid) for path in files(store, study)}
        assert files(stores.target, copy) == expected
        assert stores.target.exists(table_path("f"))
        attrs = copy.trials()[0].user_attrs
        assert stores.target.get(attrs["artifact"], attrs["sha256"])
        assert as_optuna_sees(source, "study") == before
        assert claim(study).number == 3
        assert [claim(copy).number for _ in range(3)] == [3, 4, 5]
        others = [{**trial, "_user_attrs": None} for trial in as_optuna_sees(target, "study")[:3]]
        assert others == [{**trial, "_user_attrs": None} for trial in before[:3]]

    def test_of_damaged_weights_or_checkpoints_is_refused(
        self, source: Storage, target: Storage, store: ArtifactStore, stores: Stores
    ) -> None:
        study = study_in_every_state(source, store, lease=0.01)
        weights = study.trials()[0].user_attrs["artifact"]
        (checkpoint,) = store.list(study_path(study.uuid, "trial-00003/checkpoints"))
        for path in (weights, checkpoint):
            whole = store.get(path, None)
            store.put(path, b"damaged")
            with pytest.raises(ArtifactError, match=f"artifact {path} .* is damaged"):
                copy_studies(source, target, ["study"], stores)
            store.put(path, whole)
        assert "study" not in [status.name for status in list_studies(target)]
        copy_studies(source, target, ["study"], stores)

    def test_has_the_weights_of_trials_that_finished_meanwhile(
        self, source: Storage, target: Storage, store: ArtifactStore, stores: Stores
    ) -> None:
        """Two rounds of them; and no file is copied while the target is being written to."""
        study_in_every_state(source, store, lease=0.01)
        inventory, write, put = Study.inventory, Storage.write, ArtifactStore.put
        finished: list[int] = []
        written: list[Storage] = []

        def finish_one(study: Study) -> object:
            found = inventory(study)
            if len(finished) < 2:
                claimed = claim(study)
                finished.append(claimed.number)
                path = trial_path(study.uuid, claimed.number, 2, "model.safetensors")
                attrs = {"artifact": path, "sha256": store.put(path, b"weights")}
                study.finish(claimed, "COMPLETE", 0.5, attrs)
            return found

        def note_write(storage: Storage, work: Callable[[Connection], Any]) -> Any:
            written.append(storage)
            try:
                return write(storage, work)
            finally:
                written.pop()

        def put_outside(to: ArtifactStore, path: str, data: bytes) -> str:
            assert target not in written
            return put(to, path, data)

        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(Study, "inventory", finish_one)
            patched.setattr(Storage, "write", note_write)
            patched.setattr(ArtifactStore, "put", put_outside)
            patched.setattr(relocation._Files, "copy_all", relocation._Files.copy_named)
            copy_studies(source, target, ["study"], stores)
        assert len(finished) == 2
        for number in finished:
            attrs = open_study(target, "study").trials()[number].user_attrs
            assert stores.target.get(attrs["artifact"], attrs["sha256"]) == b"weights"

    @pytest.mark.slow
    @across_databases
    def test_is_of_one_moment(
        self,
        source: Storage,
        target: Storage,
        store: ArtifactStore,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """What a worker writes while it is copied is wholly there or not at all."""
        study = create_study(source, definition(), store.id)
        write, told = copying._write, []

        def tell_meanwhile(connection: Connection, table: sa.Table, rows: list[object]) -> None:
            write(connection, table, rows)  # type: ignore[arg-type]
            if table is TRIALS and not told:
                told.append(claim(study))
                study.finish(told[0], "COMPLETE", 1.0, {})

        monkeypatch.setattr(copying, "_write", tell_meanwhile)
        other = Stores(source=store, target=ArtifactStore(f"{store.url}-2"))
        store.put(table_path("f"), b"table")
        copy_studies(source, target, ["study"], other)
        (trial,) = open_study(target, "study").trials()
        assert (trial.state, trial.params, trial.values) == (TrialState.WAITING, {}, None)
        assert trial.user_attrs == {}
