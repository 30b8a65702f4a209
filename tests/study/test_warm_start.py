"""Warm starts: what a new study takes from other studies, and who sees it."""

import json
import math
import random
import statistics
from contextlib import closing
from typing import Any

import numpy
import pytest

from hpo.config.errors import InputError
from hpo.config.space import Params
from hpo.config.trial import Measurement
from hpo.storage.engine import Storage, open_storage
from hpo.storage.leases import WorkerId
from hpo.storage.ledger import Outcome
from hpo.study.catalog import create_study, delete_study, open_study
from hpo.study.history import InformedStudy, KnownResult, WarmStart, read_warm_start
from hpo.study.leaderboard import leaderboard
from hpo.study.row import read_row
from hpo.study.study import Study
from hpo.study.tpe import FINISHED, Columns
from hpo.study.warm_start import N_STARTS, choose_warm_start
from tests.support import definitions
from tests.support.databases import every_database
from tests.support.definitions import definition

ME = WorkerId(host="here", pid=1, device="cpu")
RATE = "optimizer.learning_rate"
SPACE: dict[str, Any] = {
    "model": {
        "depth": {"type": "int", "low": 1, "high": 4},
        "dropout": {"type": "float", "low": 0.1, "high": 0.5, "or_zero": True, "default": 0},
    },
    "optimizer": {
        **definitions.SPACE["optimizer"],
        "learning_rate": {"type": "float", "low": 1e-4, "high": 1e-1, "log": True},
    },
}
WARM = {"name": "tpe", "n_startup_trials": 10, "warm_start": ["old"]}


def distance(params: Params) -> float:
    """The objective of these tests: the best rate is near the end of its range."""
    return abs(math.log10(float(params[RATE])) + 1.2)


def space_with(**leaves: Any) -> dict[str, Any]:
    """The space with other leaves, by path with `__` instead of a dot."""
    found = {section: dict(table) for section, table in SPACE.items()}
    for path, leaf in leaves.items():
        section, name = path.split("__")
        found.setdefault(section, {})[name] = leaf
    return found


def make(storage: Storage, name: str, **changes: Any) -> Study:
    given = {"name": name, "search_space": SPACE, "sampler": {"name": "random"}, **changes}
    made = definition(given.pop("n_trials", 40), **given)
    return create_study(
        storage, made, "store", warm_start=choose_warm_start(storage, made, "new.toml")
    )


def search(study: Study, at_once: int = 1) -> list[Params]:
    """Finish all trials of a study; every fourth is pruned. Return their params."""
    found = []
    while claims := study.draw(study.claim(ME, 60.0, at_once)):
        values = {claim: distance(claim.params) for claim in claims}
        pruned = [claim for claim in claims if claim.number % 4 == 3]
        study.report({claim: [Measurement(step=1, value=values[claim])] for claim in pruned})
        study.finish_all(
            {
                claim: Outcome(
                    state="PRUNED" if claim in pruned else "COMPLETE", value=value, user_attrs={}
                )
                for claim, value in values.items()
            }
        )
        found += [claim.params for claim in claims]
    return found


def many_results(n: int) -> tuple[KnownResult, ...]:
    """Results of different learning rates."""
    params = definition(search_space=SPACE).space.default_params()
    return tuple(
        KnownResult(params={**params, RATE: 1e-4 + place * 1e-6}, state="COMPLETE", value=place)
        for place in range(n)
    )


@pytest.fixture
def old(storage: Storage) -> Study:
    """A finished study of 40 trials."""
    study = make(storage, "old")
    search(study, at_once=40)
    return study


def known(study: Study) -> tuple[KnownResult, ...]:
    with study.storage.read() as connection:
        return read_warm_start(connection, study.read_row(connection)).known


@pytest.mark.parametrize("sampler", ["tpe", pytest.param("gp", marks=pytest.mark.slow)])
def test_the_sampler_learns_from_trials_of_another_study(
    storage: Storage, old: Study, sampler: str
) -> None:
    new = make(storage, "new", n_trials=5, sampler={**WARM, "name": sampler})
    assert new.warm_start_notes == ("old: 40 of 40 trials are known results",)
    assert new.progress().counts == {"WAITING": 1}
    warm = search(new)[1:]
    cold = search(make(storage, "cold", n_trials=5, sampler={"name": sampler}))[1:]
    means = [statistics.mean(map(distance, found)) for found in (warm, cold)]
    assert means[0] < 0.6 * means[1]


def test_known_results_are_no_trials(storage: Storage, old: Study) -> None:
    new = make(storage, "new", n_trials=3, sampler=WARM)
    assert len(search(new)) == len(new.trials()) == 3
    assert {row.number for row in leaderboard(new, every_state=True)} == {0, 1, 2}
    status = new.progress()
    assert sum(status.counts.values()) == 3
    assert status.notes == ("old: 40 of 40 trials are known results",)
    assert new._optuna.get_trials()[0].number == 0, "the pruner compares with own trials"


def test_every_worker_draws_the_same_even_if_the_other_study_is_gone(
    storage: Storage, rival: Storage, old: Study
) -> None:
    new = make(storage, "new", sampler=WARM)
    delete_study(storage, "old")
    for _ in range(3):  # a worker that has drawn before, and a new one
        claimed = new.claim(ME, 60.0)
        here, there = (
            study._param_sampler.draw(claimed) for study in (new, open_study(rival, "new"))
        )
        assert here == there
        (claim,) = new.draw(claimed)
        new.finish(claim, "COMPLETE", distance(claim.params), {})
    assert known(new) == known(open_study(rival, "new"))
    made = definition(40, name="new", search_space=SPACE, sampler=WARM)
    assert create_study(storage, made, "store").uuid == new.uuid


