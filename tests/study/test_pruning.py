"""Pruners decide as Optuna's do."""

import math
import random
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState, create_trial

from hpo.storage.engine import Storage, open_storage
from hpo.study.pruning import ColumnsPercentilePruner, make_pruner
from tests.support.study_process import definition

N_STEPS = 12


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
        ours = ColumnsPercentilePruner(theirs, storage.reader)
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


def running(reports: dict[int, float]) -> FrozenTrial:
    return create_trial(state=TrialState.RUNNING, intermediate_values=reports)
