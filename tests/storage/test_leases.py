"""Leases where clocks and time zones differ: a live one stays, a dead one goes."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC
from pathlib import Path

import pytest

from hpo.storage.engine import open_storage
from hpo.study.catalog import create_study
from hpo.study.study import Study
from tests.support.definitions import definition

pytestmark = pytest.mark.slow

PROGRAM = ["-m", "tests.support.study_process"]
LEASE = 2.0


@contextmanager
def worker(url: str, ahead: float, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """A process that holds a trial and renews its lease until it is killed."""
    process = subprocess.Popen(
        [sys.executable, *PROGRAM, "beat", url, str(LEASE), str(ahead)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "0\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def watch(study: Study, seconds: float) -> list[int]:
    """Numbers of the trials that are taken back meanwhile."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if taken := study.reaper.reap():
            return taken
        time.sleep(0.05)
    return []


@pytest.mark.parametrize(
    "ahead", [3600, -3600, LEASE, -LEASE], ids=["fast", "slow", "a bit fast", "a bit slow"]
)
def test_a_process_whose_clock_is_wrong_keeps_its_lease_while_it_lives(
    tmp_path: Path, ahead: float
) -> None:
    with closing(open_storage(f"sqlite:///{tmp_path}/hpo.db")) as storage:
        study = create_study(storage, definition(), "store")
        with worker(storage.url, ahead) as process:
            assert watch(study, 1.5 * LEASE) == []
            process.kill()
            assert watch(study, 60) == [0]


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "America/Los_Angeles"])
def test_a_client_in_another_time_zone_keeps_its_lease_while_it_lives(
    storage_url: str, zone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGTZ", "Asia/Tokyo")
    with closing(open_storage(storage_url)) as storage:
        study = create_study(storage, definition(), "store")
        with worker(storage.url, 0.0, PGTZ=zone, TZ=zone) as process:
            assert watch(study, 1.5 * LEASE) == []
            started = study.trials()[0].datetime_start
            assert started is not None
            assert abs(started.replace(tzinfo=UTC).timestamp() - time.time()) < 60
            process.kill()
            assert watch(study, 60) == [0]
