"""Worker commands whose database, disk or object store is away for a while."""

import os
import signal
import time
from contextlib import closing
from pathlib import Path

import pytest

from hpo.lifecycle.housekeeping import collect, delete
from hpo.results.export import export
from hpo.study.artifacts import StudyArtifacts
from tests.support import machine
from tests.support.faults.audit import audit
from tests.support.faults.processes import WorkerGroup, send
from tests.support.faults.setting import Setting, make_setting
from tests.support.servers import S3Server, postgresql_server
from tests.support.small_disk import small_disk
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

OUTAGE_SECONDS = 6
"""Three leases."""


def n_final(setting: Setting) -> int:
    """Trials that reached a final state."""
    return sum(trial.state.is_finished() for trial in setting.study.trials())


def test_workers_sit_out_an_outage_of_the_database(tmp_path: Path) -> None:
    with postgresql_server() as server:
        made = make_setting(tmp_path, server.database(), n_trials=6, max_epochs=600)
        with (
            closing(made) as setting,
            WorkerGroup(setting=setting, folder=tmp_path / "logs", size=2) as group,
        ):
            wait_until(lambda: n_final(setting) >= 2, "two trials finished")
            children = [worker.child() for worker in group.commands]
            server.stop()
            time.sleep(OUTAGE_SECONDS)
            assert [worker.process.poll() for worker in group.commands] == [None, None]
            assert [worker.child() for worker in group.commands] == children
            server.start()
            codes = [worker.process.wait(timeout=120) for worker in group.commands]
            assert codes == [0, 0], group.commands[0].text
            found = audit(setting)
    assert found.faults == []
    assert found.counts == {"COMPLETE": 6}
    assert found.n_attempts == 6  # the lease of 2 s ran out, and nobody was there to take it


def test_a_trial_waits_for_room_on_the_disk(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    with small_disk(tmp_path / "disk") as disk:
        machine.SMALL_DISK.or_skip()
        assert disk is not None
        setting = make_setting(
            tmp_path, f"sqlite:///{tmp_path}/hpo.db", disk.folder / "store", n_trials=1
        )
        disk.fill()
        with WorkerGroup(setting=setting, folder=tmp_path / "logs", size=1) as group:
            (worker,) = group.commands
            wait_until(lambda: "No space left" in worker.text, "told that the disk is full")
            time.sleep(2)
            assert worker.process.poll() is None, worker.text
            assert n_final(setting) == 0
            disk.free()
            assert worker.process.wait(timeout=60) == 0, worker.text
        found = audit(setting)
    assert found.faults == []
    assert found.counts == {"COMPLETE": 1}


def test_workers_sit_out_an_outage_of_the_object_store(tmp_path: Path, s3: S3Server) -> None:
    """Down in the middle, and before that a worker is killed: its trial goes on all the same."""
    url = f"sqlite:///{tmp_path}/hpo.db"
    made = make_setting(tmp_path, url, f"{s3.bucket()}/hpo", n_trials=2, max_epochs=1200)
    with (
        closing(made) as setting,
        WorkerGroup(setting=setting, folder=tmp_path / "logs", size=1) as group,
    ):
        (worker,) = group.commands
        wait_until(lambda: s3.asked("^PUT .*/checkpoints/"), "kept a checkpoint")
        assert send(worker.child(), signal.SIGKILL)
        wait_until(lambda: n_final(setting) >= 1, "a trial finished")
        s3.stop()
        wait_until(lambda: "going on without it" in worker.text, "said that it is away")
        n_told = n_final(setting)
        s3.start()
        assert worker.process.wait(timeout=120) == 0, worker.text
        assert n_told == 1
        found = audit(setting)
        assert found.faults == []
        assert found.counts == {"COMPLETE": 2}
        assert found.n_attempts == 3
        assert s3.asked("^GET .*/tables/") == 1
        assert s3.asked("^GET .*/checkpoints/") == 1
        assert os.environ["AWS_SECRET_ACCESS_KEY"] not in worker.text
        assert "credentials" not in worker.text  # what drivers say of themselves
        (folder,) = export(
            StudyArtifacts(study=setting.study, store=setting.store), tmp_path / "winners"
        ).folders
        assert (folder / "model.onnx").exists()
        swept = collect(setting.study.storage, setting.store).files
        assert {file.kind for file in swept} <= {"attempt", "checkpoint"}, swept
        delete(setting.study.storage, setting.store, setting.study.name)
        assert setting.store.list("") == ["store-id"]
