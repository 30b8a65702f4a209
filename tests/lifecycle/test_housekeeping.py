"""What housekeeping removes from the artifacts, and what it keeps."""

import threading
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa

from hpo.config.errors import (
    HpoError,
    InputError,
    LeaseLostError,
    StudyBusyError,
    StudyNotFoundError,
)
from hpo.config.trial import Measurement
from hpo.files.store import ArtifactStore, study_path, table_path, trial_path
from hpo.lifecycle.housekeeping import OWNER, Swept, collect, delete, sweep
from hpo.storage import schema
from hpo.storage.engine import Storage, open_storage
from hpo.study import catalog, row
from hpo.study.artifacts import StudyArtifacts
from hpo.study.catalog import create_study, list_studies, open_study, study_rows
from hpo.study.study import Study
from tests.support.databases import every_database
from tests.support.definitions import definition
from tests.support.every_state import DAY, ME, claim, files, grow_old, study_in_every_state, unnamed


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(str(tmp_path / "artifacts"))


def removed(swept: Swept) -> set[str]:
    """What was removed; checkpoints by their folder."""
    paths = (file.path for file in swept.files)
    return {path.rpartition("/")[0] if "/checkpoints/" in path else path for path in paths}


def rows(storage: Storage) -> dict[str, int]:
    """How many rows each table has, apart from those of workers and of versions."""
    tables = {v for v in vars(schema).values() if isinstance(v, sa.Table)}
    tables -= {schema.WORKERS, schema.WAITING, schema.VERSIONS, schema.DELETED}
    with storage.read() as connection:
        return {
            table.name: connection.execute(sa.select(sa.func.count()).select_from(table)).scalar()
            or 0
            for table in tables
        }


class TestCollect:
    @every_database
    def test_removes_what_no_trial_names(self, storage: Storage, store: ArtifactStore) -> None:
        study = study_in_every_state(storage, store)
        grow_old(store)
        before = files(store, study)
        swept = collect(storage, store)
        assert removed(swept) == unnamed(study)
        assert files(store, study) == before - unnamed(study)
        assert swept.n_bytes > 100
        assert not Path(store.url, study_path(study.uuid, "trial-00001")).exists()
        assert collect(storage, store).files == ()

    def test_only_looks_when_told_so(self, storage: Storage, store: ArtifactStore) -> None:
        study = study_in_every_state(storage, store)
        grow_old(store)
        before = files(store, study)
        assert removed(collect(storage, store, dry_run=True)) == unnamed(study)
        assert files(store, study) == before

    def test_leaves_young_files_of_a_study_that_is_worked_on(
        self, storage: Storage, store: ArtifactStore
    ) -> None:
        study = study_in_every_state(storage, store)
        assert collect(storage, store).files == ()
        grow_old(store, 3700)
        assert removed(collect(storage, store)) == unnamed(study)

    def test_leaves_trials_that_another_program_told(
        self, storage: Storage, store: ArtifactStore
    ) -> None:
        study = create_study(storage, definition(), store.id)
        study.finish(claim(study), "COMPLETE", 1.0, {})
        kept = trial_path(study.uuid, 0, 1, "model.safetensors")
        store.put(kept, b"1")
        store.put(trial_path(study.uuid, 5, 1, "of a trial without a row"), b"1")
        grow_old(store)
        assert collect(storage, store).files == ()

    def test_leaves_studies_of_other_storages_and_their_tables(
        self, storage: Storage, store: ArtifactStore, tmp_path: Path
    ) -> None:
        study_in_every_state(storage, store)
        grow_old(store)
        with closing(open_storage(f"sqlite:///{tmp_path}/other.db")) as other:
            before = store.list("")
            swept = collect(other, store)
            assert swept.files == ()
            assert list(swept.unknown.values()) == ["study"]
            assert store.list("") == before
            assert {file.kind for file in collect(other, store, unknown=True).files} == {
                "unknown study",
                "table",
            }
        assert store.list("") == ["store-id"]

    def test_leaves_unknown_studies_that_are_being_written(
        self, storage: Storage, store: ArtifactStore
    ) -> None:
        store.put("studies/u/trial-00000/attempt-1/log.txt", b"1")
        grow_old(store)
        store.put("studies/u/trial-00001/attempt-1/log.txt", b"1")
        swept = collect(storage, store, unknown=True)
        assert (swept.files, swept.unknown) == ((), {"u": ""})
        grow_old(store)
        assert len(collect(storage, store, unknown=True).files) == 2

    def test_removes_tables_that_no_study_uses(
        self, storage: Storage, store: ArtifactStore
    ) -> None:
        study_in_every_state(storage, store)
        for name in ("old", "young"):
            store.put(table_path(name), b"table")
        grow_old(store, below=table_path("old").rpartition("/")[0])
        store.put(table_path("young"), b"table")
        assert removed(collect(storage, store)) == {table_path("old")}
        assert store.list("tables") == [table_path("f"), table_path("young")]

    def test_leaves_every_table_where_a_study_does_not_say_which_it_uses(
        self, storage: Storage, store: ArtifactStore
    ) -> None:
        store.put(table_path("old"), b"table")
        store.put("studies/u/trial-00000/attempt-1/log.txt", b"1")
        grow_old(store)
        assert collect(storage, store).files == ()

    def test_removes_drafts_after_a_day(self, storage: Storage, store: ArtifactStore) -> None:
        study = study_in_every_state(storage, store)
        draft = Path(store.url, study_path(study.uuid, f".model.{'0' * 32}"))
        draft.touch()
        grow_old(store, DAY - 60, below=study_path(study.uuid, ""))
        assert not any(file.kind == "draft" for file in collect(storage, store).files)
        grow_old(store, 120, below=study_path(study.uuid, ""))
        assert [file.kind for file in collect(storage, store).files] == ["draft"]
        assert not draft.exists()

    def test_finishes_a_deletion_that_broke_off(
        self, storage: Storage, store: ArtifactStore
    ) -> None:
        study = study_in_every_state(storage, store)
        stays = study_in_every_state(storage, store, "other")
        grow_old(store)
        catalog.delete_study(storage, "study", force=True)
        gone = files(store, study)
        assert removed(collect(storage, store)) == gone | unnamed(stays)
        assert store.exists(table_path("f"))
        store.put(trial_path(study.uuid, 4, 1, "model.safetensors"), b"late")
        assert len(collect(storage, store).files) == 1
        catalog.delete_study(storage, "other", force=True)
        collect(storage, store)
        assert store.list("") == ["store-id"]

    def test_of_another_artifact_store_touches_nothing(
        self, storage: Storage, store: ArtifactStore, tmp_path: Path
    ) -> None:
        study = study_in_every_state(storage, store)
        catalog.delete_study(storage, "study", force=True)
        other = ArtifactStore(str(tmp_path / "other"))
        path = trial_path(study.uuid, 0, 1, "model.safetensors")
        other.put(path, b"1")
        grow_old(other)
        assert collect(storage, other).files == ()
        held = study_in_every_state(storage, store, "held")
        other.put(trial_path(held.uuid, 0, 1, "model.safetensors"), b"1")
        grow_old(other)
        swept = collect(storage, other)
        assert (swept.files, set(swept.unknown)) == ((), {study.uuid, held.uuid})
        study = study_in_every_state(storage, store)
        with pytest.raises(InputError, match="another store"):
            sweep(StudyArtifacts(study=study, store=other))

    def test_leaves_studies_that_a_newer_hpo_made(
        self, storage: Storage, store: ArtifactStore
    ) -> None:
        study = study_in_every_state(storage, store)
        make_newer(storage, study)
        grow_old(store)
        assert collect(storage, store, unknown=True).files == ()


