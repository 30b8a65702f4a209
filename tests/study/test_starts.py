"""The first trials of a study: its default configuration, then the starts of its space."""

import copy
import os
from contextlib import closing
from multiprocessing.queues import SimpleQueue
from typing import Any

import pytest

from hpo.config.errors import StudyConflictError
from hpo.storage.engine import Storage, open_storage
from hpo.storage.leases import WorkerId
from hpo.study.catalog import create_study
from hpo.study.study import Study
from tests.support.databases import every_database
from tests.support.definitions import definition
from tests.support.gate import CONTEXT, Gate, gather

ME = WorkerId(host="here", pid=1, device="cpu")
SPACE: dict[str, Any] = {
    "model": {
        "depth": {"type": "int", "low": 1, "high": 4, "default": 2},
        "width": {"type": "int", "low": 8, "high": 32, "step": 8, "default": 8},
    }
}
STARTS = [
    {"model": {"depth": 4}},
    {"model": {"depth": 2, "width": 8}},  # the default
    {"model": {"width": 32}},
    {"model": {"depth": 4, "width": 8}},  # the first one
]
FIRST = [(2, 8), (4, 8), (2, 32)]


def create(storage: Storage, n_trials: int = 6, **changes: Any) -> Study:
    space = {**copy.deepcopy(SPACE), "start": STARTS}
    made = definition(n_trials, **{"search_space": space, **changes})
    return create_study(storage, made, "store")


def tried(study: Study) -> list[tuple[Any, ...]]:
    """The depth and width of all trials, by number, after the waiting ones were claimed."""
    while study.ask(ME, 60.0):
        pass
    return [(t.params["model.depth"], t.params["model.width"]) for t in study.trials()]


def test_starts_follow_the_default_each_once(storage: Storage) -> None:
    study = create(storage)
    assert study.progress().counts == {"WAITING": 3}
    found = tried(study)
    assert found[:3] == FIRST
    assert len(found) == len(set(found)) == 6


def test_starts_beyond_the_budget_follow_when_it_is_raised(storage: Storage) -> None:
    study = create(storage, n_trials=2)
    assert tried(study) == FIRST[:2]
    create(storage, n_trials=2)
    assert tried(create(storage, n_trials=5))[:3] == FIRST
    assert len(study.trials()) == 5


def test_a_grid_begins_with_the_starts(storage: Storage) -> None:
    study = create(storage, n_trials=99, sampler={"name": "grid"})
    found = tried(study)
    assert found[:3] == FIRST
    assert len(found) == len(set(found)) == 16


def test_a_changed_start_is_refused_with_the_difference(storage: Storage) -> None:
    create(storage)
    space = {**copy.deepcopy(SPACE), "start": STARTS[:1]}
    with pytest.raises(StudyConflictError, match=r"search_space.start: \[{"):
        create(storage, search_space=space)


def create_and_claim(gate: Gate, url: str, answers: SimpleQueue[list[int]]) -> None:
    """Create the study beside other processes, and claim, release and claim its trials."""
    gate.wait()
    study = create(open_storage(url), n_trials=12, sampler={"name": "random"})
    worker, numbers = WorkerId(host="test", pid=os.getpid(), device="cpu"), []
    if (first := study.ask(worker, 60.0)) is not None:
        study.release(first, how="killed")
    while claim := study.ask(worker, 60.0):
        numbers.append(claim.number)
    answers.put(numbers)


@every_database
@pytest.mark.slow
def test_processes_that_create_at_once_run_each_start_once(storage_url: str) -> None:
    answers: SimpleQueue[list[int]] = CONTEXT.SimpleQueue()
    processes, gate = gather(3, create_and_claim, storage_url, answers)
    gate.open(processes)
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0] * 3
    assert sorted(number for _ in processes for number in answers.get()) == list(range(12))
    with closing(open_storage(storage_url)) as storage:
        found = create(storage, n_trials=12, sampler={"name": "random"}).trials()
    trials = [(t.params["model.depth"], t.params["model.width"]) for t in found]
    assert trials[:3] == FIRST
    assert len(set(trials)) == 12
