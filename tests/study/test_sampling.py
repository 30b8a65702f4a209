"""Samplers as a study names them; what they do in a study is tested in `test_study`."""

import optuna
import pytest

from hpo.config.space import Params
from hpo.config.strategies import QmcSampler, RandomSampler, Sampler, TpeSampler
from hpo.study.sampling import draw, make_sampler
from tests.support.definitions import SPACE, definition


def drawn(settings: Sampler, n_trials: int) -> list[Params]:
    """The params of a study's trials after its default configuration."""
    searched = definition(search_space=SPACE)
    study = optuna.create_study()
    study.enqueue_trial(searched.space.default_params())
    found = []
    for number in range(n_trials):
        study.sampler = make_sampler(settings, number)
        trial = study.ask()
        found.append(draw(searched, trial))
        study.tell(trial, float(number))
    return found[1:]


@pytest.mark.parametrize("settings", [TpeSampler(), RandomSampler(), QmcSampler()])
def test_params_that_the_first_trial_lacks_are_searched_too(settings: Sampler) -> None:
    points = drawn(settings, 24)
    for name in ("model.dropout", "optimizer.momentum"):
        values = [point[name] for point in points if name in point]
        assert len(values) > 4
        assert len(set(values)) == len(values), name
