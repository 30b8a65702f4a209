"""Which jobs have a place in the trainer, and which wait for one."""

from types import SimpleNamespace
from typing import Any

import pytest

from hpo.training import Run
from hpo.worker.job import Ending, Job
from hpo.worker.places import IDLE_SECONDS, Places, n_training


class Trainer:
    """Holds keys; a place must be left before another takes it."""

    def __init__(self, n: int) -> None:
        self.n = n
        self.keys: list[int] = []

    def admit(self, run: Run, checkpoint: object) -> bool:
        if len(self.keys) < self.n:
            self.keys.append(run.key)
            return True
        return False

    def evict(self, key: int) -> None:
        if key in self.keys:
            self.keys.remove(key)


def make_job(key: int) -> Job:
    run: Any = SimpleNamespace(key=key)
    anything: Any = None
    return Job(claim=anything, study=anything, run=run)


def settled(places: Places, jobs: list[Job]) -> bool:
    """Let jobs take places; whether none was refused."""
    for job in jobs:
        places.take(job, None)
    return places.settle(jobs)


@pytest.mark.parametrize(("n", "n_ending", "n_ahead"), [(8, 2, 3), (8, 0, 0), (1, 1, 0)])
def test_as_many_are_wanted_ahead_as_are_likely_to_end(n: int, n_ending: int, n_ahead: int) -> None:
    trainer: Any = Trainer(n)
    places, jobs = Places(trainer, n), list[Job]()
    for slice_ in range(30):
        for key in range(places.n_wanted(jobs)):
            jobs.append(make_job(100 * slice_ + key))
            places.take(jobs[-1], None)
        assert places.settle(jobs)
        if slice_ > 20:  # none is ever missing
            assert len(trainer.keys) == n_training(jobs) == n
        for job in jobs[:n_ending]:
            job.ending = Ending(state="PRUNED")
            places.leave(job)
        del jobs[:n_ending]
    assert places.n_wanted([]) == n + n_ahead


def test_nothing_is_claimed_ahead_for_what_was_given_back() -> None:
    trainer: Any = Trainer(8)
    places, jobs = Places(trainer, 8), [make_job(key) for key in range(8)]
    assert settled(places, jobs)
    for job in jobs:
        places.leave(job)
    places.settle([])
    assert places.n_wanted([]) == 8


def test_who_waits_in_vain_is_idle() -> None:
    trainer: Any = Trainer(1)
    places, jobs = Places(trainer, 1), [make_job(key) for key in range(3)]
    assert settled(places, jobs)
    assert places.idle() == []
    for job in jobs:
        job.kept_at -= IDLE_SECONDS
    assert places.idle() == [jobs[2], jobs[1]]


def test_who_was_let_go_before_its_turn_gets_no_place() -> None:
    trainer: Any = Trainer(1)
    places, first, second, third = Places(trainer, 1), make_job(1), make_job(2), make_job(3)
    assert settled(places, [first, second, third])
    assert trainer.keys == [1]
    places.leave(second)
    places.leave(first)
    places.settle([third])
    assert trainer.keys == [3]


def test_who_is_taken_up_again_has_the_place_of_its_former_self() -> None:
    trainer: Any = Trainer(1)
    places, before, again = Places(trainer, 1), make_job(1), make_job(1)
    places.take(before, None)
    places.settle([before])
    places.leave(before)
    places.take(again, None)
    assert places.settle([again])
    assert again.is_training
    assert trainer.keys == [1]


def test_who_is_refused_waits_and_the_places_shrink() -> None:
    trainer: Any = Trainer(2)
    places, jobs = Places(trainer, 3), [make_job(key) for key in range(3)]
    assert not settled(places, jobs)
    assert [job.is_refused for job in jobs] == [False, False, True]
    places.leave(jobs.pop())
    jobs.pop(0)  # ended and told while the other found no memory
    places.shrink(jobs[0])
    assert places.n == 1


def make_suspect(key: int, n_chances: int) -> Job:
    job = make_job(key)
    job.n_chances = n_chances
    return job


def ready(places: Places, jobs: list[Job]) -> None:
    for job in jobs:
        places.take(job, None)


def test_a_trial_with_few_chances_trains_among_few() -> None:
    """Nobody else is in the worker's hands meanwhile, who would pay for its death as well."""
    trainer: Any = Trainer(16)
    places, jobs = Places(trainer, 16), [make_suspect(key, 2) for key in range(4)]
    ready(places, jobs)
    assert not places.settle(jobs)
    assert [job.is_refused for job in jobs] == [False, False, True, True]
    assert trainer.keys == [], "the others have not gone back yet"
    for job in jobs[2:]:
        places.leave(job)
    assert places.settle(jobs[:2])
    assert trainer.keys == [0, 1]
    assert places.n_wanted(jobs[:2]) == 0


def test_a_trial_with_its_last_chance_waits_until_it_is_alone() -> None:
    trainer: Any = Trainer(4)
    places, others, last = Places(trainer, 4), [make_job(0), make_job(1)], make_suspect(2, 1)
    assert settled(places, others)
    ready(places, [last])
    jobs = [*others, last]
    for job in others:
        assert places.settle(jobs)
        assert 2 not in trainer.keys
        assert places.n_wanted(jobs) == 0, "or it would never be alone"
        last.kept_at -= IDLE_SECONDS
        assert places.idle() == []
        job.ending = Ending(state="PRUNED")
        places.leave(job)
        jobs.remove(job)
    assert places.settle(jobs)
    assert trainer.keys == [2]
    assert places.n_wanted(jobs) == 0


def test_a_trial_too_large_for_any_neighbour_costs_no_more_than_two_slots() -> None:
    """It is claimed again whenever another ends, for it has the lowest number."""
    trainer: Any = Trainer(16)
    places, jobs = Places(trainer, 16), [make_job(key) for key in range(1, 16)]
    assert settled(places, jobs)
    for _ in range(30):
        if places.n_wanted(jobs):
            jobs.append(make_job(0))
            ready(places, jobs[-1:])
        places.settle(jobs)
        if trainer.keys == [0]:
            break
        if 0 in trainer.keys:
            leaving = jobs.pop()
            leaving.ending = Ending(state="WAITING")
            places.shrink(leaving)
        else:
            leaving = jobs.pop(0)
            leaving.ending = Ending(state="PRUNED")
        places.leave(leaving)
    assert trainer.keys == [0]
    assert places.n == 14
