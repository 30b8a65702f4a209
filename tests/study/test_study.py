"""Studies: creation, budget, leases, attempts, reports and sampling."""

import contextlib
import subprocess
import sys
import time
from types import SimpleNamespace

import optuna
import pytest
from optuna.trial import TrialState
from sqlalchemy.engine import Connection

from hpo.config.errors import (
    BudgetError,
    InputError,
    LeaseLostError,
    StudyConflictError,
    StudyNotFoundError,
)
from hpo.config.trial import Measurement
from hpo.storage import attributes, leases
from hpo.storage.engine import Storage, open_storage
from hpo.storage.leases import WorkerId
from hpo.study import reaper
from hpo.study.catalog import bury, create_study, list_studies, open_study
from hpo.study.claim import Claim
from hpo.study.study import Study
from tests.support.clock import let_pass
from tests.support.databases import every_database
from tests.support.definitions import definition
from tests.support.gate import CONTEXT, gather
from tests.support.study_process import create_and_claim
from tests.support.waiting import wait_until

ME = WorkerId(host="here", pid=1, device="cpu")
OTHER = WorkerId(host="there", pid=2, device="cpu")
PROGRAM = ["-m", "tests.support.study_process"]


def start(*arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, *PROGRAM, *map(str, arguments)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def make(storage: Storage, **changes: object) -> Study:
    return create_study(storage, definition(**changes), "store")  # type: ignore[arg-type]


def ask(study: Study, worker: WorkerId = ME, lease: float = 60.0) -> Claim:
    claim = study.ask(worker, lease)
    assert claim is not None
    return claim


def curve(*values: float) -> list[Measurement]:
    return [Measurement(step=step, value=value) for step, value in enumerate(values, start=1)]


class TestCreation:
    def test_again_with_the_same_definition_changes_nothing(self, storage: Storage) -> None:
        first = make(storage)
        assert make(storage).uuid == first.uuid
        assert len(first.trials()) == 1

    def test_with_another_definition_shows_the_difference(self, storage: Storage) -> None:
        make(storage)
        with pytest.raises(StudyConflictError, match=r'objective.metric: "rmse" -> "mae"'):
            make(storage, objective={"metric": "mae"})

    def test_a_larger_budget_extends_and_a_smaller_is_refused(self, storage: Storage) -> None:
        study = make(storage, n_trials=2)
        make(storage, n_trials=3)
        assert study.progress().budget.n_trials == 3
        with pytest.raises(BudgetError, match=r"budget.n_trials = 3, which cannot be lowered to 2"):
            make(storage, n_trials=2)

    def test_a_longer_timeout_extends_and_a_shorter_is_refused(self, storage: Storage) -> None:
        study = make(storage, budget={"n_trials": 10, "timeout": "1h"})
        make(storage, budget={"n_trials": 10, "timeout": "2h"})
        assert study.progress().budget.timeout == 7200
        with pytest.raises(BudgetError, match=r"timeout = 7200, which cannot be lowered to 60"):
            make(storage, budget={"n_trials": 10, "timeout": "60s"})
        make(storage)
        assert open_study(storage, "study").definition.budget.timeout is None
        with pytest.raises(BudgetError, match=r"no budget.timeout, which cannot be lowered"):
            make(storage, budget={"n_trials": 10, "timeout": "9h"})

    def test_with_another_artifact_store_is_refused(self, storage: Storage) -> None:
        make(storage)
        with pytest.raises(InputError, match=r"another store"):
            create_study(storage, definition(), "elsewhere")

    def test_the_default_configuration_waits_as_trial_0(self, storage: Storage) -> None:
        claim = ask(make(storage))
        assert claim.number == 0
        assert claim.params == {
            "model.depth": 2,
            "optimizer.learning_rate": pytest.approx(10**-2.5),
        }

    def test_a_study_of_that_name_is_found_or_a_near_one_offered(self, storage: Storage) -> None:
        make(storage)
        assert open_study(storage, "study").definition.digest() == definition().digest()
        with pytest.raises(StudyNotFoundError, match=r'no study studdy .*did you mean "study"'):
            open_study(storage, "studdy")

    def test_a_study_of_another_program_is_left_alone(self, storage: Storage) -> None:
        make(storage)
        optuna.create_study(study_name="plain", storage=storage.plain)
        with pytest.raises(InputError, match=r"was not made by hpo"):
            open_study(storage, "plain")
        assert [status.name for status in list_studies(storage)] == ["study"]


@pytest.mark.slow
@every_database
def test_processes_that_create_queue_and_claim_at_once(storage_url: str) -> None:
    """One study comes of it, and every trial of its budget is claimed by exactly one of them."""
    answers = CONTEXT.SimpleQueue()
    processes, gate = gather(4, create_and_claim, storage_url, answers)
    gate.open(processes)
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0] * 4
    said = [answers.get() for _ in processes]
    assert len({uuid for uuid, _ in said}) == 1
    assert sorted(number for _, numbers in said for number in numbers) == list(range(60))
    with contextlib.closing(open_storage(storage_url)) as storage:
        assert len(open_study(storage, "study").trials()) == 60


