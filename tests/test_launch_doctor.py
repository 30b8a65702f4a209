"""The doctor: looks, and leaves no trace where nothing is."""

from pathlib import Path

import pytest

from tests.command_line import hpo
from tests.test_cli import write_study


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
    done = hpo("doctor")
    assert done.code == 0
    assert "hpo.db, 1 studies" in done.out
    assert "GiB free" in done.out


def test_what_is_wrong_is_said_and_ends_with_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    done = hpo("doctor", "--artifacts", "file/artifacts", "--storage", "sqlite:///file/hpo.db")
    assert done.code == 1
    assert done.out.count("WRONG") == 2