def test_known_results_keep_their_order(storage: Storage) -> None:
    """TPE gives less weight to older trials: their order must not depend on who finished when."""
    made = definition(20, search_space=SPACE)
    study = create_study(storage, made, "store")
    search(study, at_once=20)
    informed = InformedStudy(study._optuna, made.space, many_results(400))
    trials = informed._get_trials(deepcopy=False, states=FINISHED)
    random.Random(0).shuffle(late := trials[400:])
    columns = Columns()
    columns.update(informed, trials[:400] + late[:10])
    columns.update(informed, trials[:400] + late)
    found = columns.observed([RATE], numpy.ones(420, dtype=bool), [])[RATE]
    assert found.tolist() == [trial.params[RATE] for trial in trials]


def test_pruned_trials_keep_their_last_epoch(storage: Storage, old: Study) -> None:
    found = known(make(storage, "new", sampler=WARM))
    trials = old.trials()
    assert [each.params for each in found] == [trial.params for trial in trials]
    assert found[3].state == "PRUNED"
    assert found[3].last == Measurement(step=1, value=trials[3].intermediate_values[1])
    assert found[4].value == trials[4].value


@pytest.mark.parametrize(
    ("leaves", "note"),
    [
        (
            {"model__depth": {"type": "int", "low": 2, "high": 3}},
            "; 17 lie outside model.depth",
        ),
        ({"model__depth": 2}, "; 29 have another model.depth"),
        ({"training__seed": 7}, ""),
        ({"model__width": {"type": "int", "low": 256, "high": 512, "default": 512}}, ""),
        (
            {
                "model__embedding": {"type": "categorical", "choices": ["none", "periodic"]},
                "model__sigma": {
                    "type": "float",
                    "low": 0.01,
                    "high": 0.05,
                    "when": {"model.embedding": "periodic"},
                },
            },
            "",
        ),
    ],
)
def test_a_changed_space_takes_the_trials_that_fit(
    storage: Storage, old: Study, leaves: dict[str, Any], note: str
) -> None:
    new = make(storage, "new", search_space=space_with(**leaves), sampler=WARM)
    found = known(new)
    assert new.warm_start_notes == (f"old: {len(found)} of 40 trials are known results{note}",)
    new.definition.space.check_params(found[0].params)
    assert new.ask(ME, 60.0) is not None
    assert new.ask(ME, 60.0) is not None


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"objective": {"metric": "mae"}}, "objective.metric"),
        (
            {
                "data": {
                    "source": "/other.csv",
                    "target": "z",
                    "task": "regression",
                    "fingerprint": "g",
                }
            },
            "the table, data.target",
        ),
    ],
)
def test_where_values_cannot_be_compared_the_best_are_starts(
    storage: Storage, old: Study, changes: dict[str, Any], why: str
) -> None:
    new = make(storage, "new", n_trials=3, sampler=WARM, **changes)
    assert new.warm_start_notes == (
        f"old: its 5 best configurations are starts, because of another value of {why}",
    )
    assert known(new) == ()
    best = [row.params for row in leaderboard(old)[:N_STARTS]]
    assert search(new)[1:] == best[:2]
    made = definition(9, name="new", search_space=SPACE, sampler=WARM, **changes)
    assert search(create_study(storage, made, "store"))[:3] == best[2:]


def test_a_study_takes_from_several(storage: Storage, old: Study) -> None:
    search(make(storage, "older", n_trials=2, objective={"metric": "mae"}))
    sampler = {**WARM, "warm_start": ["old", "older", "old"]}
    new = make(storage, "new", sampler=sampler)
    assert [note.split(":")[0] for note in new.warm_start_notes] == ["old", "older"]
    assert len(known(new)) == 40


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sampler": {**WARM, "warm_start": ["odl"]}}, r'no study odl in .* \(did you mean "old"'),
        ({"sampler": {**WARM, "warm_start": ["empty"]}}, "study empty has no finished trial"),
        (
            {"search_space": space_with(training__max_epochs=3)},
            "no finished trial of old fits: of 40, 40 have another training.max_epochs",
        ),
        (
            {
                "search_space": space_with(model__depth={"type": "int", "low": 5, "high": 6}),
                "objective": {"metric": "mae"},
            },
            r"no COMPLETE trial of old fits: of 30, 30 lie outside model.depth",
        ),
    ],
)
def test_a_warm_start_from_nothing_is_one_sentence(
    storage: Storage, old: Study, changes: dict[str, Any], message: str
) -> None:
    make(storage, "empty")
    with pytest.raises(InputError, match=rf"^new.toml: sampler.warm_start: {message}"):
        make(storage, "new", **{"sampler": WARM, **changes})


@every_database
def test_thousands_of_known_results_are_stored(storage: Storage) -> None:
    warm = WarmStart(known=many_results(2000), starts=(), notes=('a "note" \u2013 on é',))
    create_study(storage, definition(search_space=SPACE), "store", warm_start=warm)
    with closing(open_storage(storage.url)) as other, other.read() as connection:
        row = read_row(connection, open_study(other, "study").id, "study", "")
        assert row.n_warm_start_parts > 5
        assert read_warm_start(connection, row) == warm


def test_a_study_without_a_warm_start_is_stored_as_before() -> None:
    made = json.loads(definition(sampler={"name": "tpe"}).to_json())
    assert made["sampler"] == {"name": "tpe", "seed": 0, "n_startup_trials": 20}
