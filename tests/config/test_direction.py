"""Which way a metric gets better."""

import json

import optuna
import pytest
from optuna.study import StudyDirection

from hpo.config.metrics import Direction

VALUES = (0.5, -1.0, 2.0)


@pytest.mark.parametrize(
    ("direction", "best_first", "preferred"),
    [
        (Direction.MINIMIZE, [-1.0, 0.5, 2.0], "lower"),
        (Direction.MAXIMIZE, [2.0, 0.5, -1.0], "higher"),
    ],
)
def test_knows_what_better_means(
    direction: Direction, best_first: list[float], preferred: str
) -> None:
    best, middle, _ = best_first
    assert direction.best_first(VALUES) == best_first
    assert direction.best(VALUES) == best
    assert direction.is_better(best, middle)
    assert not direction.is_better(middle, best)
    assert not direction.is_better(best, best)
    assert direction.preferred == preferred


@pytest.mark.parametrize("word", ["minimize", "maximize"])
def test_is_the_word_that_files_and_optuna_use(word: str) -> None:
    direction = Direction(word)
    assert direction == f"{direction}" == word
    assert json.dumps({"direction": direction}) == f'{{"direction": "{word}"}}'
    assert StudyDirection[direction.name] == optuna.create_study(direction=word).direction
