"""What training again over seeds shows, by numbers that are worked out by hand."""

import json
import math
from dataclasses import replace

import pytest

from hpo.config.definition import StudyDefinition
from hpo.config.errors import InputError
from hpo.study.confirmation import (
    MAX_SEEDS,
    MAX_TOP,
    SEED,
    Confirmation,
    Estimate,
    compare,
    configuration,
    confirmed,
    confirming,
    trainings,
)
from tests.support.definitions import definition

T_2, T_1 = 4.302652729749464, 12.706204736174694  # of a printed table: 97.5 %, 2 and 1 free
MYSQL_TEXT = 65535


def with_seed(seed: object) -> StudyDefinition:
    """The tests' study with its own word on the seed."""
    space = {
        "model": {"depth": {"type": "int", "low": 1, "high": 4}},
        "training": {"seed": seed},
    }
    return definition(search_space=space)


def outcome(values: dict[int, list[float]], metric: str = "rmse") -> Confirmation:
    """A comparison of configurations by their values with the seeds 1, 2 and so on."""
    task = "regression" if metric == "rmse" else "binary"
    data = {"source": "/t.csv", "target": "y", "task": task, "fingerprint": "f"}
    again = confirming(definition(data=data, objective={"metric": metric}))
    by_seed = {number: dict(enumerate(own, start=1)) for number, own in values.items()}
    return compare(again, range(1, 1 + max(map(len, values.values()))), by_seed)


def test_an_interval_is_students() -> None:
    found = Estimate.of([1.0, 2.0, 6.0])
    assert (found.n_seeds, found.mean, found.sd) == (3, 3.0, pytest.approx(math.sqrt(7)))
    half = T_2 * math.sqrt(7) / math.sqrt(3)
    assert (found.low, found.high) == (pytest.approx(3 - half), pytest.approx(3 + half))
    assert (found.text(), found.text(sign="+")) == ("3.0 ± 6.6", "+3.0 ± 6.6")
    assert Estimate.of([2.0, 2.0]).text() == "2"
    assert Estimate.of([2.0]) == Estimate(n_seeds=1, mean=2.0, sd=None, low=None, high=None)


def test_each_is_compared_with_the_default_seed_by_seed() -> None:
    found = outcome({0: [5.0, 6.0, 7.0], 4: [4.0, 5.5, 7.5], 9: [3.0, 4.1, 4.9]})
    assert [each.number for each in found.configs] == [9, 4, 0]
    nine, four, default = found.configs
    assert nine.difference is not None
    half = T_2 * math.sqrt((0.1**2 + 0.1**2) / 2) / math.sqrt(3)
    assert nine.difference.mean == pytest.approx(-2.0)
    assert nine.difference.high == pytest.approx(-2.0 + half)
    assert (nine.n_better, four.n_better) == (3, 2)
    assert (default.difference, default.n_better) == (None, 0)
    assert found.is_better_than_default
    assert found.verdict == (
        "Trial 9 is better than the default configuration: by -2.00 ± 0.25 in pairs, "
        "better with 3 of 3 seeds."
    )


def test_more_is_better_where_the_metric_says_so() -> None:
    found = outcome({0: [0.5, 0.6], 3: [0.7, 0.8001], 8: [0.4, 0.5]}, "accuracy")
    assert [each.number for each in found.configs] == [3, 0, 8]
    assert [each.n_better for each in found.configs] == [2, 0, 0]
    assert found.is_better_than_default


def test_a_winner_within_noise_is_called_so() -> None:
    found = outcome({0: [5.0, 6.0], 4: [4.0, 5.8]})
    assert not found.is_better_than_default
    assert "Trial 4 has the best mean, but is not better" in found.verdict
    assert f"-0.6 ± {T_1 * 0.4:.1f} in pairs, better with 2 of 2 seeds" in found.verdict


def test_the_default_may_win_and_wins_ties() -> None:
    found = outcome({4: [4.0, 6.0], 0: [5.0, 5.0]})
    assert found.winner is not None
    assert found.winner.number == 0
    assert not found.is_better_than_default
    assert "no leading configuration is better than it over 2 seeds" in found.verdict


def test_one_that_did_not_finish_with_every_seed_does_not_win() -> None:
    found = outcome({0: [5.0, 6.0, 7.0], 4: [1.0, 1.0], 5: [9.0, 9.0, 9.0], 6: []})
    assert [each.number for each in found.configs] == [0, 5, 4, 6]
    assert list(confirmed(found.to_json(values=False))) == [0, 5]
    assert outcome({0: [1.0], 4: [2.0, 3.0]}).verdict.startswith("Trial 4 has the best mean; the")
    assert outcome({0: [1.0], 4: [2.0]}).winner is not None
    nothing = compare(confirming(definition()), [1, 2], {0: {1: 1.0}, 4: {2: 1.0}})
    assert nothing.winner is None
    assert nothing.verdict.endswith("nothing is confirmed.")


def test_a_confirmation_comes_back_and_fits_a_databases_text() -> None:
    values = {n: [1 / 3 + n * seed for seed in range(MAX_SEEDS)] for n in range(MAX_TOP + 1)}
    found = outcome(values)
    kept = json.dumps(found.to_json(values=False))
    assert len(kept) < MYSQL_TEXT
    assert confirmed(json.loads(kept)) == {each.number: each.estimate for each in found.configs}


@pytest.mark.parametrize(
    ("seed", "first"),
    [
        (7, 8),
        ({"type": "int", "low": 3, "high": 20}, 21),
        ({"type": "categorical", "choices": [5, 40, 2]}, 41),
        ({"type": "int", "low": 3, "high": 2**31 - 9}, 0),
    ],
)
def test_seeds_are_not_those_of_the_search(seed: object, first: int) -> None:
    again = confirming(with_seed(seed))
    points = list(trainings(again, [configuration({"model.depth": 2, SEED: 3})], 2))
    assert points == [{"model.depth": 2, SEED: first}, {"model.depth": 2, SEED: first + 1}]
    for point in points:
        again.space.check_params(point)


def test_the_confirming_study_is_the_same_but_for_what_ends_trials_early() -> None:
    study = definition()
    again = confirming(study)
    assert again.name == "study@confirm"
    assert (again.pruner.name, again.budget.n_trials) == ("none", 1)
    assert again.data == study.data
    stored = StudyDefinition.from_json(again.to_json())
    assert stored.digest() == again.digest()
    assert stored.space.default_params() == {**study.space.default_params(), SEED: 1}
    config = again.trial_config({"model.depth": 2, "optimizer.learning_rate": 0.01, SEED: 9})
    alone = study.trial_config({"model.depth": 2, "optimizer.learning_rate": 0.01})
    assert config == replace(alone, training=replace(alone.training, seed=9))


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("small@confirm", "study small@confirm is a confirmation: name the study it confirms"),
        ("x" * 93, "the name of the confirming study must be 1 to 100 letters"),
    ],
)
def test_what_cannot_be_confirmed_is_said(name: str, complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        confirming(definition(name=name))