@every_database
class TestBudget:
    def test_counts_every_trial_ever_created(self, storage: Storage) -> None:
        study = make(storage, n_trials=3)
        first, second, third = ask(study), ask(study), ask(study)
        study.finish(first, "FAIL", None, {})
        study.finish(second, "PRUNED", 1.0, {})
        assert study.ask(ME, 60.0) is None
        assert not study.progress().is_finished
        study.finish(third, "COMPLETE", 1.0, {})
        assert study.progress().is_finished

    @pytest.mark.slow
    def test_of_time_counts_while_a_lease_lives_and_ends_the_study(self, storage: Storage) -> None:
        study = make(storage, budget={"n_trials": 5, "timeout": "600s"})
        let_pass(storage, 700)
        claim = ask(study, lease=1000)
        assert study.progress().busy_seconds < 60
        let_pass(storage, 700)
        assert study.progress().time_over is not None
        assert study.ask(OTHER, 60.0) is None
        study.release(claim)
        assert study.progress().state == "finished"

    def test_of_time_does_not_count_when_every_lease_ran_out(self, storage: Storage) -> None:
        study = make(storage)
        ask(study, lease=200)
        let_pass(storage, 1200)
        assert 200 <= study.progress().busy_seconds < 260
        ask(study, lease=1000)
        let_pass(storage, 100)
        assert 300 <= study.progress().busy_seconds < 360

    @pytest.mark.slow
    def test_of_time_does_not_count_until_a_late_renewal(self, storage: Storage) -> None:
        study = make(storage)
        claim = ask(study, lease=200)
        let_pass(storage, 1200)
        study.renew([claim], 1000)
        let_pass(storage, 100)
        assert 300 <= study.progress().busy_seconds < 360

    def test_of_device_time_adds_up_the_workers_shares(self, storage: Storage) -> None:
        study = make(storage, budget={"n_trials": 5, "device_time": "8000s"})
        half = WorkerId(host="third", pid=3, device="gpu", share=0.5)
        claims = [ask(study, worker, lease=10_000) for worker in (ME, OTHER, half)]
        before = study.progress()
        let_pass(storage, 3300)
        after = study.progress()
        assert after.time_over is not None
        passed = after.busy_seconds - before.busy_seconds
        assert after.device_seconds - before.device_seconds == pytest.approx(2.5 * passed, abs=0.01)
        assert after.device_seconds >= 8000
        assert study.ask(ME, 60.0) is None
        for claim in claims:
            study.release(claim)
        assert study.progress().is_finished

    def test_without_improvement_creates_no_further_trial(self, storage: Storage) -> None:
        study = make(storage, budget={"n_trials": 100, "no_improvement": 3})
        for value in (2.0, 1.0, 1.5, 1.0):
            study.finish(ask(study), "COMPLETE", value, {})
            time.sleep(0.01)
        last, running = ask(study), ask(study)
        study.finish(last, "PRUNED", 3.0, {})
        assert study.ask(ME, 60.0) is None
        assert not study.progress().is_finished
        study.finish(running, "FAIL", None, {})
        assert study.progress().is_finished
        assert len(study.trials()) == 6

    def test_refuses_to_queue_beyond_it(self, storage: Storage) -> None:
        study = make(storage, n_trials=1)
        with pytest.raises(BudgetError, match=r"budget's 1 trials: hpo extend study --n-trials"):
            study.enqueue({})


