"""Finite spaces: no point is drawn twice, and a study whose points are all tried is finished."""

import threading
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from optuna.samplers import RandomSampler

from hpo.config.space import Params
from hpo.config.trial import Measurement
from hpo.files.store import ArtifactStore
from hpo.lifecycle.creation import create_from_file
from hpo.storage.engine import Storage, open_storage
from hpo.storage.leases import WorkerId
from hpo.study import sampling
from hpo.study.catalog import create_study, open_study
from hpo.study.fleet import Fleet
from hpo.study.status import StudyStatus
from hpo.study.steering import quarantine, retry
from hpo.study.study import Study
from hpo.training.single import SingleTrainer
from tests.support.command_line import hpo
from tests.support.databases import every_database
from tests.support.definitions import definition
from tests.support.gate import CONTEXT, gather
from tests.support.study_process import claim_and_draw
from tests.support.workers import make_worker

ME = WorkerId(host="here", pid=1, device="cpu")
SPACE = {
    "model": {
        "depth": {"type": "int", "low": 1, "high": 2},
        "dropout": {
            "type": "float",
            "low": 0.1,
            "high": 0.3,
            "step": 0.1,
            "when": {"model.depth": 2},
        },
    },
    "optimizer": {
        "name": {"type": "categorical", "choices": ["adam", "sgd", "rmsprop"]},
        "momentum": {
            "type": "float",
            "low": 0.5,
            "high": 0.5,
            "when": {"optimizer.name": "sgd"},
        },
    },
}
"""It has 12 points: one depth goes with three dropouts, each with three optimizers."""
N = 12
SAMPLERS: dict[str, dict[str, Any]] = {
    "tpe": {"name": "tpe", "n_startup_trials": 3},
    "random": {"name": "random"},
    "qmc": {"name": "qmc"},
    "gp": {"name": "gp", "n_startup_trials": 3},
    "grid": {"name": "grid"},
}


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterable[Storage]:
    with closing(open_storage(f"sqlite:///{tmp_path}/hpo.db")) as opened:
        yield opened


def make(storage: Storage, n_trials: int = 50, **changes: Any) -> Study:
    changes = {"search_space": SPACE, "sampler": {"name": "random"}, **changes}
    return create_study(storage, definition(n_trials, **changes), "store")


def points(found: Iterable[Params]) -> set[frozenset[Any]]:
    return {frozenset(params.items()) for params in found}


def use_up(study: Study, n: int = 1) -> list[Params]:
    """Ask for trials, `n` at a time, and complete them, until there are none."""
    found = []
    while claims := study.draw(study.claim(ME, 60.0, n)):
        found += [claim.params for claim in claims]
        for claim in claims:
            value = float(len(str(claim.params)))
            study.report({claim: [Measurement(step=1, value=value)]})
            study.finish(claim, "COMPLETE", value, {})
    return found


def check_exhausted(status: StudyStatus, n: int) -> None:
    assert (status.state, status.is_finished) == ("finished", True)
    assert status.reason == f"all {n} configurations of the search space were tried"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("n", [1, 5])
def test_every_sampler_draws_each_point_once(name: str, n: int, sqlite: Storage) -> None:
    study = make(sqlite, sampler=SAMPLERS[name])
    found = use_up(study, n)
    assert len(found) == len(points(found)) == N
    assert study.progress().counts == {"COMPLETE": N}
    if name != "grid":  # its budget is that of its points
        assert study.progress().budget.n_trials == 50
    check_exhausted(study.progress(), N)


def test_a_smaller_budget_is_exact(storage: Storage) -> None:
    study = make(storage, n_trials=7)
    assert len(points(use_up(study, 3))) == 7
    assert study.progress().reason == "all 7 trials of its budget are finished"


@pytest.mark.slow
@every_database
def test_workers_that_compete_draw_each_point_once(storage: Storage) -> None:
    space = {"model": {"depth": {"type": "int", "low": 1, "high": 40}}}
    study = make(storage, n_trials=1000, search_space=space)
    answers = CONTEXT.SimpleQueue()
    processes, gate = gather(3, claim_and_draw, storage.url, answers)
    gate.open(processes)
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0] * 3
    depths = [depth for _ in processes for depth in answers.get()]
    assert sorted(depths) == list(range(1, 41))
    assert sum(study.progress().counts.values()) == 40


