"""Processes of tests: `python -m tests.support.study_process ROLE URL [ARGUMENTS]`."""

import contextlib
import sys
import time

from hpo.config.errors import BudgetError
from hpo.storage.engine import open_storage
from hpo.storage.leases import WorkerId
from hpo.study.catalog import create_study, open_study
from tests.support.definitions import definition


def compete(url: str, pid: str) -> None:
    """When told to, create the study, queue some trials and claim all there are.

    Prints the study's uuid, and the number of each trial.
    """
    print("ready", flush=True)
    sys.stdin.readline()
    study = create_study(open_storage(url), definition(60, sampler={"name": "random"}), "store")
    print(study.uuid)
    with contextlib.suppress(BudgetError):  # the others were quicker
        for _ in range(8):
            study.enqueue({"model.depth": 1})
    worker = WorkerId(host="test", pid=int(pid), device="cpu")
    while claimed := study.ask(worker, 60.0):
        print(claimed.number)


def hold(url: str, lease: str) -> None:
    """Claim a trial, say so, and hold it without a sign of life."""
    study = open_study(open_storage(url), "study")
    claimed = study.ask(WorkerId(host="test", pid=1, device="cpu"), float(lease))
    assert claimed is not None
    print(claimed.number, flush=True)
    time.sleep(600)


def beat(url: str, lease: str, ahead: str) -> None:
    """Claim a trial, say so, and renew its lease, by a clock that is `ahead` seconds ahead."""
    right = time.time_ns
    time.time_ns = lambda: right() + int(float(ahead) * 1e9)  # type: ignore[assignment]
    study = open_study(open_storage(url), "study")
    claimed = study.ask(WorkerId(host="test", pid=1, device="cpu"), float(lease))
    assert claimed is not None
    print(claimed.number, flush=True)
    while not study.renew([claimed], float(lease)):
        time.sleep(float(lease) / 3)
    print("lost", flush=True)


if __name__ == "__main__":
    {"compete": compete, "hold": hold, "beat": beat}[sys.argv[1]](*sys.argv[2:])
