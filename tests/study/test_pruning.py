"""Pruners decide as Optuna's do."""

import math
import random
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from hpo.config.trial import Measurement
from hpo.storage.engine import Storage, open_storage
from hpo.storage.leases import WorkerId
from hpo.study.catalog import create_study
from hpo.study.claim import Claim
from hpo.study.pruning import ColumnsPercentilePruner, make_pruner
from hpo.study.study import Study
from tests.support.definitions import definition

N_STEPS = 12
CONSTANT = definition().space
SCHEDULES = ("constant", "cosine", "coslog4")
PLANNED = {
    "training.schedule": CategoricalDistribution(SCHEDULES),
    "training.max_epochs": IntDistribution(1, 100),
}
PLANS = {
    "training": {
        "schedule": {"type": "categorical", "choices": list(SCHEDULES)},
        "max_epochs": {"type": "int", "low": 1, "high": 100},
    }
}


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Storage]:
    path = tmp_path_factory.mktemp("pruning") / "hpo.db"
    with closing(open_storage(f"sqlite:///{path}")) as opened:
        yield opened


def curve(chance: random.Random) -> dict[int, float]:
    """Up to twelve reports in no order, some left out, few of them no number; values that tie."""
    steps = chance.sample(range(1, N_STEPS + 1), chance.randint(0, N_STEPS))
    no_number = chance.random() < 0.1
    return {
        step: math.nan if no_number and chance.random() < 0.5 else chance.randint(0, 20) / 4
        for step in steps
    }


def settings(chance: random.Random) -> dict[str, Any]:
    return {
        "n_startup_trials": chance.choice([0, 1, 5, 29, 31]),
        "n_warmup_steps": chance.choice([0, 1, 5]),
        "interval_steps": chance.choice([1, 2, 3, 7]),
        "n_min_trials": chance.choice([1, 3, 20]),
    }


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:All-NaN")
@pytest.mark.parametrize("direction", ["minimize", "maximize"])
@pytest.mark.parametrize("n_trials", [0, 3, 40])
def test_columns_decide_as_optunas_pruner(storage: Storage, direction: str, n_trials: int) -> None:
    chance = random.Random(n_trials)
    plain = optuna.create_study(
        storage=storage.plain, study_name=f"{direction}-{n_trials}", direction=direction
    )
    for _ in range(n_trials):
        state = chance.choice([TrialState.COMPLETE, TrialState.COMPLETE, TrialState.PRUNED])
        plain.add_trial(create_trial(state=state, value=1.0, intermediate_values=curve(chance)))
    quick = optuna.load_study(study_name=plain.study_name, storage=storage.reader)
    said = []
    for _ in range(300):
        percentile = chance.choice([0.0, 10.0, 33.3, 50.0, 100.0])
        theirs = optuna.pruners.PercentilePruner(percentile, **settings(chance))
        ours = ColumnsPercentilePruner(theirs, CONSTANT, storage.reader)
        trial = running(curve(chance))
        said.append(theirs.prune(plain, trial))
        assert ours.prune(quick, trial) == said[-1], (vars(theirs), trial)
    assert set(said) == ({False, True} if n_trials else {False})


def test_median_and_percentile_are_asked_by_columns_and_others_themselves(
    storage: Storage,
) -> None:
    for pruner in ({"name": "median"}, {"name": "percentile", "percentile": 25.0}):
        made = make_pruner(definition(pruner=pruner), storage.reader)
        assert isinstance(made, ColumnsPercentilePruner)
    other = make_pruner(definition(pruner={"name": "successive_halving"}), storage.reader)
    assert isinstance(other, optuna.pruners.SuccessiveHalvingPruner)


def planned(
    schedule: str, n_epochs: int, values: list[float], state: TrialState = TrialState.RUNNING
) -> FrozenTrial:
    """A trial that reported these values in its first epochs."""
    return create_trial(
        state=state,
        value=values[-1],
        params={"training.schedule": schedule, "training.max_epochs": n_epochs},
        distributions=PLANNED,
        intermediate_values=dict(enumerate(values, start=1)),
    )


class Comparison:
    """A study in which the pruner's settings allow pruning from the first epoch."""

    def __init__(self, storage: Storage, name: str) -> None:
        self.storage = storage
        pruner = {"name": "median", "n_startup_trials": 1, "n_warmup_steps": 0}
        self.pruner = make_pruner(definition(search_space=PLANS, pruner=pruner), storage.reader)
        self.plain = optuna.create_study(storage=storage.plain, study_name=name)
        self.study = optuna.load_study(study_name=name, storage=storage.reader)

    def add(self, schedule: str, values: list[float]) -> None:
        """Add a COMPLETE trial."""
        self.plain.add_trial(planned(schedule, len(values), values, TrialState.COMPLETE))
        self.storage.reader.invalidate(self.study._study_id)

    def is_pruned(self, schedule: str, n_epochs: int, values: list[float]) -> bool:
        return self.pruner.prune(self.study, planned(schedule, n_epochs, values))


