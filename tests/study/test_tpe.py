"""TPE over columns beside Optuna's own."""

import random
import warnings

import optuna
import pytest
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import TPESampler
from optuna.trial import TrialState

from hpo.config.space import Params
from hpo.study.sampling import draw
from hpo.study.tpe import Columns, ColumnsTpeSampler
from tests.support.definitions import SPACE, definition

N_STARTUP = 10


def optunas(seed: int) -> TPESampler:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return TPESampler(
            seed=seed,
            n_startup_trials=N_STARTUP,
            multivariate=True,
            group=True,
            constant_liar=True,
        )


@pytest.mark.slow
@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_columns_draw_what_optunas_sampler_draws(direction: str) -> None:
    """Trials end in any order and state, some tie, some are pruned at once, five are running."""
    searched, chance, columns = definition(search_space=SPACE), random.Random(0), Columns()
    study = optuna.create_study(direction=direction)
    running: list[optuna.Trial] = []
    for seed in range(90):
        drawn: list[Params] = []
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            ours = ColumnsTpeSampler(columns, seed, N_STARTUP)
        for sampler in (optunas(seed), ours):
            study.sampler = sampler
            trial = study.ask()
            drawn.append(draw(searched, trial))
            if sampler is not ours:
                study.tell(trial, state=TrialState.FAIL)
        assert drawn[0] == drawn[1], seed
        study._storage._get_trial(trial._trial_id).system_attrs.clear()  # as a worker leaves it
        running.append(trial)
        if len(running) > 5:
            ended = running.pop(chance.randrange(len(running)))
            if chance.random() < 0.4:
                for step in range(chance.randrange(4)):
                    ended.report(chance.random(), step)
                study.tell(ended, state=TrialState.PRUNED)
            else:
                study.tell(ended, round(chance.random(), 1))


def test_a_trial_that_is_finished_no_more_is_forgotten() -> None:
    searched, columns = definition(search_space=SPACE), Columns()
    study = optuna.create_study()
    for number in range(4):
        trial = study.ask()
        draw(searched, trial)
        study.tell(trial, float(number))
    trials = study.trials
    columns.update(study, trials)
    assert list(columns.split()) == [True, False, False, False]
    columns.update(study, trials[1:])
    assert list(columns.split()) == [True, False, False]
    (observed,) = columns.observed(["model.width"], columns.split(), []).values()
    assert list(observed) == [trials[1].params["model.width"]]