@pytest.mark.slow
def test_a_point_that_another_worker_was_quicker_with_is_replaced(
    storage: Storage, rival: Storage
) -> None:
    study, theirs = make(storage), open_study(rival, "study")
    study.ask(ME, 60.0)
    own, other = study.claim(ME, 60.0, 2), theirs.claim(ME, 60.0, 2)
    drawn = study._param_sampler.draw(own)
    same = dict(zip(other, drawn.values(), strict=True))
    theirs._param_sampler.draw = lambda *given: same  # type: ignore[method-assign]
    ours = study.draw(own)
    quicker = points(claim.params for claim in ours)
    assert quicker == points(each.params for each in drawn.values())
    late = theirs.draw(other)
    assert len(late) == 2
    assert len(points(claim.params for claim in [*ours, *late])) == 4
    written = {trial.number: trial.params for trial in study.trials()}
    assert all(written[claim.number] == claim.params for claim in late)


def test_a_sampler_that_only_repeats_itself_is_passed_over(
    sqlite: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sampling, "make_sampler", lambda *given: RandomSampler(seed=0))
    space = {
        "model": {
            "width": {"type": "int", "low": 1, "high": 1000},
            "depth": {"type": "int", "low": 1, "high": 10},
        },
        "training": {"batch_size": {"type": "int", "low": 1, "high": 100}},
    }
    study = make(sqlite, n_trials=30, search_space=space)
    assert len(points(use_up(study, 7))) == 30
    for trial in study.trials():
        trial._validate()
        assert study.definition.space.params().keys() == trial.params.keys()


def test_what_failed_is_not_drawn_again_but_may_be_retried(sqlite: Storage) -> None:
    study = make(sqlite)
    for state in ("FAIL", "PRUNED", "COMPLETE"):
        claim = study.ask(ME, 60.0)
        assert claim is not None
        study.finish(claim, state, None if state == "FAIL" else 1.0, {})  # type: ignore[arg-type]
    quarantine(study, 2)
    assert len(use_up(study)) == N - 3
    check_exhausted(study.progress(), N)
    retry(study, 0)
    assert study.progress().state == "waiting"
    assert len(use_up(study)) == 1
    assert retry(study, 4) == N
    assert len(use_up(study)) == 1
    check_exhausted(study.progress(), N)


def test_queued_params_are_taken_as_they_are_and_count(sqlite: Storage) -> None:
    study = make(sqlite)
    whole = {"model.depth": 1, "optimizer.name": "rmsprop"}
    study.enqueue(whole)
    study.enqueue(whole)
    study.enqueue({"model.depth": 2, "optimizer.name": "sgd"})
    claims = study.draw(study.claim(ME, 60.0, 2))
    assert study.progress().counts == {"RUNNING": 2, "WAITING": 2}
    for claim in claims:
        study.finish(claim, "COMPLETE", 1.0, {})
    found = [*(claim.params for claim in claims), *use_up(study)]
    assert found.count(whole) == 2
    assert len(found) == N + 1
    assert len(points(found)) == N


@pytest.mark.slow
def test_a_released_trial_keeps_its_point(sqlite: Storage) -> None:
    study = make(sqlite)
    first, second = study.draw(study.claim(ME, 60.0, 2))
    study.release(first, second)
    found = use_up(study, 4)
    assert len(found) == len(points(found)) == N
    assert found[1] == second.params


def test_a_worker_and_the_commands_say_that_all_was_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [f"{i % 13},{(i * 7) % 29},{i % 13 * 0.5 + i % 29}" for i in range(60)]
    (tmp_path / "table.csv").write_text("\n".join(["a,b,y", *rows]))
    (tmp_path / "small.toml").write_text(
        'name = "small"\nsearch_space.model.depth = { type = "int", low = 1, high = 3 }\n'
        'search_space.model.width = 4\ndata = { source = "table.csv", target = "y" }\n'
        'objective.metric = "rmse"\ntraining.max_epochs = 1\n'
    )
    store = ArtifactStore(str(tmp_path / "artifacts"))
    url = f"sqlite:///{tmp_path}/hpo.db"
    study = create_from_file(tmp_path / "small.toml", url, store.url).study
    assert [opened.name for opened in Fleet(study.storage, store.id).studies()] == ["small"]
    assert make_worker(study, store, SingleTrainer("cpu")).work(threading.Event())
    assert study.progress().counts == {"COMPLETE": 3}
    assert Fleet(study.storage, store.id).studies() == []

    said = "all 3 configurations of the search space were tried"
    assert hpo("status", "small", "--json", "--storage", url).document["reason"] == said
    assert f"finished: {said}" in hpo("status", "small", "--storage", url).out
    monkeypatch.chdir(tmp_path)
    run = hpo("run", "small.toml", "--storage", url, "--artifacts", store.url)
    assert run.code == 0, run.err
    assert f"small is finished: {said}\n" in run.err
    study.storage.close()