def test_a_schedule_is_compared_at_equal_shares_of_the_planned_epochs(storage: Storage) -> None:
    compared = Comparison(storage, "shares")
    compared.add("cosine", [9.0, 5.0, 3.0, 1.0])
    slow = [9.0, 8.0, 7.0, 6.0]  # 4 of 8 epochs are as 2 of 4
    assert compared.is_pruned("cosine", 8, slow)
    assert not compared.is_pruned("cosine", 8, [9.0, 8.0, 7.0, 4.9])
    assert not compared.is_pruned("cosine", 8, [9.0, 8.0, 7.0, 4.9, 4.9])  # not yet as 3 of 4
    assert compared.is_pruned("cosine", 8, [9.0, 8.0, 7.0, 4.9, 4.9, 4.9])
    assert compared.is_pruned("cosine", 4, [9.0, 6.0])
    compared.add("cosine", [9.0] * 4)
    compared.add("cosine", [9.0] * 2)
    assert not compared.is_pruned("cosine", 8, slow)  # the median of 5, 9 and 9


def test_no_trial_with_a_schedule_is_pruned_in_the_first_half_of_its_epochs(
    storage: Storage,
) -> None:
    compared = Comparison(storage, "halves")
    compared.add("cosine", [1.0] * 10)
    compared.add("constant", [1.0] * 10)
    bad = [9.0] * 10
    for n_epochs in (10, 9):
        decisions = [compared.is_pruned("cosine", n_epochs, bad[:n]) for n in range(1, n_epochs)]
        assert decisions == [n >= 5 for n in range(1, n_epochs)]
    assert compared.is_pruned("constant", 10, bad[:1])


def test_trials_are_compared_with_those_of_the_same_schedule(storage: Storage) -> None:
    compared = Comparison(storage, "schedules")
    compared.add("coslog4", [1.0] * 8)
    compared.add("constant", [1.0] * 4)
    bad = [9.0] * 4
    assert not compared.is_pruned("cosine", 8, bad)  # there is none
    assert compared.is_pruned("coslog4", 8, bad)
    assert compared.is_pruned("constant", 50, bad)  # at equal epochs
    compared.add("cosine", [9.0] * 8)
    compared.add("constant", [99.0] * 4)
    compared.add("constant", [99.0] * 4)
    assert not compared.is_pruned("cosine", 8, bad)
    assert not compared.is_pruned("constant", 50, bad)
    assert compared.is_pruned("coslog4", 8, bad)


def test_a_report_is_judged_by_the_trials_own_schedule(storage: Storage) -> None:
    rate = {"type": "float", "low": 1e-4, "high": 1e-1}
    training = {**PLANS["training"], "max_epochs": 4}
    space = {"training": training, "optimizer": {"learning_rate": rate}}
    pruner = {"name": "median", "n_startup_trials": 1, "n_warmup_steps": 0}
    study = create_study(storage, definition(search_space=space, pruner=pruner), "store")
    for schedule in ("cosine", *SCHEDULES):  # trial 0 is constant
        study.enqueue({"training.schedule": schedule})
    for schedule in ("constant", "cosine"):
        claim = ask(study)
        assert claim.params["training.schedule"] == schedule
        assert not study.report({claim: measurements(1.0)}).prune
        study.finish(claim, "COMPLETE", 1.0, {})
    pruned = {}
    for schedule in SCHEDULES:
        claim = ask(study)
        assert claim.params["training.schedule"] == schedule
        pruned[schedule] = study.report({claim: measurements(9.0)}).prune.get(claim)
        study.finish(claim, "FAIL", None, {})
    assert pruned == {"constant": 1, "cosine": 2, "coslog4": None}


def ask(study: Study) -> Claim:
    claim = study.ask(WorkerId(host="here", pid=1, device="cpu"), 60.0)
    assert claim is not None
    return claim


def measurements(value: float) -> list[Measurement]:
    return [Measurement(step=step, value=value) for step in range(1, 5)]


def running(reports: dict[int, float]) -> FrozenTrial:
    return create_trial(state=TrialState.RUNNING, intermediate_values=reports)
