"""The commands that steer: what they print, and what they refuse."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from hpo.storage.engine import open_storage
from hpo.storage.leases import WorkerId
from hpo.study.catalog import create_study
from hpo.study.study import Study
from tests.support.command_line import Outcome
from tests.support.command_line import hpo as run
from tests.support.definitions import definition

ME = WorkerId(host="here", pid=1, device="cpu")
SPACE = {
    "model": {"dropout": {"type": "float", "low": 0.1, "high": 0.5, "or_zero": True}},
    "optimizer": {
        "name": {"type": "categorical", "choices": ["sgd", "adam"]},
        "momentum": {
            "type": "float",
            "low": 0.0,
            "high": 0.9,
            "when": {"optimizer.name": "sgd"},
        },
    },
}


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Study]:
    monkeypatch.setenv("HPO_STORAGE", f"sqlite:///{tmp_path}/hpo.db")
    with closing(open_storage(f"sqlite:///{tmp_path}/hpo.db")) as storage:
        yield create_study(storage, definition(2, search_space=SPACE), "store")


def hpo(*arguments: object) -> str:
    """What a command that succeeds prints."""
    outcome = run(*arguments)
    assert outcome.code == 0, outcome.err
    return outcome.out


def refused(*arguments: object) -> str:
    """The one sentence of a command that is refused."""
    outcome: Outcome = run(*arguments)
    assert (outcome.code, outcome.out, outcome.err.count("\n")) == (2, "", 1)
    return outcome.err


def test_a_study_says_how_it_stands(study: Study) -> None:
    for command, state in (("pause", "paused"), ("stop", "stopped"), ("resume", "waiting")):
        assert hpo(command, "study") == ""
        assert run("status", "study", "--json").document["state"] == state
        assert f" {state} " in hpo("studies")
    assert 'did you mean "study"' in refused("pause", "stduy")


@pytest.mark.slow
def test_trials_are_pruned_retried_quarantined_and_put_back(study: Study) -> None:
    hpo("prune", "study", 0)
    assert "trial 0 of study study is PRUNED already" in refused("prune", "study", 0)
    assert "study study has trials 0 to 0, but got 7" in refused("retry", "study", 7)
    claim = study.ask(ME, 60.0)
    assert claim is not None
    study.finish(claim, "COMPLETE", 1.0, {})
    hpo("quarantine", "study", 1)
    assert run("leaderboard", "study", "--json").document == []
    failures = run("status", "study", "--json").document["failures"]
    assert failures == [{"number": 1, "reason": "quarantined"}]
    hpo("quarantine", "study", 1, "--undo")
    assert [row["number"] for row in run("leaderboard", "study", "--json").document] == [1]
    assert "is not quarantined" in refused("quarantine", "study", 1, "--undo")
    assert hpo("retry", "study", 1) == "2\n"


def test_a_budget_is_raised_and_never_lowered(study: Study) -> None:
    assert hpo("extend", "study", "--n-trials", "+3") == "n_trials = 5\n"
    assert "has no budget.timeout, which cannot be lowered" in refused(
        "extend", "study", "--timeout", "2h"
    )
    assert "cannot be lowered to 4" in refused("extend", "study", "--n-trials", "4")
    assert "--n-trials must be a number" in refused("extend", "study", "--n-trials", "+-4")
    assert "give a limit to raise" in refused("extend", "study")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("params", "why"),
    [
        (["optimizer.momentum=0.5", "optimizer.name=adam"], 'is "sgd", which is "adam"'),
        (["optimizer.momentum=0.5"], 'optimizer.name is "sgd", which is not given'),
        (["model.dropout=0.2", "model.dropout.on=false"], "turned off by model.dropout.on"),
    ],
)
def test_a_param_that_would_be_dropped_is_refused(
    study: Study, params: list[str], why: str
) -> None:
    assert why in refused("enqueue", "study", *params)
    assert hpo("enqueue", "study", "optimizer.momentum=0.5", "optimizer.name=sgd") == "1\n"
