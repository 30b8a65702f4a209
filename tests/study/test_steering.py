"""Steering a study, as another process and as a real worker see it."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from optuna.trial import TrialState

from hpo.config.errors import BudgetError, InputError
from hpo.config.trial import Measurement
from hpo.storage import reader
from hpo.storage.best import OptimizationHistory
from hpo.storage.engine import Storage, open_storage
from hpo.storage.leases import WorkerId
from hpo.storage.snapshot import Snapshot
from hpo.study.budget import BudgetChange
from hpo.study.catalog import bury, create_study, open_study
from hpo.study.claim import Claim
from hpo.study.orders import read_orders, was_pruned
from hpo.study.steering import extend, prune, quarantine, restore, retry, set_standing
from hpo.study.study import Study
from tests.support.databases import every_database
from tests.support.definitions import definition
from tests.support.faults.setting import Setting, make_setting
from tests.support.waiting import wait_until

ME = WorkerId(host="here", pid=1, device="cpu")
OTHER = WorkerId(host="there", pid=2, device="cpu")


def ask(study: Study, worker: WorkerId = ME) -> Claim:
    claim = study.ask(worker, 60.0)
    assert claim is not None
    return claim


def curve(*values: float) -> list[Measurement]:
    return [Measurement(step=step, value=value) for step, value in enumerate(values, start=1)]


def complete(study: Study, *values: float) -> None:
    """Run a trial each to these values, all of them reported."""
    for value in values:
        claim = ask(study)
        study.report({claim: curve(value + 1, value)})
        study.finish(claim, "COMPLETE", value, {"n_epochs": 2})


@every_database
def test_no_trial_is_begun_while_a_study_is_paused(storage: Storage, rival: Storage) -> None:
    study = create_study(storage, definition(1000, sampler={"name": "random"}), "store")
    theirs, is_over = open_study(rival, "study"), threading.Event()

    def claim() -> None:
        while not is_over.is_set():
            theirs.claim(OTHER, 60.0)

    claims = threading.Thread(target=claim)
    claims.start()
    try:
        while not study.progress().counts.get("RUNNING"):
            time.sleep(0.01)
        set_standing(study, "paused")
        n_claimed = study.progress().counts["RUNNING"]
        time.sleep(0.3)
    finally:
        is_over.set()
        claims.join()
    assert study.progress().counts == {"RUNNING": n_claimed}
    assert (study.progress().state, study.progress().is_finished) == ("paused", False)
    assert not read_orders(theirs, []).goes_on
    set_standing(study, "open")
    assert ask(theirs, OTHER).number == n_claimed
    assert read_orders(theirs, []).goes_on


def test_a_stopped_study_is_finished_for_workers_until_it_is_opened_again(
    storage: Storage,
) -> None:
    study = create_study(storage, definition(2), "store")
    set_standing(study, "stopped")
    assert study.ask(ME, 60.0) is None
    assert (study.progress().state, study.progress().is_finished) == ("stopped", True)
    set_standing(study, "open")
    complete(study, 1.0, 2.0)
    assert study.progress().state == "finished"
    with pytest.raises(InputError, match=r"study study is finished: .*; hpo extend study raises"):
        set_standing(study, "paused")


@every_database
def test_a_pruned_trial_keeps_the_best_it_measured_and_its_worker_finds_it_lost(
    storage: Storage, rival: Storage
) -> None:
    study, theirs = create_study(storage, definition(3), "store"), open_study(rival, "study")
    claim, other = ask(theirs, OTHER), ask(theirs, OTHER)
    theirs.report({claim: curve(3.0, 1.0, 2.0)})
    prune(study, 0)
    (trial, *_) = study.trials()
    assert (trial.state, trial.value) == (TrialState.PRUNED, 1.0)
    assert trial.user_attrs["reason"] == "by hand"
    assert read_orders(theirs, [claim, other]).lost == {claim}
    assert theirs.report({claim: curve(0.5)}).lost == {claim}
    assert was_pruned(theirs, claim)
    assert not was_pruned(theirs, other)
    study.enqueue({"model.depth": 2})
    prune(study, 2)
    assert study.trials()[2].state == TrialState.PRUNED
    assert study.trials()[2].values is None
    study.trials()[2]._validate()
    with pytest.raises(InputError, match="trial 0 of study study is PRUNED already"):
        prune(study, 0)
    with pytest.raises(InputError, match="study study has trials 0 to 2, but got 3"):
        prune(study, 3)


@every_database
def test_a_failed_trial_waits_again_and_its_workers_do_not_count(storage: Storage) -> None:
    budget = {"n_trials": 2, "max_attempts": 2}
    study = create_study(storage, definition(budget=budget), "store")
    for _ in range(2):
        drawn = ask(study).params
        bury(storage, ME.key, "killed")
    assert study.progress().counts == {"FAIL": 1}
    assert retry(study, 0) == 0
    (trial,) = study.trials()
    assert trial.state == TrialState.WAITING
    assert trial.user_attrs["retried"] == ["cost 2 workers, the last one killed"]
    claim = ask(study)
    assert (claim.number, claim.attempt, claim.params) == (0, 3, drawn)
    with pytest.raises(InputError, match="trial 0 of study study is RUNNING: only a finished"):
        retry(study, 0)
    bury(storage, ME.key, "killed")
    assert study.progress().counts == {"WAITING": 1}
    ask(study)
    bury(storage, ME.key, "killed")
    assert study.progress().failures[0].reason == "cost 2 workers, the last one killed"


@every_database
def test_a_copy_of_a_trial_is_one_more_than_the_budget_had(storage: Storage) -> None:
    study = create_study(storage, definition(2), "store")
    complete(study, 2.0, 1.0)
    assert retry(study, 1) == 2
    assert study.progress().budget.n_trials == 3
    assert ask(study).params == study.trials()[1].params
    assert study.trials()[2].user_attrs["copy_of"] == 1
    assert study.ask(ME, 60.0) is None
    again = create_study(storage, definition(2), "store")  # its file has not changed
    assert again.progress().budget.n_trials == 3


def completed(seen: Snapshot) -> list[float]:
    """What the COMPLETE trials reported at step 2, in order of the values."""
    found = (trial for trial in seen.ended if trial.state == TrialState.COMPLETE)
    return sorted(trial.intermediate_values[2] for trial in found)


@every_database
def test_a_quarantined_trial_guides_no_process_any_more_until_it_is_back(
    storage: Storage, rival: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "STALE_SECONDS", 0.0)
    budget = {"n_trials": 9, "no_improvement": 2}
    study = create_study(storage, definition(budget=budget), "store")
    complete(study, 3.0, 1.0, 2.0, 4.0)
    trend, before = OptimizationHistory(), study.trials()
    theirs = open_study(rival, "study")
    seen = rival.reader.snapshot(study.id)
    assert completed(seen) == [1.0, 2.0, 3.0, 4.0]
    assert theirs.progress(trend).is_stalled
    assert trend.best == [3.0, 1.0, 1.0, 1.0]

    quarantine(study, 1)
    assert theirs.progress(trend).best.number == 2
    assert trend.best == [3.0, 2.0, 2.0]
    assert not theirs.progress().is_stalled
    assert completed(rival.reader.snapshot(study.id)) == [2.0, 3.0, 4.0]
    trial = study.trials()[1]
    trial._validate()
    assert (trial.state, trial.user_attrs["reason"]) == (TrialState.FAIL, "quarantined")
    with pytest.raises(InputError, match="trial 1 of study study is quarantined already"):
        quarantine(study, 1)
    with pytest.raises(InputError, match="trial 2 of study study is not quarantined"):
        restore(study, 2)

    assert restore(study, 1) == "COMPLETE"
    assert study.trials() == before
    assert theirs.progress(trend).best.number == 1
    assert completed(rival.reader.snapshot(study.id)) == [1.0, 2.0, 3.0, 4.0]


class TestExtend:
    @pytest.fixture
    def storage(self, tmp_path: Path) -> Iterator[Storage]:
        with closing(open_storage(f"sqlite:///{tmp_path}/hpo.db")) as opened:
            yield opened

    def test_raises_what_is_given_and_lowers_nothing(self, storage: Storage) -> None:
        study = create_study(storage, definition(1), "store")
        complete(study, 1.0)
        assert study.progress().is_finished
        extend(study, {"n_trials": BudgetChange(amount=2, is_added=True)})
        extend(study, {"n_trials": BudgetChange(amount=4, is_added=False)})
        assert ask(study).number == 1
        assert study.progress().budget.n_trials == 4
        with pytest.raises(BudgetError, match=r"n_trials = 4, which cannot be lowered to 3"):
            extend(study, {"n_trials": BudgetChange(amount=3, is_added=False)})
        with pytest.raises(BudgetError, match=r"has no budget.timeout to which it could be added"):
            extend(study, {"timeout": BudgetChange(amount=60, is_added=True)})

    def test_lets_the_file_be_opened_again_and_raised_further(self, storage: Storage) -> None:
        study = create_study(storage, definition(3), "store")
        extend(study, {"n_trials": BudgetChange(amount=5, is_added=False)})
        assert create_study(storage, definition(3), "store").progress().budget.n_trials == 5
        with pytest.raises(BudgetError, match="cannot be lowered to 4"):
            create_study(storage, definition(4), "store")
        assert create_study(storage, definition(6), "store").progress().budget.n_trials == 6

    def test_a_grid_has_all_of_its_points_beside_a_copy(self, storage: Storage) -> None:
        space = {"model": {"depth": {"type": "int", "low": 1, "high": 4, "step": 1}}}
        grid = definition(2, search_space=space, sampler={"name": "grid"})
        study = create_study(storage, grid, "store")
        complete(study, 1.0)
        assert retry(study, 0) == 2
        with pytest.raises(BudgetError, match=r"a grid of 4 points: .* at most 5, but got 6"):
            extend(study, {"n_trials": BudgetChange(amount=6, is_added=False)})
        extend(study, {"n_trials": BudgetChange(amount=2, is_added=True)})
        complete(study, 1.0, 1.0, 1.0, 1.0)
        depths = [trial.params["model.depth"] for trial in study.trials()]
        assert sorted(depths) == sorted([1, 2, 3, 4, depths[0]])


@pytest.fixture
def setting(tmp_path: Path) -> Iterator[Setting]:
    made = make_setting(tmp_path, f"sqlite:///{tmp_path}/hpo.db", n_trials=20, max_epochs=100_000)
    with closing(made):
        yield made


@contextmanager
def killed_at_the_end(process: subprocess.Popen[str]) -> Iterator[None]:
    try:
        yield
    finally:
        process.kill()


@pytest.mark.slow
def test_a_worker_does_within_seconds_what_is_ordered(setting: Setting) -> None:
    study = setting.study
    command = [sys.executable, "-m", "hpo.worker", study.name]

    def epochs(number: int) -> int:
        trials = study.trials()
        return len(trials[number].intermediate_values) if number < len(trials) else 0

    environment = {**os.environ, **setting.environment}
    with (
        subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as worker,
        killed_at_the_end(worker),
    ):
        wait_until(lambda: epochs(0) > 20)
        set_standing(study, "paused")
        wait_until(lambda: study.progress().counts == {"WAITING": 1})
        n_before = epochs(0)
        set_standing(study, "open")
        wait_until(lambda: epochs(0) > n_before)
        assert study.trials()[0].user_attrs["attempt"] == 2
        prune(study, 0)
        wait_until(lambda: epochs(1) > 0)
        assert study.trials()[0].value == min(study.trials()[0].intermediate_values.values())
        set_standing(study, "stopped")
        said = worker.communicate(timeout=60.0)[1]
    assert worker.returncode == 0, said
    assert "faults: trial 0 was pruned by hand" in said
    assert "belongs to another worker" not in said
    assert study.progress().counts == {"PRUNED": 1, "WAITING": 1}
    kept = [path for path in setting.store.list("studies") if "/checkpoints/" in path]
    assert {path.split("/")[2] for path in kept} == {"trial-00001"}
