"""Processes that work on a study.

Some are started by `gate.gather`, others by `python -m tests.support.study_process ROLE URL ...`.
"""

import contextlib
import os
import sys
import time
from multiprocessing.queues import SimpleQueue

from hpo.config.errors import BudgetError
from hpo.storage.engine import open_storage
from hpo.storage.leases import WorkerId
from hpo.study.catalog import create_study, open_study
from tests.support.definitions import definition
from tests.support.gate import Gate


def create_and_claim(gate: Gate, url: str, answers: SimpleQueue[tuple[str, list[int]]]) -> None:
    """Create a study of 60 trials, queue some, and claim all available trials.

    The answer is the study's uuid, and the numbers of the claimed trials.
    """
    gate.wait()
    study = create_study(open_storage(url), definition(60, sampler={"name": "random"}), "store")
    with contextlib.suppress(BudgetError):  # the others were quicker
        for _ in range(8):
            study.enqueue({"model.depth": 1})
    worker, numbers = WorkerId(host="test", pid=os.getpid(), device="cpu"), []
    while claimed := study.ask(worker, 60.0):
        numbers.append(claimed.number)
    answers.put((study.uuid, numbers))


def claim_and_draw(gate: Gate, url: str, answers: SimpleQueue[list[int]]) -> None:
    """Claim all available trials, three at a time; the answer is their depths."""
    study = open_study(open_storage(url), "study")
    worker, depths = WorkerId(host="test", pid=os.getpid(), device="cpu"), []
    gate.wait()
    while claims := study.draw(study.claim(worker, 60.0, 3)):
        depths += [claim.params["model.depth"] for claim in claims]
    answers.put(depths)


def hold(url: str, lease: str) -> None:
    """Claim a trial, print its number, and hold it without renewing its lease."""
    study = open_study(open_storage(url), "study")
    claimed = study.ask(WorkerId(host="test", pid=1, device="cpu"), float(lease))
    assert claimed is not None
    print(claimed.number, flush=True)
    time.sleep(600)


def beat(url: str, lease: str, ahead: str) -> None:
    """Claim a trial, print its number, and renew its lease by a clock `ahead` seconds ahead."""
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
    {"hold": hold, "beat": beat}[sys.argv[1]](*sys.argv[2:])