@every_database
class TestLease:
    def test_only_its_holder_reports_and_tells(self, storage: Storage) -> None:
        study = make(storage)
        claim = ask(study, lease=0.05)
        taken = reap(study)
        assert taken == [claim.number]
        again = ask(study, OTHER)
        assert (again.number, again.attempt, again.params) == (0, 2, claim.params)
        assert study.report({claim: curve(1.0)}).lost == {claim}
        with pytest.raises(LeaseLostError):
            study.finish(claim, "COMPLETE", 1.0, {})
        study.release(claim)
        assert study.renew([claim], 60.0) == {claim.token}
        study.finish(again, "COMPLETE", 2.0, {"by": "other"})
        (trial,) = study.trials()
        assert (trial.value, trial.user_attrs["by"]) == (2.0, "other")
        assert trial.intermediate_values == {}

    @pytest.mark.slow
    def test_renewed_in_time_is_not_taken(self, storage: Storage) -> None:
        study = make(storage)
        claim = ask(study, lease=0.2)
        deadline = time.monotonic() + 1.0
        while time.monotonic() < deadline:
            assert study.renew([claim], 0.2) == set()
            assert study.reaper.reap() == []
            time.sleep(0.03)

    def test_renewed_in_time_waits_for_no_clock(self, storage: Storage, rival: Storage) -> None:
        if "sqlite" in storage.url:
            pytest.skip("one writer at a time")
        study = make(storage)
        claim, again = ask(study), open_study(rival, study.name)

        def renew_beside(connection: Connection) -> set[str]:
            leases.tick(connection, study.id)  # holds the clock
            return again.renew([claim], 60.0)

        assert storage.write(renew_beside) == set()

    def test_one_beat_between_two_looks_saves_it(self, storage: Storage) -> None:
        study = make(storage)
        claim = ask(study, lease=0.1)
        time.sleep(0.15)
        assert study.reaper.reap() == []
        study.renew([claim], 0.05)
        time.sleep(0.15)
        assert study.reaper.reap() == []

    def test_is_taken_a_third_of_it_after_the_first_look(
        self, storage: Storage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        clock = SimpleNamespace(now=0.0, monotonic=lambda: clock.now)
        monkeypatch.setattr(reaper, "time", clock)
        study = make(storage)
        ask(study, lease=300)
        let_pass(storage, 301)
        assert [study.reaper.reap(), study.reaper.reap()] == [[], []]
        clock.now = 99
        assert study.reaper.reap() == []
        if "sqlite" in storage.url:  # two thirds, since clocks may differ
            clock.now = 199
            assert study.reaper.reap() == []
            clock.now = 201
        else:
            clock.now = 101
        assert study.reaper.reap() == [0]

    def test_beaten_since_it_was_seen_is_not_taken(self, storage: Storage) -> None:
        study = make(storage)
        claim = ask(study, lease=0.01)
        time.sleep(0.02)
        with storage.read() as connection:
            (seen,) = leases.expired(connection, 1)
        study.renew([claim], 0.01)
        time.sleep(0.02)
        assert not storage.write(lambda connection: leases.is_still(connection, seen))
        with storage.read() as connection:
            (seen,) = leases.expired(connection, 1)
        assert storage.write(lambda connection: leases.is_still(connection, seen))

    @pytest.mark.slow
    def test_of_a_killed_process_comes_back_with_number_and_params(self, storage: Storage) -> None:
        study = make(storage)
        holder = start("hold", storage.url, 0.5)
        assert holder.stdout is not None
        assert holder.stdout.readline() == "0\n"
        holder.kill()
        holder.communicate()
        assert reap(study) == [0]
        assert ask(study).attempt == 2

    def test_is_shown_with_the_trial(self, storage: Storage) -> None:
        study = make(storage)
        study.release(ask(study))
        study.finish(ask(study, OTHER), "FAIL", None, {"reason": "no luck"})
        shown = {"attempt": 2, "worker": "there:2", "device": "cpu", "reason": "no luck"}
        earlier = {"worker": "here:1", "device": "cpu", "ended": "released"}
        assert study.trials()[0].user_attrs == {**shown, "earlier_attempts": [earlier]}

    def test_goes_by_the_database_and_no_time_zone(
        self, storage_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PGTZ", "Asia/Tokyo")
        monkeypatch.setenv("TZ", "America/New_York")
        time.tzset()
        with contextlib.closing(open_storage(storage_url)) as storage:
            study = make(storage)
            ask(study, OTHER)
            short = ask(study, lease=0.1)
            assert reap(study) == [short.number]
            assert study.progress().workers == (OTHER,)
        monkeypatch.undo()
        time.tzset()

    def test_released_the_trial_waits_in_place(self, storage: Storage) -> None:
        study = make(storage)
        claim = ask(study)
        study.report({claim: curve(3.0, 2.0)})
        study.release(claim)
        (trial,) = study.trials()
        assert trial.state == TrialState.WAITING
        assert trial.params == claim.params
        assert trial.intermediate_values == {1: 3.0, 2: 2.0}

    def test_of_a_buried_worker_is_taken_at_once(self, storage: Storage) -> None:
        study = make(storage)
        mine, theirs = ask(study), ask(study, OTHER)
        buried = bury(storage, OTHER.key, "killed by SIGKILL")
        assert [(s.uuid, taken) for s, taken in buried.items()] == [(study.uuid, {1: 1})]
        assert study.progress().workers == (ME,)
        assert study.renew([mine, theirs], 60.0) == {theirs.token}
        (earlier,) = study.trials()[theirs.number].user_attrs["earlier_attempts"]
        assert earlier == {"worker": OTHER.key, "device": "cpu", "ended": "killed by SIGKILL"}

    def test_of_a_buried_worker_is_taken_without_a_look_at_other_studies(
        self, storage: Storage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        study, other = make(storage), make(storage, name="other")
        ask(study, OTHER)
        read: list[str] = []
        decode = attributes.decode
        monkeypatch.setattr(attributes, "decode", lambda text: read.append(text) or decode(text))
        assert list(bury(storage, OTHER.key, "killed by SIGKILL").values()) == [{0: 1}]
        found = {own.name for own in (study, other) for text in read if own.uuid in text}
        assert found == {"study"}

    def test_told_again_after_a_lost_answer_changes_nothing(self, storage: Storage) -> None:
        study = make(storage)
        claim = ask(study)
        study.finish(claim, "COMPLETE", 1.0, {})
        study.finish(claim, "COMPLETE", 1.0, {})
        with pytest.raises(LeaseLostError):
            study.finish(claim, "FAIL", None, {})
        assert study.trials()[0].state == TrialState.COMPLETE


class TestAttempts:
    def test_go_on_with_what_was_measured_before_the_checkpoint(self, storage: Storage) -> None:
        study = make(storage)
        first = ask(study)
        study.report({first: curve(5.0, 4.0, 3.0)})
        study.release(first)
        second = ask(study, OTHER)
        study.resume(second, curve(5.0, 4.0))
        assert study.trials()[0].intermediate_values == {1: 5.0, 2: 4.0}
        study.report({second: [Measurement(step=3, value=2.5)]})
        assert study.trials()[0].intermediate_values == {1: 5.0, 2: 4.0, 3: 2.5}
        with pytest.raises(LeaseLostError):
            study.resume(first, ())

    def test_are_pruned_as_if_there_had_been_one(self, storage: Storage) -> None:
        study = make(storage, pruner={"name": "patient", "patience": 3})
        first = ask(study)
        assert study.report({first: curve(1.0, 2.0, 2.0)}).prune == {}
        study.release(first)
        second = ask(study)
        study.resume(second, curve(1.0, 2.0, 2.0))
        rest = [Measurement(step=step, value=2.0) for step in range(4, 9)]
        assert study.report({second: rest}).prune == {second: 5}

    def test_that_cost_workers_are_counted_and_released_ones_are_not(
        self, storage: Storage
    ) -> None:
        study = make(storage, budget={"n_trials": 1, "max_attempts": 2})
        for _ in range(3):
            study.release(ask(study))
        study.release(ask(study), how="crashed: RuntimeError")
        assert study.progress().counts == {"WAITING": 1}
        assert ask(study, OTHER).attempt == 5
        assert study.reaper.bury(OTHER.key, "killed by SIGKILL") == {0: 5}
        (trial,) = study.trials()
        assert trial.state == TrialState.FAIL
        assert trial.user_attrs["reason"] == "cost 2 workers, the last one killed by SIGKILL"
        assert study.progress().is_finished


class TestReports:
    @every_database
    def test_are_what_optuna_reads(self, storage: Storage) -> None:
        study = make(storage)
        claim = ask(study)
        study.report({claim: curve(3.0, 2.0)})
        study.report({claim: curve(3.0, 1.5)})  # a step told twice is replaced
        study.finish(claim, "COMPLETE", 1.5, {"metrics": {"rmse": 1.5}})
        plain_storage = optuna.storages.RDBStorage(storage.url)
        plain = optuna.load_study(study_name="study", storage=plain_storage)
        (trial,) = plain.trials
        assert trial.intermediate_values == {1: 3.0, 2: 1.5}
        assert (plain.best_value, trial.state) == (1.5, TrialState.COMPLETE)
        assert trial.user_attrs["metrics"] == {"rmse": 1.5}
        assert trial.datetime_complete is not None
        assert plain.direction == optuna.study.StudyDirection.MINIMIZE
        plain_storage.remove_session()
        plain_storage.engine.dispose()

    @pytest.mark.slow
    def test_worse_than_the_median_are_pruned(self, storage: Storage) -> None:
        pruner = {"name": "median", "n_startup_trials": 2, "n_warmup_steps": 2}
        study = make(storage, pruner=pruner)
        for _ in range(2):
            claim = ask(study)
            study.report({claim: curve(1.0, 1.0, 1.0)})
            study.finish(claim, "COMPLETE", 1.0, {})
        good, bad = ask(study), ask(study)
        assert study.report({good: curve(2.0), bad: curve(2.0)}).prune == {}
        late = {good: curve(2.0, 0.9, 0.5)[1:], bad: curve(2.0, 2.0, 2.0, 0.1)[1:]}
        assert study.report(late).prune == {bad: 2}
        assert study.trials()[bad.number].intermediate_values == {1: 2.0, 2: 2.0}

    def test_are_judged_alike_however_they_are_cut(self, storage: Storage) -> None:
        ends = []
        for name, n_epochs in (("one", 1), ("three", 3), ("all", 12)):
            study = make(storage, name=name, pruner={"name": "patient", "patience": 4})
            claim = ask(study)
            values = curve(3.0, 2.0, 1.0, *[1.5] * 9)
            for first in range(0, 12, n_epochs):
                if ended := study.report({claim: values[first : first + n_epochs]}).prune:
                    ends.append((ended[claim], study.trials()[0].last_step))
                    break
        assert ends == [(8, 8)] * 3

    @every_database
    def test_of_rungs_are_seen_by_other_workers_at_once(self, storage: Storage) -> None:
        pruner = {"name": "successive_halving", "min_resource": 1, "reduction_factor": 2}
        study = make(storage, pruner=pruner)
        with contextlib.closing(open_storage(storage.url)) as rival:
            theirs = open_study(rival, "study")
            good, bad = ask(study), ask(theirs, OTHER)
            theirs.trials()
            assert study.report({good: curve(1.0)}).prune == {}
            assert theirs.report({bad: curve(2.0)}).prune == {bad: 1}
        study.release(good)
        again = ask(study)
        assert again.number == good.number
        study.resume(again, curve(1.0))
        assert "completed_rung_0" in study.trials()[0].system_attrs
        study.resume(again, ())
        assert "completed_rung_0" not in study.trials()[0].system_attrs

    @pytest.mark.parametrize("name", ["percentile", "successive_halving", "hyperband", "patient"])
    def test_go_to_every_pruner(self, storage: Storage, name: str) -> None:
        study = make(storage, pruner={"name": name}, training={"max_epochs": 30})
        n_pruned = 0
        for index in range(9):
            claim = ask(study)
            values = curve(*[1.0 + index + epoch / 10 for epoch in range(30)])
            if study.report({claim: values}).prune:
                n_pruned += 1
                study.finish(claim, "PRUNED", 1.0 + index, {})
            else:
                study.finish(claim, "COMPLETE", 1.0 + index, {})
        assert n_pruned > 0


class TestSampling:
    @pytest.mark.parametrize(
        "name", ["tpe", "random", "qmc", pytest.param("gp", marks=pytest.mark.slow)]
    )
    def test_depends_on_the_trials_and_not_on_who_asks(self, storage: Storage, name: str) -> None:
        settings = {"name": name, "seed": 3}
        if name in ("tpe", "gp"):
            settings["n_startup_trials"] = 3
        drawn = []
        for study_name in ("one", "two"):
            study = make(storage, sampler=settings, name=study_name)
            for index in range(6):
                claim = ask(study, (ME, OTHER)[index % 2] if study_name == "two" else ME)
                study.finish(claim, "COMPLETE", float(claim.params["model.depth"]), {})
                drawn.append(tuple(claim.params.values()))
        assert drawn[:6] == drawn[6:]
        assert len(set(drawn)) == 6

    def test_a_grid_is_run_through_once(self, storage: Storage) -> None:
        space = {
            "model": {"depth": {"type": "int", "low": 1, "high": 3}},
            "optimizer": {
                "name": {"type": "categorical", "choices": ["sgd", "adam"]},
                "momentum": {
                    "type": "float",
                    "low": 0.5,
                    "high": 0.9,
                    "step": 0.2,
                    "when": {"optimizer.name": "sgd"},
                },
            },
        }
        study = make(storage, sampler={"name": "grid"}, search_space=space, n_trials=100)
        points = []
        while claim := study.ask(ME, 60.0):
            points.append(tuple(claim.params.items()))
            study.finish(claim, "COMPLETE", 1.0, {})
        assert len(points) == len(set(points)) == 3 * (3 + 1)
        assert study.progress().is_finished
        again = make(storage, sampler={"name": "grid"}, search_space=space, n_trials=200)
        assert again.progress().is_finished

    def test_a_larger_budget_brings_further_points_of_a_grid(self, storage: Storage) -> None:
        space = {"model": {"depth": {"type": "int", "low": 1, "high": 5}}}
        study = make(storage, sampler={"name": "grid"}, search_space=space, n_trials=2)
        assert study.progress().counts == {"WAITING": 2}
        make(storage, sampler={"name": "grid"}, search_space=space, n_trials=5)
        depths = [ask(study).params["model.depth"] for _ in range(5)]
        assert depths[0] == 3  # the default
        assert sorted(depths) == [1, 2, 3, 4, 5]

    def test_queued_params_are_kept_and_the_others_drawn(self, storage: Storage) -> None:
        study = make(storage)
        number = study.enqueue({"model.depth": 4})
        ask(study)
        claim = ask(study)
        assert claim.number == number == 1
        assert claim.params["model.depth"] == 4
        assert 1e-4 <= float(claim.params["optimizer.learning_rate"]) <= 1e-1

    def test_queued_params_outside_their_range_are_refused(self, storage: Storage) -> None:
        with pytest.raises(InputError, match=r"model.depth must be from 1 to 4, but got 5"):
            make(storage).enqueue({"model.depth": 5})


@every_database
def test_workers_show_while_they_live(storage: Storage) -> None:
    study = make(storage)
    ask(study, ME, lease=0.2)
    ask(study, OTHER, lease=60.0)
    time.sleep(0.3)
    status = study.progress()
    assert [worker.host for worker in status.workers] == ["there"]
    assert status.state == "running"


def reap(study: Study) -> list[int]:
    """Reap until something is taken back."""
    taken: list[int] = []
    wait_until(lambda: taken.extend(study.reaper.reap()) or taken)
    return taken
