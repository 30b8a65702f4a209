"""`hpo doctor`: its findings; it creates no storage and no folder."""

import re
import time
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa

from hpo.storage.engine import open_storage
from hpo.storage.schema import STUDY_ATTRS
from hpo.storage.server import read_server_info
from hpo.study.catalog import find
from tests.support.command_line import hpo
from tests.support.damage import make_study
from tests.support.small_study import write_study


def test_a_place_without_a_study_is_sound_and_stays_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = hpo("doctor", "--json")
    assert done.code == 0
    found = {finding["what"]: finding["detail"] for finding in done.document}
    assert found["storage"].endswith("hpo.db: does not exist yet; hpo create or hpo run makes it")
    assert found["artifacts"].startswith(f"{tmp_path}/hpo-artifacts: does not exist yet")
    assert list(tmp_path.iterdir()) == []


def test_a_place_with_a_study_is_written_and_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert hpo("create", write_study(tmp_path)).code == 0
    before = sorted(Path("hpo-artifacts").rglob("*"))
    done = hpo("doctor")
    assert done.code == 0
    assert "hpo.db, 1 studies" in done.out
    assert "GiB free" in done.out
    assert sorted(Path("hpo-artifacts").rglob("*")) == before


def test_what_is_wrong_is_said_and_ends_with_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    done = hpo("doctor", "--artifacts", "file/artifacts", "--storage", "sqlite:///file/hpo.db")
    assert done.code == 1
    assert done.out.count("WRONG") == 2
    done = hpo("doctor", "--storage", "nonsense")
    assert done.code == 1
    assert "WRONG  storage    --storage must be a URL such as" in done.out


def test_a_server_is_examined_for_what_several_machines_need(
    postgresql_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HPO_STORAGE", postgresql_url)
    monkeypatch.setenv("HPO_ARTIFACTS", str(tmp_path / "artifacts"))
    assert hpo("create", write_study(tmp_path)).code == 0

    found = {each["what"]: each for each in hpo("doctor", "--json").document}
    assert found["storage"]["detail"].endswith("1 studies")
    assert found["tables"]["detail"].startswith("version 2, Optuna's v")
    assert found["clock"]["ok"]
    assert "the tables hold UTC" in found["time zone"]["detail"]
    assert found["connections"]["ok"]

    right = time.time
    monkeypatch.setattr(time, "time", lambda: right() - 3600)
    done = hpo("doctor", "--workers", "5000")
    assert done.code == 1
    assert done.out.count("WRONG") == 2
    assert "too few for 5000; raise max_connections" in done.out
    assert re.search(r"the database's is (3600|3599)\.\d s ahead of this machine's", done.out)


def test_the_clock_is_asked_and_the_zone_named_on_mariadb(mariadb_url: str, tmp_path: Path) -> None:
    with closing(open_storage(mariadb_url)) as storage:
        condition = read_server_info(storage)
    assert condition.time_zone == "+09:00"
    assert condition.ahead_seconds is not None
    assert abs(condition.ahead_seconds) < 5
    assert condition.connections_left


def test_damaged_studies_are_named_by_every_command_that_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with closing(open_storage("sqlite:///hpo.db")) as storage:
        for name in ("hurt", "well"):
            make_study(storage, name)
        study_id = find(storage, "hurt").id
        own = (STUDY_ATTRS.c.study_id == study_id) & (STUDY_ATTRS.c.key == "hpo:definition")
        broken = sa.update(STUDY_ATTRS).where(own).values(value_json='{"trunca')
        storage.write(lambda connection: connection.execute(broken))
    damaged = f"study hurt in sqlite:///{tmp_path}/hpo.db is damaged: "
    done = hpo("doctor")
    assert done.code == 1
    assert "hpo.db, 1 studies" in done.out
    assert "WRONG  study" in done.out
    assert damaged + "study_system_attributes.value_json of key hpo:definition must" in done.out
    for command, code in (("studies", 0), ("status well", 0), ("status hurt", 1), ("workers", 0)):
        done = hpo(*command.split())
        assert done.code == code, done.err
        assert ("well" in done.out) == (code == 0)
        assert (damaged in done.err) == (command not in ("status well", "workers"))
        assert "Traceback" not in done.err
    done = hpo("delete", "hurt", "--yes", "--force", "--keep-artifacts")
    assert done.out.startswith("deleted hurt: 5 trials")
    assert hpo("doctor").code == 0
