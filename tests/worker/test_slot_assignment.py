"""Which jobs have a slot in the trainer, and which are queued."""

from types import SimpleNamespace
from typing import Any

import pytest

from hpo.training.trainer import Run
from hpo.worker.job import Ending, Job
from hpo.worker.slots import IDLE_SECONDS, Slots, n_training


class Trainer:
    """Holds keys; a slot must be freed before another run takes it."""

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
    return Job(claim=anything, study=anything, experiment=anything, run=run)


def assigned(slots: Slots, jobs: list[Job]) -> bool:
    """Queue jobs and assign slots; whether none was refused."""
    for job in jobs:
        slots.enqueue(job, None)
    return slots.assign(jobs)


@pytest.mark.parametrize(("n", "n_ending", "n_ahead"), [(8, 2, 3), (8, 0, 0), (1, 1, 0)])
def test_as_many_are_wanted_ahead_as_are_likely_to_end(n: int, n_ending: int, n_ahead: int) -> None:
    trainer: Any = Trainer(n)
    slots, jobs = Slots(trainer, n), list[Job]()
    for slice_ in range(30):
        for key in range(slots.n_wanted(jobs)):
            jobs.append(make_job(100 * slice_ + key))
            slots.enqueue(jobs[-1], None)
        assert slots.assign(jobs)
        if slice_ > 20:  # none is ever missing
            assert len(trainer.keys) == n_training(jobs) == n
        for job in jobs[:n_ending]:
            job.ending = Ending(state="PRUNED")
            slots.free(job)
        del jobs[:n_ending]
    assert slots.n_wanted([]) == n + n_ahead


def test_nothing_is_claimed_ahead_for_what_was_given_back() -> None:
    trainer: Any = Trainer(8)
    slots, jobs = Slots(trainer, 8), [make_job(key) for key in range(8)]
    assert assigned(slots, jobs)
    for job in jobs:
        slots.free(job)
    slots.assign([])
    assert slots.n_wanted([]) == 8


def test_who_waits_in_vain_is_idle() -> None:
    trainer: Any = Trainer(1)
    slots, jobs = Slots(trainer, 1), [make_job(key) for key in range(3)]
    assert assigned(slots, jobs)
    assert slots.idle() == []
    for job in jobs:
        job.saved_at -= IDLE_SECONDS
    assert slots.idle() == [jobs[2], jobs[1]]


def test_who_was_let_go_before_its_turn_gets_no_slot() -> None:
    trainer: Any = Trainer(1)
    slots, first, second, third = Slots(trainer, 1), make_job(1), make_job(2), make_job(3)
    assert assigned(slots, [first, second, third])
    assert trainer.keys == [1]
    slots.free(second)
    slots.free(first)
    slots.assign([third])
    assert trainer.keys == [3]


def test_who_is_taken_up_again_has_the_slot_of_its_former_self() -> None:
    trainer: Any = Trainer(1)
    slots, before, again = Slots(trainer, 1), make_job(1), make_job(1)
    slots.enqueue(before, None)
    slots.assign([before])
    slots.free(before)
    slots.enqueue(again, None)
    assert slots.assign([again])
    assert again.is_training
    assert trainer.keys == [1]


def test_who_is_refused_waits_and_the_slots_shrink() -> None:
    trainer: Any = Trainer(2)
    slots, jobs = Slots(trainer, 3), [make_job(key) for key in range(3)]
    assert not assigned(slots, jobs)
    assert [job.is_refused for job in jobs] == [False, False, True]
    slots.free(jobs.pop())
    jobs.pop(0)  # ended and told while the other found no memory
    slots.shrink(jobs[0])
    assert slots.n == 1


def make_suspect(key: int, n_attempts_left: int) -> Job:
    job = make_job(key)
    job.n_attempts_left = n_attempts_left
    return job


def ready(slots: Slots, jobs: list[Job]) -> None:
    for job in jobs:
        slots.enqueue(job, None)


def test_a_trial_with_few_chances_trains_among_few() -> None:
    """Nobody else is in the worker's hands meanwhile, who would pay for its death as well."""
    trainer: Any = Trainer(16)
    slots, jobs = Slots(trainer, 16), [make_suspect(key, 2) for key in range(4)]
    ready(slots, jobs)
    assert not slots.assign(jobs)
    assert [job.is_refused for job in jobs] == [False, False, True, True]
    assert trainer.keys == [], "the others have not gone back yet"
    for job in jobs[2:]:
        slots.free(job)
    assert slots.assign(jobs[:2])
    assert trainer.keys == [0, 1]
    assert slots.n_wanted(jobs[:2]) == 0


def test_a_trial_with_its_last_chance_waits_until_it_is_alone() -> None:
    trainer: Any = Trainer(4)
    slots, others, last = Slots(trainer, 4), [make_job(0), make_job(1)], make_suspect(2, 1)
    assert assigned(slots, others)
    ready(slots, [last])
    jobs = [*others, last]
    for job in others:
        assert slots.assign(jobs)
        assert 2 not in trainer.keys
        assert slots.n_wanted(jobs) == 0, "or it would never be alone"
        last.saved_at -= IDLE_SECONDS
        assert slots.idle() == []
        job.ending = Ending(state="PRUNED")
        slots.free(job)
        jobs.remove(job)
    assert slots.assign(jobs)
    assert trainer.keys == [2]
    assert slots.n_wanted(jobs) == 0


def test_a_trial_too_large_for_any_neighbour_costs_no_more_than_two_slots() -> None:
    """It is claimed again whenever another ends, for it has the lowest number."""
    trainer: Any = Trainer(16)
    slots, jobs = Slots(trainer, 16), [make_job(key) for key in range(1, 16)]
    assert assigned(slots, jobs)
    for _ in range(30):
        if slots.n_wanted(jobs):
            jobs.append(make_job(0))
            ready(slots, jobs[-1:])
        slots.assign(jobs)
        if trainer.keys == [0]:
            break
        if 0 in trainer.keys:
            leaving = jobs.pop()
            leaving.ending = Ending(state="WAITING")
            slots.shrink(leaving)
        else:
            leaving = jobs.pop(0)
            leaving.ending = Ending(state="PRUNED")
        slots.free(leaving)
    assert trainer.keys == [0]
    assert slots.n == 14