@pytest.mark.slow
def test_a_sweep_of_a_finished_study_waits_for_nothing(
    storage: Storage, store: ArtifactStore
) -> None:
    study = create_study(storage, definition(n_trials=1), store.id)
    study.release(claim(study))
    done = claim(study)
    artifact = trial_path(study.uuid, 0, 2, "model.safetensors")
    for attempt in (1, 2):
        store.put(trial_path(study.uuid, 0, attempt, "model.safetensors"), b"1")
    assert sweep(StudyArtifacts(study=study, store=store)).files == ()
    study.finish(done, "COMPLETE", 1.0, {"artifact": artifact})
    assert len(sweep(StudyArtifacts(study=study, store=store)).files) == 1
    assert files(store, study) == {artifact}


class TestDelete:
    @every_database
    def test_takes_rows_and_files_and_the_table(
        self, storage: Storage, store: ArtifactStore
    ) -> None:
        study = study_in_every_state(storage, store, lease=0.01)
        trial_id = study.trials()[0]._trial_id
        storage.reader.set_study_user_attr(study.id, "note", "of a dashboard")
        storage.reader._backend.record_heartbeat(trial_id)
        assert 0 not in rows(storage).values()
        n_files = len(store.list("")) - 1
        n_trials, swept = delete(storage, store, "study")
        assert n_trials == 5
        assert len(swept.files) == n_files
        assert {name: n for name, n in rows(storage).items() if n} == {}
        assert store.list("") == ["store-id"]
        assert list_studies(storage) == []

    def test_leaves_other_studies_alone(self, storage: Storage, store: ArtifactStore) -> None:
        other = study_in_every_state(storage, store, "other")
        before = (rows(storage), files(store, other))
        study_in_every_state(storage, store)
        delete(storage, store, "study", force=True)
        assert (rows(storage), files(store, other)) == before
        assert store.exists(table_path("f"))
        assert len(open_study(storage, "other").trials()) == 5

    def test_leaves_a_table_that_another_storage_uses(
        self, storage: Storage, store: ArtifactStore, tmp_path: Path
    ) -> None:
        with closing(open_storage(f"sqlite:///{tmp_path}/other.db")) as other:
            study_in_every_state(other, store)
            study_in_every_state(storage, store)
            delete(storage, store, "study", force=True)
            assert store.exists(table_path("f"))
            delete(other, store, "study", force=True)
            assert not store.exists(table_path("f"))

    def test_is_refused_while_a_worker_lives(self, storage: Storage, store: ArtifactStore) -> None:
        study = study_in_every_state(storage, store)
        before = (rows(storage), store.list(""))
        with pytest.raises(StudyBusyError, match=r"worked on by process 1 on here: .*--force"):
            delete(storage, store, "study")
        assert (rows(storage), store.list("")) == before
        assert study.progress().counts["RUNNING"] == 1

    @every_database
    def test_by_force_leaves_a_worker_nothing_to_tell(
        self, storage: Storage, store: ArtifactStore
    ) -> None:
        study = create_study(storage, definition(), store.id)
        claimed = claim(study)
        delete(storage, store, "study", force=True)
        storage.reader.invalidate(study.id)
        assert study.report({claimed: [Measurement(step=1, value=1.0)]}).lost == {claimed}
        with pytest.raises(LeaseLostError):
            study.finish(claimed, "COMPLETE", 1.0, {})
        assert study.ask(ME, 60.0) is None
        study.release(claimed)
        assert study.reaper.reap() == []

    def test_of_a_study_with_another_artifact_store_is_refused(
        self, storage: Storage, store: ArtifactStore, tmp_path: Path
    ) -> None:
        study_in_every_state(storage, store, lease=0.01)
        other = ArtifactStore(str(tmp_path / "other"))
        with pytest.raises(InputError, match="in another store: name"):
            delete(storage, other, "study")
        make_newer(storage, open_study(storage, "study"))
        with pytest.raises(InputError, match="in another store: name"):
            delete(storage, other, "study")
        assert [row.name for row in study_rows(storage)] == ["study"]
        delete(storage, None, "study")
        assert study_rows(storage) == []
        assert store.exists(table_path("f"))

    @every_database
    def test_by_two_at_once_is_done_by_one(self, storage: Storage, store: ArtifactStore) -> None:
        study_in_every_state(storage, store, lease=0.01)
        ends: list[str] = []

        def end(opened: Storage) -> None:
            try:
                delete(opened, store, "study")
                ends.append("deleted")
            except StudyNotFoundError:
                ends.append("no longer there")

        with closing(open_storage(storage.url)) as other:
            threads = [threading.Thread(target=end, args=(s,)) for s in (storage, other)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert sorted(ends) == ["deleted", "no longer there"]


def make_newer(storage: Storage, study: Study) -> None:
    storage.reader.set_study_system_attr(study.id, "hpo:format", row.STUDY_FORMAT + 1)
    storage.reader.set_study_system_attr(study.id, "hpo:version", "0.9.0")


class TestFormat:
    def test_of_a_newer_study_is_refused(self, storage: Storage, store: ArtifactStore) -> None:
        make_newer(storage, study_in_every_state(storage, store))
        create_study(storage, definition(name="older"), store.id)
        with pytest.raises(InputError, match=r"made by hpo 0.9.0, which is newer .*: install"):
            open_study(storage, "study")
        with pytest.raises(InputError, match=r"made by hpo 0.9.0"):
            create_study(storage, definition(), store.id)
        assert [status.name for status in list_studies(storage)] == ["older"]

    @pytest.mark.slow
    def test_of_a_study_without_one_is_the_first(
        self, storage: Storage, store: ArtifactStore
    ) -> None:
        study = study_in_every_state(storage, store)
        attrs = schema.STUDY_ATTRS
        storage.write(lambda c: c.execute(sa.delete(attrs).where(attrs.c.key == "hpo:format")))
        assert open_study(storage, "study").uuid == study.uuid


def test_a_store_out_of_reach_is_said_before_anything_is_deleted(
    storage: Storage, store: ArtifactStore, tmp_path: Path
) -> None:
    study = study_in_every_state(storage, store, lease=0.01)
    assert store.exists(study_path(study.uuid, OWNER))
    (tmp_path / "file").touch()
    with pytest.raises(HpoError, match="cannot be opened"):
        delete(storage, ArtifactStore(f"{tmp_path}/file/store"), "study")
    assert len(list_studies(storage)) == 1
