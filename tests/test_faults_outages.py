"""Worker commands whose database or whose disk is away for a while."""

import time
from contextlib import closing
from pathlib import Path

import pytest
from faults.audit import audit
from faults.crew import Crew, wait_until
from faults.setting import Setting, make_setting
from servers import postgresql_server
from small_disk import small_disk

pytestmark = pytest.mark.slow

OUTAGE_SECONDS = 10


def n_final(setting: Setting) -> int:
    """Trials that reached a final state."""
    return sum(trial.state.is_finished() for trial in setting.study.trials())


def test_workers_sit_out_an_outage_of_the_database(tmp_path: Path) -> None:
    with postgresql_server() as server:
        made = make_setting(tmp_path, server.database(), n_trials=12, max_epochs=600)
        with (
            closing(made) as setting,
            Crew(setting=setting, folder=tmp_path / "logs", size=2) as crew,
        ):
            wait_until(lambda: n_final(setting) >= 2, 60, "two trials finished")
            children = [member.child() for member in crew.members]
            server.stop()
            time.sleep(OUTAGE_SECONDS)
            assert [member.process.poll() for member in crew.members] == [None, None]
            assert [member.child() for member in crew.members] == children
            server.start()
            codes = [member.process.wait(timeout=120) for member in crew.members]
            assert codes == [0, 0], crew.members[0].text
            found = audit(setting)
    assert found.faults == []
    assert found.counts == {"COMPLETE": 12}
    assert found.n_attempts == 12  # the lease of 2 s ran out, and nobody was there to take it


def test_a_trial_waits_for_room_on_the_disk(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    with small_disk(tmp_path / "disk") as disk:
        if disk is None:
            pytest.skip("this machine permits no mount: a full disk cannot be had")
        setting = make_setting(
            tmp_path, f"sqlite:///{tmp_path}/hpo.db", disk.folder / "store", n_trials=1
        )
        disk.fill()
        with Crew(setting=setting, folder=tmp_path / "logs", size=1) as crew:
            (member,) = crew.members
            wait_until(lambda: "No space left" in member.text, 60, "told that the disk is full")
            time.sleep(2)
            assert member.process.poll() is None, member.text
            assert n_final(setting) == 0
            disk.free()
            assert member.process.wait(timeout=60) == 0, member.text
        found = audit(setting)
    assert found.faults == []
    assert found.counts == {"COMPLETE": 1}
