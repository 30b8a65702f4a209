"""The kept logs of a trial, attempt by attempt."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from hpo.config.errors import HpoError, InputError
from hpo.files.store import ArtifactStore, trial_path
from hpo.results.logs import read_logs
from hpo.storage.engine import open_storage
from hpo.study.artifacts import StudyArtifacts
from tests.support.every_state import study_in_every_state


@pytest.fixture
def artifacts(tmp_path: Path) -> Iterator[StudyArtifacts]:
    store = ArtifactStore(str(tmp_path / "artifacts"))
    with closing(open_storage(f"sqlite:///{tmp_path}/hpo.db")) as storage:
        yield StudyArtifacts(study=study_in_every_state(storage, store), store=store)


def test_come_by_attempt_and_in_its_order(artifacts: StudyArtifacts) -> None:
    artifacts.store.put(trial_path(artifacts.study.uuid, 0, 10, "log.txt"), b"the tenth")
    logs = read_logs(artifacts, 0)
    assert list(logs.items()) == [
        (1, "log.txt of 0, attempt 1\n"),
        (2, "log.txt of 0, attempt 2\n"),
        (10, "the tenth"),
    ]
    assert read_logs(artifacts, 0, 2) == {2: logs[2]}


def test_that_are_not_there_are_said_so(artifacts: StudyArtifacts) -> None:
    with pytest.raises(InputError, match=r"trial 2 has logs of attempts 1, but got --attempt 3"):
        read_logs(artifacts, 2, 3)
    with pytest.raises(InputError, match="has trials 0 to 4, but got 9"):
        read_logs(artifacts, 9)
    artifacts.store.delete(trial_path(artifacts.study.uuid, 2, 1, "log.txt"))
    with pytest.raises(
        HpoError, match="no log is stored for trial 2 of study study, which is FAIL"
    ):
        read_logs(artifacts, 2)


def test_of_another_store_are_refused(artifacts: StudyArtifacts, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="another store"):
        StudyArtifacts(study=artifacts.study, store=ArtifactStore(str(tmp_path / "other")))
